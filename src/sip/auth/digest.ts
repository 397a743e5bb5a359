import { Algorithm, type AlgorithmName, algorithmOf, hashHex, isSess, type KnownAlgorithmId } from "./algorithm.ts";
import type { Challenge } from "./challenge.ts";

/**
 * Text to the bytes that are hashed and sent: UTF-8 (RFC 7616 §4) for what people typed, a byte a character for what was read
 * from a message.
 */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function utf8AsLatin1(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

function known(algorithm: string): KnownAlgorithmId {
  const id = algorithmOf(algorithm);
  if (id === Algorithm.unknown) throw new RangeError("digest algorithm is not known");
  return id;
}

/** H of a latin1 string, in hex. */
function hashText(id: KnownAlgorithmId, text: string): string {
  return hashHex(id, bytesOf(text));
}

/**
 * HA1 = H(username:realm:password) in lower-case hex (RFC 7616 §3.4.2), for `-sess` names that of the plain algorithm, too.
 * Username and password are text; the realm is latin1, as a Challenge gives it.
 * @throws RangeError for an algorithm that is not ours.
 */
export function ha1Hex(
  algorithm: AlgorithmName | `${AlgorithmName}-sess`,
  username: string,
  realm: string,
  password: string,
): string {
  return hashText(known(algorithm), `${utf8AsLatin1(username)}:${realm}:${utf8AsLatin1(password)}`);
}

export interface DigestQuestion {
  /** One that `chooseChallenge` gave. */
  readonly challenge: Challenge;
  readonly username: string;
  /** `ha1Hex` for the challenge's realm and algorithm. */
  readonly ha1: string;
  readonly method: string;
  /** The Request-URI of the request that will carry the answer (RFC 8760 §2.6). */
  readonly uri: string;
  /** Ours, unpredictable, at most 64 characters of a token. */
  readonly cnonce: string;
  /** Requests sent with this nonce, this one included: 1 to 2**32 - 1. */
  readonly nonceCount: number;
  /** Needed for auth-int, which is used only when `auth` is not offered. */
  readonly body?: Uint8Array | undefined;
}

/** Whether the answer will be auth, auth-int or in the old form without qop. */
function qopOf(challenge: Challenge): "auth" | "auth-int" | undefined {
  if (challenge.qop.includes("auth")) return "auth";
  return challenge.qop.includes("auth-int") ? "auth-int" : undefined;
}

// Control characters are refused at the door; a quote or a backslash must not end our quoted string.
function quoted(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return `"${text.replace(/[\x00-\x1f\x7f]/g, "").replace(/["\\]/g, "\\$&")}"`;
}

/** The header that answers a challenge. */
export function credentialsHeader(challenge: Challenge): "Authorization" | "Proxy-Authorization" {
  return challenge.proxy ? "Proxy-Authorization" : "Authorization";
}

/**
 * The whole value of Authorization or Proxy-Authorization, `Digest username=…` (RFC 7616 §3.4), in latin1. Token-valued parameters
 * stand unquoted, as RFC 3261 §25.1 has them.
 * @throws RangeError when the challenge is not usable: a bug of the caller.
 */
export function digestResponse(question: DigestQuestion): string {
  const { challenge, cnonce } = question;
  const id = known(challenge.algorithm);
  const qop = qopOf(challenge);
  const uri = question.uri.replace(/["\\\s]/g, encodeURIComponent);
  const count = (question.nonceCount >>> 0).toString(16).padStart(8, "0");
  const sess = isSess(challenge.algorithm);
  const ha1 = sess ? hashText(id, `${question.ha1}:${challenge.nonce}:${cnonce}`) : question.ha1;
  const bodyHash = qop === "auth-int" ? `:${hashHex(id, new Uint8Array(question.body ?? []))}` : "";
  const ha2 = hashText(id, `${question.method}:${uri}${bodyHash}`);
  const middle = qop === undefined ? "" : `${count}:${cnonce}:${qop}:`;
  const response = hashText(id, `${ha1}:${challenge.nonce}:${middle}${ha2}`);
  let value = `Digest username=${quoted(utf8AsLatin1(question.username))}, realm="${challenge.realm}", nonce="${challenge.nonce}", uri="${uri}", response="${response}"`;
  if (challenge.algorithmGiven) value += `, algorithm=${challenge.algorithm}`;
  if (qop !== undefined || sess) value += `, cnonce="${cnonce}"`;
  if (challenge.opaque !== undefined) value += `, opaque="${challenge.opaque}"`;
  if (qop !== undefined) value += `, qop=${qop}, nc=${count}`;
  return value;
}

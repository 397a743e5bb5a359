import { COMMA, EQUAL, equalsIgnoreCase, isLws, skipLws } from "../message/chars.ts";
import { Algorithm, type AlgorithmId } from "./algorithm.ts";
import { AuthParam, readAuthParam, skipSeparators, skipToComma, tokenEnd } from "./auth-param.ts";
import { domainBytesMax, nonceBytesMax, opaqueBytesMax, realmBytesMax } from "./limits.ts";

/** One challenge as offsets into the message (RFC 7616 §3.3). Reused by its owner; valid only while the buffer is. */
export class ChallengeView {
  schemeFrom = 0;
  schemeTo = 0;
  isDigest = false;
  /** Values are what stands between the quotes, backslashes kept. Equal offsets: empty. */
  realmFrom = 0;
  realmTo = 0;
  nonceFrom = 0;
  nonceTo = 0;
  hasOpaque = false;
  opaqueFrom = 0;
  opaqueTo = 0;
  hasDomain = false;
  domainFrom = 0;
  domainTo = 0;
  hasAlgorithm = false;
  algorithmFrom = 0;
  algorithmTo = 0;
  /** MD5 when the challenge names none (RFC 7616 §3.3). */
  algorithm: AlgorithmId = Algorithm.unknown;
  /** The `-sess` variant of it. */
  sess = false;
  /** A qop with something in it. */
  hasQop = false;
  qopFrom = 0;
  qopTo = 0;
  qopAuth = false;
  qopAuthInt = false;
  stale = false;
  /**
   * Digest with realm and nonce, a known algorithm, a qop that we can do, and every value within its bound: an answer can be
   * computed.
   */
  usable = false;
}

const param = new AuthParam();

/**
 * HOT. Reads the challenge that begins at or after `from` in the value of a WWW-Authenticate or Proxy-Authenticate header;
 * allocates nothing. Returns the offset where the next one may begin (`to` after the last), or -1 when there is no
 * challenge left. RFC 3261 allows one challenge a header; HTTP, and some servers, join several by commas.
 */
export function scanChallenge(bytes: Uint8Array, from: number, to: number, out: ChallengeView): number {
  let at = skipSeparators(bytes, from, to);
  if (at >= to) return -1;
  out.schemeFrom = at;
  out.schemeTo = tokenEnd(bytes, at, to);
  clear(out);
  if (out.schemeTo === at) return skipToComma(bytes, at, to);
  out.isDigest = equalsIgnoreCase(bytes, out.schemeFrom, out.schemeTo, "digest");
  let hasRealm = false;
  let hasNonce = false;
  let safe = true;
  at = skipLws(bytes, out.schemeTo, to);
  for (let end = at; ;) {
    at = skipSeparators(bytes, end, to);
    if (at >= to) break;
    end = readAuthParam(bytes, at, to, param);
    if (end < 0) {
      if (beginsChallenge(bytes, at, to)) break;
      end = skipToComma(bytes, at, to);
      continue;
    }
    const first = bytes[at]! | 0x20;
    if (first === 0x72 && !hasRealm && param.isNamed(bytes, "realm")) {
      hasRealm = true;
      out.realmFrom = param.valueFrom;
      out.realmTo = param.valueTo;
      safe &&= param.isSafe(bytes, realmBytesMax);
    } else if (first === 0x6e && !hasNonce && param.isNamed(bytes, "nonce")) {
      hasNonce = true;
      out.nonceFrom = param.valueFrom;
      out.nonceTo = param.valueTo;
      safe &&= param.isSafe(bytes, nonceBytesMax);
    } else if (first === 0x71 && !out.hasQop && param.isNamed(bytes, "qop")) {
      end = readQop(bytes, end, to, out);
    } else if (first === 0x61 && !out.hasAlgorithm && param.isNamed(bytes, "algorithm")) {
      readAlgorithm(bytes, out);
    } else if (first === 0x6f && !out.hasOpaque && param.isNamed(bytes, "opaque")) {
      out.hasOpaque = true;
      out.opaqueFrom = param.valueFrom;
      out.opaqueTo = param.valueTo;
      safe &&= param.isSafe(bytes, opaqueBytesMax);
    } else if (first === 0x73 && param.isNamed(bytes, "stale")) {
      out.stale ||= param.hasValue(bytes, "true");
    } else if (first === 0x64 && !out.hasDomain && param.isNamed(bytes, "domain")) {
      out.hasDomain = param.isSafe(bytes, domainBytesMax);
      out.domainFrom = param.valueFrom;
      out.domainTo = param.valueTo;
    }
  }
  out.usable =
    out.isDigest &&
    hasRealm &&
    hasNonce &&
    safe &&
    out.algorithm !== Algorithm.unknown &&
    (!out.hasQop || out.qopAuth || out.qopAuthInt);
  return at;
}

function clear(out: ChallengeView): void {
  const at = out.schemeFrom;
  out.realmFrom = out.realmTo = out.nonceFrom = out.nonceTo = at;
  out.opaqueFrom = out.opaqueTo = out.domainFrom = out.domainTo = at;
  out.algorithmFrom = out.algorithmTo = out.qopFrom = out.qopTo = at;
  out.isDigest = out.hasOpaque = out.hasDomain = out.hasAlgorithm = out.hasQop = false;
  out.qopAuth = out.qopAuthInt = out.sess = out.stale = out.usable = false;
  out.algorithm = Algorithm.md5;
}

/** A token with white space behind it and then no `=` is the scheme of another challenge. A lone word is not: it is skipped. */
function beginsChallenge(bytes: Uint8Array, from: number, to: number): boolean {
  const end = tokenEnd(bytes, from, to);
  const at = skipLws(bytes, end, to);
  return end > from && at > end && at < to && bytes[at] !== EQUAL && bytes[at] !== COMMA;
}

function readAlgorithm(bytes: Uint8Array, out: ChallengeView): void {
  out.hasAlgorithm = true;
  out.algorithmFrom = param.valueFrom;
  out.algorithmTo = param.valueTo;
  let to = param.valueTo;
  out.sess = to - out.algorithmFrom > 5 && equalsIgnoreCase(bytes, to - 5, to, "-sess");
  if (out.sess) to -= 5;
  if (equalsIgnoreCase(bytes, out.algorithmFrom, to, "md5")) out.algorithm = Algorithm.md5;
  else if (equalsIgnoreCase(bytes, out.algorithmFrom, to, "sha-256")) out.algorithm = Algorithm.sha256;
  else if (equalsIgnoreCase(bytes, out.algorithmFrom, to, "sha-512-256")) out.algorithm = Algorithm.sha512t256;
  else out.algorithm = Algorithm.unknown;
}

/** `qop` in its spellings: "auth", auth, "auth-int,auth", and the unquoted list whose commas look like the challenge's own. */
function readQop(bytes: Uint8Array, from: number, to: number, out: ChallengeView): number {
  out.qopFrom = param.valueFrom;
  out.qopTo = param.valueTo;
  readQopList(bytes, param.valueFrom, param.valueTo, out);
  if (param.quoted) return from;
  let end = from;
  for (;;) {
    const at = skipSeparators(bytes, end, to);
    const tokenTo = tokenEnd(bytes, at, to);
    const isQop = equalsIgnoreCase(bytes, at, tokenTo, "auth") || equalsIgnoreCase(bytes, at, tokenTo, "auth-int");
    const next = skipLws(bytes, tokenTo, to);
    if (!isQop || (next < to && bytes[next] !== COMMA)) return end;
    readQopList(bytes, at, tokenTo, out);
    end = out.qopTo = tokenTo;
  }
}

function readQopList(bytes: Uint8Array, from: number, to: number, out: ChallengeView): void {
  let at = from;
  while ((at = skipSeparators(bytes, at, to)) < to) {
    const tokenFrom = at;
    while (at < to && bytes[at] !== COMMA && !isLws(bytes[at]!)) at++;
    out.hasQop = true;
    if (equalsIgnoreCase(bytes, tokenFrom, at, "auth")) out.qopAuth = true;
    else if (equalsIgnoreCase(bytes, tokenFrom, at, "auth-int")) out.qopAuthInt = true;
  }
}

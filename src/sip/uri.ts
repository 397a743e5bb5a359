import {
  AT,
  COLON,
  equalsIgnoreCase,
  hexValue,
  isDigit,
  latin1,
  LBRACKET,
  QUESTION,
  RBRACKET,
  readDigits,
  SEMICOLON,
  SP,
} from "./message/chars.ts";
import { isIpv6, isNameOrIpv4 } from "./host-port.ts";

export const Scheme = { other: 0, sip: 1, sips: 2, tel: 3 } as const;
export type SchemeId = (typeof Scheme)[keyof typeof Scheme];

/** Offsets of a URI's parts; reused by its owner. Equal offsets mean the part is absent. */
export class UriSpan {
  scheme: SchemeId = Scheme.other;
  schemeFrom = 0;
  schemeTo = 0;
  /** sip, sips: the user part with its escapes, without a password. tel: the number. Other schemes: all after the colon. */
  userFrom = 0;
  userTo = 0;
  /** A password in the user part (deprecated, never to be shown). */
  passwordFrom = 0;
  passwordTo = 0;
  /** Without brackets. */
  hostFrom = 0;
  hostTo = 0;
  /** -1 when absent. */
  port = -1;
  /** From the first `;` behind the host. */
  paramsFrom = 0;
  paramsTo = 0;
  /** From the `?`. */
  headersFrom = 0;
  headersTo = 0;
}

/**
 * Splits the URI bytes[from, to) (RFC 3261 §19.1.1, RFC 3966). False when no URI: no scheme, white space or control bytes,
 * two `@`, a host that is none, a port over 65535, an IPv6 host without brackets (RFC 5118 §4.2), an escape that is none.
 * URIs of unknown schemes are taken whole.
 */
export function parseUri(bytes: Uint8Array, from: number, to: number, out: UriSpan): boolean {
  let colon = from;
  while (colon < to && bytes[colon] !== COLON) colon++;
  if (colon >= to || !isScheme(bytes, from, colon) || colon + 1 >= to) return false;
  for (let i = colon; i < to; i++) {
    const byte = bytes[i]!;
    // Control bytes, space, `"`, `<`, `>`, DEL: nowhere in a URI (RFC 3986 §2).
    if (byte <= SP || byte === 0x22 || byte === 0x3c || byte === 0x3e || byte === 0x7f) return false;
  }
  out.schemeFrom = from;
  out.schemeTo = colon;
  out.scheme = schemeOf(bytes, from, colon);
  const start = colon + 1;
  out.userFrom = out.userTo = out.passwordFrom = out.passwordTo = out.hostFrom = out.hostTo = start;
  out.paramsFrom = out.paramsTo = out.headersFrom = out.headersTo = to;
  out.port = -1;
  if (out.scheme === Scheme.other) {
    out.userTo = to;
    return true;
  }
  if (out.scheme === Scheme.tel) return splitTel(bytes, start, to, out);
  return splitUser(bytes, start, to, out);
}

function schemeOf(bytes: Uint8Array, from: number, to: number): SchemeId {
  if (equalsIgnoreCase(bytes, from, to, "sip")) return Scheme.sip;
  if (equalsIgnoreCase(bytes, from, to, "sips")) return Scheme.sips;
  if (equalsIgnoreCase(bytes, from, to, "tel")) return Scheme.tel;
  return Scheme.other;
}

function isScheme(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    const letter = (byte | 32) >= 0x61 && (byte | 32) <= 0x7a;
    if (!letter && (i === from || !(isDigit(byte) || byte === 0x2b || byte === 0x2d || byte === 0x2e))) return false;
  }
  return to > from;
}

function splitTel(bytes: Uint8Array, from: number, to: number, out: UriSpan): boolean {
  let at = from;
  while (at < to && bytes[at] !== SEMICOLON) at++;
  out.userFrom = from;
  out.userTo = at;
  out.paramsFrom = at;
  return at > from;
}

function splitUser(bytes: Uint8Array, start: number, to: number, out: UriSpan): boolean {
  // The user part may hold `;`, `?`, `/` and `:`, but `@` only escaped: the first one ends it (§19.1.2).
  let at = start;
  while (at < to && bytes[at] !== AT) at++;
  let hostStart = start;
  if (at < to) {
    hostStart = at + 1;
    for (let i = hostStart; i < to; i++) if (bytes[i] === AT) return false;
    let colon = start;
    while (colon < at && bytes[colon] !== COLON) colon++;
    // `sip:@host` is no URI either, but gateways send it for callers without a number; it reads as one without user.
    if (colon === start && colon < at) return false;
    out.userTo = colon;
    out.passwordFrom = Math.min(colon + 1, at);
    out.passwordTo = at;
  }
  return escapesHold(bytes, start, to) && splitHost(bytes, hostStart, to, out);
}

function escapesHold(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    if (bytes[i] !== 0x25) continue;
    if (i + 2 >= to || hexValue[bytes[i + 1]!] === 0 || hexValue[bytes[i + 2]!] === 0) return false;
    i += 2;
  }
  return true;
}

function splitHost(bytes: Uint8Array, from: number, to: number, out: UriSpan): boolean {
  let at = from;
  if (bytes[at] === LBRACKET && at < to) {
    out.hostFrom = at + 1;
    while (at < to && bytes[at] !== RBRACKET) at++;
    if (at >= to) return false;
    out.hostTo = at++;
    if (!isIpv6(withoutThirdColon(latin1(bytes, out.hostFrom, out.hostTo)))) return false;
  } else {
    while (at < to && bytes[at] !== COLON && bytes[at] !== SEMICOLON && bytes[at] !== QUESTION) at++;
    out.hostFrom = from;
    out.hostTo = at;
    if (!isNameOrIpv4(bytes, from, at)) return false;
  }
  if (at < to && bytes[at] === COLON) {
    const digits = at + 1;
    at = digits;
    while (at < to && bytes[at] !== SEMICOLON && bytes[at] !== QUESTION) at++;
    out.port = readDigits(bytes, digits, at, 65_535);
    if (out.port < 0) return false;
  }
  out.paramsFrom = at;
  if (at < to && bytes[at] !== SEMICOLON && bytes[at] !== QUESTION) return false;
  while (at < to && bytes[at] !== QUESTION) at++;
  out.paramsTo = out.headersFrom = at;
  return true;
}

/** RFC 3261's grammar leads to `2001:db8:::192.0.2.1`; RFC 5118 §4.10 wants it understood. */
function withoutThirdColon(host: string): string {
  return host.includes(":::") && host.includes(".") ? host.replace(":::", "::") : host;
}

/** A URI as text, split and otherwise as written. */
export interface SipUri {
  /** Lower case, without the colon. */
  readonly scheme: string;
  /** With its escapes; undefined when there is none. tel: the number. */
  readonly user: string | undefined;
  /** Lower case, IPv6 without brackets; "" for tel and unknown schemes. */
  readonly host: string;
  readonly port: number | undefined;
  /** `;a=b;c` as written, or "". Read with `uriParam`. */
  readonly params: string;
  /** `?a=b&c=d` as written, or "". */
  readonly headers: string;
  readonly password: string | undefined;
}

const scratch = new UriSpan();

/** The URI text, or undefined when it is none. Characters over U+00FF are refused: a URI is ASCII. */
export function parseUriText(text: string): SipUri | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) return undefined;
    bytes[i] = code;
  }
  return uriOf(bytes, 0, bytes.length);
}

/** `parseUriText` of bytes[from, to). */
export function uriOf(bytes: Uint8Array, from: number, to: number): SipUri | undefined {
  if (!parseUri(bytes, from, to, scratch)) return undefined;
  const { userFrom, userTo, passwordFrom, passwordTo, port } = scratch;
  return {
    scheme: latin1(bytes, scratch.schemeFrom, scratch.schemeTo).toLowerCase(),
    user: userFrom === userTo ? undefined : latin1(bytes, userFrom, userTo),
    password: passwordFrom === passwordTo ? undefined : latin1(bytes, passwordFrom, passwordTo),
    host: withoutThirdColon(latin1(bytes, scratch.hostFrom, scratch.hostTo)).toLowerCase(),
    port: port < 0 ? undefined : port,
    params: latin1(bytes, scratch.paramsFrom, scratch.paramsTo),
    headers: latin1(bytes, scratch.headersFrom, scratch.headersTo),
  };
}

/** URI parameters by lower-case name; "" for one without a value; of equal names the first. */
function paramsOf(uri: SipUri): Map<string, string> {
  return pairs(uri.params.slice(1), ";");
}

function pairs(text: string, separator: string): Map<string, string> {
  const found = new Map<string, string>();
  if (text === "") return found;
  for (const part of text.split(separator)) {
    const equal = part.indexOf("=");
    const name = unescapeText(equal < 0 ? part : part.slice(0, equal)).toLowerCase();
    if (!found.has(name)) found.set(name, equal < 0 ? "" : part.slice(equal + 1));
  }
  return found;
}

/** A URI parameter as written; "" when it has no value, undefined when it is absent. Names ignore case. */
export function uriParam(uri: SipUri, name: string): string | undefined {
  return paramsOf(uri).get(name.toLowerCase());
}

/** Parameters that make two URIs differ when only one has them (§19.1.4). */
const decisiveParams: ReadonlySet<string> = new Set(["user", "ttl", "method", "maddr", "transport"]);

/** Equality of RFC 3261 §19.1.4. Other schemes than sip and sips compare as text, the scheme in any case. False when one is no URI. */
export function sameUri(a: string | SipUri, b: string | SipUri): boolean {
  const left = typeof a === "string" ? parseUriText(a) : a;
  const right = typeof b === "string" ? parseUriText(b) : b;
  if (left === undefined || right === undefined || left.scheme !== right.scheme) return false;
  if (left.scheme !== "sip" && left.scheme !== "sips") return left.user === right.user && left.params === right.params;
  return (
    sameEscaped(left.user, right.user) &&
    sameEscaped(left.password, right.password) &&
    left.host === right.host &&
    left.port === right.port &&
    sameParams(paramsOf(left), paramsOf(right)) &&
    sameHeaders(pairs(left.headers.slice(1), "&"), pairs(right.headers.slice(1), "&"))
  );
}

function sameEscaped(a: string | undefined, b: string | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && normalEscapes(a) === normalEscapes(b));
}

function sameParams(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  for (const [name, value] of a) {
    const other = b.get(name);
    if (
      other === undefined
        ? decisiveParams.has(name)
        : normalEscapes(other).toLowerCase() !== normalEscapes(value).toLowerCase()
    ) {
      return false;
    }
  }
  for (const name of b.keys()) if (decisiveParams.has(name) && !a.has(name)) return false;
  return true;
}

function sameHeaders(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) if (!sameEscaped(value, b.get(name))) return false;
  return true;
}

/** Escapes of characters outside the reserved set resolved, the rest in upper case: equal texts mean the same (§19.1.2). */
function normalEscapes(text: string): string {
  return text.replace(/%[0-9A-Fa-f]{2}/g, (escape) => {
    const char = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return /[A-Za-z0-9\-_.!~*'()]/.test(char) ? char : escape.toUpperCase();
  });
}

function unescapeText(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** A user part without its escapes: one character a byte (latin1), for comparing and for lookup. */
export function unescapeUser(user: string): string {
  return unescapeText(user);
}

/** Text as a user part: what §25.1 does not allow there is escaped, characters over U+007F as UTF-8. */
export function escapeUser(text: string): string {
  let out = "";
  for (const byte of new TextEncoder().encode(text)) {
    const char = String.fromCharCode(byte);
    out += /[A-Za-z0-9\-_.!~*'()&=+$,;?/]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

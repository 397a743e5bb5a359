import {
  COLON,
  COMMA,
  CR,
  DQUOTE,
  EQUAL,
  HTAB,
  HYPHEN,
  isLws,
  LF,
  readDigits,
  SEMICOLON,
  skipLws,
  SLASH,
  SP,
  tokenClass,
  trimEnd,
  ZERO,
} from "./chars.ts";
import { classifyHeader, Header, type HeaderId } from "./header.ts";
import { headersMax, messageBytesMax, uint32Max } from "./limits.ts";
import { classifyMethod, Method, type MethodId } from "./method.ts";
import { readNumberAt } from "./read-number.ts";

/** What the answer to a REGISTER says. Offsets into the scanned bytes; equal offsets mean absent. Made once, used again. */
export class Answer {
  status = 0;
  /** Branch of the only Via. */
  branchFrom = 0;
  branchTo = 0;
  cseq = 0;
  method: MethodId = Method.other;
  /** Value of the only Contact line: one or more addresses for `readAddress`. */
  contactFrom = 0;
  contactTo = 0;
  /** -1 when absent, as the three below. */
  expires = -1;
  minExpires = -1;
  retryAfter = -1;
  flowTimer = -1;
  /** Value of the only WWW-Authenticate or Proxy-Authenticate line. */
  challengeFrom = 0;
  challengeTo = 0;
  challengeId: HeaderId = Header.other;
  /** Value of Authentication-Info. */
  infoFrom = 0;
  infoTo = 0;
}

/** Headers that go over unread: many a line, nothing in them that a registration hears of. Any header not here is a reason to scan in full. */
const ignored = new Uint8Array(128);
for (const id of [
  Header.other,
  Header.allow,
  Header.supported,
  Header.server,
  Header.userAgent,
  Header.date,
  Header.warning,
  Header.allowEvents,
  Header.pAssociatedUri,
  Header.accept,
  Header.organization,
  Header.maxForwards,
]) {
  ignored[id] = 1;
}

/** In a Via value: 1 where a parameter may begin, 2 for what makes it unusual. */
const viaRun = new Uint8Array(256).fill(2, 0, SP);
viaRun[SEMICOLON] = 1;
viaRun[COMMA] = viaRun[DQUOTE] = 2;

const needed = (1 << Header.via) | (1 << Header.from) | (1 << Header.to) | (1 << Header.callId) | (1 << Header.cseq);

/**
 * HOT: 0 allocations; bench/sip/message/scan.bench.ts. Reads the usual answer to a REGISTER in one pass. True says that `scan`
 * and the readers would say the same: a whole response with one Via that has a branch, From, To, Call-ID and CSeq once each.
 * False says nothing but "scan in full": folds, a header twice, two challenges, a body, a header that calls for more, or no
 * response at all. Not looked at are the syntax of From, To and the rest of Via, and line breaks inside values: whoever relays an answer scans in full.
 */
export function scanAnswer(bytes: Uint8Array, from: number, to: number, out: Answer): boolean {
  if (to - from < 32 || to - from > messageBytesMax) return false;
  // "SIP/2.0 " as everyone writes it, three digits, a space.
  if (bytes[from] !== 0x53 || bytes[from + 1] !== 0x49 || bytes[from + 2] !== 0x50 || bytes[from + 3] !== SLASH)
    return false;
  if (bytes[from + 4] !== 0x32 || bytes[from + 5] !== 0x2e || bytes[from + 6] !== ZERO || bytes[from + 7] !== SP)
    return false;
  out.status = readDigits(bytes, from + 8, from + 11, 699);
  if (out.status < 100 || bytes[from + 11] !== SP) return false;
  out.contactFrom = out.contactTo = out.challengeFrom = out.challengeTo = out.infoFrom = out.infoTo = from;
  out.expires = out.minExpires = out.retryAfter = out.flowTimer = -1;
  out.challengeId = Header.other;
  const last = to - 1;
  let seen = 0;
  let lines = 0;
  const lineEnd = endOfLine(bytes, from + 12, last);
  if (lineEnd < 0) return false;
  let at = lineEnd + 2;
  while (at < last) {
    let byte = bytes[at]!;
    if (byte === CR && bytes[at + 1] === LF) return (seen & needed) === needed && at + 2 === to;
    if (++lines > headersMax) return false;
    let colon = at;
    while (byte > COLON || byte === HYPHEN) {
      if (++colon > last) return false;
      byte = bytes[colon]!;
    }
    if (byte !== COLON || colon === at) return false;
    const id = classifyHeader(bytes, at, colon);
    if (id === Header.other) for (let i = at; i < colon; i++) if (tokenClass[bytes[i]!] !== 1) return false;
    let valueFrom = colon + 1;
    if (bytes[valueFrom] === SP) valueFrom++;
    let end = valueFrom;
    for (;;) {
      while (end + 6 < last && bytes[end]! > CR && bytes[end + 2]! > CR && bytes[end + 4]! > CR && bytes[end + 6]! > CR)
        end += 8;
      if (end > last) return false;
      byte = bytes[end]!;
      if (byte === LF && bytes[end - 1] === CR) {
        end--;
        break;
      }
      if (byte === CR && end < last && bytes[end + 1] === LF) break;
      end += 2;
    }
    if (end + 2 > last || bytes[end + 2] === SP || bytes[end + 2] === HTAB) return false;
    at = end + 2;
    if (ignored[id] === 1) continue;
    if (id < 32) {
      const bit = 1 << id;
      if ((seen & bit) !== 0) return false;
      seen |= bit;
    }
    let valueTo = end;
    if (bytes[valueFrom]! <= SP || bytes[end - 1]! <= SP) {
      valueFrom = skipLws(bytes, valueFrom, end);
      valueTo = trimEnd(bytes, valueFrom, end);
    }
    if (!take(bytes, valueFrom, valueTo, id, out)) return false;
  }
  return false;
}

/** Notes what one header says. False when it says something unusual. */
function take(bytes: Uint8Array, from: number, to: number, id: number, out: Answer): boolean {
  switch (id) {
    case Header.via:
      return takeBranch(bytes, from, to, out);
    case Header.from:
    case Header.to:
    case Header.callId:
      return true;
    case Header.cseq:
      return takeCSeq(bytes, from, to, out);
    case Header.contact:
      out.contactFrom = from;
      out.contactTo = to;
      return true;
    case Header.contentLength:
      return to - from === 1 && bytes[from] === ZERO;
    case Header.expires:
      out.expires = readNumberAt(bytes, from, to);
      return out.expires >= 0;
    case Header.minExpires:
      out.minExpires = readNumberAt(bytes, from, to);
      return out.minExpires >= 0;
    case Header.retryAfter:
      out.retryAfter = readNumberAt(bytes, from, to);
      return out.retryAfter >= 0;
    case Header.wwwAuthenticate:
    case Header.proxyAuthenticate:
      if (out.challengeId !== Header.other) return false;
      out.challengeId = id as HeaderId;
      out.challengeFrom = from;
      out.challengeTo = to;
      return true;
    case Header.authenticationInfo:
      out.infoFrom = from;
      out.infoTo = to;
      return true;
    case Header.flowTimer: {
      const first = out.flowTimer < 0;
      out.flowTimer = readNumberAt(bytes, from, to);
      return first && out.flowTimer >= 0;
    }
    default:
      return false;
  }
}

/** `;branch=…` of a Via that has one value. */
function takeBranch(bytes: Uint8Array, from: number, to: number, out: Answer): boolean {
  out.branchFrom = out.branchTo = from;
  for (let at = from; at < to; at++) {
    const run = viaRun[bytes[at]!]!;
    if (run === 0) continue;
    if (run === 2) return false;
    if (out.branchTo > from || !isBranchAt(bytes, at + 1, to)) continue;
    let end = at + 8;
    while (end < to && tokenClass[bytes[end]!] === 1) end++;
    if (end === at + 8 || (end < to && bytes[end] !== SEMICOLON)) return false;
    out.branchFrom = at + 8;
    out.branchTo = end;
    at = end - 1;
  }
  return out.branchTo > from;
}

function isBranchAt(bytes: Uint8Array, at: number, to: number): boolean {
  return (
    at + 7 < to &&
    bytes[at] === 0x62 &&
    bytes[at + 1] === 0x72 &&
    bytes[at + 2] === 0x61 &&
    bytes[at + 3] === 0x6e &&
    bytes[at + 4] === 0x63 &&
    bytes[at + 5] === 0x68 &&
    bytes[at + 6] === EQUAL
  );
}

function takeCSeq(bytes: Uint8Array, from: number, to: number, out: Answer): boolean {
  let space = from;
  while (space < to && bytes[space] !== SP) space++;
  if (space >= to || isLws(bytes[space + 1]!)) return false;
  out.cseq = readDigits(bytes, from, space, uint32Max);
  out.method = classifyMethod(bytes, space + 1, to);
  return out.cseq >= 0 && out.method !== Method.other;
}

/** As in scan.ts; `last` is the offset of the last byte. */
function endOfLine(bytes: Uint8Array, from: number, last: number): number {
  let at = from;
  for (;;) {
    while (at + 6 < last && bytes[at]! > CR && bytes[at + 2]! > CR && bytes[at + 4]! > CR && bytes[at + 6]! > CR)
      at += 8;
    if (at > last) return -1;
    const byte = bytes[at]!;
    if (byte === CR) {
      if (at < last && bytes[at + 1] === LF) return at;
    } else if (byte === LF && at > from && bytes[at - 1] === CR) return at - 1;
    at += 2;
  }
}

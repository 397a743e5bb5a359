import {
  COLON,
  CR,
  DEL,
  DOT,
  HTAB,
  HYPHEN,
  isDigit,
  LF,
  readDigits,
  skipLws,
  SLASH,
  SP,
  tokenClass,
  trimEnd,
  ZERO,
} from "./chars.ts";
import { classifyHeader, Header, type HeaderId } from "./header.ts";
import { headersMax, messageBytesMax } from "./limits.ts";
import { classifyMethod, Method } from "./method.ts";
import { idBits, indexStride, MessageKind, ScanResult, type ScanResultId, type SipView } from "./view.ts";

export { ScanResult } from "./view.ts";

const slotMax = headersMax * indexStride;

/**
 * HOT: 0 allocations; bench/sip/message/scan.bench.ts. Indexes the message at bytes[from, to) in one pass: start line,
 * headers, and the body by Content-Length (without one it goes to the end, RFC 3261 §18.3). CR LFs before the start line are
 * skipped (§7.5), bytes after the body ignored. Never throws, never reads outside [from, to).
 *
 * A line ends at CR LF and nothing else; a CR or LF alone is an ordinary byte of a value here, which `validateRequest` and
 * `validateResponse` refuse, so that nobody behind us can see a header where we saw none.
 */
export function scan(bytes: Uint8Array, from: number, to: number, view: SipView): ScanResultId {
  const result = scanHead(bytes, from, to, view);
  if (result === ScanResult.truncated) return result;
  const length = view.contentLength;
  const room = to - view.bodyFrom;
  view.bodyTo = length >= 0 && length < room ? view.bodyFrom + length : to;
  view.to = view.bodyTo;
  if (result === ScanResult.ok && (length === -2 || length > room)) view.result = ScanResult.badContentLength;
  return view.result;
}

/** `scan` up to the empty line: the body is not looked at and may be absent. For the framing of streams. */
export function scanHead(bytes: Uint8Array, from: number, to: number, view: SipView): ScanResultId {
  let at = from;
  while (at + 1 < to && bytes[at] === CR && bytes[at + 1] === LF) at += 2;
  view.bytes = bytes;
  view.from = at;
  view.to = to;
  view.headerCount = 0;
  view.bodyFrom = view.bodyTo = to;
  view.contentLength = -1;
  view.kind = MessageKind.request;
  view.status = 0;
  view.method = Method.other;
  view.methodFrom = view.methodTo = view.uriFrom = view.uriTo = view.reasonFrom = view.reasonTo = at;
  const tooLong = to - at > messageBytesMax;
  const lineEnd = tooLong ? -1 : endOfLine(bytes, at, to);
  if (lineEnd < 0) view.result = tooLong ? ScanResult.malformed : ScanResult.truncated;
  else view.result = scanHeaders(bytes, lineEnd + 2, to, view, scanStartLine(bytes, at, lineEnd, view));
  return view.result;
}

/**
 * The header lines. A CR LF shows one of its two bytes at every second offset, so the end of a line is searched there, four
 * looks at a time; the loop stands here a second time beside `endOfLine` because the call costs a third more (bench).
 */
function scanHeaders(bytes: Uint8Array, from: number, to: number, view: SipView, start: ScanResultId): ScanResultId {
  const index = view.index;
  const last = to - 1;
  let fault: ScanResultId = ScanResult.ok;
  let slot = 0;
  let at = from;
  lines: while (at < last) {
    let byte = bytes[at]!;
    if (byte === CR && bytes[at + 1] === LF) {
      view.headerCount = slot / indexStride;
      view.bodyFrom = at + 2;
      return start === ScanResult.ok ? fault : start;
    }
    let colon = at;
    // Letters and `-` are all that known names have: any other byte below `:` ends the quick way.
    while (byte > COLON || byte === HYPHEN) {
      if (++colon >= to) break lines;
      byte = bytes[colon]!;
    }
    let id: HeaderId = Header.other;
    if (byte === COLON && colon > at) id = classifyHeader(bytes, at, colon);
    if (id === Header.other) {
      let nameTo = at;
      while (nameTo < to && tokenClass[bytes[nameTo]!] === 1) nameTo++;
      colon = nameTo;
      while (colon < to && (bytes[colon] === SP || bytes[colon] === HTAB)) colon++;
      if (colon >= to) break;
      if (nameTo === at || bytes[colon] !== COLON) {
        if (fault === ScanResult.ok) fault = ScanResult.malformed;
        const end = endOfValue(bytes, at, to);
        if (end < 0) break;
        at = end + 2;
        continue;
      }
      id = classifyHeader(bytes, at, nameTo);
    }
    let valueFrom = colon + 1;
    if (valueFrom < to && bytes[valueFrom] === SP) valueFrom++;
    let end = valueFrom;
    for (;;) {
      while (end + 6 < last && bytes[end]! > CR && bytes[end + 2]! > CR && bytes[end + 4]! > CR && bytes[end + 6]! > CR)
        end += 8;
      if (end > last) break lines;
      byte = bytes[end]!;
      if (byte === LF && bytes[end - 1] === CR) end--;
      else if (byte !== CR || end === last || bytes[end + 1] !== LF) {
        end += 2;
        continue;
      }
      // §7.3.1: a line that begins with white space goes on with the value.
      if (end + 2 >= to || (bytes[end + 2] !== SP && bytes[end + 2] !== HTAB)) break;
      end += 2;
    }
    let valueTo = end;
    if (bytes[valueFrom]! <= SP || bytes[valueTo - 1]! <= SP) {
      valueFrom = skipLws(bytes, valueFrom, end);
      valueTo = trimEnd(bytes, valueFrom, end);
    }
    if (id === Header.contentLength) noteContentLength(bytes, valueFrom, valueTo, view);
    if (slot < slotMax) {
      index[slot] = id | ((end + 2 - at) << idBits);
      index[slot + 1] = at;
      index[slot + 2] = valueFrom;
      index[slot + 3] = valueTo;
      slot += indexStride;
    } else fault = ScanResult.tooManyHeaders;
    at = end + 2;
  }
  view.headerCount = slot / indexStride;
  return ScanResult.truncated;
}

function noteContentLength(bytes: Uint8Array, from: number, to: number, view: SipView): void {
  const length = view.contentLength === -1 ? readDigits(bytes, from, to, Number.MAX_SAFE_INTEGER) : -1;
  view.contentLength = length < 0 ? -2 : length;
}

/** Offset of the CR of the first CR LF in [from, to), or -1. bytes[from] must not be the LF of one. */
function endOfLine(bytes: Uint8Array, from: number, to: number): number {
  const last = to - 1;
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

/** The same for a value and its continuation lines. */
function endOfValue(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  for (;;) {
    at = endOfLine(bytes, at, to);
    if (at < 0 || at + 2 >= to || (bytes[at + 2] !== SP && bytes[at + 2] !== HTAB)) return at;
    at += 2;
  }
}

function scanStartLine(bytes: Uint8Array, from: number, to: number, view: SipView): ScanResultId {
  return startsWithSip(bytes, from, to)
    ? scanStatusLine(bytes, from, to, view)
    : scanRequestLine(bytes, from, to, view);
}

/** Whether bytes[from, to) begin with "SIP/" in any case (§7.1). */
function startsWithSip(bytes: Uint8Array, from: number, to: number): boolean {
  return (
    to - from >= 4 &&
    (bytes[from]! | 32) === 0x73 &&
    (bytes[from + 1]! | 32) === 0x69 &&
    (bytes[from + 2]! | 32) === 0x70 &&
    bytes[from + 3] === SLASH
  );
}

/** Whether bytes[from, from + 7) are "SIP/2.0", given that they begin with "SIP/". */
function isVersionTwo(bytes: Uint8Array, from: number, to: number): boolean {
  return to - from >= 7 && bytes[from + 4] === 0x32 && bytes[from + 5] === DOT && bytes[from + 6] === ZERO;
}

function scanStatusLine(bytes: Uint8Array, from: number, to: number, view: SipView): ScanResultId {
  view.kind = MessageKind.response;
  if (!isVersionTwo(bytes, from, to)) return ScanResult.badVersion;
  // Three digits exactly: RFC 4475 §3.1.2.19 has a status that wraps to another in 32 bits.
  if (to - from < 11 || bytes[from + 7] !== SP || (to - from > 11 && bytes[from + 11] !== SP))
    return ScanResult.malformed;
  const status = readDigits(bytes, from + 8, from + 11, 699);
  if (status < 100) return ScanResult.malformed;
  view.status = status;
  view.reasonFrom = Math.min(from + 12, to);
  view.reasonTo = to;
  return ScanResult.ok;
}

function scanRequestLine(bytes: Uint8Array, from: number, to: number, view: SipView): ScanResultId {
  let at = from;
  while (at < to && tokenClass[bytes[at]!] === 1) at++;
  if (at === from || at >= to || bytes[at] !== SP) return ScanResult.malformed;
  view.methodTo = at;
  view.method = classifyMethod(bytes, from, at);
  const uriFrom = ++at;
  while (at < to && bytes[at]! > SP && bytes[at] !== DEL) at++;
  view.uriFrom = uriFrom;
  view.uriTo = at;
  // One space on either side of a Request-URI without white space (§7.1); the version is all that follows.
  if (at === uriFrom || at >= to || bytes[at] !== SP || !startsWithSip(bytes, at + 1, to)) return ScanResult.malformed;
  for (let i = at + 5; i < to; i++) if (!isDigit(bytes[i]!) && bytes[i] !== DOT) return ScanResult.malformed;
  return isVersionTwo(bytes, at + 1, to) && to - at === 8 ? ScanResult.ok : ScanResult.badVersion;
}

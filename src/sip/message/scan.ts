import { COLON, CR, HTAB, isLws, LF, readDigits, SP, tokenClass, ZERO } from "./chars.ts";
import { classifyHeader, Header } from "./header.ts";
import { headersMax, messageBytesMax } from "./limits.ts";
import { classifyMethod, Method } from "./method.ts";
import { indexStride, MessageKind, ScanResult, type ScanResultId, type SipView } from "./view.ts";

export { ScanResult } from "./view.ts";

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
  view.index[1] = to;
  const lineEnd = to - at > messageBytesMax ? -1 : endOfLine(bytes, at, to);
  if (lineEnd < 0) {
    resetStartLine(view, at);
    view.result = to - at > messageBytesMax ? ScanResult.malformed : ScanResult.truncated;
    return view.result;
  }
  const start = scanStartLine(bytes, at, lineEnd, view);
  view.result = scanHeaders(bytes, lineEnd + 2, to, view, start);
  return view.result;
}

function scanHeaders(bytes: Uint8Array, from: number, to: number, view: SipView, start: ScanResultId): ScanResultId {
  const index = view.index;
  let at = from;
  let slot = 0;
  const slotMax = headersMax * indexStride;
  let fault: ScanResultId = ScanResult.ok;
  let ended = false;
  while (at + 1 < to) {
    if (bytes[at] === CR && bytes[at + 1] === LF) {
      ended = true;
      break;
    }
    let colon = at;
    while (colon < to && tokenClass[bytes[colon]!] === 1) colon++;
    const nameTo = colon;
    while (colon < to && (bytes[colon] === SP || bytes[colon] === HTAB)) colon++;
    const named = colon < to && bytes[colon] === COLON && nameTo > at;
    const end = endOfValue(bytes, named ? colon + 1 : at, to);
    if (end < 0) break;
    if (!named) {
      if (fault === ScanResult.ok) fault = ScanResult.malformed;
      at = end + 2;
      continue;
    }
    let valueFrom = colon + 1;
    while (valueFrom < end && isLws(bytes[valueFrom]!)) valueFrom++;
    let valueTo = end;
    while (valueTo > valueFrom && isLws(bytes[valueTo - 1]!)) valueTo--;
    const id = classifyHeader(bytes, at, nameTo);
    if (id === Header.contentLength) {
      const length = view.contentLength === -1 ? readDigits(bytes, valueFrom, valueTo, Number.MAX_SAFE_INTEGER) : -1;
      view.contentLength = length < 0 ? -2 : length;
    }
    if (slot === slotMax) fault = ScanResult.tooManyHeaders;
    else {
      index[slot] = id;
      index[slot + 1] = at;
      index[slot + 2] = valueFrom;
      index[slot + 3] = valueTo;
      slot += indexStride;
      index[slot + 1] = end + 2;
    }
    at = end + 2;
  }
  view.headerCount = slot / indexStride;
  if (!ended) return ScanResult.truncated;
  if (slot === 0) index[1] = at;
  view.bodyFrom = at + 2;
  return start === ScanResult.ok ? fault : start;
}

/** Offset of the CR of the first CR LF in [from, to), or -1. */
function endOfLine(bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at + 1 < to; at++) if (bytes[at] === CR && bytes[at + 1] === LF) return at;
  return -1;
}

/** The same for a value, which goes on in the next line when that begins with white space (§7.3.1). */
function endOfValue(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  for (;;) {
    at = endOfLine(bytes, at, to);
    if (at < 0 || at + 2 >= to) return at;
    const next = bytes[at + 2]!;
    if (next !== SP && next !== HTAB) return at;
    at += 2;
  }
}

function resetStartLine(view: SipView, at: number): void {
  view.kind = MessageKind.request;
  view.status = 0;
  view.method = Method.other;
  view.methodFrom = view.methodTo = view.uriFrom = view.uriTo = view.reasonFrom = view.reasonTo = at;
}

function scanStartLine(bytes: Uint8Array, from: number, to: number, view: SipView): ScanResultId {
  resetStartLine(view, from);
  return isVersion(bytes, from, to) && bytes[from + 3] === 0x2f
    ? scanStatusLine(bytes, from, to, view)
    : scanRequestLine(bytes, from, to, view);
}

/** Whether bytes[from, …) begin with "SIP/" in any case (§7.1). */
function isVersion(bytes: Uint8Array, from: number, to: number): boolean {
  return (
    to - from >= 4 &&
    (bytes[from]! | 32) === 0x73 &&
    (bytes[from + 1]! | 32) === 0x69 &&
    (bytes[from + 2]! | 32) === 0x70 &&
    bytes[from + 3] === 0x2f
  );
}

/** Whether bytes[from, from + 7) are "SIP/2.0", given that they begin with "SIP/". */
function isVersionTwo(bytes: Uint8Array, from: number, to: number): boolean {
  return to - from >= 7 && bytes[from + 4] === 0x32 && bytes[from + 5] === 0x2e && bytes[from + 6] === ZERO;
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
  let last = to - 1;
  while (bytes[last] !== SP) last--;
  if (last === at) return ScanResult.malformed;
  view.uriFrom = at + 1;
  view.uriTo = last;
  if (!isVersion(bytes, last + 1, to)) return ScanResult.malformed;
  for (let i = at + 1; i < last; i++) if (bytes[i]! <= SP || bytes[i] === 0x7f) return ScanResult.malformed;
  if (last === at + 1) return ScanResult.malformed;
  return isVersionTwo(bytes, last + 1, to) && to - last === 8 ? ScanResult.ok : ScanResult.badVersion;
}

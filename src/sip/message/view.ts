import { equalsIgnoreCase, latin1, SP, HTAB, COLON, unfold } from "./chars.ts";
import { Header, type HeaderId } from "./header.ts";
import { headersMax } from "./limits.ts";
import { Method, type MethodId } from "./method.ts";

export const MessageKind = { request: 1, response: 2 } as const;
export type MessageKindId = (typeof MessageKind)[keyof typeof MessageKind];

/** What `scan` makes of a region of bytes. */
export const ScanResult = {
  ok: 0,
  /** The region ends before the empty line that ends the head. */
  truncated: 1,
  /** A start line or a header line that RFC 3261 §25 does not allow. */
  malformed: 2,
  /** More than `headersMax` header lines. */
  tooManyHeaders: 3,
  /** Content-Length twice, not a number, or more than the region holds. */
  badContentLength: 4,
  /** A SIP version other than 2.0. */
  badVersion: 5,
} as const;
export type ScanResultId = (typeof ScanResult)[keyof typeof ScanResult];

/**
 * Numbers per header in the index: its id and, above `idBits`, the length of its line with CR LF; the offset of the line; of
 * the value; of the value's end.
 */
export const indexStride = 4;
export const idBits = 8;
const idMask = (1 << idBits) - 1;
const empty = new Uint8Array(0);

/**
 * The index of one SIP message: filled by `scan`, read by accessors and the `read…` functions, valid only while its buffer
 * is. One view is made and used again for every message; `keep()` copies message and index out.
 *
 * Offsets are into `bytes`. A value is trimmed of white space at both ends and may hold folds (CR LF and white space).
 * After any result but `ok` the fields say as much as could be read, so that a request can still be refused politely.
 */
export class SipView {
  bytes: Uint8Array = empty;
  from = 0;
  /** End of the message: of its body, not of the datagram that it came in. */
  to = 0;
  kind: MessageKindId = MessageKind.request;
  /** Responses: 100 to 699. Requests: 0. */
  status = 0;
  /** Requests: of the start line. Responses: 0. */
  method: MethodId = Method.other;
  methodFrom = 0;
  methodTo = 0;
  uriFrom = 0;
  uriTo = 0;
  reasonFrom = 0;
  reasonTo = 0;
  headerCount = 0;
  bodyFrom = 0;
  bodyTo = 0;
  /** What Content-Length says; -1 when it is absent, -2 when it is no number or there are two. */
  contentLength = -1;
  /** What the last scan returned. */
  result: ScanResultId = ScanResult.truncated;
  /** Written by `scan` alone: `indexStride` numbers a header. */
  readonly index: Int32Array;

  constructor(headersRoom: number = headersMax) {
    this.index = new Int32Array(headersRoom * indexStride);
  }

  id(i: number): HeaderId {
    return (this.index[i * indexStride]! & idMask) as HeaderId;
  }
  lineFrom(i: number): number {
    return this.index[i * indexStride + 1]!;
  }
  valueFrom(i: number): number {
    return this.index[i * indexStride + 2]!;
  }
  valueTo(i: number): number {
    return this.index[i * indexStride + 3]!;
  }
  /** Where the line after header i begins: its end with CR LF and folds. */
  nextLine(i: number): number {
    return this.index[i * indexStride + 1]! + (this.index[i * indexStride]! >>> idBits);
  }

  /** Index of the next header with this id after header `after`, or -1. */
  find(id: HeaderId, after = -1): number {
    const end = this.headerCount * indexStride;
    for (let at = (after + 1) * indexStride; at < end; at += indexStride) {
      if ((this.index[at]! & idMask) === id) return at / indexStride;
    }
    return -1;
  }

  /** Header lines with this id. */
  count(id: HeaderId): number {
    let count = 0;
    const end = this.headerCount * indexStride;
    for (let at = 0; at < end; at += indexStride) if ((this.index[at]! & idMask) === id) count++;
    return count;
  }

  /** Value of header i, latin1, unfolded. */
  text(i: number): string {
    return unfold(latin1(this.bytes, this.valueFrom(i), this.valueTo(i)));
  }

  /** Value of the first header with this id. */
  value(id: HeaderId): string | undefined {
    const i = this.find(id);
    return i < 0 ? undefined : this.text(i);
  }

  /** Name of header i as it was written. */
  name(i: number): string {
    return latin1(this.bytes, this.lineFrom(i), this.#nameTo(i));
  }

  /** Index of the first header outside the table of header.ts with this name in any case, or -1. */
  otherNamed(name: string): number {
    const lower = name.toLowerCase();
    for (let i = this.find(Header.other); i >= 0; i = this.find(Header.other, i)) {
      if (equalsIgnoreCase(this.bytes, this.lineFrom(i), this.#nameTo(i), lower)) return i;
    }
    return -1;
  }

  requestUri(): string {
    return latin1(this.bytes, this.uriFrom, this.uriTo);
  }
  reason(): string {
    return latin1(this.bytes, this.reasonFrom, this.reasonTo);
  }
  methodText(): string {
    return latin1(this.bytes, this.methodFrom, this.methodTo);
  }
  /** The body, not copied. */
  body(): Uint8Array {
    return this.bytes.subarray(this.bodyFrom, this.bodyTo);
  }

  /** A view of its own: bytes and index copied, offsets from 0. */
  keep(): SipView {
    const kept = new SipView(this.headerCount);
    const by = this.from;
    kept.bytes = new Uint8Array(this.to - by);
    kept.bytes.set(this.bytes.subarray(by, this.to));
    kept.to = this.to - by;
    kept.kind = this.kind;
    kept.status = this.status;
    kept.method = this.method;
    kept.methodFrom = this.methodFrom - by;
    kept.methodTo = this.methodTo - by;
    kept.uriFrom = this.uriFrom - by;
    kept.uriTo = this.uriTo - by;
    kept.reasonFrom = this.reasonFrom - by;
    kept.reasonTo = this.reasonTo - by;
    kept.headerCount = this.headerCount;
    kept.bodyFrom = this.bodyFrom - by;
    kept.bodyTo = this.bodyTo - by;
    kept.contentLength = this.contentLength;
    kept.result = this.result;
    const end = this.headerCount * indexStride;
    for (let at = 0; at < end; at += indexStride) {
      kept.index[at] = this.index[at]!;
      kept.index[at + 1] = this.index[at + 1]! - by;
      kept.index[at + 2] = this.index[at + 2]! - by;
      kept.index[at + 3] = this.index[at + 3]! - by;
    }
    return kept;
  }

  #nameTo(i: number): number {
    let at = this.lineFrom(i);
    for (; ; at++) {
      const byte = this.bytes[at];
      if (byte === undefined || byte === COLON || byte === SP || byte === HTAB) return at;
    }
  }
}

import { latin1, readDigits, isDigit, isLws, skipLws, tokenClass } from "./chars.ts";
import { Header } from "./header.ts";
import { uint32Max } from "./limits.ts";
import { classifyMethod, Method, type MethodId } from "./method.ts";
import type { SipView } from "./view.ts";

/** Where the digits of a CSeq value end, or -1 when it is not `1*DIGIT LWS Method` (RFC 3261 §20.16). */
function digitsEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && isDigit(bytes[at]!)) at++;
  if (at === from || at >= to || !isLws(bytes[at]!)) return -1;
  let method = skipLws(bytes, at, to);
  if (method === to) return -1;
  for (; method < to; method++) if (tokenClass[bytes[method]!] !== 1) return -1;
  return at;
}

/**
 * The sequence number of the first CSeq: 0 to 2**32 - 1; -1 when there is none or it is not well formed. §8.1.1.5 wants
 * senders to stay under 2**31; taking the rest of the 32 bits harms nobody.
 */
export function readCSeq(view: SipView): number {
  const i = view.find(Header.cseq);
  if (i < 0) return -1;
  const from = view.valueFrom(i);
  const end = digitsEnd(view.bytes, from, view.valueTo(i));
  return end < 0 ? -1 : readDigits(view.bytes, from, end, uint32Max);
}

/** The method of the first CSeq; `other` when unknown, absent or not well formed. */
export function readCSeqMethod(view: SipView): MethodId {
  const i = view.find(Header.cseq);
  if (i < 0) return Method.other;
  const end = digitsEnd(view.bytes, view.valueFrom(i), view.valueTo(i));
  return end < 0
    ? Method.other
    : classifyMethod(view.bytes, skipLws(view.bytes, end, view.valueTo(i)), view.valueTo(i));
}

/** The method of the first CSeq as text; "" when absent or not well formed. */
export function cseqMethodText(view: SipView): string {
  const i = view.find(Header.cseq);
  if (i < 0) return "";
  const end = digitsEnd(view.bytes, view.valueFrom(i), view.valueTo(i));
  return end < 0 ? "" : latin1(view.bytes, skipLws(view.bytes, end, view.valueTo(i)), view.valueTo(i));
}

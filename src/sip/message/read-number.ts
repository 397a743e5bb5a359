import { isDigit, isLws, LPAREN, readDigits, SEMICOLON } from "./chars.ts";
import type { HeaderId } from "./header.ts";
import { uint32Max } from "./limits.ts";
import type { SipView } from "./view.ts";

/**
 * The number at the start of bytes[from, to), up to 2**32 - 1, followed by nothing, white space, a `(comment)` or
 * `;parameters` as in Retry-After (RFC 3261 §20.33); -1 for anything else.
 */
export function readNumberAt(bytes: Uint8Array, from: number, to: number): number {
  let end = from;
  while (end < to && isDigit(bytes[end]!)) end++;
  if (end < to && !isLws(bytes[end]!) && bytes[end] !== LPAREN && bytes[end] !== SEMICOLON) return -1;
  return readDigits(bytes, from, end, uint32Max);
}

/** The number in the first header of this id (Expires, Min-Expires, Retry-After, Max-Forwards …); -1 when absent or invalid. */
export function readNumber(view: SipView, id: HeaderId): number {
  const i = view.find(id);
  return i < 0 ? -1 : readNumberAt(view.bytes, view.valueFrom(i), view.valueTo(i));
}

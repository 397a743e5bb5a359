import { BACKSLASH, COMMA, DQUOTE, GREATER, latin1, LESS, skipLws, trimEnd, unfold } from "./chars.ts";
import type { HeaderId } from "./header.ts";
import type { SipView } from "./view.ts";

/** Offset of the first `,` of bytes[from, to) outside quoted strings and `<>`, or `to`. */
function endOfListValue(bytes: Uint8Array, from: number, to: number): number {
  let quoted = false;
  let bracketed = false;
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    if (quoted) {
      if (byte === BACKSLASH) at++;
      else if (byte === DQUOTE) quoted = false;
    } else if (byte === DQUOTE) quoted = true;
    else if (byte === LESS) bracketed = true;
    else if (byte === GREATER) bracketed = false;
    else if (byte === COMMA && !bracketed) return at;
  }
  return to;
}

/** The comma-separated values of all headers of this id in order, trimmed, unfolded; empty ones left out. Latin1. */
export function listValues(view: SipView, id: HeaderId): string[] {
  const values: string[] = [];
  for (let i = view.find(id); i >= 0; i = view.find(id, i)) {
    const to = view.valueTo(i);
    for (let at = view.valueFrom(i); at < to;) {
      const comma = endOfListValue(view.bytes, at, to);
      const from = skipLws(view.bytes, at, comma);
      const end = trimEnd(view.bytes, from, comma);
      if (end > from) values.push(unfold(latin1(view.bytes, from, end)));
      at = comma + 1;
    }
  }
  return values;
}

/** Whether a comma-separated list such as Supported or Require names `token`, ignoring case. */
export function listHas(view: SipView, id: HeaderId, token: string): boolean {
  const lower = token.toLowerCase();
  return listValues(view, id).some((value) => value.toLowerCase() === lower);
}

/** What `id` (Require or Proxy-Require) asks for and `known` lacks: the value of Unsupported in a 420 (RFC 3261 §8.2.2.3). */
export function unsupportedOptions(view: SipView, id: HeaderId, known: readonly string[]): string[] {
  return listValues(view, id).filter((value) => !known.includes(value.toLowerCase()));
}

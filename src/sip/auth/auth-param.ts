import {
  BACKSLASH,
  COMMA,
  DQUOTE,
  EQUAL,
  equalsIgnoreCase,
  isLws,
  skipLws,
  skipQuoted,
  tokenClass,
} from "../message/chars.ts";

/** One `name=value` of a challenge or of Authentication-Info (RFC 7235 §2.1, auth-param). Offsets; reused by its owner. */
export class AuthParam {
  nameFrom = 0;
  nameTo = 0;
  /** Without the quotes; backslashes of a quoted string are kept, since peers hash and compare what stands between the quotes. */
  valueFrom = 0;
  valueTo = 0;
  quoted = false;

  /** `lower`: in lower case. */
  isNamed(bytes: Uint8Array, lower: string): boolean {
    return equalsIgnoreCase(bytes, this.nameFrom, this.nameTo, lower);
  }
  /** `lower`: in lower case. */
  hasValue(bytes: Uint8Array, lower: string): boolean {
    return equalsIgnoreCase(bytes, this.valueFrom, this.valueTo, lower);
  }

  /** Whether the value is at most `bytesMax` long and can be sent back between quotes without changing a header's shape. */
  isSafe(bytes: Uint8Array, bytesMax: number): boolean {
    if (this.valueTo - this.valueFrom > bytesMax) return false;
    for (let at = this.valueFrom; at < this.valueTo; at++) {
      const byte = bytes[at]!;
      if (byte < 0x20 || byte === 0x7f) return false;
      // In a quoted string a backslash hides what follows; in a bare word nothing may end our quotes.
      if (!this.quoted && (byte === BACKSLASH || byte === DQUOTE)) return false;
    }
    return true;
  }
}

/** White space and commas: separators, of which the field has none, one or several. */
export function skipSeparators(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && (bytes[at] === COMMA || isLws(bytes[at]!))) at++;
  return at;
}

export function tokenEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && tokenClass[bytes[at]!] === 1) at++;
  return at;
}

/**
 * Reads `token = value` at `from`. Returns the offset after the value, or -1 when something else stands there. A bare value
 * takes every byte up to a comma or white space: nonces come unquoted, with `=` and `/` in them.
 */
export function readAuthParam(bytes: Uint8Array, from: number, to: number, out: AuthParam): number {
  out.nameFrom = from;
  out.nameTo = tokenEnd(bytes, from, to);
  if (out.nameTo === from) return -1;
  let at = skipLws(bytes, out.nameTo, to);
  if (at >= to || bytes[at] !== EQUAL) return -1;
  at = skipLws(bytes, at + 1, to);
  out.quoted = at < to && bytes[at] === DQUOTE;
  if (out.quoted) {
    const end = skipQuoted(bytes, at, to);
    if (end < 0) return -1;
    out.valueFrom = at + 1;
    out.valueTo = end - 1;
    return end;
  }
  out.valueFrom = at;
  while (at < to && bytes[at] !== COMMA && !isLws(bytes[at]!)) at++;
  out.valueTo = at;
  return at;
}

/** The offset of the next comma outside quotes, or `to`: how a reader gets past what it cannot read. */
export function skipToComma(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && bytes[at] !== COMMA) {
    if (bytes[at] !== DQUOTE) at++;
    else {
      const end = skipQuoted(bytes, at, to);
      at = end < 0 ? to : end;
    }
  }
  return at;
}

import {
  goesOn,
  ends,
  parameterRun,
  COMMA,
  DQUOTE,
  EQUAL,
  equalsIgnoreCase,
  latin1,
  SEMICOLON,
  skipLws,
  skipQuoted,
  tokenClass,
  unquote,
} from "./chars.ts";

/** One `name[=value]`. Offsets; the value of a quoted string is without its quotes. Reused by its owner. */
export class Parameter {
  nameFrom = 0;
  nameTo = 0;
  /** Equal to `valueTo` when there is no value. */
  valueFrom = 0;
  valueTo = 0;
  quoted = false;
  hasValue = false;

  isNamed(bytes: Uint8Array, lower: string): boolean {
    return equalsIgnoreCase(bytes, this.nameFrom, this.nameTo, lower);
  }
  /** The value as text, backslashes of a quoted string removed; "" without one. */
  text(bytes: Uint8Array): string {
    return this.quoted ? unquote(bytes, this.valueFrom, this.valueTo) : latin1(bytes, this.valueFrom, this.valueTo);
  }
}

/**
 * Reads the parameter that begins at or after `from`: white space, `;`, name, and a value if `=` follows (RFC 3261 §25.1,
 * generic-param). Returns the offset after it and its white space: at the next `;`, at a `,` that ends this value of a
 * list, or at `to`. Returns -1 when there is no well-formed parameter.
 * An unquoted value takes every byte up to `;`, `,` or white space but quotes and brackets of a name-addr, which admits hosts in brackets or without (RFC 5118 §4.5).
 */
export function readParameter(bytes: Uint8Array, from: number, to: number, out: Parameter): number {
  let at = skipLws(bytes, from, to);
  if (at >= to || bytes[at] !== SEMICOLON) return -1;
  at = skipLws(bytes, at + 1, to);
  out.nameFrom = at;
  while (at < to && tokenClass[bytes[at]!] === 1) at++;
  out.nameTo = at;
  if (at === out.nameFrom) return -1;
  at = skipLws(bytes, at, to);
  out.quoted = false;
  out.hasValue = at < to && bytes[at] === EQUAL;
  out.valueFrom = out.valueTo = at;
  if (out.hasValue) {
    at = readParameterValue(bytes, skipLws(bytes, at + 1, to), to, out);
    if (at < 0) return -1;
  }
  return at >= to || bytes[at] === SEMICOLON || bytes[at] === COMMA ? at : -1;
}

function readParameterValue(bytes: Uint8Array, from: number, to: number, out: Parameter): number {
  let at = from;
  out.valueFrom = at;
  if (at < to && bytes[at] === DQUOTE) {
    at = skipQuoted(bytes, at, to);
    if (at < 0) return -1;
    out.quoted = true;
    out.valueFrom++;
    out.valueTo = at - 1;
    return skipLws(bytes, at, to);
  }
  let run = goesOn;
  while (at < to) {
    run = parameterRun[bytes[at]!]!;
    if (run !== goesOn) break;
    at++;
  }
  if (run > ends) return -1;
  out.valueTo = at;
  return at === from ? -1 : skipLws(bytes, at, to);
}

/**
 * Finds the parameter called `lower` (lower case) among `;name=value…` in bytes[from, to), up to a `,` outside quotes.
 * The first one wins. False when it is absent; what stands behind a malformed parameter is not found.
 */
export function findParameter(bytes: Uint8Array, from: number, to: number, lower: string, out: Parameter): boolean {
  let at = from;
  while (at >= 0 && at < to && bytes[at] !== COMMA) {
    at = readParameter(bytes, at, to, out);
    if (at >= 0 && out.isNamed(bytes, lower)) return true;
  }
  return false;
}

const scratch = new Parameter();

/** The value of a parameter in `;name=value…`, unquoted; "" when it has none, undefined when it is absent. Any case of `name`. */
export function parameter(bytes: Uint8Array, from: number, to: number, name: string): string | undefined {
  return findParameter(bytes, from, to, name.toLowerCase(), scratch) ? scratch.text(bytes) : undefined;
}

/** All parameters by lower-case name, values unquoted; of equal names the first. */
export function parametersOf(bytes: Uint8Array, from: number, to: number): Map<string, string> {
  const found = new Map<string, string>();
  let at = from;
  while (at >= 0 && at < to && bytes[at] !== COMMA) {
    at = readParameter(bytes, at, to, scratch);
    if (at < 0) break;
    const name = latin1(bytes, scratch.nameFrom, scratch.nameTo).toLowerCase();
    if (!found.has(name)) found.set(name, scratch.text(bytes));
  }
  return found;
}

import {
  COLON,
  COMMA,
  isLws,
  latin1,
  LBRACKET,
  RBRACKET,
  readDigits,
  SEMICOLON,
  SLASH,
  skipLws,
  tokenClass,
} from "./chars.ts";
import { Header } from "./header.ts";
import { viasMax } from "./limits.ts";
import { Parameter, readParameter } from "./read-parameter.ts";
import type { SipView } from "./view.ts";

/** One Via value (RFC 3261 §20.42, RFC 3581). Offsets and numbers; reused by its owner. */
export class Via {
  /** Start of the value and its end: at the `,` before the next value or the end of the line's value, white space trimmed. */
  valueFrom = 0;
  valueTo = 0;
  /** The transport as written. */
  transportFrom = 0;
  transportTo = 0;
  /** The host of sent-by; IPv6 with its brackets. */
  hostFrom = 0;
  hostTo = 0;
  /** -1 when absent. */
  port = -1;
  /** Equal when there is no branch. */
  branchFrom = 0;
  branchTo = 0;
  /** Value of `received`; equal when absent. */
  receivedFrom = 0;
  receivedTo = 0;
  hasRport = false;
  /** The value of rport; -1 when it has none. */
  rport = -1;
  /** Where the parameters begin (at the first `;`). */
  paramsFrom = 0;
  /** Another value follows, in this header line or a further one. */
  multi = false;

  transport(bytes: Uint8Array): string {
    return latin1(bytes, this.transportFrom, this.transportTo).toUpperCase();
  }
  host(bytes: Uint8Array): string {
    return latin1(bytes, this.hostFrom, this.hostTo);
  }
  branch(bytes: Uint8Array): string {
    return latin1(bytes, this.branchFrom, this.branchTo);
  }
  /** Without brackets, which RFC 5118 §4.5 wants taken though the grammar has none. */
  received(bytes: Uint8Array): string | undefined {
    if (this.receivedFrom === this.receivedTo) return undefined;
    const text = latin1(bytes, this.receivedFrom, this.receivedTo);
    return text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  }
}

const probe = new Parameter();

/** A token with white space before it; returns its end, or -1. `at` of its start is found by skipLws. */
function tokenEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && tokenClass[bytes[at]!] === 1) at++;
  return at === from ? -1 : at;
}

/** The offset after a `/` that stands at or after `from` behind white space, and after the white space behind it; or -1. */
function afterSlash(bytes: Uint8Array, from: number, to: number): number {
  const at = skipLws(bytes, from, to);
  return at < to && bytes[at] === SLASH ? skipLws(bytes, at + 1, to) : -1;
}

/**
 * Reads the Via value at bytes[from, to). Returns the offset after it: after the `,` when another follows, else `to`.
 * Returns -1 when it is malformed. `out.multi` tells only of this line.
 */
export function readViaAt(bytes: Uint8Array, from: number, to: number, out: Via): number {
  let at = skipLws(bytes, from, to);
  out.valueFrom = at;
  at = tokenEnd(bytes, at, to);
  if (at < 0) return -1;
  at = afterSlash(bytes, at, to);
  if (at < 0) return -1;
  at = tokenEnd(bytes, at, to);
  if (at < 0) return -1;
  at = afterSlash(bytes, at, to);
  if (at < 0) return -1;
  out.transportFrom = at;
  at = tokenEnd(bytes, at, to);
  if (at < 0) return -1;
  out.transportTo = at;
  if (at >= to || !isLws(bytes[at]!)) return -1;
  at = readSentBy(bytes, skipLws(bytes, at, to), to, out);
  return at < 0 ? -1 : readViaParameters(bytes, at, to, out);
}

function readSentBy(bytes: Uint8Array, from: number, to: number, out: Via): number {
  let at = from;
  out.hostFrom = at;
  if (at < to && bytes[at] === LBRACKET) {
    while (at < to && bytes[at] !== RBRACKET) {
      if (bytes[at] === SEMICOLON || bytes[at] === COMMA || isLws(bytes[at]!)) return -1;
      at++;
    }
    if (at >= to) return -1;
    at++;
  } else while (at < to && tokenClass[bytes[at]!] === 1) at++;
  out.hostTo = at;
  if (at === from) return -1;
  at = skipLws(bytes, at, to);
  out.port = -1;
  if (at < to && bytes[at] === COLON) {
    const digits = skipLws(bytes, at + 1, to);
    at = digits;
    while (at < to && bytes[at] !== SEMICOLON && bytes[at] !== COMMA && !isLws(bytes[at]!)) at++;
    out.port = readDigits(bytes, digits, at, 65_535);
    if (out.port < 0) return -1;
    at = skipLws(bytes, at, to);
  }
  return at;
}

function readViaParameters(bytes: Uint8Array, from: number, to: number, out: Via): number {
  let at = from;
  out.paramsFrom = at;
  out.branchFrom = out.branchTo = out.receivedFrom = out.receivedTo = at;
  out.hasRport = false;
  out.rport = -1;
  while (at < to && bytes[at] === SEMICOLON) {
    at = readParameter(bytes, at, to, probe);
    if (at < 0) return -1;
    if (out.branchFrom === out.branchTo && probe.isNamed(bytes, "branch")) {
      out.branchFrom = probe.valueFrom;
      out.branchTo = probe.valueTo;
    } else if (out.receivedFrom === out.receivedTo && probe.isNamed(bytes, "received")) {
      out.receivedFrom = probe.valueFrom;
      out.receivedTo = probe.valueTo;
    } else if (!out.hasRport && probe.isNamed(bytes, "rport")) {
      out.hasRport = true;
      out.rport = readDigits(bytes, probe.valueFrom, probe.valueTo, 65_535);
    }
  }
  out.multi = at < to;
  let end = at;
  while (end > from && isLws(bytes[end - 1]!)) end--;
  out.valueTo = end;
  if (at >= to) return to;
  if (bytes[at] !== COMMA || skipLws(bytes, at + 1, to) >= to) return -1;
  return at + 1;
}

/** The top Via. False when there is none or it is malformed. */
export function readVia(view: SipView, out: Via): boolean {
  const i = view.find(Header.via);
  if (i < 0 || readViaAt(view.bytes, view.valueFrom(i), view.valueTo(i), out) < 0) return false;
  out.multi ||= view.find(Header.via, i) >= 0;
  return true;
}

const scratch = new Via();

/** The branch of the top Via; "" when there is none. */
export function topBranch(view: SipView): string {
  return readVia(view, scratch) ? scratch.branch(view.bytes) : "";
}

/** Via values in all lines; -1 when one is malformed or there are more than `viasMax`. */
export function countVias(view: SipView): number {
  let count = 0;
  for (let i = view.find(Header.via); i >= 0; i = view.find(Header.via, i)) {
    const to = view.valueTo(i);
    let at = view.valueFrom(i);
    do {
      at = readViaAt(view.bytes, at, to, scratch);
      if (at < 0 || ++count > viasMax) return -1;
    } while (at < to);
  }
  return count;
}

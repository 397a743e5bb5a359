import {
  bracketedRun,
  ends,
  goesOn,
  unquotedRun,
  COLON,
  COMMA,
  DQUOTE,
  isLws,
  latin1,
  LESS,
  QUESTION,
  SEMICOLON,
  SP,
  STAR,
  skipLws,
  skipQuoted,
  tokenClass,
  trimEnd,
  unfold,
  unquote,
  utf8Text,
} from "./chars.ts";
import type { Header, HeaderId } from "./header.ts";
import { Parameter, parameter, parametersOf, readParameter } from "./read-parameter.ts";
import type { SipView } from "./view.ts";

/** One value of From, To, Contact, Route …: `name-addr` or `addr-spec` with parameters (RFC 3261 §20.10). Offsets; reused. */
export class Address {
  /** False after a malformed value. */
  ok = false;
  /** The display name, quotes included; empty when there is none. */
  displayFrom = 0;
  displayTo = 0;
  /** The URI without `<>`. */
  uriFrom = 0;
  uriTo = 0;
  /** Header parameters, from their first `;`; empty when there are none. */
  paramsFrom = 0;
  paramsTo = 0;
  /** Whether the URI stood in `<>`. Without them every parameter is the header's. */
  bracketed = false;
}

const probe = new Parameter();

/**
 * HOT. Reads the address at bytes[from, to). Returns the offset where the next one of a comma-separated list begins, or -1
 * when this was the last one or it is malformed (`out.ok` tells which). Loop: `do { at = readAddress(…) } while (at >= 0)`.
 * `*` as in `Contact: *` reads as a URI of that one byte.
 */
export function readAddress(bytes: Uint8Array, from: number, to: number, out: Address): number {
  out.ok = false;
  let at = skipLws(bytes, from, to);
  out.displayFrom = out.displayTo = out.uriFrom = out.uriTo = out.paramsFrom = out.paramsTo = at;
  out.bracketed = false;
  if (at >= to) return -1;
  if (bytes[at] === DQUOTE) {
    at = skipQuoted(bytes, at, to);
    if (at < 0) return -1;
    out.displayTo = at;
    at = skipLws(bytes, at, to);
    if (at >= to || bytes[at] !== LESS) return -1;
  } else if (bytes[at] !== LESS) {
    at = readUnquotedStart(bytes, at, to, out);
    if (at < 0) return -1;
  }
  if (at < to && bytes[at] === LESS) {
    at = readBracketed(bytes, at + 1, to, out);
    if (at < 0) return -1;
  }
  return readTail(bytes, at, to, out);
}

/** A display name of tokens up to `<`, or a bare addr-spec. Returns where `<` stands or the addr-spec ends, or -1. */
function readUnquotedStart(bytes: Uint8Array, from: number, to: number, out: Address): number {
  let at = from;
  let run = goesOn;
  while (at < to) {
    run = unquotedRun[bytes[at]!]!;
    if (run !== goesOn) break;
    at++;
  }
  if (run > ends) return -1;
  const end = trimEnd(bytes, from, at);
  if (at < to && bytes[at] === LESS) {
    // §20.10: a display name with other than token characters must be quoted.
    for (let i = from; i < end; i++) {
      const byte = bytes[i]!;
      // Bytes over 0x7f are no token, but unquoted UTF-8 names are common and mislead nobody.
      if (tokenClass[byte] !== 1 && byte < 0x80 && !isLws(byte)) return -1;
    }
    out.displayTo = end;
    return at;
  }
  out.uriFrom = from;
  out.uriTo = end;
  let colon = end - from === 1 && bytes[from] === STAR;
  for (let i = from; i < end; i++) {
    const byte = bytes[i]!;
    if (byte === COLON) colon = true;
    // §20.10: a URI with `?` must stand in `<>`, as with `;` and `,`, which end it here.
    if (byte <= SP || byte === 0x7f || byte === QUESTION) return -1;
  }
  return colon ? at : -1;
}

function readBracketed(bytes: Uint8Array, from: number, to: number, out: Address): number {
  let at = from;
  let run = goesOn;
  while (at < to) {
    run = bracketedRun[bytes[at]!]!;
    if (run !== goesOn) break;
    at++;
  }
  if (run !== ends || at === from) return -1;
  out.uriFrom = from;
  out.uriTo = at;
  out.bracketed = true;
  return at + 1;
}

/** Parameters up to a `,` or the end. */
function readTail(bytes: Uint8Array, from: number, to: number, out: Address): number {
  let at = skipLws(bytes, from, to);
  out.paramsFrom = out.paramsTo = at;
  while (at < to && bytes[at] === SEMICOLON) {
    at = readParameter(bytes, at, to, probe);
    if (at < 0) return -1;
    out.paramsTo = at;
  }
  if (at < to && bytes[at] !== COMMA) return -1;
  out.ok = true;
  if (at >= to) return -1;
  // A comma with nothing behind it is an empty value.
  if (skipLws(bytes, at + 1, to) >= to) out.ok = false;
  return out.ok ? at + 1 : -1;
}

export interface AddressText {
  /** For people: unquoted, unescaped, UTF-8 decoded. Undefined when there is none or it is empty. */
  readonly display: string | undefined;
  /** Latin1. */
  readonly uri: string;
  /** Header parameters by lower-case name; "" for one without a value. */
  readonly params: ReadonlyMap<string, string>;
}

const scratch = new Address();

function addressText(bytes: Uint8Array, address: Address): AddressText {
  return {
    display: displayText(bytes, address),
    uri: latin1(bytes, address.uriFrom, address.uriTo),
    params: parametersOf(bytes, address.paramsFrom, address.paramsTo),
  };
}

function displayText(bytes: Uint8Array, { displayFrom, displayTo }: Address): string | undefined {
  if (displayFrom === displayTo) return undefined;
  const text =
    bytes[displayFrom] === DQUOTE
      ? unquote(bytes, displayFrom + 1, displayTo - 1)
      : unfold(latin1(bytes, displayFrom, displayTo));
  return text === "" ? undefined : utf8Text(text);
}

/** The first address of the first header of this id; undefined when absent or malformed. */
export function addressOf(view: SipView, id: HeaderId): AddressText | undefined {
  const i = view.find(id);
  if (i < 0) return undefined;
  readAddress(view.bytes, view.valueFrom(i), view.valueTo(i), scratch);
  return scratch.ok ? addressText(view.bytes, scratch) : undefined;
}

/** Every address of every header of this id up to the first malformed one of each line. `*` is left out. */
export function addressesOf(view: SipView, id: HeaderId): AddressText[] {
  const found: AddressText[] = [];
  for (let i = view.find(id); i >= 0; i = view.find(id, i)) {
    let at = view.valueFrom(i);
    while (at >= 0) {
      at = readAddress(view.bytes, at, view.valueTo(i), scratch);
      if (scratch.ok && !isStar(view.bytes, scratch)) found.push(addressText(view.bytes, scratch));
    }
  }
  return found;
}

export function isStar(bytes: Uint8Array, address: Address): boolean {
  return address.uriTo - address.uriFrom === 1 && bytes[address.uriFrom] === STAR && !address.bracketed;
}

/** The tag of From or To; undefined when there is none. */
export function tagOf(view: SipView, id: typeof Header.from | typeof Header.to): string | undefined {
  const i = view.find(id);
  if (i < 0) return undefined;
  readAddress(view.bytes, view.valueFrom(i), view.valueTo(i), scratch);
  const tag = scratch.ok ? parameter(view.bytes, scratch.paramsFrom, scratch.paramsTo, "tag") : undefined;
  return tag === "" ? undefined : tag;
}

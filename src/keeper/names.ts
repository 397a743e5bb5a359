import type { RegistrationIndex } from "../base/ids.ts";
import { equalsIgnoreCase, isLws } from "../sip/message/chars.ts";
import { Header } from "../sip/message/header.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Columns } from "./columns.ts";
import { isBase32, readBase32, rowDigits, wordDigits, writeBase32 } from "./base32.ts";

/**
 * The names by which a registrar and its answers know a row: line token, branch, Call-ID and From-tag. All are derived from
 * the row's columns, so that a retransmission is written again rather than kept.
 */

/** Family of an account's tokens: a token of ours from before the columns were lost is known by it. */
const familyDigits = 4;
const randomAt = rowDigits + familyDigits;
/** Row, family, three random words: 96 random bits. */
export const tokenChars = randomAt + 3 * wordDigits;

/** What every branch of a REGISTER of ours begins with. */
export const branchPrefix = "z9hG4bKk";
const generationDigits = 2;
export const branchChars = branchPrefix.length + rowDigits + generationDigits + 2 * wordDigits;
const prefixBytes = new TextEncoder().encode(branchPrefix);

const comma = 0x2c;
const semicolon = 0x3b;
const equals = 0x3d;
const probe = new Uint8Array(tokenChars);

function mix(a: number, b: number): number {
  let mixed = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ b;
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

function family(columns: Columns, row: RegistrationIndex): number {
  return mix(mix(columns.idWord(row, 0), columns.idWord(row, 1)), mix(columns.idWord(row, 2), columns.idWord(row, 3)));
}

/** HOT. The `line` parameter of the row's Contact; `tokenChars` bytes. */
export function writeLineToken(columns: Columns, row: RegistrationIndex, out: Uint8Array, at: number): number {
  let to = writeBase32(out, at, columns.tokenWord(row, 0), rowDigits);
  to = writeBase32(out, to, family(columns, row), familyDigits);
  for (let n = 1; n <= 3; n++) to = writeBase32(out, to, columns.tokenWord(row, n), wordDigits);
  return to;
}

export function lineToken(columns: Columns, row: RegistrationIndex): string {
  writeLineToken(columns, row, probe, 0);
  return text(probe, tokenChars);
}

/** The row a token names; whether it is its present token is for the caller to check. -1 when it is none of ours. */
export function tokenRow(token: string): number {
  if (token.length !== tokenChars) return -1;
  for (let n = 0; n < rowDigits; n++) probe[n] = token.charCodeAt(n) & 0xff;
  return readBase32(probe, 0, rowDigits);
}

/** Whether bytes[from, to) are the row's token, in time that does not depend on where they differ. */
export function isToken(
  columns: Columns,
  row: RegistrationIndex,
  bytes: Uint8Array,
  from: number,
  to: number,
): boolean {
  if (to - from !== tokenChars) return false;
  writeLineToken(columns, row, probe, 0);
  let differences = 0;
  for (let n = 0; n < tokenChars; n++) differences |= probe[n]! ^ bytes[from + n]!;
  return differences === 0;
}

/** Whether bytes[from, to) are a token of the same account, present or old. */
export function isKin(columns: Columns, row: RegistrationIndex, bytes: Uint8Array, from: number, to: number): boolean {
  if (to - from !== tokenChars) return false;
  writeBase32(probe, rowDigits, family(columns, row), familyDigits);
  for (let n = rowDigits; n < randomAt; n++) if (probe[n] !== bytes[from + n]) return false;
  return true;
}

/** HOT. Branch of the transaction with these random words; `branchChars` bytes. */
export function writeBranch(
  columns: Columns,
  row: RegistrationIndex,
  first: number,
  second: number,
  out: Uint8Array,
  at: number,
): number {
  let to = at;
  for (let n = 0; n < prefixBytes.length; n++) out[to++] = prefixBytes[n]!;
  to = writeBase32(out, to, row, rowDigits);
  to = writeBase32(out, to, columns.generation(row), generationDigits);
  to = writeBase32(out, to, first, wordDigits);
  return writeBase32(out, to, second, wordDigits);
}

/**
 * HOT. Where the branch of a response's top Via begins; -1 when it is none of a row's: another prefix, another length, or other values
 * in the same line (RFC 3261 §8.1.3.3: a response to us has our Via alone).
 */
export function branchAt(view: SipView): number {
  const i = view.find(Header.via);
  if (i < 0) return -1;
  const { bytes } = view;
  const to = view.valueTo(i);
  let found = -1;
  for (let at = view.valueFrom(i); at < to; at++) {
    const byte = bytes[at]!;
    if (byte === comma) return -1;
    // Seven letters and an equals sign before the prefix.
    if (byte !== 0x7a || found >= 0 || bytes[at - 1] !== equals || (bytes[at - 2]! | 0x20) !== 0x68) continue;
    if (at + branchChars > to || !equalsIgnoreCase(bytes, at - 7, at - 1, "branch")) continue;
    const end = at + branchChars;
    if (end === to || bytes[end] === semicolon || isLws(bytes[end]!)) found = at;
  }
  return found;
}

/** HOT. The row that the branch at bytes[from, …) names; -1 when it is none of ours. Not yet proof of anything. */
export function branchRow(bytes: Uint8Array, from: number): number {
  for (let n = 0; n < prefixBytes.length; n++) if (bytes[from + n] !== prefixBytes[n]) return -1;
  return readBase32(bytes, from + prefixBytes.length, rowDigits);
}

/** HOT. Whether bytes[from, …), a branch that names `row`, was made from these words. */
export function isBranch(
  columns: Columns,
  row: RegistrationIndex,
  first: number,
  second: number,
  bytes: Uint8Array,
  from: number,
): boolean {
  const at = from + prefixBytes.length + rowDigits;
  return (
    isBase32(bytes, at, columns.generation(row), generationDigits) &&
    isBase32(bytes, at + generationDigits, first, wordDigits) &&
    isBase32(bytes, at + generationDigits + wordDigits, second, wordDigits)
  );
}

/** HOT. Call-ID: the same for every REGISTER of a row's generation (RFC 3261 §10.2). */
export function writeCallId(columns: Columns, row: RegistrationIndex, out: Uint8Array, at: number): number {
  let word = columns.generation(row);
  let to = at;
  for (let n = 0; n < 4; n++) {
    word = mix(columns.idWord(row, n) ^ Math.imul(word, 0x9e3779b1), n + 1);
    to = writeBase32(out, to, word, wordDigits);
  }
  return to;
}

/** HOT. From-tag: one for each generation, too. */
export function writeTag(columns: Columns, row: RegistrationIndex, out: Uint8Array, at: number): number {
  return writeBase32(out, at, mix(family(columns, row), columns.generation(row)), wordDigits);
}

function text(bytes: Uint8Array, length: number): string {
  let out = "";
  for (let n = 0; n < length; n++) out += String.fromCharCode(bytes[n]!);
  return out;
}

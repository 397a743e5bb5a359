import type { RegistrationIndex } from "../base/ids.ts";
import { equalBytes, equalsIgnoreCase, isLws, latin1 } from "../sip/message/chars.ts";
import { Header } from "../sip/message/header.ts";
import { uint32Max } from "../sip/message/limits.ts";
import { Address, isStar, readAddress } from "../sip/message/read-address.ts";
import { readNumber, readNumberAt } from "../sip/message/read-number.ts";
import { findParameter, Parameter } from "../sip/message/read-parameter.ts";
import type { SipView } from "../sip/message/view.ts";
import { parseUri, UriSpan } from "../sip/uri.ts";
import type { Columns } from "./columns.ts";
import { isKin, isToken, tokenChars } from "./names.ts";

/** Bindings of an answer that are looked at; the rest of a longer list is not ours to care for. */
const bindingsMax = 64;
const semicolonLine = [0x3b, 0x6c, 0x69, 0x6e, 0x65, 0x3d]; // ;line=

/** What a row needs to know its own binding by. Reused by its owner. */
export interface OwnContact {
  /** Bytes of the URI's user part. */
  readonly user: Uint8Array;
  /** Of `host` without brackets and `port` in our present Contact. */
  host: string;
  port: number;
  /** The instance that we registered with, without `<>`, lower case; undefined where the phone may show the same one. */
  instance: string | undefined;
  /** Whether the only Contact listed may be taken for ours when nothing but its user is. */
  isLikelyAlone: boolean;
}

/** A binding in an answer that is not our present one. */
export interface OtherBinding {
  readonly uri: string;
  /** Ours from an earlier generation, flow or address. */
  readonly isStale: boolean;
  readonly instance: string | undefined;
}

/** The bindings that a registrar lists in a 200 (RFC 3261 §10.3 step 8). */
export class Bindings {
  /** Contacts of any kind. */
  count = 0;
  /** Our present binding is among them. */
  isFound = false;
  /** Seconds granted for ours: its own expires, else the Expires header; -1 when neither says. */
  grantedSec = -1;
  /** Ours carried its line token. */
  hasLine = false;
  /** Others, ours of old among them. */
  others = 0;
  stale = 0;
}

const address = new Address();
const probe = new Parameter();
const uri = new UriSpan();

/**
 * HOT. Finds our binding by its line token. A list that holds others beside it, or not our token at all, is read again with more
 * care by `readBindings`; returns false then.
 */
export function readOwnBinding(view: SipView, columns: Columns, row: RegistrationIndex, out: Bindings): boolean {
  const { bytes } = view;
  out.count = out.others = out.stale = 0;
  out.isFound = out.hasLine = false;
  out.grantedSec = -1;
  const i = view.find(Header.contact);
  if (i < 0 || view.find(Header.contact, i) >= 0) return false;
  const next = readAddress(bytes, view.valueFrom(i), view.valueTo(i), address);
  if (!address.ok || next >= 0) return false;
  const line = lineAt(bytes, address.uriFrom, address.uriTo);
  if (line < 0 || !isToken(columns, row, bytes, line, tokenTo(bytes, line, address.uriTo))) return false;
  out.count = 1;
  out.isFound = out.hasLine = true;
  out.grantedSec = expiresOf(view);
  return true;
}

/**
 * Reads every binding. Ours is, in this order: the one with our token (of several the one at our present address), the one with our instance,
 * the one at our address, the only one when its user is ours. A registrar may have changed host, port and parameters.
 */
export function readBindings(
  view: SipView,
  columns: Columns,
  row: RegistrationIndex,
  own: OwnContact,
  out: Bindings,
): OtherBinding[] {
  const found: Found[] = [];
  for (let i = view.find(Header.contact); i >= 0; i = view.find(Header.contact, i)) {
    let at = view.valueFrom(i);
    while (at >= 0 && found.length < bindingsMax) {
      at = readAddress(view.bytes, at, view.valueTo(i), address);
      if (address.ok && !isStar(view.bytes, address)) found.push(weigh(view, columns, row, own));
    }
  }
  let best: Found | undefined;
  for (const one of found) if (best === undefined || one.likeness > best.likeness) best = one;
  const isGuess = best?.likeness === Likeness.user && (found.length > 1 || !own.isLikelyAlone);
  if (best?.likeness === Likeness.none || isGuess) best = undefined;
  out.count = found.length;
  out.isFound = best !== undefined;
  out.hasLine = best !== undefined && best.likeness >= Likeness.token;
  out.grantedSec = best?.expiresSec ?? -1;
  const others = found.filter((one) => one !== best && one.expiresSec !== 0).map((one) => one.binding);
  out.others = others.length;
  out.stale = others.filter((other) => other.isStale).length;
  return others;
}

const Likeness = { none: 0, user: 1, place: 2, instance: 3, token: 4, tokenAndPlace: 5 } as const;

interface Found {
  readonly binding: OtherBinding;
  readonly likeness: number;
  readonly expiresSec: number;
}

function weigh(view: SipView, columns: Columns, row: RegistrationIndex, own: OwnContact): Found {
  const { bytes } = view;
  const line = lineAt(bytes, address.uriFrom, address.uriTo);
  const lineTo = line < 0 ? -1 : tokenTo(bytes, line, address.uriTo);
  const hasToken = line >= 0 && isToken(columns, row, bytes, line, lineTo);
  const isOurs = line >= 0 && isKin(columns, row, bytes, line, lineTo);
  const isUri = parseUri(bytes, address.uriFrom, address.uriTo, uri);
  const hasPlace =
    isUri &&
    (uri.port < 0 ? 5060 : uri.port) === own.port &&
    equalsIgnoreCase(bytes, uri.hostFrom, uri.hostTo, own.host);
  const hasUser = isUri && equalBytes(bytes, uri.userFrom, uri.userTo, own.user, 0, own.user.length);
  const instance = instanceOf(bytes);
  const hasInstance = own.instance !== undefined && instance === own.instance;
  let likeness: number = Likeness.none;
  if (hasToken) likeness = hasPlace ? Likeness.tokenAndPlace : Likeness.token;
  else if (line >= 0 && lineTo - line === tokenChars && isOurs) likeness = Likeness.none;
  else if (hasInstance) likeness = Likeness.instance;
  else if (hasPlace && hasUser) likeness = Likeness.place;
  else if (hasUser) likeness = Likeness.user;
  return {
    binding: { uri: latin1(bytes, address.uriFrom, address.uriTo), isStale: isOurs, instance },
    likeness,
    expiresSec: expiresOf(view),
  };
}

/** The `expires` of the address read last, else the Expires header (RFC 3261 §10.2.4); -1 when neither is a number. */
function expiresOf(view: SipView): number {
  const { bytes } = view;
  if (findParameter(bytes, address.paramsFrom, address.paramsTo, "expires", probe)) {
    const sec = readNumberAt(bytes, probe.valueFrom, probe.valueTo);
    if (sec >= 0) return sec;
    // More than 32 bits: more than we believe anyhow.
    if (isAllDigits(bytes, probe.valueFrom, probe.valueTo)) return uint32Max;
  }
  return readNumber(view, Header.expires);
}

function instanceOf(bytes: Uint8Array): string | undefined {
  if (!findParameter(bytes, address.paramsFrom, address.paramsTo, "+sip.instance", probe)) return undefined;
  const text = probe.text(bytes).toLowerCase();
  return text.startsWith("<") && text.endsWith(">") ? text.slice(1, -1) : text;
}

/** Where the value of `;line=` begins in a URI, or -1. */
function lineAt(bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at + semicolonLine.length < to; at++) {
    if (bytes[at] !== 0x3b) continue;
    let n = 1;
    while (n < semicolonLine.length - 1 && (bytes[at + n]! | 0x20) === semicolonLine[n]) n++;
    if (n === semicolonLine.length - 1 && bytes[at + n] === 0x3d) return at + semicolonLine.length;
  }
  return -1;
}

function tokenTo(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && bytes[at] !== 0x3b && bytes[at] !== 0x3f && !isLws(bytes[at]!)) at++;
  return at;
}

function isAllDigits(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at]! < 0x30 || bytes[at]! > 0x39) return false;
  return to > from;
}

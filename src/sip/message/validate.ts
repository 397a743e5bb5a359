import { CR, equalBytes, isLws, LF } from "./chars.ts";
import { Header, type HeaderId, headerName } from "./header.ts";
import { maxForwardsMax, viasMax } from "./limits.ts";
import { Method } from "./method.ts";
import { Address, isStar, readAddress } from "./read-address.ts";
import { readCSeq } from "./read-cseq.ts";
import { readNumber } from "./read-number.ts";
import { countVias, readVia, Via } from "./read-via.ts";
import { parseUri, Scheme, UriSpan } from "../uri.ts";
import { MessageKind, ScanResult, type SipView } from "./view.ts";

/** Whether a request can be worked on, or what to answer. */
export type Verdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly status: 400 | 416 | 501 | 505 | 513; readonly reason: string };

const fine: Verdict = { ok: true };
const address = new Address();
const uri = new UriSpan();
const via = new Via();

function bad(reason: string): Verdict {
  return { ok: false, status: 400, reason };
}

/** Headers that a message must have, and those it may have only once (RFC 3261 §20 table 2, §7.3.1): which of two wins must not decide anything. */
const mandatory = [Header.to, Header.from, Header.callId, Header.cseq, Header.via] as const;
const single = [Header.maxForwards, Header.expires, Header.contentLength, Header.contentType] as const;
const mandatoryBits = bitsOf(mandatory);
const onceBits = (mandatoryBits | bitsOf(single)) & ~(1 << Header.via);

/** Ids under 32 as one bit each. */
function bitsOf(ids: readonly HeaderId[]): number {
  let bits = 0;
  for (const id of ids) bits |= 1 << id;
  return bits;
}

const addressLists: readonly (readonly [HeaderId, string])[] = [
  [Header.contact, "Contact"],
  [Header.route, "Route"],
  [Header.recordRoute, "Record-Route"],
];

/**
 * What must hold of any request that was scanned, whatever the scan returned (RFC 3261 §8.2, §16.3, the cases of RFC 4475): the
 * status and reason of the answer when it does not. Unknown methods, schemes of From and To, bodies and unknown headers are the
 * business of others. A missing Max-Forwards or From tag is RFC 2543 and taken.
 */
export function validateRequest(view: SipView): Verdict {
  const scanned = ofScan(view);
  if (!scanned.ok) return scanned;
  if (hasBareLineBreak(view)) return bad("Bare Line Break");
  const counted = checkCounts(view);
  if (counted !== undefined) return bad(counted);
  if (countVias(view) < 1) return bad("Malformed Via");
  if (!isCallId(view)) return bad("Malformed Call-ID");
  if (readCSeq(view) < 0) return bad("Malformed CSeq");
  if (!isMethodTwice(view)) {
    return view.method === Method.other
      ? { ok: false, status: 501, reason: "Not Implemented" }
      : bad("CSeq Method Mismatch");
  }
  const ranged = checkNumbers(view);
  if (ranged !== undefined) return bad(ranged);
  const addressed = checkAddresses(view);
  if (addressed !== undefined) return bad(addressed);
  return checkRequestUri(view);
}

/**
 * Whether a request may be answered at all: not an ACK, and with a Via to send the answer by (RFC 3261 §17.1.1.3, §18.2.2), but
 * not with more Vias than an answer could carry.
 */
export function isAnswerable(view: SipView): boolean {
  return (
    view.kind === MessageKind.request &&
    view.method !== Method.ack &&
    readVia(view, via) &&
    view.count(Header.via) <= viasMax
  );
}

/**
 * Whether a scanned response can be worked on. False means drop it: a scan that was not ok, a mandatory header missing or
 * twice, a CSeq out of range, not exactly one Via (§18.1.2, §8.1.3.3), malformed addresses, bare line breaks.
 */
export function validateResponse(view: SipView): boolean {
  return (
    view.result === ScanResult.ok &&
    countVias(view) === 1 &&
    readCSeq(view) >= 0 &&
    !hasBareLineBreak(view) &&
    checkCounts(view) === undefined &&
    isOneAddress(view, Header.from) &&
    isOneAddress(view, Header.to)
  );
}

function ofScan(view: SipView): Verdict {
  switch (view.result) {
    case ScanResult.ok:
      return fine;
    case ScanResult.truncated:
      return bad("Incomplete Message");
    case ScanResult.malformed:
      return bad("Malformed Message");
    case ScanResult.tooManyHeaders:
      return { ok: false, status: 513, reason: "Message Too Large" };
    case ScanResult.badContentLength:
      return bad("Bad Content-Length");
    case ScanResult.badVersion:
      return { ok: false, status: 505, reason: "Version Not Supported" };
    default:
      return view.result satisfies never;
  }
}

/** A CR without LF or an LF without CR in the head: another parser may see a line end there. */
function hasBareLineBreak(view: SipView): boolean {
  const { bytes, from, bodyFrom } = view;
  for (let at = from; at < bodyFrom; at++) {
    while (at + 4 < bodyFrom && bytes[at]! > CR && bytes[at + 1]! > CR && bytes[at + 2]! > CR && bytes[at + 3]! > CR)
      at += 4;
    const byte = bytes[at]!;
    if (byte > CR) continue;
    if (byte === CR) {
      if (bytes[at + 1] !== LF || at + 1 >= bodyFrom) return true;
      at++;
    } else if (byte === LF) return true;
  }
  return false;
}

function checkCounts(view: SipView): string | undefined {
  let seen = 0;
  for (let i = 0; i < view.headerCount; i++) {
    const id = view.id(i);
    if (id >= 32) continue;
    const bit = 1 << id;
    if ((seen & bit & onceBits) !== 0) return `More Than One ${headerName(id)}`;
    seen |= bit;
  }
  if ((seen & mandatoryBits) === mandatoryBits) return undefined;
  const missing = mandatory.find((id) => (seen & (1 << id)) === 0)!;
  return `Missing ${headerName(missing)}`;
}

/** Whether CSeq names the method of the start line, letter by letter. */
function isMethodTwice(view: SipView): boolean {
  const i = view.find(Header.cseq);
  const from = view.valueTo(i) - (view.methodTo - view.methodFrom);
  // A well-formed CSeq ends with its method, and a token cannot begin in the middle of white space.
  return (
    from > view.valueFrom(i) &&
    isLws(view.bytes[from - 1]!) &&
    equalBytes(view.bytes, view.methodFrom, view.methodTo, view.bytes, from, view.valueTo(i))
  );
}

function isCallId(view: SipView): boolean {
  const i = view.find(Header.callId);
  const { bytes } = view;
  const from = view.valueFrom(i);
  const to = view.valueTo(i);
  for (let at = from; at < to; at++) if (bytes[at]! <= 0x20 || bytes[at] === 0x7f) return false;
  return to > from;
}

function checkNumbers(view: SipView): string | undefined {
  if (view.find(Header.maxForwards) >= 0) {
    const hops = readNumber(view, Header.maxForwards);
    if (hops < 0 || hops > maxForwardsMax) return "Bad Max-Forwards";
  }
  if (view.find(Header.expires) >= 0 && readNumber(view, Header.expires) < 0) return "Bad Expires";
  return undefined;
}

function checkAddresses(view: SipView): string | undefined {
  const fault = checkOne(view, Header.from, "From") ?? checkOne(view, Header.to, "To");
  if (fault !== undefined) return fault;
  for (const [id, name] of addressLists) {
    for (let i = view.find(id); i >= 0; i = view.find(id, i)) {
      let at = view.valueFrom(i);
      while (at >= 0) {
        at = readAddress(view.bytes, at, view.valueTo(i), address);
        if (!address.ok) return `Malformed ${name}`;
        if (isStar(view.bytes, address)) {
          if (id !== Header.contact || view.method !== Method.register) return `Malformed ${name}`;
        } else if (!parseUri(view.bytes, address.uriFrom, address.uriTo, uri)) return `Malformed ${name}`;
      }
    }
  }
  return undefined;
}

function checkOne(view: SipView, id: HeaderId, name: string): string | undefined {
  const sound = isOneAddress(view, id) && parseUri(view.bytes, address.uriFrom, address.uriTo, uri);
  return sound ? undefined : `Malformed ${name}`;
}

/** From and To hold exactly one address. */
function isOneAddress(view: SipView, id: HeaderId): boolean {
  const i = view.find(id);
  return readAddress(view.bytes, view.valueFrom(i), view.valueTo(i), address) < 0 && address.ok;
}

function checkRequestUri(view: SipView): Verdict {
  if (!parseUri(view.bytes, view.uriFrom, view.uriTo, uri)) return bad("Malformed Request-URI");
  if (uri.scheme === Scheme.other) return { ok: false, status: 416, reason: "Unsupported URI Scheme" };
  // §19.1.1 table 1: no headers in a Request-URI. Passing them on would make them real further down.
  if (uri.headersFrom < uri.headersTo) return bad("Headers In Request-URI");
  return fine;
}

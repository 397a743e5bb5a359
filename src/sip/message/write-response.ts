import { SEMICOLON } from "./chars.ts";
import { Header, type HeaderId } from "./header.ts";
import { Method } from "./method.ts";
import { Address, readAddress } from "./read-address.ts";
import { findParameter, Parameter, readParameter } from "./read-parameter.ts";
import { readViaAt, Via } from "./read-via.ts";
import type { SipView } from "./view.ts";
import type { MessageWriter } from "./writer.ts";

export interface ResponseOptions {
  /** Added to To when it has no tag yet; never to a 100 (RFC 3261 §8.2.6.2). */
  readonly toTag?: string;
  /** A Contact value, as `<sip:…>`. */
  readonly contact?: string;
  /** "Name: value" lines. CR and LF inside become spaces. */
  readonly headers?: readonly string[];
  /** A string is latin1. */
  readonly body?: Uint8Array | string;
  readonly contentType?: string;
  /** Where the request came from, put into the top Via (§18.2.1, RFC 3581 §4). IPv6 without brackets. */
  readonly received?: { readonly address: string; readonly port: number };
}

const scratchVia = new Via();
const scratchAddress = new Address();
const scratchParameter = new Parameter();

/**
 * Writes the response to `request` into `writer` (which is reset) and returns its bytes: valid until the next reset. Copies
 * every Via, From, To, Call-ID and CSeq as they are (§8.2.6.2), Timestamp into a 100 (§8.2.6.1), and Record-Route where a dialog is formed
 * (§12.1.1). What a malformed request lacks is left out.
 */
export function writeResponse(
  writer: MessageWriter,
  request: SipView,
  status: number,
  reason: string,
  options: ResponseOptions = {},
): Uint8Array {
  writer.reset();
  writer.text("SIP/2.0 ");
  writer.number(status);
  writer.text(" ");
  writer.line(reason);
  writeVias(writer, request, options.received);
  if (formsDialog(request, status)) copyAll(writer, request, Header.recordRoute);
  copyFirst(writer, request, Header.from);
  writeTo(writer, request, status === 100 ? undefined : options.toTag);
  copyFirst(writer, request, Header.callId);
  copyFirst(writer, request, Header.cseq);
  if (status === 100) copyFirst(writer, request, Header.timestamp);
  if (options.contact !== undefined) writer.line(`Contact: ${options.contact}`);
  if (options.headers !== undefined) for (const header of options.headers) writer.line(header);
  writeBody(writer, options.body, options.contentType);
  return writer.bytes();
}

function formsDialog(request: SipView, status: number): boolean {
  if (status <= 100 || status >= 300) return false;
  const { method } = request;
  return method === Method.invite || method === Method.subscribe || method === Method.refer || method === Method.notify;
}

function writeVias(writer: MessageWriter, request: SipView, received: ResponseOptions["received"]): void {
  const top = request.find(Header.via);
  if (top < 0) return;
  if (
    received === undefined ||
    readViaAt(request.bytes, request.valueFrom(top), request.valueTo(top), scratchVia) < 0
  ) {
    copyLine(writer, request, top);
  } else {
    writer.slice(request.bytes, request.lineFrom(top), scratchVia.paramsFrom);
    writeViaParameters(writer, request.bytes, received);
    writer.slice(request.bytes, scratchVia.valueTo, request.nextLine(top));
  }
  for (let i = request.find(Header.via, top); i >= 0; i = request.find(Header.via, i)) copyLine(writer, request, i);
}

/** The parameters of scratchVia with `received` and `rport` told by us: what the sender wrote there is not believed. */
function writeViaParameters(
  writer: MessageWriter,
  bytes: Uint8Array,
  { address, port }: { readonly address: string; readonly port: number },
): void {
  const { hasRport, valueTo } = scratchVia;
  // RFC 3581 §4: with rport, received is there even when it says what sent-by says.
  if (hasRport) {
    writer.text(";rport=");
    writer.number(port);
  }
  if (hasRport || !sentByIs(bytes, address)) writer.field(`;received=${address}`);
  let at = scratchVia.paramsFrom;
  while (at < valueTo && bytes[at] === SEMICOLON) {
    const next = readParameter(bytes, at, valueTo, scratchParameter);
    if (next < 0) return;
    if (!scratchParameter.isNamed(bytes, "rport") && !scratchParameter.isNamed(bytes, "received"))
      writer.slice(bytes, at, next);
    at = next;
  }
}

function sentByIs(bytes: Uint8Array, address: string): boolean {
  const host = scratchVia.host(bytes);
  return (host.startsWith("[") ? host.slice(1, -1) : host).toLowerCase() === address.toLowerCase();
}

function writeTo(writer: MessageWriter, request: SipView, tag: string | undefined): void {
  const i = request.find(Header.to);
  if (i < 0) return;
  if (tag === undefined || !lacksTag(request, i)) {
    copyLine(writer, request, i);
    return;
  }
  writer.slice(request.bytes, request.lineFrom(i), request.valueTo(i));
  writer.line(`;tag=${tag}`);
}

function lacksTag(request: SipView, i: number): boolean {
  readAddress(request.bytes, request.valueFrom(i), request.valueTo(i), scratchAddress);
  if (!scratchAddress.ok) return false;
  const { paramsFrom, paramsTo } = scratchAddress;
  return !findParameter(request.bytes, paramsFrom, paramsTo, "tag", scratchParameter);
}

/** Content-Type, Content-Length, the empty line and the body. */
function writeBody(
  writer: MessageWriter,
  body: Uint8Array | string | undefined,
  contentType: string | undefined,
): void {
  if (contentType !== undefined) writer.line(`Content-Type: ${contentType}`);
  writer.text("Content-Length: ");
  writer.number(body?.length ?? 0);
  writer.text("\r\n\r\n");
  if (typeof body === "string") writer.text(body);
  else if (body !== undefined) writer.slice(body, 0, body.length);
}

/** Header line i with its CR LF. */
function copyLine(writer: MessageWriter, view: SipView, i: number): void {
  writer.slice(view.bytes, view.lineFrom(i), view.nextLine(i));
}

export function copyFirst(writer: MessageWriter, view: SipView, id: HeaderId): void {
  const i = view.find(id);
  if (i >= 0) copyLine(writer, view, i);
}

export function copyAll(writer: MessageWriter, view: SipView, id: HeaderId): void {
  for (let i = view.find(id); i >= 0; i = view.find(id, i)) copyLine(writer, view, i);
}

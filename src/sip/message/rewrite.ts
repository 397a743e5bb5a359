import { latin1, skipLws } from "./chars.ts";
import { Header, type HeaderId } from "./header.ts";
import { readViaAt, Via } from "./read-via.ts";
import { MessageKind, type SipView } from "./view.ts";
import type { MessageWriter } from "./writer.ts";

/** What a relay changes. Values are header values without a name, in latin1; CR and LF in them become spaces. */
export interface Edits {
  /** Replaces the Request-URI (requests). */
  readonly requestUri?: string;
  /** Removes the first value of the first Via header. */
  readonly removeTopVia?: boolean;
  /** Removes every Via and puts these whole header lines (`viaLines` of another message) in their place; "" puts none. */
  readonly replaceVias?: string;
  /** A Via value put on top, after the removals above. */
  readonly pushVia?: string;
  /** Replaces all Contact values by this one; a message without Contact gets none. */
  readonly contact?: string;
  /** Replaces Max-Forwards, or adds it. */
  readonly maxForwards?: number;
  /** A Record-Route value put before all others. */
  readonly pushRecordRoute?: string;
  /** Every header of these ids is left out. */
  readonly drop?: readonly HeaderId[];
  /** "Name: value" lines put behind the last header. */
  readonly add?: readonly string[];
}

const scratchVia = new Via();

/**
 * Writes the scanned message with `edits` into `writer` (which is reset) and returns its bytes, valid until the next reset.
 * All else goes over byte for byte: order, case, folds, unknown headers, body. One thing is added unasked: a Content-Length
 * where the message had none, since a datagram may do without and the stream that it goes to may not (RFC 3261 §18.3).
 */
export function rewrite(view: SipView, edits: Edits, writer: MessageWriter): Uint8Array {
  const { bytes } = view;
  writer.reset();
  writeStartLine(view, edits, writer);
  const firstVia = view.find(Header.via);
  const vias = viasOf(view, firstVia, edits);
  let viasDue = true;
  let recordRouteDue = edits.pushRecordRoute !== undefined;
  let contactDue = edits.contact !== undefined;
  let maxForwardsDue = edits.maxForwards !== undefined && view.kind === MessageKind.request;
  if (firstVia < 0) {
    writeViaTop(writer, edits);
    viasDue = false;
  }
  // Untouched lines are copied in runs.
  let runFrom = view.headerCount > 0 ? view.lineFrom(0) : view.bodyFrom - 2;
  for (let i = 0; i < view.headerCount; i++) {
    const id = view.id(i);
    const lineFrom = view.lineFrom(i);
    const nextLine = view.nextLine(i);
    if (id === Header.via) {
      if (viasDue) {
        writer.slice(bytes, runFrom, lineFrom);
        runFrom = lineFrom;
        writeViaTop(writer, edits);
        viasDue = false;
      }
      const keepFrom = i === firstVia ? vias.keepFrom : lineFrom;
      if (vias.replaced || keepFrom >= nextLine) {
        writer.slice(bytes, runFrom, lineFrom);
        runFrom = nextLine;
      } else if (keepFrom > lineFrom) {
        writer.slice(bytes, runFrom, lineFrom);
        writer.text("Via: ");
        runFrom = keepFrom;
      }
    } else if (edits.drop?.includes(id) === true) {
      writer.slice(bytes, runFrom, lineFrom);
      runFrom = nextLine;
    } else if (id === Header.recordRoute && recordRouteDue) {
      writer.slice(bytes, runFrom, lineFrom);
      runFrom = lineFrom;
      writer.line(`Record-Route: ${edits.pushRecordRoute}`);
      recordRouteDue = false;
    } else if (id === Header.contact && edits.contact !== undefined) {
      writer.slice(bytes, runFrom, lineFrom);
      runFrom = nextLine;
      if (contactDue) writer.line(`Contact: ${edits.contact}`);
      contactDue = false;
    } else if (id === Header.maxForwards && edits.maxForwards !== undefined) {
      writer.slice(bytes, runFrom, lineFrom);
      runFrom = nextLine;
      if (maxForwardsDue) writer.line(`Max-Forwards: ${edits.maxForwards}`);
      maxForwardsDue = false;
    }
  }
  writer.slice(bytes, runFrom, view.headerCount > 0 ? view.nextLine(view.headerCount - 1) : runFrom);
  if (recordRouteDue) writer.line(`Record-Route: ${edits.pushRecordRoute}`);
  if (maxForwardsDue) writer.line(`Max-Forwards: ${edits.maxForwards}`);
  if (edits.add !== undefined) for (const line of edits.add) writer.line(line);
  if (view.contentLength < 0) writer.line(`Content-Length: ${view.bodyTo - view.bodyFrom}`);
  writer.crlf();
  writer.slice(bytes, view.bodyFrom, view.bodyTo);
  return writer.bytes();
}

function writeStartLine(view: SipView, { requestUri }: Edits, writer: MessageWriter): void {
  const { bytes } = view;
  if (view.kind === MessageKind.request && requestUri !== undefined) {
    writer.slice(bytes, view.methodFrom, view.methodTo);
    writer.text(" ");
    writer.field(requestUri);
    writer.text(" SIP/2.0\r\n");
    return;
  }
  writer.slice(bytes, view.from, view.headerCount > 0 ? view.lineFrom(0) : view.bodyFrom - 2);
}

/** Whether all Vias go, and from where the first line is kept (its end when nothing of it is). */
function viasOf(view: SipView, first: number, edits: Edits): { readonly replaced: boolean; readonly keepFrom: number } {
  if (edits.replaceVias !== undefined || first < 0) return { replaced: true, keepFrom: 0 };
  if (edits.removeTopVia !== true) return { replaced: false, keepFrom: view.lineFrom(first) };
  const valueTo = view.valueTo(first);
  const next = readViaAt(view.bytes, view.valueFrom(first), valueTo, scratchVia);
  return {
    replaced: false,
    keepFrom: next < 0 || next >= valueTo ? view.nextLine(first) : skipLws(view.bytes, next, valueTo),
  };
}

function writeViaTop(writer: MessageWriter, { pushVia, replaceVias }: Edits): void {
  if (pushVia !== undefined) writer.line(`Via: ${pushVia}`);
  if (replaceVias === undefined || replaceVias === "") return;
  writer.text(replaceVias);
  if (!replaceVias.endsWith("\r\n")) writer.crlf();
}

/** All Via header lines as they stand, CR LFs included, latin1: for `replaceVias` of the response that goes back. */
export function viaLines(view: SipView): string {
  let lines = "";
  for (let i = view.find(Header.via); i >= 0; i = view.find(Header.via, i)) {
    lines += latin1(view.bytes, view.lineFrom(i), view.nextLine(i));
  }
  return lines;
}

import { Header } from "./header.ts";
import { readCSeq } from "./read-cseq.ts";
import { readViaAt, Via } from "./read-via.ts";
import type { SipView } from "./view.ts";
import { copyAll, copyFirst } from "./write-response.ts";
import type { MessageWriter } from "./writer.ts";

const scratchVia = new Via();

/**
 * The ACK of a client INVITE transaction to a final response of 300 or more (RFC 3261 §17.1.1.3): the INVITE's Request-URI,
 * top Via, From, Call-ID, CSeq number and Route; the response's To. The writer is reset; the bytes are valid until its next reset.
 */
export function writeAck(writer: MessageWriter, invite: SipView, response: SipView): Uint8Array {
  writeStart(writer, invite, "ACK");
  copyFirst(writer, response.find(Header.to) >= 0 ? response : invite, Header.to);
  writeEnd(writer, invite, "ACK", undefined);
  return writer.bytes();
}

/**
 * The CANCEL of an INVITE (§9.1): its Request-URI, top Via (the same branch), From, To, Call-ID, CSeq number and Route.
 * `reason` is the value of a Reason header (RFC 3326). The writer is reset; the bytes are valid until its next reset.
 */
export function writeCancel(writer: MessageWriter, invite: SipView, reason?: string): Uint8Array {
  writeStart(writer, invite, "CANCEL");
  copyFirst(writer, invite, Header.to);
  writeEnd(writer, invite, "CANCEL", reason);
  return writer.bytes();
}

function writeStart(writer: MessageWriter, invite: SipView, method: string): void {
  const { bytes } = invite;
  writer.reset();
  writer.text(`${method} `);
  writer.slice(bytes, invite.uriFrom, invite.uriTo);
  writer.text(" SIP/2.0\r\n");
  const top = invite.find(Header.via);
  if (top >= 0 && readViaAt(bytes, invite.valueFrom(top), invite.valueTo(top), scratchVia) >= 0) {
    writer.text("Via: ");
    writer.slice(bytes, scratchVia.valueFrom, scratchVia.valueTo);
    writer.crlf();
  }
  writer.text("Max-Forwards: 70\r\n");
  copyAll(writer, invite, Header.route);
  copyFirst(writer, invite, Header.from);
}

function writeEnd(writer: MessageWriter, invite: SipView, method: string, reason: string | undefined): void {
  copyFirst(writer, invite, Header.callId);
  writer.text("CSeq: ");
  writer.number(Math.max(readCSeq(invite), 0));
  writer.text(` ${method}\r\n`);
  if (reason !== undefined) writer.line(`Reason: ${reason}`);
  writer.text("Content-Length: 0\r\n\r\n");
}

import { Header, type HeaderId, headerName } from "../../../src/sip/message/header.ts";
import { firstLine, maskMessage } from "../../../src/sip/message/mask.ts";
import { addressesOf, addressOf, tagOf } from "../../../src/sip/message/read-address.ts";
import { cseqMethodText, readCSeq, readCSeqMethod } from "../../../src/sip/message/read-cseq.ts";
import { listValues } from "../../../src/sip/message/read-list.ts";
import { readNumber } from "../../../src/sip/message/read-number.ts";
import { parameter, parametersOf } from "../../../src/sip/message/read-parameter.ts";
import { countVias, readVia, topBranch, Via } from "../../../src/sip/message/read-via.ts";
import { rewrite, viaLines } from "../../../src/sip/message/rewrite.ts";
import { validateRequest, validateResponse } from "../../../src/sip/message/validate.ts";
import type { SipView } from "../../../src/sip/message/view.ts";
import { writeAck, writeCancel } from "../../../src/sip/message/write-ack-cancel.ts";
import { writeResponse } from "../../../src/sip/message/write-response.ts";
import { MessageWriter } from "../../../src/sip/message/writer.ts";
import { uriOf } from "../../../src/sip/uri.ts";

const ids: readonly HeaderId[] = Object.values(Header);
const numbered = [
  Header.expires,
  Header.minExpires,
  Header.retryAfter,
  Header.maxForwards,
  Header.contentLength,
  Header.flowTimer,
] as const;
const addressed = [
  Header.from,
  Header.to,
  Header.contact,
  Header.route,
  Header.recordRoute,
  Header.pAssertedIdentity,
  Header.path,
] as const;
const via = new Via();
const writer = new MessageWriter();

/**
 * Calls every reader and writer on a view, whatever its scan said, and checks what must hold of any: no throw, offsets
 * in order and inside the message. Returns the bytes that were written, to be looked at.
 */
export function readEverything(view: SipView): number {
  let at = view.from;
  for (let i = 0; i < view.headerCount; i++) {
    const inOrder =
      at <= view.lineFrom(i) &&
      view.lineFrom(i) < view.valueFrom(i) &&
      view.valueFrom(i) <= view.valueTo(i) &&
      view.valueTo(i) <= view.nextLine(i) - 2 &&
      view.nextLine(i) <= view.to;
    if (!inOrder) throw new Error(`header ${i} out of order`);
    at = view.lineFrom(i) + 1;
    view.text(i);
    if (view.id(i) === Header.other) {
      const found = view.otherNamed(view.name(i));
      if (found < 0 || found > i) throw new Error(`header ${i} is not found by its name`);
    } else if (view.name(i).length > 1 && view.name(i).toLowerCase() !== headerName(view.id(i)).toLowerCase()) {
      throw new Error(`header ${i} has another's id`);
    }
    parameter(view.bytes, view.valueFrom(i), view.valueTo(i), "tag");
    parametersOf(view.bytes, view.valueFrom(i), view.valueTo(i));
    uriOf(view.bytes, view.valueFrom(i), view.valueTo(i));
  }
  if (view.bodyFrom > view.bodyTo || view.bodyTo > view.to) throw new Error("body out of the message");
  for (const id of ids) listValues(view, id);
  for (const id of numbered) readNumber(view, id);
  for (const id of addressed) {
    addressOf(view, id);
    addressesOf(view, id);
  }
  uriOf(view.bytes, view.uriFrom, view.uriTo);
  tagOf(view, Header.from);
  tagOf(view, Header.to);
  readCSeq(view);
  readCSeqMethod(view);
  cseqMethodText(view);
  readVia(view, via);
  countVias(view);
  topBranch(view);
  validateRequest(view);
  validateResponse(view);
  firstLine(view);
  maskMessage(view);
  view.body();
  const kept = view.keep();
  let written = writeResponse(writer, view, 400, "Bad Request", {
    toTag: "x",
    received: { address: "192.0.2.9", port: 1 },
  }).length;
  written += writeAck(writer, view, kept).length;
  written += writeCancel(writer, kept, "SIP;cause=200").length;
  written += rewrite(view, {}, writer).length;
  written += rewrite(
    kept,
    {
      removeTopVia: true,
      pushVia: "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx",
      contact: "<sip:x@192.0.2.9>",
      maxForwards: 1,
      pushRecordRoute: "<sip:192.0.2.9;lr>",
      drop: [Header.route],
      add: ["X-Y: z"],
    },
    writer,
  ).length;
  written += rewrite(view, { replaceVias: viaLines(view) }, writer).length;
  return written;
}

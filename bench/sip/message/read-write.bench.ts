/**
 * Claim: reading what a call or a registration needs of a scanned message, checking it whole, and writing an answer or a
 * relayed message each cost less than three microseconds: a call's twelve messages are lost in the noise of its push.
 */
import { bench, do_not_optimize, run } from "mitata";
import { readFileSync } from "node:fs";
import { defaultFrameLimits, StreamFramer } from "../../../src/sip/message/framing.ts";
import { Header } from "../../../src/sip/message/header.ts";
import { Address, readAddress, tagOf } from "../../../src/sip/message/read-address.ts";
import { readCSeq } from "../../../src/sip/message/read-cseq.ts";
import { readVia, topBranch, Via } from "../../../src/sip/message/read-via.ts";
import { rewrite } from "../../../src/sip/message/rewrite.ts";
import { scan } from "../../../src/sip/message/scan.ts";
import { validateRequest, validateResponse } from "../../../src/sip/message/validate.ts";
import { SipView } from "../../../src/sip/message/view.ts";
import { writeResponse } from "../../../src/sip/message/write-response.ts";
import { MessageWriter } from "../../../src/sip/message/writer.ts";

function scanned(name: string): SipView {
  const bytes = new Uint8Array(readFileSync(new URL(`../../messages/${name}`, import.meta.url)));
  const view = new SipView();
  scan(bytes, 0, bytes.length, view);
  return view;
}

const ok = scanned("200.sip");
const invite = scanned("invite.sip");
const via = new Via();
const address = new Address();
const writer = new MessageWriter();
const contact = ok.find(Header.contact);

bench("readVia", () => do_not_optimize(readVia(ok, via)));
bench("readCSeq", () => do_not_optimize(readCSeq(ok)));
bench("readAddress of a Contact", () =>
  do_not_optimize(readAddress(ok.bytes, ok.valueFrom(contact), ok.valueTo(contact), address)));
bench("topBranch as text", () => do_not_optimize(topBranch(invite)));
bench("tagOf as text", () => do_not_optimize(tagOf(invite, Header.from)));
bench("validateResponse", () => do_not_optimize(validateResponse(ok)));
bench("validateRequest", () => do_not_optimize(validateRequest(invite)));
bench("keep an INVITE", () => do_not_optimize(invite.keep()));
bench("write a 180", () =>
  do_not_optimize(
    writeResponse(writer, invite, 180, "Ringing", { toTag: "t1", received: { address: "203.0.113.25", port: 5060 } }),
  ));
bench("rewrite an INVITE", () =>
  do_not_optimize(
    rewrite(
      invite,
      { requestUri: "sip:100417@phone", pushVia: "SIP/2.0/WSS w;branch=z9hG4bKa1", maxForwards: 68 },
      writer,
    ),
  ));
const framer = new StreamFramer(defaultFrameLimits, { onMessage: () => {}, onPing: () => {}, onPong: () => {} });
bench("frame an INVITE in one segment", () => do_not_optimize(framer.push(invite.bytes)));

await run();

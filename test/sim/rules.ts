import { ladderText, railsOf, type Rung } from "../../src/base/ladder.ts";
import type { Event } from "../../src/workers/protocol.ts";
import type { Passage } from "../fakes/virtual-network.ts";
import { SipText } from "../fakes/sip-text.ts";
import { secretMarker } from "./directory.ts";
import { callIdOf, firstLineOf } from "./pool.ts";

export interface Violation {
  readonly atMs: number;
  readonly rule: string;
  readonly text: string;
  readonly callId: string;
}

const rungsPerCallMax = 400;

/** Who said what, by call: printed when a rule is broken. */
export class Ladders {
  readonly #byCall = new Map<string, Rung[]>();

  add(callId: string, rung: Rung): void {
    let rungs = this.#byCall.get(callId);
    if (rungs === undefined) {
      rungs = [];
      this.#byCall.set(callId, rungs);
    }
    if (rungs.length < rungsPerCallMax) rungs.push(rung);
  }

  of(callId: string): string {
    const rungs = this.#byCall.get(callId) ?? [];
    return ladderText(rungs, { rails: railsOf(rungs, (deviceId) => `Phone ${deviceId.slice(-3)}`) });
  }
}

const hostAddresses = /198\.51\.100\.7/;
const phoneMark = "phone.invalid";

/**
 * What every message to the far end must be like: it sees one plain UA. The phone's Via, Contact and secrets do not show, and there is
 * one Via of ours in a request, none in a response.
 */
export function checkToServer(passage: Passage, complain: (rule: string, text: string, callId: string) => void): void {
  const text = Buffer.from(passage.bytes).toString("latin1");
  if (text.length < 8) return;
  if (text.includes(secretMarker)) complain("no secret on the wire", firstLineOf(text), callIdOf(text));
  const message = new SipText(text);
  const callId = callIdOf(text);
  if (text.includes(phoneMark)) complain("the phone does not show", text, callId);
  const contacts = message.all("Contact");
  const isRegister = message.method === "REGISTER";
  if (!isRegister && (contacts.length > 1 || contacts.join().split("sip:").length > 2)) {
    complain("one Contact of ours", contacts.join(), callId);
  }
  if (contacts.length > 0 && !isRegister && message.status < 300 && !hostAddresses.test(contacts[0] ?? "")) {
    complain("one Contact of ours", contacts.join(), callId);
  }
  const own = message.all("Via").filter((via) => hostAddresses.test(via.split(";")[0] ?? ""));
  if (own.length !== (message.isResponse ? 0 : 1)) complain("one Via of ours", message.all("Via").join(" | "), callId);
  if (!message.isResponse && message.all("Via").length !== 1) complain("one Via of ours", text, callId);
  if (message.has("Record-Route") && !message.isResponse) complain("no Record-Route of ours", text, callId);
}

/** What goes upward: no password, no credentials and no line token in what people may read. */
export function checkEvent(event: Event, complain: (rule: string, text: string, callId: string) => void): void {
  if (event.kind === "frame" || event.kind === "frameForeign" || event.kind === "will") {
    const text = event.kind === "will" ? (event.word?.text ?? "") : event.text;
    if (text.includes(secretMarker)) complain("no secret in a frame", firstLineOf(text), callIdOf(text));
    return;
  }
  const text = JSON.stringify(event);
  if (text.includes(secretMarker)) complain("no secret in an event", event.kind, "");
  if (/response=\\?"[0-9a-f]{32}|line=[0-9A-Za-z]{12}/.test(text)) complain("no capability in an event", text, "");
}

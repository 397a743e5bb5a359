import { readChallenges } from "../../src/sip/auth/challenge.ts";
import { defaultFrameLimits, StreamFramer } from "../../src/sip/message/framing.ts";
import { headersMax, messageBytesMax } from "../../src/sip/message/limits.ts";
import { topBranch } from "../../src/sip/message/read-via.ts";
import { rewrite } from "../../src/sip/message/rewrite.ts";
import { scan } from "../../src/sip/message/scan.ts";
import { isAnswerable, validateRequest, validateResponse } from "../../src/sip/message/validate.ts";
import { MessageKind, ScanResult, SipView } from "../../src/sip/message/view.ts";
import { writeResponse } from "../../src/sip/message/write-response.ts";
import { MessageWriter } from "../../src/sip/message/writer.ts";
import { cpuMs } from "../fakes/cpu-time.ts";
import { readEverything } from "../sip/message/read-everything.ts";
import type { Seeded } from "./seeded.ts";

/** Of processor time. One message may cost no more: the shard must not stall. */
const stallMsMax = 50;

const view = new SipView();
const again = new SipView();
const writer = new MessageWriter();

/** Puts one message through everything that reads or writes SIP, and looks at the time. Throws when a promise is broken. */
export function check(bytes: Uint8Array, random: Seeded): void {
  let ms = cpuMs(() => readAll(bytes), 1);
  // Again before complaining: the collector may have taken the time.
  if (ms > stallMsMax) ms = cpuMs(() => readAll(bytes));
  if (ms > stallMsMax) throw new Error(`${ms.toFixed(1)} ms for ${bytes.length} bytes`);
  checkWriters(bytes);
  checkFraming(bytes, random);
}

/** The same but for the time. Needs nothing of Bun: the guided runs are Node's. */
export function checkPromises(bytes: Uint8Array, random: Seeded): void {
  readAll(bytes);
  checkWriters(bytes);
  checkFraming(bytes, random);
}

function readAll(bytes: Uint8Array): void {
  const before = bytes.slice();
  scan(bytes, 0, bytes.length, view);
  readEverything(view);
  readChallenges(view);
  demand(Buffer.compare(before, bytes) === 0, "reading changed the bytes");
}

function demand(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** What we write of it is well formed, and what nobody asked to change is not changed. */
function checkWriters(bytes: Uint8Array): void {
  const result = scan(bytes, 0, bytes.length, view);
  if (view.kind === MessageKind.request && isAnswerable(view)) {
    const verdict = validateRequest(view);
    const { status, reason } = verdict.ok ? { status: 200, reason: "OK" } : verdict;
    const response = writeResponse(writer, view, status, reason, {
      toTag: "t",
      received: { address: "192.0.2.1", port: 5060 },
    });
    demand(scan(response, 0, response.length, again) === ScanResult.ok, "an answer that cannot be read");
    demand(again.status === status && topBranch(again) === topBranch(view), "an answer to something else");
  }
  if (result !== ScanResult.ok) {
    demand(view.kind === MessageKind.request || !validateResponse(view), "a broken response was taken");
    demand(view.kind === MessageKind.response || !validateRequest(view).ok, "a broken request was taken");
    return;
  }
  const same = rewrite(view, {}, writer);
  if (view.contentLength >= 0) {
    demand(Buffer.compare(same, bytes.subarray(view.from, view.to)) === 0, "rewriting without edits changed bytes");
  }
  const edits = { pushVia: "SIP/2.0/UDP h;branch=z9hG4bKz", maxForwards: 5, contact: "<sip:w@h>", add: ["X-Y: z"] };
  const edited = rewrite(view, edits, writer);
  // What we add may carry a message over the limits of those who read it.
  if (edited.length > messageBytesMax || view.headerCount + 4 > headersMax) return;
  demand(scan(edited, 0, edited.length, again) === ScanResult.ok, "a rewritten message that cannot be read");
  demand(topBranch(again) === "z9hG4bKz", "our Via is not on top");
  demand(Buffer.compare(again.body(), view.body()) === 0, "rewriting changed the body");
}

/** However a stream is cut, the same messages and the same end come of it. */
function checkFraming(bytes: Uint8Array, random: Seeded): void {
  const whole = framed([bytes]);
  const cuts: Uint8Array[] = [];
  const step = 1 + random.below(Math.max(bytes.length >> 3, 1));
  for (let at = 0; at < bytes.length;) {
    const to = Math.min(bytes.length, at + 1 + random.below(step));
    cuts.push(bytes.subarray(at, to));
    at = to;
  }
  demand(framed(cuts) === whole, "framing depends on the cuts");
}

function framed(segments: readonly Uint8Array[]): string {
  let seen = "";
  const framer = new StreamFramer(defaultFrameLimits, {
    onMessage(bytes, from, to) {
      seen += `${to - from}:${sumOf(bytes, from, to)} `;
    },
    onPing: () => {},
    onPong: () => {},
  });
  for (const segment of segments) {
    const fault = framer.push(segment);
    if (fault !== undefined) return `${seen}${fault.reason} ${fault.head.length}`;
  }
  return `${seen}${framer.heldBytes}`;
}

/** FNV-1a: enough to tell two messages apart. */
function sumOf(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0x811c9dc5;
  for (let at = from; at < to; at++) sum = Math.imul(sum ^ bytes[at]!, 0x01000193);
  return sum;
}

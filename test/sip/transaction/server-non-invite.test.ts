import { describe, expect, test } from "bun:test";
import {
  type ServerNonInviteEvent,
  ServerNonInviteState as State,
  type ServerNonInviteTimer,
  start,
  step,
} from "../../../src/sip/transaction/server-non-invite.ts";
import { MachineRecorder } from "./machine-recorder.ts";

type Row = readonly [
  from: keyof typeof State,
  event: ServerNonInviteEvent,
  to: keyof typeof State,
  udp: readonly string[],
  tcp?: readonly string[],
  tcpTo?: keyof typeof State,
];
const respond = (status: number): ServerNonInviteEvent => ({ kind: "respond", status });
const timer = (kind: ServerNonInviteTimer, afterMs = 0): ServerNonInviteEvent => ({ kind, afterMs });
const request: ServerNonInviteEvent = { kind: "request" };
const transportError: ServerNonInviteEvent = { kind: "transportError" };

/** Figure 8 with RFC 4320 §4, each arrow and each event that must do nothing. */
const table: readonly Row[] = [
  ["trying", request, "trying", []],
  ["trying", respond(200), "completed", ["answer", "timerJ 32000"], ["answer", "timerJ 0"]],
  ["trying", respond(699), "completed", ["answer", "timerJ 32000"], ["answer", "timerJ 0"]],
  // RFC 4320 §4.1: 100 at any time on a reliable transport, not so early on others; no other provisional ever.
  ["trying", respond(100), "trying", [], ["answer"], "proceeding"],
  ["trying", respond(180), "trying", []],
  // RFC 4320 §4.2.
  ["trying", respond(408), "trying", []],
  ["trying", timer("timerTrying"), "proceeding", ["100"]],
  ["trying", timer("timerExpiry"), "terminated", []],
  ["trying", timer("timerJ"), "trying", []],
  ["trying", transportError, "trying", []],

  ["proceeding", request, "proceeding", ["resend"]],
  ["proceeding", respond(100), "proceeding", ["answer"]],
  ["proceeding", respond(183), "proceeding", []],
  ["proceeding", respond(408), "proceeding", []],
  ["proceeding", respond(200), "completed", ["answer", "timerJ 32000"], ["answer", "timerJ 0"]],
  ["proceeding", timer("timerTrying"), "proceeding", []],
  ["proceeding", timer("timerExpiry"), "terminated", []],
  ["proceeding", timer("timerJ"), "proceeding", []],
  // Figure 8 would end here; RFC 6026's reason holds for any request: a retransmission must not pass for a new one.
  ["proceeding", transportError, "proceeding", []],

  ["completed", request, "completed", ["resend"]],
  ["completed", respond(200), "completed", []],
  ["completed", respond(500), "completed", []],
  ["completed", timer("timerJ"), "terminated", []],
  ["completed", timer("timerTrying"), "completed", []],
  ["completed", timer("timerExpiry"), "completed", []],
  ["completed", transportError, "completed", []],

  ["terminated", request, "terminated", []],
  ["terminated", respond(200), "terminated", []],
  ["terminated", timer("timerTrying"), "terminated", []],
];

describe("non-INVITE server, RFC 3261 §17.2.2 with RFC 4320", () => {
  for (const [from, event, to, udp, tcp = udp, tcpTo = to] of table) {
    const name = event.kind === "respond" ? `${event.status}` : event.kind;
    test(`${from}, ${name}: ${[...udp, to].join(", ")}`, () => {
      for (const [reliable, expected, target] of [
        [false, udp, to],
        [true, tcp, tcpTo],
      ] as const) {
        const out = new MachineRecorder(reliable);
        expect(step(State[from], event, out)).toBe(State[target]);
        expect(out.take()).toEqual([...expected]);
      }
    });
  }

  test("a 100 is due when timer E would reach T2; silence when the sender has given up", () => {
    const out = new MachineRecorder(false);
    expect(start(out)).toBe(State.trying);
    expect(out.take()).toEqual(["timerTrying 3500", "timerExpiry 32000"]);
  });
});

import { describe, expect, test } from "bun:test";
import {
  type ServerInviteEvent,
  ServerInviteState as State,
  type ServerInviteTimer,
  start,
  step,
} from "../../../src/sip/transaction/server-invite.ts";
import { MachineRecorder } from "./machine-recorder.ts";

type Row = readonly [
  from: keyof typeof State,
  event: ServerInviteEvent,
  to: keyof typeof State,
  udp: readonly string[],
  tcp?: readonly string[],
];
const respond = (status: number): ServerInviteEvent => ({ kind: "respond", status });
const timer = (kind: ServerInviteTimer, afterMs = 0): ServerInviteEvent => ({ kind, afterMs });
const request: ServerInviteEvent = { kind: "request" };
const ack: ServerInviteEvent = { kind: "ack" };
const transportError: ServerInviteEvent = { kind: "transportError" };

/** RFC 6026 §8.6, figure 7, each arrow and each event that must do nothing. */
const table: readonly Row[] = [
  ["proceeding", request, "proceeding", ["resend"]],
  ["proceeding", respond(100), "proceeding", ["answer"]],
  ["proceeding", respond(199), "proceeding", ["answer"]],
  ["proceeding", respond(200), "accepted", ["answer", "timerL 32000"]],
  ["proceeding", respond(300), "completed", ["answer", "timerG 500", "timerH 32000"], ["answer", "timerH 32000"]],
  ["proceeding", respond(699), "completed", ["answer", "timerG 500", "timerH 32000"], ["answer", "timerH 32000"]],
  ["proceeding", ack, "proceeding", ["ack up"]],
  ["proceeding", timer("timerTrying"), "proceeding", ["100"]],
  ["proceeding", transportError, "proceeding", []],
  ["proceeding", timer("timerG", 500), "proceeding", []],
  ["proceeding", timer("timerH"), "proceeding", []],
  ["proceeding", timer("timerI"), "proceeding", []],
  ["proceeding", timer("timerL"), "proceeding", []],

  ["completed", request, "completed", ["resend"]],
  ["completed", ack, "confirmed", ["timerI 5000"], ["timerI 0"]],
  ["completed", timer("timerG", 500), "completed", ["resend", "timerG 1000"]],
  ["completed", timer("timerG", 2000), "completed", ["resend", "timerG 4000"]],
  ["completed", timer("timerG", 4000), "completed", ["resend", "timerG 4000"]],
  ["completed", timer("timerH"), "terminated", ["ack timed out"]],
  ["completed", respond(180), "completed", []],
  ["completed", respond(200), "completed", []],
  ["completed", respond(486), "completed", []],
  ["completed", transportError, "completed", []],
  ["completed", timer("timerTrying"), "completed", []],
  ["completed", timer("timerI"), "completed", []],
  ["completed", timer("timerL"), "completed", []],

  ["confirmed", ack, "confirmed", []],
  ["confirmed", request, "confirmed", []],
  ["confirmed", timer("timerG", 500), "confirmed", []],
  ["confirmed", timer("timerH"), "confirmed", []],
  ["confirmed", timer("timerI"), "terminated", []],
  ["confirmed", respond(200), "confirmed", []],
  ["confirmed", transportError, "confirmed", []],

  ["accepted", request, "accepted", []],
  ["accepted", respond(200), "accepted", ["answer"]],
  ["accepted", respond(299), "accepted", ["answer"]],
  ["accepted", respond(300), "accepted", []],
  ["accepted", respond(199), "accepted", []],
  ["accepted", respond(486), "accepted", []],
  ["accepted", ack, "accepted", ["ack up"]],
  ["accepted", timer("timerL"), "terminated", ["ack timed out"]],
  ["accepted", transportError, "accepted", []],
  ["accepted", timer("timerTrying"), "accepted", []],
  ["accepted", timer("timerG", 500), "accepted", []],
  ["accepted", timer("timerH"), "accepted", []],
  ["accepted", timer("timerI"), "accepted", []],

  ["terminated", request, "terminated", []],
  ["terminated", ack, "terminated", []],
  ["terminated", respond(200), "terminated", []],
  ["terminated", timer("timerH"), "terminated", []],
];

describe("INVITE server, RFC 3261 §17.2.1 with RFC 6026 §7.1", () => {
  for (const [from, event, to, udp, tcp = udp] of table) {
    const name = event.kind === "respond" ? `${event.status}` : event.kind;
    test(`${from}, ${name}: ${[...udp, to].join(", ")}`, () => {
      for (const [reliable, expected] of [
        [false, udp],
        [true, tcp],
      ] as const) {
        const out = new MachineRecorder(reliable);
        expect(step(State[from], event, out)).toBe(State[to]);
        expect(out.take()).toEqual([...expected]);
      }
    });
  }

  test("a 100 is due after 200 ms", () => {
    const out = new MachineRecorder(false);
    expect(start(out)).toBe(State.proceeding);
    expect(out.take()).toEqual(["timerTrying 200"]);
  });
});

import { describe, expect, test } from "bun:test";
import {
  type ClientNonInviteEvent,
  ClientNonInviteState as State,
  start,
  step,
} from "../../../src/sip/transaction/client-non-invite.ts";
import { MachineRecorder } from "./machine-recorder.ts";

type Row = readonly [
  from: keyof typeof State,
  event: ClientNonInviteEvent,
  to: keyof typeof State,
  udp: readonly string[],
  tcp?: readonly string[],
];
const status = (status: number): ClientNonInviteEvent => ({ kind: "response", status });
const timer = (kind: "timerE" | "timerF" | "timerK", afterMs = 0): ClientNonInviteEvent => ({ kind, afterMs });
const transportError: ClientNonInviteEvent = { kind: "transportError" };
const rebound: ClientNonInviteEvent = { kind: "rebound" };

/** Figure 6, each arrow and each event that must do nothing. */
const table: readonly Row[] = [
  ["trying", status(100), "proceeding", ["up"]],
  ["trying", status(200), "completed", ["up", "timerK 5000"], ["up", "timerK 0"]],
  ["trying", status(699), "completed", ["up", "timerK 5000"], ["up", "timerK 0"]],
  ["trying", timer("timerE", 500), "trying", ["send", "timerE 1000"]],
  ["trying", timer("timerE", 1000), "trying", ["send", "timerE 2000"]],
  ["trying", timer("timerE", 2000), "trying", ["send", "timerE 4000"]],
  ["trying", timer("timerE", 4000), "trying", ["send", "timerE 4000"]],
  ["trying", timer("timerF"), "terminated", ["timed out"]],
  ["trying", transportError, "terminated", ["transport failed"]],
  ["trying", rebound, "trying", ["send", "timerE 500"], ["send"]],
  ["trying", timer("timerK"), "trying", []],

  ["proceeding", status(100), "proceeding", ["up"]],
  ["proceeding", status(404), "completed", ["up", "timerK 5000"], ["up", "timerK 0"]],
  ["proceeding", timer("timerE", 500), "proceeding", ["send", "timerE 4000"]],
  ["proceeding", timer("timerE", 4000), "proceeding", ["send", "timerE 4000"]],
  ["proceeding", timer("timerF"), "terminated", ["timed out"]],
  ["proceeding", transportError, "terminated", ["transport failed"]],
  ["proceeding", rebound, "proceeding", ["send", "timerE 4000"], ["send"]],
  ["proceeding", timer("timerK"), "proceeding", []],

  ["completed", status(100), "completed", []],
  ["completed", status(200), "completed", []],
  ["completed", timer("timerE", 500), "completed", []],
  ["completed", timer("timerF"), "completed", []],
  ["completed", timer("timerK"), "terminated", []],
  ["completed", transportError, "completed", []],
  ["completed", rebound, "completed", []],

  ["terminated", status(200), "terminated", []],
  ["terminated", timer("timerE", 500), "terminated", []],
  ["terminated", timer("timerF"), "terminated", []],
  ["terminated", transportError, "terminated", []],
];

describe("non-INVITE client, RFC 3261 §17.1.2", () => {
  for (const [from, event, to, udp, tcp = udp] of table) {
    const name = event.kind === "response" ? `${event.status}` : event.kind;
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

  test("starts by sending; timer E on unreliable transports only, timer F on all", () => {
    const udp = new MachineRecorder(false);
    expect(start(udp)).toBe(State.trying);
    expect(udp.take()).toEqual(["send", "timerE 500", "timerF 32000"]);
    const tcp = new MachineRecorder(true);
    start(tcp);
    expect(tcp.take()).toEqual(["send", "timerF 32000"]);
  });
});

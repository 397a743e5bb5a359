import { describe, expect, test } from "bun:test";
import {
  type ClientInviteEvent,
  ClientInviteState as State,
  type ClientInviteStateId,
  start,
  step,
} from "../../../src/sip/transaction/client-invite.ts";
import { MachineRecorder } from "./machine-recorder.ts";

type Row = readonly [
  from: keyof typeof State,
  event: ClientInviteEvent,
  to: keyof typeof State,
  udp: readonly string[],
  tcp?: readonly string[],
];
const status = (status: number): ClientInviteEvent => ({ kind: "response", status });
const timer = (kind: "timerA" | "timerB" | "timerD" | "timerM" | "timerCancelled", afterMs = 0): ClientInviteEvent => ({
  kind,
  afterMs,
});
const cancelSent: ClientInviteEvent = { kind: "cancelSent" };
const transportError: ClientInviteEvent = { kind: "transportError" };
const rebound: ClientInviteEvent = { kind: "rebound" };

/** RFC 6026 §8.4, figure 5, each arrow and each event that must do nothing; with §9.1 for CANCEL. */
const table: readonly Row[] = [
  ["calling", status(100), "proceeding", ["up"]],
  ["calling", status(180), "proceeding", ["up"]],
  ["calling", status(200), "accepted", ["up", "timerM 32000"]],
  ["calling", status(299), "accepted", ["up", "timerM 32000"]],
  ["calling", status(300), "completed", ["ack", "up", "timerD 32000"], ["ack", "up", "timerD 0"]],
  ["calling", status(699), "completed", ["ack", "up", "timerD 32000"], ["ack", "up", "timerD 0"]],
  ["calling", timer("timerA", 500), "calling", ["send", "timerA 1000"]],
  ["calling", timer("timerA", 1000), "calling", ["send", "timerA 2000"]],
  ["calling", timer("timerA", 16000), "calling", ["send", "timerA 32000"]],
  ["calling", timer("timerB"), "terminated", ["timed out"]],
  ["calling", transportError, "terminated", ["transport failed"]],
  ["calling", rebound, "calling", ["send", "timerA 500", "timerB 32000"], ["send", "timerB 32000"]],
  ["calling", cancelSent, "calling", []],
  ["calling", timer("timerD"), "calling", []],
  ["calling", timer("timerM"), "calling", []],
  ["calling", timer("timerCancelled"), "calling", []],

  ["proceeding", status(100), "proceeding", ["up"]],
  ["proceeding", status(183), "proceeding", ["up"]],
  ["proceeding", status(200), "accepted", ["up", "timerM 32000"]],
  ["proceeding", status(486), "completed", ["ack", "up", "timerD 32000"], ["ack", "up", "timerD 0"]],
  ["proceeding", timer("timerA", 500), "proceeding", []],
  ["proceeding", timer("timerB"), "proceeding", []],
  ["proceeding", cancelSent, "proceeding", ["timerCancelled 32000"]],
  ["proceeding", timer("timerCancelled"), "terminated", ["timed out"]],
  ["proceeding", transportError, "terminated", ["transport failed"]],
  ["proceeding", rebound, "proceeding", ["send"]],
  ["proceeding", timer("timerD"), "proceeding", []],
  ["proceeding", timer("timerM"), "proceeding", []],

  ["completed", status(486), "completed", ["ack"]],
  ["completed", status(300), "completed", ["ack"]],
  ["completed", status(299), "completed", []],
  ["completed", status(180), "completed", []],
  ["completed", status(200), "completed", []],
  ["completed", timer("timerD"), "terminated", []],
  ["completed", transportError, "terminated", ["transport failed"]],
  ["completed", timer("timerA", 500), "completed", []],
  ["completed", timer("timerB"), "completed", []],
  ["completed", timer("timerM"), "completed", []],
  ["completed", timer("timerCancelled"), "completed", []],
  ["completed", cancelSent, "completed", []],
  ["completed", rebound, "completed", []],

  ["accepted", status(200), "accepted", ["up"]],
  ["accepted", status(299), "accepted", ["up"]],
  ["accepted", status(300), "accepted", []],
  ["accepted", status(199), "accepted", []],
  ["accepted", status(487), "accepted", []],
  ["accepted", timer("timerM"), "terminated", []],
  ["accepted", timer("timerA", 500), "accepted", []],
  ["accepted", timer("timerB"), "accepted", []],
  ["accepted", timer("timerD"), "accepted", []],
  ["accepted", timer("timerCancelled"), "accepted", []],
  ["accepted", cancelSent, "accepted", []],
  ["accepted", transportError, "accepted", []],
  ["accepted", rebound, "accepted", []],

  ["terminated", status(200), "terminated", []],
  ["terminated", status(486), "terminated", []],
  ["terminated", timer("timerA", 500), "terminated", []],
  ["terminated", timer("timerB"), "terminated", []],
  ["terminated", transportError, "terminated", []],
  ["terminated", rebound, "terminated", []],
];

describe("INVITE client, RFC 3261 §17.1.1 with RFC 6026 §7.2", () => {
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

  test("starts by sending; timer A on unreliable transports only, timer B on all", () => {
    const udp = new MachineRecorder(false);
    expect(start(udp)).toBe(State.calling);
    expect(udp.take()).toEqual(["send", "timerA 500", "timerB 32000"]);
    const tcp = new MachineRecorder(true);
    start(tcp);
    expect(tcp.take()).toEqual(["send", "timerB 32000"]);
  });

  test("sends seven times in the 64*T1 that timer B leaves", () => {
    const out = new MachineRecorder(false);
    let state: ClientInviteStateId = start(out);
    out.take();
    const sentAtMs = [0];
    for (let atMs = 500, afterMs = 500; atMs < 32_000; afterMs *= 2, atMs += afterMs) {
      state = step(state, timer("timerA", afterMs), out);
      expect(out.take()).toEqual(["send", `timerA ${afterMs * 2}`]);
      sentAtMs.push(atMs);
    }
    expect(sentAtMs).toEqual([0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    expect(step(state, timer("timerB"), out)).toBe(State.terminated);
  });
});

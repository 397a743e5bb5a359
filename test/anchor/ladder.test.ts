import { describe, expect, test } from "bun:test";
import type { AccountId } from "../../src/base/ids.ts";
import { ladderCharsMax, ladderEntriesMax, laddersKeptMax, tracesMax } from "../../src/anchor/limits.ts";
import { Ladder } from "../../src/anchor/ladder.ts";
import { AnchorBench } from "../fakes/anchor-bench.ts";

function scene() {
  const bench = new AnchorBench({ ring: "on_push" });
  const server = bench.addServer();
  const alice = bench.addAccount("alice", server, { mobile: {}, tablet: {} });
  return { bench, server, alice, mobile: bench.phone("mobile") };
}

/** A whole call: woken, rung, answered, ended by the phone. */
function call() {
  const all = scene();
  const { bench, server, alice, mobile } = all;
  const invite = server.invites(alice);
  server.gets(100);
  const wake = bench.wakes("mobile", "tablet");
  bench.delivers(wake, "mobile", "accepted");
  server.gets(180);
  bench.pass(1_000);
  mobile.opens();
  const offered = mobile.gets("INVITE");
  const answer = mobile.answers(offered, 200);
  const answered = server.gets(200);
  server.inDialog("ACK", invite, answered);
  mobile.gets("ACK");
  bench.pass(10_000);
  mobile.inAnswered("BYE", invite, answer, { lines: ['Authorization: Digest username="alice", response="5ec4e7"'] });
  server.answers(server.gets("BYE"), 200);
  mobile.gets(200);
  return { ...all, wake, invite };
}

describe("the ladder of a call", () => {
  test("shows every message and push in order", () => {
    const { bench, wake } = call();
    const found = bench.anchor.call(wake.call);
    const rungs = found?.ladder.map(({ from, to, label }) => `${from} → ${to}: ${label}`);
    expect(rungs).toEqual([
      "server → wakeline: INVITE",
      "wakeline → server: 100 Trying",
      "wakeline → push: wake",
      "wakeline → push: wake",
      "push → wakeline: accepted",
      "wakeline → server: 180 Ringing",
      "wakeline → device: INVITE",
      "device → wakeline: 200 OK",
      "wakeline → server: 200 OK",
      "server → wakeline: ACK",
      "wakeline → device: ACK",
      "device → wakeline: BYE",
      "wakeline → server: BYE",
      "server → wakeline: 200 OK",
      "wakeline → device: 200 OK",
    ]);
    expect(found?.ladder.map(({ detail }) => detail).filter((detail) => detail !== undefined)).toEqual([
      "INVITE",
      "INVITE",
      "INVITE",
      "INVITE",
      "BYE",
      "BYE",
    ]);
    expect(found?.summary).toMatchObject({ state: "ended", direction: "inbound", devices: ["mobile", "tablet"] });
  });

  test("bodies, credentials and line tokens are masked", () => {
    const { bench, wake, alice } = call();
    const all = JSON.stringify(bench.anchor.call(wake.call)) + JSON.stringify(bench.events);
    expect(all).not.toContain("5ec4e7");
    expect(all).not.toContain("m=audio");
    expect(all).not.toContain(alice.line);
  });

  test("is bounded in entries and characters", () => {
    const ladder = new Ladder();
    const text = "x".repeat(ladderCharsMax / 2);
    for (let n = 0; n < ladderEntriesMax + 5; n++) {
      ladder.add({ atMs: n, from: "server", to: "wakeline", label: "INFO", text });
    }
    expect(ladder.entries).toHaveLength(ladderEntriesMax);
    expect(ladder.entries.at(-2)?.label).toBe("INFO");
    expect(ladder.entries.at(-1)?.label).toBe("further steps are not kept");
    expect(ladder.entries.filter((entry) => entry.text !== undefined)).toHaveLength(2);
  });

  test("the last calls are kept, the others go", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: { wakeable: false } });
    for (let n = 0; n < laddersKeptMax + 10; n++) server.invites(alice);
    const calls = bench.anchor.calls();
    expect(calls).toHaveLength(laddersKeptMax);
    expect(calls[0]?.callId).toBe(server.inbox.at(-1)?.get("Call-ID"));
  });
});

describe("a trace", () => {
  test("sends every message of the account upward until its end, and of no other account", () => {
    const { bench, server, alice, mobile } = scene();
    bench.anchor.traceStart(alice.accountId, bench.clock.wallMs() + 60_000);
    mobile.opens();
    mobile.request("MESSAGE", alice);
    server.answers(server.gets("MESSAGE"), 200);
    const rungs = bench.taken("ladder").map(({ entry }) => `${entry.from} → ${entry.to}: ${entry.label}`);
    expect(rungs).toEqual([
      "device → wakeline: MESSAGE",
      "wakeline → server: MESSAGE",
      "server → wakeline: 200 OK",
      "wakeline → device: 200 OK",
    ]);
    const bob = bench.addAccount("bob", server, { desk: {} });
    server.invites(bob);
    expect(bench.taken("ladder")).toEqual([]);
    bench.pass(60_010);
    server.invites(alice);
    expect(bench.taken("ladder")).toEqual([]);
  });

  test("of a text message and its answer, phone's side too", () => {
    const { bench, server, alice, mobile } = scene();
    bench.anchor.traceStart(alice.accountId, bench.clock.wallMs() + 60_000);
    mobile.opens();
    server.sends(server.request("MESSAGE", alice, { body: "x" }).text);
    mobile.answers(mobile.gets("MESSAGE"), 200);
    expect(bench.taken("ladder").map(({ entry }) => `${entry.from} → ${entry.to}: ${entry.label}`)).toEqual([
      "server → wakeline: MESSAGE",
      "wakeline → device: MESSAGE",
      "device → wakeline: 200 OK",
      "wakeline → server: 200 OK",
    ]);
  });

  test("of our own SUBSCRIBE", () => {
    const { bench, alice } = scene();
    bench.anchor.traceStart(alice.accountId, bench.clock.wallMs() + 60_000);
    bench.anchor.onRegistration(alice.accountId, true);
    bench.pass(5_100);
    expect(bench.taken("ladder").map(({ entry }) => entry.label)).toEqual(["SUBSCRIBE"]);
  });

  test("over 64 at a time the oldest ends", () => {
    const { bench, server, alice } = scene();
    const untilMs = bench.clock.wallMs() + 60_000;
    bench.anchor.traceStart(alice.accountId, untilMs);
    for (let n = 0; n < tracesMax - 1; n++) bench.anchor.traceStart(`other-${n}` as AccountId, untilMs);
    server.invites(alice);
    expect(bench.taken("ladder").length).toBeGreaterThan(0);
    bench.anchor.traceStart("one-more" as AccountId, untilMs);
    server.invites(alice);
    expect(bench.taken("ladder")).toEqual([]);
  });
});

describe("the journal", () => {
  test("of a call that one device answered", () => {
    const { bench, wake } = call();
    const entries = bench.taken("journal").map(({ summary, targets }) => `${summary.state}: ${targets.join(" ")}`);
    expect(entries).toEqual([
      "ringing: mobile tablet",
      "answered: mobile",
      "answeredElsewhere: tablet",
      "ended: mobile",
    ]);
    expect(bench.taken("callState").map(({ state, over }) => `${state} ${over}`)).toEqual([
      "answered false",
      "ended true",
    ]);
    const summary = bench.anchor.call(wake.call)?.summary;
    expect((summary?.answeredAtMs ?? 0) - (summary?.startedAtMs ?? 0)).toBe(1_000);
    expect((summary?.endedAtMs ?? 0) - (summary?.answeredAtMs ?? 0)).toBe(10_000);
  });

  test("says nothing of calls that the phone makes", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    mobile.request("INVITE", alice);
    server.answers(server.gets("INVITE"), 486);
    expect(bench.taken("journal")).toEqual([]);
    expect(bench.anchor.calls()[0]).toMatchObject({ direction: "outbound", state: "ended" });
  });
});

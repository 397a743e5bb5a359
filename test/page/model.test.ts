import { describe, expect, test } from "bun:test";
import type { Rung, Summary } from "../../src/page/api/answers.ts";
import { SseParser, type ServerEvent } from "../../src/page/api/sse-parser.ts";
import { funnelOf, providersOf } from "../../src/page/model/funnel.ts";
import { noHistory, withPast, withSummary, type History } from "../../src/page/model/history.ts";
import { fitLabel, layoutLadder } from "../../src/page/model/ladder-layout.ts";
import { hrefOf, routeOf, type Route } from "../../src/page/model/route.ts";
import { sparkPath } from "../../src/page/model/spark-path.ts";

describe("wake funnel", () => {
  test("is empty before the first wake", () => {
    expect(funnelOf({ began: 0, steps: {} })).toEqual([]);
  });

  test("bars are shares of the widest step; a step that never happened has no times", () => {
    const stages = funnelOf({
      began: 8,
      steps: {
        invite_to_push: { count: 6, p50Ms: 4, p99Ms: 90 },
        push_to_tunnel: { count: 4, p50Ms: 900, p99Ms: 900 },
      },
    });
    expect(stages.map(({ count, width, p50Ms }) => [count, width, p50Ms])).toEqual([
      [8, 1, undefined],
      [6, 0.75, 4],
      [4, 0.5, 900],
      [0, 0, undefined],
      [0, 0, undefined],
      [0, 0, undefined],
    ]);
    expect(stages.map(({ name }) => name)).toEqual([
      "INVITE came",
      "Push accepted",
      "Tunnel opened",
      "INVITE passed on",
      "Ringing",
      "Answered",
    ]);
  });

  test("the busiest provider comes first", () => {
    const wakesByProvider = { fcm: { began: 2, steps: {} }, apns: { began: 9, steps: {} } };
    expect(providersOf({ wakesByProvider })).toEqual(["apns", "fcm"]);
  });
});

describe("ladder layout", () => {
  const at = (ms: number): string => new Date(Date.parse("2026-11-24T12:00:00Z") + ms).toISOString();
  const rungs: readonly Rung[] = [
    { at: at(0), from: "server", to: "wakeline", label: "INVITE" },
    { at: at(3), from: "wakeline", to: "push", device: "a", label: "wake" },
    { at: at(900), from: "wakeline", to: "device", device: "b", label: "INVITE" },
    { at: at(950), from: "wakeline", to: "device", device: "a", label: "INVITE" },
    { at: at(4_000), from: "wakeline", to: "wakeline", label: "deadline" },
  ];

  test("rails are server, Wakeline, each device as it appears, push", () => {
    const { rails } = layoutLadder(rungs, 800);
    expect(rails.map(({ key }) => key)).toEqual(["server", "wakeline", "device b", "device a", "push"]);
    expect(rails.map(({ name }) => name)).toEqual(["Server", "Wakeline", "Device", "Device 2", "Push"]);
    expect(layoutLadder([], 800).rails.map(({ key }) => key)).toEqual(["server", "wakeline"]);
  });

  test("everything stands inside the drawing, at any width", () => {
    for (const widthPx of [260, 328, 560, 860]) {
      const { rails, arrows, heightPx, timePx } = layoutLadder(rungs, widthPx);
      for (const { x } of rails) expect(x > timePx && x < widthPx).toBe(true);
      for (const { y } of arrows) expect(y < heightPx).toBe(true);
      const ys = arrows.map(({ y }) => y);
      expect(ys).toEqual([...new Set(ys)].sort((a, b) => a - b));
    }
  });

  test("an arrow runs between the rails of its ends; what happens on one rail is marked so", () => {
    const { rails, arrows } = layoutLadder(rungs, 800);
    const xOf = (key: string) => rails.find((rail) => rail.key === key)?.x;
    expect([arrows[3]?.fromX, arrows[3]?.toX]).toEqual([xOf("wakeline"), xOf("device a")]);
    expect(arrows.map(({ isOwn }) => isOwn)).toEqual([false, false, false, false, true]);
    expect(arrows.map(({ time }) => time)).toEqual(["+0.000", "+0.003", "+0.900", "+0.950", "+4.000"]);
  });

  test("a silence over a second is told, a shorter one is not", () => {
    expect(layoutLadder(rungs, 800).gaps.map(({ ms }) => ms)).toEqual([3_050]);
  });

  test("labels keep inside their room: whole, first word, or cut", () => {
    expect(fitLabel("183 Session Progress", 400)).toBe("183 Session Progress");
    expect(fitLabel("183 Session Progress", 60)).toBe("183");
    expect(fitLabel("SUBSCRIBE", 40)).toBe("SUBS…");
    expect([fitLabel("200 OK", 400, "BYE"), fitLabel("200 OK", 60, "BYE")]).toEqual(["200 OK (BYE)", "200 OK"]);
    expect(fitLabel("", 40)).toBe("");
  });
});

describe("history of the summary", () => {
  const summary = (registered: number): Summary =>
    ({
      registrations: { idle: 0, registering: 1, registered, retrying: 0, refused: 2, unregistering: 0 },
      memoryBytes: 5,
      shards: [{ loopDelayMs: 1 }, { loopDelayMs: 7 }, {}],
    }) as unknown as Summary;

  test("keeps a column of each state, and the slowest shard", () => {
    const history = withSummary(withSummary(noHistory, summary(3), 1_000), summary(4), 3_000);
    expect(history.atSec).toEqual([1, 3]);
    expect(history.registrations.registered).toEqual([3, 4]);
    expect(history.registrations.refused).toEqual([2, 2]);
    expect(history.loopDelayMs).toEqual([7, 7]);
  });

  test("drops the oldest after an hour", () => {
    let history = noHistory;
    for (let n = 0; n < 1_805; n++) history = withSummary(history, summary(n), n * 2_000);
    expect(history.atSec.length).toBe(1_800);
    expect([history.atSec[0], history.registrations.registered[0]]).toEqual([10, 5]);
  });

  test("what the server remembers fills the time before and the gaps, and doubles nothing", () => {
    const past = (...atSec: readonly number[]): History => ({
      atSec,
      registrations: Object.fromEntries(
        Object.keys(noHistory.registrations).map((state) => [state, atSec.map((at) => at + 1_000)]),
      ) as unknown as History["registrations"],
      memoryBytes: atSec.map(() => 5),
      loopDelayMs: atSec.map(() => 1),
    });
    let history = noHistory;
    for (const atSec of [100, 102, 104, 160, 162]) history = withSummary(history, summary(atSec), atSec * 1_000);
    const filled = withPast(history, past(80, 90, 100, 110, 120, 130, 140, 150, 160));
    expect(filled.atSec).toEqual([80, 90, 100, 102, 104, 120, 130, 140, 150, 160, 162]);
    expect(filled.registrations.registered.slice(0, 3)).toEqual([1_080, 1_090, 100]);
    expect(filled.registrations.registered[5]).toBe(1_120);
    expect(withPast(filled, past(80, 90)).atSec).toEqual([...filled.atSec]);
    // Alone it is the whole history.
    expect(withPast(noHistory, past(10, 20)).registrations.refused).toEqual([1_010, 1_020]);
    // An hour at most.
    expect(withPast(withSummary(noHistory, summary(1), 3_700_000), past(90, 110)).atSec).toEqual([110, 3_700]);
  });
});

describe("route", () => {
  test("each has an address that leads back to it", () => {
    const routes: readonly Route[] = [
      { view: "overview" },
      { view: "calls" },
      { view: "call", call: "a/b c" },
      { view: "accounts" },
      { view: "account", account: "01a2-x" },
    ];
    for (const route of routes) expect(routeOf(hrefOf(route))).toEqual(route);
  });

  test("anything else is the overview, and a broken escape does no harm", () => {
    for (const fragment of ["", "#", "#/nonsense/x", "#overview"])
      expect(routeOf(fragment)).toEqual({ view: "overview" });
    expect(routeOf("#/calls/%zz")).toEqual({ view: "call", call: "%zz" });
    expect(routeOf("#/calls/")).toEqual({ view: "calls" });
  });
});

describe("spark line", () => {
  test("goes from edge to edge, low below high; what is steady runs in the middle", () => {
    expect(sparkPath([10, 20, 30], [1, 3, 2], 100, 26)).toBe("M0.0 23.0L50.0 3.0L100.0 13.0");
    expect(sparkPath([10, 12, 30], [1, 3, 2], 100, 26)).toBe("M0.0 23.0L10.0 3.0L100.0 13.0");
    expect(sparkPath([10, 20], [5, 5], 100, 26)).toBe("M0.0 13.0L100.0 13.0");
    expect(sparkPath([10], [5], 100, 26)).toBe("");
  });
});

describe("event stream, WHATWG HTML §9.2.6", () => {
  const parse = (pieces: readonly string[]): readonly ServerEvent[] => {
    const events: ServerEvent[] = [];
    const parser = new SseParser((event) => events.push(event));
    for (const piece of pieces) parser.push(piece);
    return events;
  };
  const text =
    'retry: 2000\n\nevent: call\ndata: {"a":1}\n\n: beat\n\ndata: x\r\ndata: y\r\n\r\nevent: none\n\ndata:z\n\n';
  const events = [
    { topic: "call", data: '{"a":1}' },
    { topic: "message", data: "x\ny" },
    { topic: "message", data: "z" },
  ];

  test("reads topics and data, skips comments and events without data", () => {
    expect(parse([text])).toEqual(events);
  });

  test("reads the same in pieces of one character", () => {
    expect(parse(text.split(""))).toEqual(events);
  });

  test("an unfinished event is none", () => {
    expect(parse(["data: x\n"])).toEqual([]);
  });
});

import { describe, expect, test } from "bun:test";
import { Counter, Lane } from "../../src/observe/lanes.ts";
import { Metrics } from "../../src/observe/metrics.ts";

function lanesOf(count: number): Lane[] {
  const buffer = new SharedArrayBuffer(Lane.bytes(count));
  return Array.from({ length: count }, (_, lane) => new Lane(buffer, lane));
}

/** Value of one line of the exposition. */
function valueOf(text: string, series: string): number | undefined {
  const line = text.split("\n").find((line) => line.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

describe("metrics exposition", () => {
  test("adds the lanes of all shards up", async () => {
    const lanes = lanesOf(2);
    const metrics = new Metrics({ lanes, startedAtMs: 0 });
    lanes[0]?.set(Counter.registrationsRegistered, 3);
    lanes[1]?.set(Counter.registrationsRegistered, 4);
    lanes[1]?.add(Counter.registerSent, 9);
    lanes[0]?.add(Counter.registerAnswers401, 2);
    lanes[0]?.add(Counter.callsMissed, 1);
    lanes[0]?.add(Counter.datagramsIn, 5);
    lanes[1]?.add(Counter.faultsTick, 1);
    const text = await metrics.text();
    expect(valueOf(text, 'wakeline_registrations{state="registered"}')).toBe(7);
    expect(valueOf(text, "wakeline_register_sent_total")).toBe(9);
    expect(valueOf(text, 'wakeline_register_answers_total{status="401"}')).toBe(2);
    expect(valueOf(text, 'wakeline_calls_total{outcome="missed"}')).toBe(1);
    expect(valueOf(text, 'wakeline_datagrams_total{direction="in"}')).toBe(5);
    expect(valueOf(text, 'wakeline_faults_total{where="tick"}')).toBe(1);
    expect(valueOf(text, 'wakeline_shard_registered{shard="1"}')).toBe(4);
  });

  test("tells how late each thread runs, and what the one that is worst off refuses", async () => {
    const [first, second, main] = lanesOf(3);
    if (first === undefined || second === undefined || main === undefined) throw new Error("no lanes");
    const metrics = new Metrics({ lanes: [first, second], main, startedAtMs: 0 });
    second.set(Counter.loopDelayMs, 20);
    main.set(Counter.loopDelayMs, 300);
    main.set(Counter.strain, 2);
    const text = await metrics.text();
    expect(valueOf(text, 'wakeline_shard_loop_delay_seconds{shard="1"}')).toBe(0.02);
    expect(valueOf(text, "wakeline_main_loop_delay_seconds")).toBe(0.3);
    expect(valueOf(text, "wakeline_strain")).toBe(2);
  });

  test("reading twice does not count twice", async () => {
    const lanes = lanesOf(1);
    const metrics = new Metrics({ lanes, startedAtMs: 0 });
    lanes[0]?.add(Counter.registerSent, 2);
    await metrics.text();
    expect(valueOf(await metrics.text(), "wakeline_register_sent_total")).toBe(2);
  });

  test("every name that is promised stands there before anything happened", async () => {
    const text = await new Metrics({ lanes: lanesOf(1), startedAtMs: 0 }).text();
    for (const series of [
      'wakeline_registrations{state="refused"}',
      "wakeline_register_sent_total",
      'wakeline_register_answers_total{status="200"}',
      'wakeline_calls_total{outcome="answered"}',
      'wakeline_wake_seconds_count{step="invite_to_push"}',
      'wakeline_wake_seconds_count{step="push_to_tunnel"}',
      'wakeline_wake_seconds_count{step="tunnel_to_invite"}',
      'wakeline_wake_seconds_count{step="invite_to_answer"}',
      "wakeline_tunnels",
      'wakeline_datagrams_total{direction="out"}',
      'wakeline_faults_total{where="datagram"}',
      'wakeline_faults_total{where="http"}',
      "wakeline_shard_restarts_total",
    ]) {
      expect([series, valueOf(text, series)]).toEqual([series, 0]);
    }
    expect(text).toContain("# TYPE wakeline_push_total counter");
    expect(valueOf(text, "process_resident_memory_bytes")).toBeGreaterThan(1e6);
  });

  test("wake steps are histograms in seconds; a clock set back counts as nothing", async () => {
    const metrics = new Metrics({ lanes: lanesOf(1), startedAtMs: 0 });
    metrics.wakeStep("invite_to_push", 15);
    metrics.wakeStep("invite_to_push", -3);
    const text = await metrics.text();
    expect(valueOf(text, 'wakeline_wake_seconds_bucket{le="0.02",step="invite_to_push"}')).toBe(2);
    expect(valueOf(text, 'wakeline_wake_seconds_bucket{le="0.01",step="invite_to_push"}')).toBe(1);
    expect(valueOf(text, 'wakeline_wake_seconds_sum{step="invite_to_push"}')).toBeCloseTo(0.015);
  });

  test("tells median and 99th percentile of the latest wakes", () => {
    const metrics = new Metrics({ lanes: lanesOf(1), startedAtMs: 0 });
    for (let ms = 1; ms <= 100; ms++) metrics.wakeStep("push_to_tunnel", ms);
    expect(metrics.wakeFigures()).toEqual({ push_to_tunnel: { p50Ms: 51, p99Ms: 100 } });
  });

  test("tunnels and restarts are read where they are known", async () => {
    const metrics = new Metrics({ lanes: lanesOf(1), startedAtMs: 0 });
    metrics.watch({ tunnels: () => 12, restarts: () => 2 });
    metrics.pushes.outcome("fcm", "accepted");
    metrics.fault("tunnel");
    const text = await metrics.text();
    expect(valueOf(text, "wakeline_tunnels")).toBe(12);
    expect(valueOf(text, "wakeline_shard_restarts_total")).toBe(2);
    expect(valueOf(text, 'wakeline_push_total{provider="fcm",outcome="accepted"}')).toBe(1);
    expect(valueOf(text, 'wakeline_faults_total{where="tunnel"}')).toBe(1);
  });
});

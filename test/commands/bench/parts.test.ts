import { describe, expect, test } from "bun:test";
import { runBenchRegistrations } from "../../../src/commands/bench.ts";
import { Readings } from "../../../src/commands/bench/readings.ts";
import { expandTemplate, isTemplate } from "../../../src/commands/bench/template.ts";

describe("templates of the load tool", () => {
  test("number with and without padding, once", () => {
    expect(expandTemplate("u%06d", 42)).toBe("u000042");
    expect(expandTemplate("user%d@x", 42)).toBe("user42@x");
    expect(expandTemplate("u%02d", 12_345)).toBe("u12345");
    expect(expandTemplate("same", 1)).toBe("same");
  });

  test("one without a number gives every account the same name", () => {
    expect([isTemplate("u%06d"), isTemplate("u%d"), isTemplate("u%6d"), isTemplate("u")]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

describe("readings of metrics", () => {
  const text = [
    "# TYPE wakeline_registrations gauge",
    'wakeline_registrations{state="registered"} 12',
    'wakeline_shard_loop_delay_seconds{shard="0"} 0.002',
    'wakeline_shard_loop_delay_seconds{shard="1"} 0.25',
    "process_cpu_seconds_total 1.5",
  ].join("\n");

  test("by name and label, 0 where there is none, the largest of the shards", () => {
    const readings = Readings.parse(text, 5);
    expect(readings.registered).toBe(12);
    expect(readings.lapsed).toBe(0);
    expect(readings.loopDelayMs).toBe(250);
    expect(readings.cpuUs).toBe(1_500_000);
  });
});

describe("wakeline bench registrations", () => {
  const options = {
    registrar: "127.0.0.1:5070",
    count: 10,
    userTemplate: "u%06d",
    passwordTemplate: "p%06d",
    domain: undefined,
    expires: 600,
    seconds: 1,
    calls: 0,
    silence: 0,
    shards: 1,
    kill: false,
    keep: false,
    json: true,
  };

  test.each([
    ["a registrar without a port", { registrar: "127.0.0.1" }, "--registrar"],
    ["no accounts", { count: 0 }, "--count"],
    ["one name for all", { userTemplate: "u" }, "--user-template"],
    ["no number of seconds", { seconds: Number.NaN }, "--seconds"],
    ["a negative rate", { calls: -1 }, "--calls"],
  ])("%s is wrong usage: exit code 2 and one line", async (_what, change, named) => {
    const lines: string[] = [];
    const io = { out: () => {}, err: (line: string) => void lines.push(line) };
    expect(await runBenchRegistrations({ ...options, ...change }, io)).toBe(2);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toStartWith(named);
  });
});

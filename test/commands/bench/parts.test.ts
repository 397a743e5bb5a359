import { describe, expect, test } from "bun:test";
import { runBenchRegistrations } from "../../../src/commands/bench.ts";
import { gcLogEnv, gcPausesOf, lastWordsOf } from "../../../src/commands/bench/gc-pauses.ts";
import { Readings } from "../../../src/commands/bench/readings.ts";
import { type LoadReport, reportJson, shortfalls } from "../../../src/commands/bench/report.ts";
import { expandTemplate, isTemplate } from "../../../src/commands/bench/template.ts";
import { threadCpuOf } from "../../../src/commands/bench/thread-cpu.ts";

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

describe("processor time by thread", () => {
  test("is told of a process that is there, and is no more than what it took in all", () => {
    const threads = threadCpuOf(process.pid);
    const { user, system } = process.cpuUsage();
    // This very test run: it has computed for longer than a tick.
    expect(threads?.main).toBeGreaterThan(0);
    expect((threads?.main ?? 0) + (threads?.workers ?? 0) + (threads?.others ?? 0)).toBeLessThanOrEqual(
      (user + system) / 1_000,
    );
  });

  test("is told by kind: a worker's is not the main thread's", async () => {
    // In a process of its own: here workers of other tests end meanwhile, and take what they had with them. This one stays.
    const burn =
      "let sum = 0; for (let n = 0; n < 3e8; n++) sum = (sum + n) | 0; postMessage(sum); setInterval(() => {}, 60_000);";
    const code = `new Worker(${JSON.stringify(`data:text/javascript,${encodeURIComponent(burn)}`)}).onmessage = () => console.log("burnt");`;
    const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe" });
    try {
      await child.stdout.getReader().read();
      expect(threadCpuOf(child.pid)?.workers).toBeGreaterThanOrEqual(50);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  });

  test("of a process that is not there is none", () => {
    expect(threadCpuOf(2 ** 30)).toBeUndefined();
  });
});

describe("garbage collection pauses", () => {
  const log = [
    "[GC<0x3fe55808118>: starting 0.017146ms]",
    "Requesting GC because bytes allocated this cycle: 8390262 exceed bytes allowed: 8388608",
    "[GC<0x3fe55808118>: START M 8891kb => EdenCollection, a=0kb hf=0.000 v=0kb 29+0 p=1.671331ms (max 1.671331)...]",
    "[GC<0x3fe55808118>: M a=724kb => 10828kb, p=0.5ms (max 1.671331), cycle 7.539212ms END]",
    "GC END!",
  ].join("\n");

  test("of one collection that held its thread twice: each pause, their sum, the longest", () => {
    expect(gcPausesOf(log)).toEqual({ count: 2, totalMs: 2.2, longestMs: 1.7 });
    expect(gcPausesOf("")).toEqual({ count: 0, totalMs: 0, longestMs: 0 });
  });

  test("are in what this very engine writes", async () => {
    const child = Bun.spawn([process.execPath, "-e", "Bun.gc(true)"], {
      env: { ...process.env, ...gcLogEnv },
      stderr: "pipe",
    });
    const { count, longestMs } = gcPausesOf(await new Response(child.stderr).text());
    expect(count).toBeGreaterThan(0);
    expect(longestMs).toBeGreaterThan(0);
  });

  test("are not taken for a server's last words", () => {
    expect(lastWordsOf(`error: port 5060 is taken\n${log}\n`)).toBe("error: port 5060 is taken");
    expect(lastWordsOf(log)).toBe("");
  });
});

describe("what the load tool reports", () => {
  const report: LoadReport = {
    count: 10,
    shards: 1,
    registered: 10,
    refused: 0,
    lapsed: 0,
    refreshes: 0,
    retransmissions: 0,
    retransmissionsColdStart: 0,
    sendsDropped: 0,
    cpuUsPerRegistration: undefined,
    cpuUsPerRefresh: 0,
    cpuUsPerRefreshNet: 0,
    idleCpuPercent: 1,
    refreshesPerSec: 0,
    cpuMsByThread: undefined,
    bytesPerRegistration: 0,
    residentBytes: 1,
    readyMs: 1,
    wallMsAllRegistered: undefined,
    loopDelayMsPeak: 1,
    loopDelayMsHold: 12,
    mainDelayMsHold: 3,
    gcPauses: { count: 0, totalMs: 0, longestMs: 0 },
    gcPausesHold: { count: 0, totalMs: 0, longestMs: 0 },
    silence: undefined,
    restart: undefined,
    wakeMs: undefined,
    tunnelMs: undefined,
    cpuUsPerCall: undefined,
    calls: undefined,
  };

  test("what was not measured is null in the JSON, not a missing key and not a made-up figure", () => {
    expect(JSON.parse(reportJson(report))).toMatchObject({
      wakeMs: null,
      wallMsAllRegistered: null,
      cpuUsPerRegistration: null,
    });
  });

  test.each([
    ["all registered", {}, []],
    ["a silent registrar", { registered: 0 }, ["none of 10 registered: nothing answers at 127.0.0.1:5070"]],
    ["refused passwords", { registered: 7, refused: 3 }, ["7 of 10 are registered, 3 were refused"]],
    ["lapsed ones", { lapsed: 2 }, ["2 registrations lapsed"]],
  ] as const)("says in words what went wrong: %s", (_what, change, lines) => {
    expect(shortfalls({ ...report, ...change }, "127.0.0.1:5070")).toEqual([...lines]);
  });
});

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Columns, columnsBytes, openColumns } from "../../src/keeper/columns.ts";
import { openColumnsFile } from "../../src/keeper/columns-file.ts";
import { Flag } from "../../src/keeper/row-flags.ts";
import { accountIdOf, accountOf, BenchShard } from "./bench-shard.ts";

describe("a restart on the same columns", () => {
  test("sends no REGISTER while the bindings are good, and refreshes on time", () => {
    const shard = new BenchShard();
    for (let n = 1; n <= 30; n++) shard.add(n);
    shard.run(200_000);
    const before = shard.registrar.requests;
    shard.restart({ downMs: 2000 });
    expect(shard.count("registrationsRegistered")).toBe(30);
    shard.run(200_000);
    expect(shard.registrar.requests).toBe(before);
    shard.run(1_000_000);
    expect(shard.count("registerLapsed")).toBe(0);
    expect(shard.registrar.registered).toBe(30);
  });

  test("keeps Call-ID, CSeq order and line tokens", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    const token = /line=(\w+)/.exec(shard.registrar.heard[0]!.text)![1]!;
    shard.restart();
    expect(shard.keeper.rowByLine(token)).toBe(shard.keeper.rowOf(account));
    shard.run(600_000);
    expect(new Set(shard.registrar.heard.map((one) => one.callId)).size).toBe(1);
    const cseqs = shard.registrar.heard.map((one) => one.cseq);
    expect(cseqs).toEqual(cseqs.toSorted((a, b) => a - b));
    expect(new Set(cseqs).size).toBe(cseqs.length);
  });

  test("sends nothing before the first tick: the shard is still being put together", () => {
    const shard = new BenchShard();
    for (let n = 1; n <= 3; n++) shard.directory.put(accountOf(n));
    shard.keeper.start();
    shard.host.flush();
    expect(shard.host.sent).toBe(0);
    shard.run(100);
    expect(shard.count("registrationsRegistered")).toBe(3);
  });

  test("knows its server before any look-up", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.locator.failing = { ok: false, reason: "unavailable", text: "no resolver" };
    shard.restart();
    const row = shard.keeper.rowOf(account)!;
    const source = { transport: "udp", address: "192.0.2.10", port: 5060, connection: 0 as never } as const;
    expect(shard.keeper.isServer(row, source)).toBe(true);
    expect(shard.keeper.status(account)).toMatchObject({ registrar: "192.0.2.10:5060", state: "registered" });
  });

  test("a resolver that is dead stops nobody who was registered", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.locator.failing = { ok: false, reason: "unavailable", text: "no resolver" };
    shard.restart();
    shard.run(1_800_000, 100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.count("registerLapsed")).toBe(0);
  });

  test("what ran out while nobody looked registers anew, through the budget", () => {
    const shard = new BenchShard();
    for (let n = 1; n <= 30; n++) shard.add(n);
    shard.run(1000);
    shard.restart({ downMs: 1_000_000 });
    shard.run(2000);
    expect(shard.count("registrationsRegistered")).toBe(30);
    expect(shard.registrar.registered).toBe(30);
  });

  test("in the middle of an attempt tries again", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = () => "silence";
    const account = shard.add(1);
    shard.run(300);
    shard.restart();
    shard.registrar.behaviour = undefined;
    shard.run(6000);
    expect(shard.state(account)).toBe("registered");
  });

  test("accounts that left meanwhile are forgotten, new ones registered", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    const gone = shard.add(1);
    shard.run(100);
    shard.directory.remove(gone);
    shard.directory.put({ ...shard.directory.account(shard.add(2))!, accountId: accountIdOf(3), username: "u3" });
    shard.restart();
    shard.run(6000);
    expect(shard.keeper.rowOf(gone)).toBeUndefined();
    expect(shard.columns.size).toBe(2);
    expect(shard.registrar.bindingsOf("u3")).toHaveLength(1);
  });

  test("an account that is no longer wanted is un-REGISTERed", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.directory.unwanted.add(account);
    shard.restart();
    shard.run(6000);
    expect(shard.state(account)).toBe("idle");
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
  });

  test("with another port the old Contact is removed by the REGISTER that brings the new one", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(10_000);
    shard.restart({ port: 5070 });
    shard.run(1000);
    const moved = shard.registrar.heard.find((one) => one.contacts.length === 2)!;
    expect(moved.contacts.map((one) => one.params.get("expires"))).toEqual([undefined, "0"]);
    expect(moved.contacts[0]!.uri).toContain(":5070;");
    expect(moved.contacts[1]!.uri).toContain(":5060;");
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
    expect(shard.registrar.bindingsOf("u1")[0]!.uri).toContain(":5070;");
    expect(shard.state(account)).toBe("registered");
  });

  test.each([
    ["whose file is lost", undefined],
    ["whose accounts come to another shard, with another port", 5061],
  ])("an earlier process %s: all register anew through the budget, and its Contacts are removed", (_name, port) => {
    const shard = new BenchShard({ registrar: { perSec: 1000 }, rows: 1024 });
    for (let n = 1; n <= 400; n++) shard.directory.put(accountOf(n));
    shard.keeper.start();
    shard.run(10_000);
    expect(shard.registrar.registered).toBe(400);
    const before = new Map(
      Array.from({ length: 400 }, (_, n) => [n + 1, shard.registrar.bindingsOf(`u${n + 1}`)[0]!.uri]),
    );
    shard.registrar.heard.length = 0;
    new Uint8Array(shard.memory).fill(0);
    shard.restart({ downMs: 2000, ...(port === undefined ? {} : { port }) });
    shard.run(20_000);
    expect(shard.count("registrationsRegistered")).toBe(400);
    expect(shard.registrar.dropped).toBe(0);
    for (let n = 1; n <= 400; n++) {
      const uris = shard.registrar.bindingsOf(`u${n}`).map(({ uri }) => uri);
      expect(uris).toHaveLength(1);
      expect(uris).not.toContain(before.get(n));
    }
    // Challenge, answer, and once more to remove what the 200 listed.
    expect(shard.registrar.heard.length).toBeLessThanOrEqual(400 * 3);
  });

  test("a torn row is rebuilt from the directory with other names, the rest goes on", () => {
    const shard = new BenchShard();
    const accounts = [1, 2, 3].map((n) => shard.add(n));
    shard.run(100);
    const row = shard.keeper.rowOf(accounts[1]!)!;
    const before = shard.registrar.requests;
    const words = new Uint32Array(shard.memory);
    words[1024 + row * 28 + 10]! += 1;
    const token = /line=(\w+)/.exec(shard.registrar.heard.find((one) => one.user === "u2")!.text)![1]!;
    shard.restart();
    expect(shard.columns.torn).toBe(1);
    shard.run(1000);
    expect(shard.keeper.rowByLine(token)).toBeUndefined();
    expect(shard.count("registrationsRegistered")).toBe(3);
    // Plain, challenged, and the stale binding of before removed.
    expect(shard.registrar.requests - before).toBeLessThanOrEqual(3);
    expect(shard.registrar.bindingsOf("u2")).toHaveLength(1);
    const callIds = new Set(shard.registrar.heard.filter((one) => one.user === "u2").map((one) => one.callId));
    expect(callIds.size).toBe(2);
  });

  test("a file of another layout is begun anew", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(10_000);
    new Uint32Array(shard.memory)[2]! += 1;
    shard.restart();
    expect(shard.columns.size).toBe(1);
    shard.run(6000);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
  });

  test("any single word that changed is noticed", () => {
    const shard = new BenchShard({ rows: 2 });
    shard.add(1);
    shard.run(100);
    const whole = shard.memory.slice(0);
    for (let word = 0; word < 28; word++) {
      const copy = whole.slice(0);
      new Uint32Array(copy)[1024 + word]! ^= 1 << (word % 32);
      const columns = openColumns(copy);
      expect([word, columns.size]).toEqual([word, 0]);
    }
    expect(openColumns(whole).size).toBe(1);
  });

  test("garbage in the whole file throws nothing and keeps nothing", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const shard = new BenchShard({ seed, rows: 16 });
      const account = shard.add(1);
      shard.run(100);
      const bytes = new Uint8Array(shard.memory);
      const noise = new Uint8Array(16 * 112);
      shard.random.bytes(noise);
      bytes.set(noise, 4096);
      new Uint32Array(shard.memory)[5] = seed % 2 === 0 ? 16 : 0xffff_ffff;
      shard.restart();
      shard.run(6000);
      expect(shard.state(account)).toBe("registered");
    }
  });
});

describe("the wall clock is set while the shard runs", () => {
  test.each([3_600_000, -3_600_000])(
    "by %d ms: nothing lapses, nothing is refreshed early, a restart is right",
    (byMs) => {
      const shard = new BenchShard();
      for (let n = 1; n <= 5; n++) shard.add(n);
      shard.run(100_000);
      const before = shard.registrar.requests;
      shard.clock.jumpWall(byMs);
      shard.run(100_000);
      expect(shard.registrar.requests).toBe(before);
      const status = shard.keeper.status(accountIdOf(1))!;
      expect((status.expiresAtMs! - shard.clock.wallMs()) / 1000).toBeWithin(399, 401);
      shard.restart();
      shard.run(100_000);
      expect(shard.registrar.requests).toBe(before);
      expect(shard.count("registrationsRegistered")).toBe(5);
      shard.run(900_000);
      expect(shard.count("registerLapsed")).toBe(0);
    },
  );
});

describe("columns in a file", () => {
  const folder = mkdtempSync(join(tmpdir(), "columns-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  test("are there again when it is opened anew, and only ours to read", () => {
    const path = join(folder, "shard-0.columns");
    const first = openColumnsFile(path, 100);
    const row = first.allocate(accountIdOf(7), 0, 0)!;
    first.setCSeq(row, 42);
    first.set(row, Flag.wanted, true);
    first.setServer(row, "tls", new Uint8Array([32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), 5061);
    first.seal(row);
    first.markClean(true);
    const second = openColumnsFile(path, 100);
    expect(second.wasClean).toBe(true);
    expect(second.find(accountIdOf(7))).toBe(row);
    expect(second.cseq(row)).toBe(42);
    expect(second.server(row)).toEqual({ transport: "tls", address: "2001:db8::1", port: 5061 });
    expect(openColumnsFile(path, 100).wasClean).toBe(false);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("a file of another size is begun anew", () => {
    const path = join(folder, "short.columns");
    openColumnsFile(path, 100).seal(0 as never);
    truncateSync(path, 5000);
    expect(openColumnsFile(path, 100).size).toBe(0);
    expect(statSync(path).size).toBe(columnsBytes(100));
  });

  test("takes no disk for rows not used", () => {
    const path = join(folder, "sparse.columns");
    openColumnsFile(path);
    const { size, blocks } = statSync(path);
    expect(size).toBeGreaterThan(100_000_000);
    expect(blocks * 512).toBeLessThan(1_000_000);
  });
});

describe("rows", () => {
  test("of accounts that left rest before others get them, unless there are no more", () => {
    const columns = new Columns(new Uint8Array(columnsBytes(3)));
    const a = columns.allocate(accountIdOf(1), 0, 1000)!;
    columns.free(a, 0);
    const b = columns.allocate(accountIdOf(2), 10, 1000)!;
    expect(b).not.toBe(a);
    const c = columns.allocate(accountIdOf(3), 20, 1000)!;
    expect(columns.allocate(accountIdOf(4), 30, 1000)).toBe(a);
    expect(columns.allocate(accountIdOf(5), 40, 1000)).toBeUndefined();
    columns.free(c, 50);
    expect(columns.find(accountIdOf(3))).toBeUndefined();
    expect(columns.find(accountIdOf(2))).toBe(b);
  });

  test("a shard that is full says so and goes on", () => {
    const shard = new BenchShard({ rows: 2 });
    for (let n = 1; n <= 3; n++) shard.add(n);
    shard.run(1000);
    expect(shard.count("registrationsRegistered")).toBe(2);
    expect(shard.state(accountIdOf(3))).toBeUndefined();
  });
});

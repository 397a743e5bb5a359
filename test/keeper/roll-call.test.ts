import { describe, expect, test } from "bun:test";
import type { ConnectionId, Source } from "../../src/net/network.ts";
import { lineOf } from "../fakes/virtual-registrar.ts";
import { accountIdOf, accountOf, BenchShard } from "./bench-shard.ts";

const server: Source = { transport: "udp", address: "192.0.2.10", port: 5060, connection: 0 as ConnectionId };
const count = 40;
const pageSize = 4;
/** Brought in before the first tick. */
const atOnce = 4 * pageSize;
/** In the last page: nobody has called it when the shard has just started. */
const last = count;

/** A shard with all registered whose process has just died and come back; the start has brought in four pages of ten. */
function restarted(meanwhile: (shard: BenchShard) => void = () => {}): BenchShard {
  const shard = new BenchShard();
  for (let n = 1; n <= count; n++) shard.add(n);
  shard.run(100_000);
  shard.directory.pageSize = pageSize;
  meanwhile(shard);
  shard.restart();
  return shard;
}

const lineTokenOf = (shard: BenchShard, n: number): string => lineOf(shard.registrar.bindingsOf(`u${n}`)[0]!.uri)!;

describe("a start that brings accounts in page by page", () => {
  test("counts all at once as its file has them, sends nothing, and is complete some ticks later", () => {
    const shard = restarted();
    const before = shard.registrar.requests;
    expect(shard.count("registrationsRegistered")).toBe(count);
    expect(shard.keeper.registrars()[0]?.accounts).toBe(atOnce);
    shard.run(100);
    expect(shard.keeper.registrars()[0]).toMatchObject({ accounts: count, registered: count });
    expect(shard.count("registrationsRegistered")).toBe(count);
    shard.run(200_000);
    expect(shard.registrar.requests).toBe(before);
    shard.run(600_000);
    expect(shard.count("registerLapsed")).toBe(0);
    expect(shard.registrar.registered).toBe(count);
  });

  test("after the death of its thread does not count on top of what the dead one counted", () => {
    const shard = new BenchShard();
    for (let n = 1; n <= count; n++) shard.add(n);
    shard.run(1000);
    const sent = shard.count("registerSent");
    shard.restart({ isThreadOnly: true });
    shard.run(1000);
    expect(shard.count("registrationsRegistered")).toBe(count);
    // What it has done is done all the same.
    expect(shard.count("registerSent")).toBe(sent);
  });

  test("serves a call for an account whose turn has not come, by its line token", () => {
    const shard = restarted();
    const row = shard.keeper.rowByLine(lineTokenOf(shard, last))!;
    expect(shard.keeper.accountId(row)).toBe(accountIdOf(last));
    expect(shard.keeper.isServer(row, server)).toBe(true);
    expect(shard.keeper.aor(row)).toEqual({ user: `u${last}`, domain: "virtual.test" });
    // Only that one was brought in for it.
    expect(shard.keeper.registrars()[0]?.accounts).toBe(atOnce + 1);
    shard.run(1000);
    expect(shard.keeper.registrars()[0]).toMatchObject({ accounts: count, registered: count });
  });

  test("reads nothing for a line token that is forged", () => {
    const shard = restarted();
    const token = lineTokenOf(shard, last);
    expect(shard.keeper.rowByLine(`${token.slice(0, -1)}${token.endsWith("a") ? "b" : "a"}`)).toBeUndefined();
    expect(shard.keeper.registrars()[0]?.accounts).toBe(atOnce);
  });

  test("finds an account by its user, of which all must be in", () => {
    const shard = restarted();
    const row = shard.keeper.rowByAddress(`u${last}`, server)!;
    expect(shard.keeper.accountId(row)).toBe(accountIdOf(last));
  });

  test("obeys a command for an account whose turn has not come", () => {
    const shard = restarted();
    const account = accountIdOf(last);
    expect(shard.keeper.status(account)).toMatchObject({ state: "registered" });
    shard.directory.unwanted.add(account);
    const request = shard.presence(account, false);
    shard.run(1000);
    expect(shard.answerOf(request)).toMatchObject({ isPending: false, status: { state: "idle" } });
    expect(shard.registrar.bindingsOf(`u${last}`)).toEqual([]);
    expect(shard.registrar.registered).toBe(count - 1);
  });

  test("does not bring in again what was removed before its turn", () => {
    const shard = restarted();
    // The store erases it only when the shard has its secret: the directory still names it.
    const request = shard.remove(accountIdOf(last));
    expect(shard.newsOf("removed")).toEqual([{ kind: "removed", requestId: request }]);
    shard.run(2000);
    expect(shard.registrar.bindingsOf(`u${last}`)).toEqual([]);
    expect(shard.keeper.rowOf(accountIdOf(last))).toBeUndefined();
    expect(shard.keeper.registrars()[0]?.accounts).toBe(count - 1);
  });

  test("takes what changed while the process was away, also of an account that was asked for before its turn", () => {
    const shard = restarted(({ directory }) => {
      directory.unwanted.add(accountIdOf(last));
      directory.remove(accountIdOf(last - 1));
      directory.put(accountOf(last - 2, { version: 2, expiresSec: 900 }));
      directory.put(accountOf(count + 1));
    });
    expect(shard.keeper.status(accountIdOf(last))).toMatchObject({ state: "registered" });
    // Gone for good: its row is nobody's.
    expect(shard.keeper.status(accountIdOf(last - 1))).toBeUndefined();
    expect(shard.count("registrationsRegistered")).toBe(count - 1);
    shard.run(2000);
    expect(shard.state(accountIdOf(last))).toBe("idle");
    expect(shard.registrar.bindingsOf(`u${last}`)).toEqual([]);
    expect(shard.registrar.heard.some(({ text }) => text.includes("Expires: 900"))).toBe(true);
    expect(shard.state(accountIdOf(count + 1))).toBe("registered");
    expect(shard.count("registrationsRegistered")).toBe(count - 1);
    expect(shard.count("registrationsIdle")).toBe(1);
  });

  test("drops the rows of accounts that went while the process was away", () => {
    const shard = restarted(({ directory }) => {
      for (let n = 21; n <= count; n++) directory.remove(accountIdOf(n));
    });
    expect(shard.count("registrationsRegistered")).toBe(count);
    shard.run(100);
    expect(shard.count("registrationsRegistered")).toBe(20);
    expect(shard.columns.size).toBe(20);
  });
});

describe("a cold start that brings accounts in page by page", () => {
  test("registers all, each once", () => {
    const shard = new BenchShard();
    shard.directory.pageSize = pageSize;
    for (let n = 1; n <= count; n++) shard.directory.put(accountOf(n));
    shard.keeper.start();
    // One comes by a command before its turn.
    expect(shard.presence(accountIdOf(last), true)).toBe(1);
    shard.run(2000);
    expect(shard.count("registrationsRegistered")).toBe(count);
    expect(shard.registrar.registered).toBe(count);
    expect(shard.count("registerSent")).toBe(2 * count);
  });
});

import { describe, expect, test } from "bun:test";
import { accountOf, BenchShard } from "./bench-shard.ts";

describe("an account that is removed", () => {
  test("is un-REGISTERed at once with credentials that the store no longer has", () => {
    const shard = new BenchShard({ registrar: { nonceUses: 1 } });
    const account = shard.add(1);
    shard.run(100);
    const id = shard.remove(account);
    expect(shard.newsOf("removed")).toEqual([{ kind: "removed", requestId: id }]);
    shard.directory.remove(account);
    shard.run(1000);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
    expect(shard.registrar.wrong).toBe(0);
    expect(shard.keeper.rowOf(account)).toBeUndefined();
    expect(shard.keeper.status(account)).toBeUndefined();
    expect(shard.columns.size).toBe(0);
    expect(shard.count("registrationsUnregistering")).toBe(0);
    expect(shard.keeper.registrars()).toEqual([]);
  });

  test("whose secret was never used yet is un-REGISTERed, too", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.restart();
    shard.remove(account);
    shard.directory.remove(account);
    shard.run(1000);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
  });

  test("leaves no secret to the account that gets its row", () => {
    const shard = new BenchShard({ rows: 1 });
    const first = shard.add(1);
    shard.run(100);
    shard.remove(first);
    shard.directory.remove(first);
    shard.run(1000);
    shard.directory.put(accountOf(2));
    shard.directory.secrets.clear();
    shard.registrar.heard.length = 0;
    shard.keeper.accountChanged(accountOf(2).accountId, true);
    shard.run(1000);
    expect(shard.state(accountOf(2).accountId)).toBe("refused");
    expect(shard.registrar.heard.map((one) => one.authorization)).toEqual([undefined]);
  });

  test("is no longer found by its line token, nor does it make news", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    const token = /line=(\w+)/.exec(shard.registrar.heard[0]!.text)![1]!;
    shard.registrar.behaviour = () => "silence";
    shard.news.length = 0;
    shard.remove(account);
    shard.directory.remove(account);
    shard.run(1000);
    expect(shard.keeper.rowByLine(token)).toBeUndefined();
    expect(shard.keeper.rowOf(account)).toBeUndefined();
    expect(shard.keeper.status(account)).toBeUndefined();
    expect(shard.newsOf("changed")).toEqual([]);
  });

  test("is asked for until the registrar answers", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.registrar.isSilent = true;
    shard.remove(account);
    shard.directory.remove(account);
    shard.run(120_000);
    expect(shard.columns.used).toBe(1);
    shard.registrar.isSilent = false;
    shard.run(15_000);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
    expect(shard.keeper.registrars()).toEqual([]);
  });

  test("is forgotten when its binding has run out without an answer", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.registrar.isSilent = true;
    shard.remove(account);
    shard.directory.remove(account);
    shard.run(900_000, 100);
    expect(shard.keeper.registrars()).toEqual([]);
    expect(shard.count("registrationsUnregistering")).toBe(0);
    const { requests } = shard.registrar;
    shard.run(600_000, 100);
    expect(shard.registrar.requests).toBe(requests);
  });

  test("while it registers waits for that answer first", () => {
    const shard = new BenchShard({ registrar: { thinkMs: 200 } });
    const account = shard.add(1);
    shard.run(250);
    shard.remove(account);
    shard.directory.remove(account);
    shard.run(3000);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
    expect(shard.keeper.registrars()).toEqual([]);
  });

  test("that was never registered is forgotten without a word", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.presence(account, false);
    shard.run(10_000);
    const before = shard.registrar.requests;
    const id = shard.remove(account);
    shard.run(1000);
    expect(shard.newsOf("removed")).toContainEqual({ kind: "removed", requestId: id });
    expect(shard.registrar.requests - before).toBe(0);
    expect(shard.keeper.registrars()).toEqual([]);
  });

  test("that nobody knows is removed already", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    const first = shard.remove(account);
    shard.directory.remove(account);
    shard.run(5000);
    const second = shard.remove(account);
    expect(shard.newsOf("removed").map((one) => one.requestId)).toEqual([first, second]);
  });

  test("whose password was refused is not tried once more", () => {
    const shard = new BenchShard();
    const account = shard.add(1, {}, { kind: "password", password: "wrong" });
    shard.run(1000);
    const { requests } = shard.registrar;
    shard.remove(account);
    shard.run(60_000);
    expect(shard.registrar.requests).toBe(requests);
    expect(shard.keeper.registrars()).toEqual([]);
  });

  test("that the directory lost without a word is treated as removed", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    const account = shard.add(1);
    shard.run(100);
    shard.directory.remove(account);
    shard.keeper.accountChanged(account, false);
    shard.run(100);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
    expect(shard.keeper.rowOf(account)).toBeUndefined();
  });

  test("who waited for its presence is told", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.registrar.isSilent = true;
    const id = shard.presence(account, false, 10_000);
    shard.remove(account);
    expect(shard.answerOf(id)).toMatchObject({ isPending: true });
  });
});

describe("an account that is changed", () => {
  test("with a new password registers with it at once", () => {
    const shard = new BenchShard({ registrar: { password: () => "one" } });
    const account = shard.add(1, {}, { kind: "password", password: "one" });
    shard.run(100);
    shard.registrar.options = { password: () => "two" };
    shard.directory.put({ ...shard.directory.account(account)!, version: 2 }, { kind: "password", password: "two" });
    shard.keeper.accountChanged(account, true);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.wrong).toBe(0);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
    // The same phone to the registrar: Call-ID and Contact stay.
    expect(new Set(shard.registrar.heard.map((one) => one.callId)).size).toBe(1);
  });

  test("with another user says farewell to the old binding", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    const row = shard.keeper.rowOf(account);
    const oldToken = /line=(\w+)/.exec(shard.registrar.heard[0]!.text)![1]!;
    shard.directory.put({ ...shard.directory.account(account)!, username: "other", version: 2 });
    shard.keeper.accountChanged(account, true);
    shard.run(1000);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
    expect(shard.registrar.bindingsOf("other")).toHaveLength(1);
    expect(shard.keeper.rowOf(account)).toBe(row);
    expect(shard.keeper.rowByLine(oldToken)).toBeUndefined();
    expect(shard.state(account)).toBe("registered");
    expect(shard.columns.size).toBe(1);
    expect(shard.count("registrationsRegistered")).toBe(1);
    expect(shard.count("registrationsUnregistering")).toBe(0);
    const sum = shard.keeper.registrars().reduce((total, one) => total + one.accounts, 0);
    expect(sum).toBe(1);
  });

  test("that is only wanted or not keeps its row and its Contact", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.keeper.accountChanged(account, false);
    shard.run(100);
    expect(shard.state(account)).toBe("idle");
    shard.keeper.accountChanged(account, true);
    shard.run(6000);
    expect(shard.state(account)).toBe("registered");
    expect(new Set(shard.registrar.heard.map((one) => one.contacts[0]!.uri)).size).toBe(1);
  });

  test("while its REGISTER is under way ends with the new data", () => {
    const shard = new BenchShard({ registrar: { thinkMs: 100, password: () => "two" } });
    const account = shard.add(1, {}, { kind: "password", password: "one" });
    shard.run(250);
    shard.directory.put({ ...shard.directory.account(account)!, version: 2 }, { kind: "password", password: "two" });
    shard.keeper.accountChanged(account, true);
    shard.run(10_000);
    expect(shard.state(account)).toBe("registered");
  });

  test("to a domain that is no host is retired", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.directory.put({ ...shard.directory.account(account)!, domain: "no host", version: 2 });
    shard.keeper.accountChanged(account, true);
    shard.run(1000);
    expect(shard.keeper.rowOf(account)).toBeUndefined();
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
  });
});

describe("many accounts that come and go", () => {
  test("leave nothing behind: rows, names, gauges, budgets", () => {
    const shard = new BenchShard({ rows: 40, weather: { delayMs: [1, 60], lossRatio: 0.05, duplicateRatio: 0.05 } });
    const accounts: ReturnType<BenchShard["add"]>[] = [];
    for (let round = 0; round < 300; round++) {
      const n = Math.floor(shard.random.next() * 20);
      const what = shard.random.next();
      const known = accounts[n];
      if (known === undefined || shard.directory.account(known) === undefined) accounts[n] = shard.add(n + round * 100);
      else if (what < 0.3) {
        shard.remove(known);
        shard.directory.remove(known);
      } else if (what < 0.6) shard.presence(known, shard.random.next() < 0.5);
      else {
        const record = shard.directory.account(known)!;
        const username = shard.random.next() < 0.5 ? record.username : `${record.username}x`;
        shard.directory.put({ ...record, username, version: record.version + 1 });
        shard.keeper.accountChanged(known, true);
      }
      shard.run(Math.floor(shard.random.next() * 2000));
    }
    for (const account of accounts) {
      if (account === undefined || shard.directory.account(account) === undefined) continue;
      shard.remove(account);
      shard.directory.remove(account);
    }
    shard.run(900_000, 50);
    expect(shard.columns.size).toBe(0);
    expect(shard.registrar.registered).toBe(0);
    expect(shard.keeper.registrars()).toEqual([]);
    for (const gauge of ["Idle", "Registering", "Registered", "Retrying", "Refused", "Unregistering"] as const) {
      expect([gauge, shard.count(`registrations${gauge}`)]).toEqual([gauge, 0]);
    }
  });
});

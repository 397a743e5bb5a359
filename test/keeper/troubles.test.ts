import { describe, expect, test } from "bun:test";
import type { AccountId } from "../../src/base/ids.ts";
import { BenchShard } from "./bench-shard.ts";

/** A shard whose registrar refuses accounts 1 to 3 and has no time for 4; 5 and 6 are registered. */
function troubledShard() {
  const shard = new BenchShard({ registrar: { open: true } });
  const accounts = new Map<string, AccountId>();
  shard.registrar.behaviour = ({ user }) =>
    ["user1", "user2", "user3"].includes(user) ? { status: 403 } : user === "user4" ? { status: 500 } : "own";
  for (let n = 1; n <= 6; n++) accounts.set(`user${n}`, shard.add(n, { username: `user${n}` }));
  shard.run(200);
  return { shard, idsOf: (...names: readonly string[]) => names.flatMap((name) => accounts.get(name) ?? []) };
}

describe("accounts in trouble", () => {
  test("are refused or retrying, and still are after a restart", () => {
    const { shard, idsOf } = troubledShard();
    expect(shard.keeper.troubles(0, 10)).toEqual({ accounts: idsOf("user1", "user2", "user3", "user4"), nextRow: -1 });
    shard.restart();
    expect(shard.keeper.troubles(0, 10).accounts).toEqual(idsOf("user1", "user2", "user3", "user4"));
  });

  test("come in pages; a page that holds the last ones ends the list", () => {
    const { shard, idsOf } = troubledShard();
    const first = shard.keeper.troubles(0, 3);
    expect(first.accounts).toEqual(idsOf("user1", "user2", "user3"));
    expect(shard.keeper.troubles(first.nextRow, 3)).toEqual({ accounts: idsOf("user4"), nextRow: -1 });
    expect(shard.keeper.troubles(0, 4).nextRow).toBe(-1);
  });

  test("are so too while they are tried again, but not while they are tried for the first time", () => {
    const { shard, idsOf } = troubledShard();
    shard.registrar.behaviour = () => "silence";
    const before = shard.registrar.heard.length;
    const isTriedAgain = () => shard.registrar.heard.slice(before).some(({ user }) => user === "user4");
    for (let n = 0; n < 6_000 && !isTriedAgain(); n++) shard.run(100);
    expect(isTriedAgain()).toBe(true);
    shard.add(7);
    shard.run(100);
    expect(shard.keeper.troubles(0, 10).accounts).toEqual(idsOf("user1", "user2", "user3", "user4"));
  });

  test("are none any more once they are registered", () => {
    const { shard, idsOf } = troubledShard();
    shard.registrar.behaviour = () => "own";
    for (const account of idsOf("user1", "user4")) shard.keeper.retryNow(account);
    shard.run(1_000);
    expect(shard.keeper.troubles(0, 10).accounts).toEqual(idsOf("user2", "user3"));
    expect(shard.keeper.registrars()[0]?.latestStatuses.slice(0, 2)).toEqual([200, 200]);
  });
});

describe("a registrar's last answers", () => {
  test("are told newest first, sixteen of them", () => {
    const { shard } = troubledShard();
    const [status] = shard.keeper.registrars();
    expect(status?.latestStatuses).toHaveLength(6);
    expect(status?.latestStatuses[0]).toBe(status?.lastStatus);
    expect(status?.latestStatuses.toSorted()).toEqual([200, 200, 403, 403, 403, 500]);
    for (let n = 7; n <= 26; n++) shard.add(n);
    shard.run(1_000);
    expect(shard.keeper.registrars()[0]?.latestStatuses).toEqual(Array.from({ length: 16 }, () => 200));
  });
});

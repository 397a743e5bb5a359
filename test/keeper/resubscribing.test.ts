import { describe, expect, test } from "bun:test";
import { lineOf } from "../fakes/virtual-registrar.ts";
import { BenchShard } from "./bench-shard.ts";

const removed = (shard: BenchShard, account: Parameters<BenchShard["remove"]>[0]): void => {
  shard.remove(account);
  shard.directory.remove(account);
};

describe("un-REGISTER after DELETE, repeated until answered or the binding has run out", () => {
  test("a registrar that is silent for five minutes hears of every account that was removed meanwhile", () => {
    const shard = new BenchShard({ rows: 40 });
    const accounts = Array.from({ length: 30 }, (_, n) => shard.add(n));
    shard.run(1000);
    expect(shard.registrar.registered).toBe(30);
    shard.registrar.isSilent = true;
    for (const account of accounts) removed(shard, account);
    shard.run(300_000, 50);
    shard.registrar.isSilent = false;
    shard.run(20_000);
    expect(shard.registrar.registered).toBe(0);
    expect(shard.keeper.registrars()).toEqual([]);
  });

  test("one that says 503 for seven minutes is asked again, at last every two minutes", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(1000);
    shard.registrar.behaviour = () => ({ status: 503 });
    removed(shard, account);
    shard.run(420_000, 50);
    const asked = shard.registrar.heard.filter((one) => one.expires === 0).map((one) => one.atMs);
    const gaps = asked.slice(1).map((atMs, n) => atMs - asked[n]!);
    expect(asked.length).toBeGreaterThan(5);
    expect(Math.max(...gaps)).toBeLessThan(135_000);
    shard.registrar.behaviour = undefined;
    shard.run(135_000, 50);
    expect(shard.registrar.bindingsOf("u1")).toEqual([]);
  });
});

describe("the same SIP account again, soon after it was removed", () => {
  const again = { username: "u1" } as const;

  test("is another row with another line token, registered at once, while the old one rests", () => {
    const shard = new BenchShard();
    const first = shard.add(1);
    shard.run(100);
    const old = shard.registrar.bindingsOf("u1")[0]!.uri;
    removed(shard, first);
    shard.run(1000);
    const second = shard.add(2, again, { kind: "password", password: "p-u1" });
    shard.run(100);
    expect(shard.state(second)).toBe("registered");
    const [binding, ...others] = shard.registrar.bindingsOf("u1");
    expect(others).toEqual([]);
    expect(lineOf(binding!.uri)).not.toBe(lineOf(old));
    expect(shard.keeper.rowByLine(lineOf(old)!)).toBeUndefined();
    expect(shard.keeper.rowByLine(lineOf(binding!.uri)!)).toBe(shard.keeper.rowOf(second));
    shard.run(1_200_000, 50);
    expect(shard.state(second)).toBe("registered");
    expect(shard.count("registerLapsed")).toBe(0);
  });

  test("is registered although the un-REGISTER of before is still unanswered, which is then made good, too", () => {
    const shard = new BenchShard();
    const first = shard.add(1);
    shard.run(100);
    const old = shard.registrar.bindingsOf("u1")[0]!.uri;
    shard.registrar.isSilent = true;
    removed(shard, first);
    const second = shard.add(2, again, { kind: "password", password: "p-u1" });
    shard.run(90_000);
    shard.registrar.isSilent = false;
    shard.run(30_000);
    expect(shard.state(second)).toBe("registered");
    expect(shard.registrar.bindingsOf("u1").map(({ uri }) => uri)).not.toContain(old);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
  });

  test("is registered in the end where one un-REGISTER removes whatever there is (chan_sip), and it came late", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    let lost = 1;
    shard.registrar.behaviour = (heard, registrar) => {
      if (heard.expires === 0 && lost-- > 0) return "silence";
      // Room for one binding, whatever its Contact.
      registrar.bindings.set("u1", []);
      return registrar.own(heard);
    };
    const first = shard.add(1);
    shard.run(100);
    removed(shard, first);
    const second = shard.add(2, again, { kind: "password", password: "p-u1" });
    shard.run(20_000);
    expect(shard.state(second)).toBe("registered");
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
  });
});

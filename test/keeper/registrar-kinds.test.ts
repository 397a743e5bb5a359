import { describe, expect, test } from "bun:test";
import type { RegistrationMode } from "../../src/base/records.ts";
import { type RegistrarOptions, VirtualRegistrar } from "../fakes/virtual-registrar.ts";
import { accountIdOf, accountOf, BenchShard } from "./bench-shard.ts";

describe("3xx of every kind, RFC 3261 §21.3", () => {
  test.each([300, 301, 302, 305])("%d is followed to its Contact", (status) => {
    const shard = new BenchShard();
    const second = new VirtualRegistrar(shard.wire, { transport: "udp", address: "192.0.2.99", port: 5080 });
    shard.registrar.behaviour = () => ({ status, headers: ["Contact: <sip:192.0.2.99:5080>;expires=60"] });
    const id = shard.add(1);
    shard.run(1000);
    expect(shard.state(id)).toBe("registered");
    expect(second.bindingsOf("u1")).toHaveLength(1);
  });
});

describe("a registrar of RFC 2543", () => {
  test("its 200 without To-tag, rport, Expires or parameters of ours, with Date, Encryption and Hide, is a registration", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.registrar.behaviour = (heard, registrar) => {
      const line = (name: string): string => new RegExp(`^${name}: .*$`, "m").exec(heard.text)![0];
      registrar.server.reply(
        heard.source,
        Buffer.from(
          [
            "SIP/2.0 200 OK",
            line("Via").replace(";rport", ""),
            line("From"),
            line("To"),
            line("Call-ID"),
            line("CSeq"),
            "Date: Thu, 1 Jan 1970 00:00:01 GMT",
            "Encryption: PGP version=2.6.2",
            "Hide: route",
            "X-Unknown: ;;,,",
            `Contact: ${heard.contacts[0]!.uri.replace(/;.*$/, "")};expires=300`,
            "",
            "",
          ].join("\r\n"),
        ),
      );
      return "silence";
    };
    const id = shard.add(1);
    shard.run(1000);
    expect(shard.state(id)).toBe("registered");
    const left = (shard.keeper.status(id)?.expiresAtMs ?? 0) - shard.clock.wallMs();
    expect(left).toBeGreaterThan(290_000);
    expect(left).toBeLessThanOrEqual(300_000);
  });
});

describe("manners after ten minutes of silence, design §5", () => {
  test("10,000 accounts are all registered again, within what the registrar bears, soonest expiry first", () => {
    const count = 10_000;
    const registrar: RegistrarOptions = { open: true, perSec: 1000, queueMax: 160, expiresSecMax: 3600 };
    const shard = new BenchShard({ registrar, rows: count, host: {} });
    shard.registrar.keepsHeard = false;
    // Every tenth has a short time: their bindings are over at the end of the silence, the others' are not.
    for (let n = 0; n < count; n++)
      shard.directory.put(accountOf(n, { expiresSec: n % 10 === 0 ? 300 : 900 + (n % 600) }));
    shard.keeper.start();
    shard.wire.runUntil(() => shard.count("registrationsRegistered") === count, 60_000);
    expect(shard.count("registrationsRegistered")).toBe(count);
    // Their refreshes come due while nobody answers.
    shard.run(400_000);
    shard.registrar.isSilent = true;
    const before = shard.registrar.requests;
    shard.run(600_000);
    expect(shard.registrar.requests - before).toBeLessThan(1000);
    shard.registrar.isSilent = false;
    const droppedBefore = shard.registrar.dropped;
    const order: number[] = [];
    const dueAtMs = new Map<string, number>();
    for (let n = 0; n < count; n++) {
      const until = shard.keeper.status(accountIdOf(n))?.expiresAtMs;
      if (until !== undefined && until > shard.clock.wallMs()) dueAtMs.set(`u${n}`, until);
    }
    shard.registrar.behaviour = (heard) => {
      const due = dueAtMs.get(heard.user);
      if (due !== undefined && !heard.isRetransmission) order.push(due);
      dueAtMs.delete(heard.user);
      return "own";
    };
    expect(dueAtMs.size).toBeGreaterThan(100);
    const waiting = dueAtMs.size;
    const done = shard.wire.runUntil(() => shard.registrar.registered === count, 120_000);
    expect(done).toBeTrue();
    // The budget feels for the line: what is too much is lost, and that is little.
    expect(shard.registrar.dropped - droppedBefore).toBeLessThan(count * 0.02);
    // Of those that had waited in line, who was due sooner went sooner.
    const first = order.slice(0, Math.min(order.length, Math.floor(waiting / 2)));
    expect(first.length).toBeGreaterThan(50);
    let inversions = 0;
    for (let n = 1; n < first.length; n++) if (first[n]! < first[n - 1]! - 1000) inversions++;
    expect(inversions).toBeLessThan(first.length * 0.05);
  }, 60_000);

  test("one account's wrong password costs two requests, and the others nothing", () => {
    const shard = new BenchShard();
    shard.add(1, {}, { kind: "password", password: "wrong" });
    for (let n = 2; n <= 20; n++) shard.add(n);
    shard.run(3_600_000, 100);
    expect(shard.registrar.heard.filter(({ user }) => user === "u1")).toHaveLength(2);
    for (let n = 2; n <= 20; n++) expect(shard.state(accountIdOf(n))).toBe("registered");
  });
});

describe("hand-over between phone and stand-in: there is a binding at every moment", () => {
  const phone = "sip:u1@198.51.100.99:5062";

  function handOver(seed: number, mode: RegistrationMode, registrar: RegistrarOptions): void {
    const shard = new BenchShard({
      seed,
      registrar,
      weather: { delayMs: [1, 400], lossRatio: 0.1, duplicateRatio: 0.1 },
    });
    const id = shard.add(1, { registrationMode: mode });
    const has = (): boolean => shard.registrar.bindingsOf("u1").length > 0;
    expect(shard.wire.runUntil(() => shard.state(id) === "registered" && has(), 60_000)).toBeTrue();
    const watch = (ms: number): void => {
      for (let at = 0; at < ms; at += 50) {
        shard.run(50);
        if (!has()) throw new Error(`seed ${seed}, ${mode}: no binding`);
      }
    };
    const answered = (requestId: number): void => {
      for (let n = 0; n < 1200 && shard.answerOf(requestId) === undefined; n++) watch(50);
    };
    for (let round = 0; round < 3; round++) {
      // The phone wakes: it registers, the registrar says yes, then it says that it is in the foreground.
      const isOneOnly = registrar.contactsMax === 1;
      if (isOneOnly) shard.registrar.bindings.set("u1", []);
      shard.registrar.bind("u1", phone, 3600);
      watch(Math.floor(shard.random.next() * 500));
      answered(shard.presence(id, false, 40_000));
      watch(Math.floor(shard.random.next() * 5000));
      expect(shard.registrar.bindingsOf("u1").some(({ uri }) => uri === phone)).toBeTrue();
      // It goes to sleep: it says so, waits for the answer, and only then lets go.
      answered(shard.presence(id, true, 40_000));
      const list = shard.registrar.bindings.get("u1") ?? [];
      shard.registrar.bindings.set(
        "u1",
        list.filter(({ uri }) => uri !== phone),
      );
      watch(1000);
    }
  }

  test.each([
    ["alternate", {}],
    ["auto", {}],
    ["continuous", {}],
    ["auto", { contactsMax: 1, whenFull: "replace" }],
    ["singleDevice", { contactsMax: 1, whenFull: "replace" }],
  ] as const)(
    "mode %s, registrar %p, in 40 orders of delayed, lost and doubled messages",
    (mode, registrar) => {
      for (let seed = 1; seed <= 40; seed++) handOver(seed, mode, { open: true, ...registrar });
    },
    30_000,
  );
});

import { describe, expect, test } from "bun:test";
import { type RegistrarOptions, VirtualRegistrar } from "../fakes/virtual-registrar.ts";
import { accountOf, BenchShard } from "./bench-shard.ts";

/** A shard with many accounts that have not begun yet. */
function crowd(count: number, registrar: RegistrarOptions, change: { seed?: number; expiresSec?: number } = {}) {
  const shard = new BenchShard({ registrar, rows: count, seed: change.seed ?? 1 });
  shard.registrar.keepsHeard = false;
  for (let n = 0; n < count; n++) shard.directory.put(accountOf(n, { expiresSec: change.expiresSec ?? 600 }));
  shard.keeper.start();
  return shard;
}

describe("a cold start", () => {
  test.each([
    ["a quick registrar", 30_000, 0.3],
    ["a slow one", 2000, 5],
    ["one far away", 20_000, 50],
  ])(
    "of 50,000 accounts at %s loses next to nothing",
    (_name, perSec, thinkMs) => {
      const shard = crowd(
        50_000,
        { open: true, perSec, queueMax: 160, thinkMs, expiresSecMax: 3600 },
        { expiresSec: 3600 },
      );
      const started = shard.clock.nowMs();
      const done = shard.wire.runUntil(() => shard.count("registrationsRegistered") === 50_000, 60_000);
      const seconds = (shard.clock.nowMs() - started) / 1000;
      const lost = shard.count("registerRetransmitted") / 50_000;
      expect(done).toBe(true);
      expect(lost).toBeLessThan(0.01);
      expect(seconds).toBeLessThan((50_000 / perSec) * 1.5 + thinkMs / 5 + 2);
    },
    30_000,
  );

  test("is challenged without more ado", () => {
    const shard = crowd(5000, { perSec: 20_000 });
    shard.wire.runUntil(() => shard.count("registrationsRegistered") === 5000, 10_000);
    expect(shard.count("registrationsRegistered")).toBe(5000);
    expect(shard.count("registerSent")).toBe(10_000 + shard.count("registerRetransmitted"));
    expect(shard.count("registerRetransmitted")).toBeLessThan(50);
  });

  test("reads the secrets of many ahead, of nobody twice, and of nobody again for a refresh", () => {
    const shard = crowd(2000, { perSec: 20_000 });
    shard.wire.runUntil(() => shard.count("registrationsRegistered") === 2000, 10_000);
    const { prepared } = shard.directory;
    expect(prepared.length).toBeGreaterThan(1000);
    expect(new Set(prepared).size).toBe(prepared.length);
    const before = prepared.length;
    shard.run(1_200_000, 50);
    expect(shard.count("registerRefreshed")).toBeGreaterThan(2000);
    expect(prepared.length).toBe(before);
  });

  test("reads nothing ahead where nobody asks for credentials", () => {
    const shard = crowd(500, { open: true });
    shard.wire.runUntil(() => shard.count("registrationsRegistered") === 500, 10_000);
    expect(shard.directory.prepared).toEqual([]);
  });
});

/** Refreshes a second over some time. */
function perSecond(shard: BenchShard, seconds: number): number[] {
  const counts: number[] = [];
  for (let second = 0; second < seconds; second++) {
    const before = shard.registrar.accepted;
    shard.run(1000);
    counts.push(shard.registrar.accepted - before);
  }
  return counts;
}

/** The busiest second over the mean. */
function busiest(counts: readonly number[]): number {
  return Math.max(...counts) / (counts.reduce((sum, count) => sum + count, 0) / counts.length);
}

describe("the refreshes after a cold start", () => {
  test.each([
    ["10,000 accounts of 60 s", 10_000, 60, 20_000],
    ["20,000 of 600 s", 20_000, 600, 1_000],
  ])(
    "of %s come evenly: the busiest second has half as many again as the mean",
    (_name, count, expiresSec, perSec) => {
      const shard = crowd(count, { open: true, perSec, expiresSecMax: expiresSec }, { expiresSec });
      shard.wire.runUntil(() => shard.count("registrationsRegistered") === count, 30_000);
      shard.run(expiresSec * 100);
      // Ten seconds each: of few refreshes a second some seconds have many by chance.
      const each = perSecond(shard, expiresSec * 2);
      const tens = each.flatMap((_, n) => (n % 10 === 0 ? [each.slice(n, n + 10).reduce((a, b) => a + b, 0)] : []));
      expect(busiest(tens)).toBeLessThan(1.5);
    },
    60_000,
  );
});

describe("a registrar that does a little more than it need", () => {
  test("is not asked for more because of a line that a slow minute made", () => {
    const shard = crowd(5000, { open: true, perSec: 5000, expiresSecMax: 120 }, { expiresSec: 120 });
    shard.run(240_000);
    shard.registrar.options = { ...shard.registrar.options, perSec: 30 };
    shard.run(60_000);
    shard.registrar.options = { ...shard.registrar.options, perSec: 85 };
    shard.run(480_000);
    const lapsed = shard.count("registerLapsed");
    const perSecMean = perSecond(shard, 240).reduce((sum, count) => sum + count, 0) / 240;
    expect(shard.count("registerLapsed")).toBe(lapsed);
    // A refresh each 75.5 to 85 s.
    expect(perSecMean).toBeLessThan((5000 / 80) * 1.1);
  }, 60_000);
});

describe("a registrar that is silent for 60 s, with 10,000 accounts of 60 s", () => {
  test("gets at most 5,000 requests meanwhile; all are back 5 s after, and leave no clump", () => {
    const shard = crowd(10_000, { open: true, perSec: 20_000, expiresSecMax: 60 });
    shard.run(120_000);
    expect(shard.count("registrationsRegistered")).toBe(10_000);
    const steady = perSecond(shard, 30);
    expect(Math.max(...steady)).toBeLessThan((10_000 / 27) * 2);
    const before = shard.registrar.requests;
    shard.registrar.isSilent = true;
    shard.run(60_000);
    const asked = shard.registrar.requests - before;
    shard.registrar.isSilent = false;
    const ended = shard.clock.nowMs();
    shard.wire.runUntil(
      () => shard.count("registrationsRegistered") === 10_000 && shard.registrar.registered === 10_000,
      20_000,
    );
    const back = (shard.clock.nowMs() - ended) / 1000;
    const after = perSecond(shard, 90);
    // The goal is 5,000; what was under way when it fell silent is given up, and a probe a second remains.
    expect(asked).toBeLessThan(500);
    expect(back).toBeLessThan(5);
    expect(busiest(after)).toBeLessThan(1.5);
  }, 60_000);
});

describe("one account at a registrar that is silent", () => {
  test("is asked for with patience, not for ever in a hurry, and comes back by itself", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.registrar.isSilent = true;
    shard.run(3_600_000, 50);
    expect(shard.state(account)).toBe("retrying");
    expect(shard.registrar.requests).toBeLessThan(800);
    shard.registrar.isSilent = false;
    shard.run(150_000);
    expect(shard.state(account)).toBe("registered");
  });

  test("that was registered stays so until its binding ends", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(1000);
    shard.registrar.isSilent = true;
    shard.run(598_000);
    expect(shard.state(account)).toBe("registered");
    shard.run(5000);
    expect(shard.state(account)).toBe("retrying");
    expect(shard.count("registerLapsed")).toBe(1);
  });

  test("a late answer is taken, though its request was given up", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    for (let n = 0; n < 50; n++) shard.directory.put(accountOf(n));
    shard.registrar.behaviour = (heard, registrar) => {
      if (!heard.isRetransmission) shard.wire.after(4000, () => registrar.answer(heard, registrar.own(heard)));
      return "silence";
    };
    shard.keeper.start();
    shard.run(20_000);
    expect(shard.count("registrationsRegistered")).toBe(50);
  });
});

describe("several servers, RFC 3263 §4.3", () => {
  const first = { transport: "udp", address: "192.0.2.10", port: 5060 } as const;
  const second = { transport: "udp", address: "192.0.2.11", port: 5060 } as const;

  function pair(count: number) {
    const shard = new BenchShard({ registrar: { open: true }, rows: count });
    const backup = new VirtualRegistrar(shard.wire, second, { open: true });
    shard.locator.set("virtual.test", [first, second], 30);
    for (let n = 0; n < count; n++) shard.directory.put(accountOf(n));
    shard.keeper.start();
    return { shard, backup };
  }

  test("the first that answers serves, and all stay with it", () => {
    const { shard, backup } = pair(20);
    shard.run(2_000_000, 50);
    expect(shard.count("registrationsRegistered")).toBe(20);
    expect(backup.requests).toBe(0);
  });

  test("a silent first server is passed over within one attempt", () => {
    const { shard, backup } = pair(1);
    shard.registrar.isSilent = true;
    shard.run(10_000);
    expect(shard.count("registrationsRegistered")).toBe(1);
    expect(backup.registered).toBe(1);
    // Sticky: the next refresh goes where it worked.
    const before = shard.registrar.requests;
    shard.registrar.isSilent = false;
    shard.run(600_000, 50);
    expect(shard.registrar.requests).toBe(before);
  });

  test("with many accounts it takes a second", () => {
    const { shard, backup } = pair(200);
    shard.run(1000);
    shard.registrar.isSilent = true;
    shard.run(600_000, 20);
    expect(backup.registered).toBe(200);
    expect(shard.count("registerLapsed")).toBe(0);
  });

  test("ICMP unreachable is enough", () => {
    const { shard, backup } = pair(1);
    shard.wire.removeServer(shard.registrar.server);
    shard.run(2000);
    expect(backup.registered).toBe(1);
  });

  test("both silent: each is tried in turn, and whoever answers first serves", () => {
    const { shard, backup } = pair(50);
    shard.run(1000);
    shard.registrar.isSilent = backup.isSilent = true;
    shard.run(900_000, 50);
    expect(shard.count("registrationsRegistered")).toBe(0);
    const before = [shard.registrar.requests, backup.requests];
    shard.run(120_000, 50);
    expect(shard.registrar.requests).toBeGreaterThan(before[0]!);
    expect(backup.requests).toBeGreaterThan(before[1]!);
    backup.isSilent = false;
    shard.run(60_000);
    expect(backup.registered).toBe(50);
  });

  test("a name that leads elsewhere is followed at its TTL", () => {
    const { shard, backup } = pair(1);
    shard.run(1000);
    shard.locator.set("virtual.test", [second], 30);
    shard.run(600_000, 50);
    expect(backup.registered).toBe(1);
  });

  test("what policy forbids from now on is used no longer", () => {
    const { shard } = pair(1);
    shard.run(1000);
    shard.locator.refuse("virtual.test", "egress");
    shard.run(60_000);
    const before = shard.registrar.requests;
    shard.run(1_200_000, 50);
    expect(shard.registrar.requests).toBe(before);
    expect(shard.count("registrationsRefused")).toBe(1);
  });

  test("a name that leads only where policy forbids is refused with its reason, over a restart too, until it leads elsewhere", () => {
    const shard = new BenchShard();
    shard.locator.refuse("virtual.test", "egress");
    const account = shard.add(1);
    shard.run(10_000);
    const refused = { state: "refused", lastReason: "virtual.test: egress" };
    expect(shard.keeper.status(account)).toMatchObject(refused);
    const asked = shard.presence(account, true);
    shard.run(1000);
    expect(shard.answerOf(asked)).toMatchObject({ isPending: false, status: { state: "refused" } });
    shard.run(120_000);
    expect(shard.host.sent).toBe(0);
    shard.restart();
    shard.run(10_000);
    expect(shard.keeper.status(account)).toMatchObject(refused);
    shard.locator.set("virtual.test", [{ transport: "udp", address: "192.0.2.10", port: 5060 }]);
    shard.run(1_200_000, 50);
    expect(shard.state(account)).toBe("registered");
  });
});

describe("a name that cannot be looked up", () => {
  test.each([
    ["egress", "refused"],
    ["notFound", "retrying"],
  ] as const)("%s: the first account hears it at once, and so does the next, which asks nobody", (reason, state) => {
    const shard = new BenchShard();
    shard.locator.refuse("virtual.test", reason);
    for (const n of [1, 2]) {
      const account = shard.add(n);
      shard.run(20);
      expect(shard.keeper.status(account)).toMatchObject({ state, lastReason: `virtual.test: ${reason}` });
    }
    expect(shard.locator.lookups).toBe(1);
  });

  test("is retrying with its reason, and registers when the name is there", () => {
    const shard = new BenchShard();
    shard.locator.refuse("virtual.test", "notFound");
    const account = shard.add(1);
    shard.run(10_000);
    expect(shard.keeper.status(account)).toMatchObject({ state: "retrying", lastReason: "virtual.test: notFound" });
    expect(shard.host.sent).toBe(0);
    shard.locator.set("virtual.test", [{ transport: "udp", address: "192.0.2.10", port: 5060 }]);
    shard.run(60_000);
    expect(shard.state(account)).toBe("registered");
  });

  test("is not asked for by every account on its own", () => {
    const shard = new BenchShard();
    shard.locator.refuse("virtual.test", "notFound");
    for (let n = 0; n < 60; n++) shard.add(n);
    shard.run(60_000);
    expect(shard.locator.lookups).toBeLessThan(8);
  });

  test("a TLS account has no use for servers without TLS", () => {
    const shard = new BenchShard();
    // A resolver that has not understood the question.
    shard.locator.failing = {
      ok: true,
      endpoints: [{ transport: "udp", address: "192.0.2.10", port: 5060 }],
      ttlSec: 60,
    };
    const account = shard.add(1, { transport: "tls" });
    shard.run(60_000);
    expect(shard.state(account)).toBe("retrying");
    expect(shard.registrar.requests).toBe(0);
  });

  test("the route's own address is waited for", () => {
    const shard = new BenchShard();
    shard.host.knowsRoute = false;
    const account = shard.add(1);
    shard.run(1000);
    expect(shard.state(account)).toBe("registering");
    shard.host.knowsRoute = true;
    shard.run(1000);
    expect(shard.state(account)).toBe("registered");
  });
});

describe("a flow that is lost, RFC 5626 §4.5", () => {
  const endpoint = { transport: "tls", address: "192.0.2.10", port: 5061, serverName: "virtual.test" } as const;

  function flows(count: number, tlsPort: number) {
    const shard = new BenchShard({ endpoint, host: { tlsPort }, rows: count });
    for (let n = 0; n < count; n++) shard.directory.put(accountOf(n, { transport: "tls" }));
    shard.keeper.start();
    shard.run(1000);
    expect(shard.count("registrationsRegistered")).toBe(count);
    return shard;
  }

  test("all its accounts register again on a new one, through the budget", () => {
    const shard = flows(30, 5061);
    shard.registrar.heard.length = 0;
    shard.registrar.server.dropConnections("restart");
    shard.run(2000);
    expect(new Set(shard.registrar.heard.map((one) => one.user)).size).toBe(30);
    expect(shard.registrar.server.connections.size).toBe(1);
    expect(shard.count("registrationsRegistered")).toBe(30);
    expect(shard.newsOf("changed")).toHaveLength(30);
  });

  test("without a listener the Contact has the flow's port; the old one is removed with the new one's REGISTER", () => {
    const shard = flows(1, 0);
    const old = shard.registrar.bindingsOf("u0")[0]!.uri;
    shard.run(10_000);
    shard.registrar.server.dropConnections("restart");
    shard.run(2000);
    const last = shard.registrar.heard.at(-1)!;
    expect(last.contacts.map((one) => [one.uri === old, one.params.get("expires")])).toEqual([
      [false, undefined],
      [true, "0"],
    ]);
    expect(shard.registrar.bindingsOf("u0").map((one) => one.uri)).toEqual([last.contacts[0]!.uri]);
    shard.presence(shard.keeper.accountId(shard.keeper.rowOf(accountOf(0).accountId)!), false);
    shard.run(1000);
    expect(shard.registrar.bindingsOf("u0")).toHaveLength(0);
  });

  test("a server that refuses connections is tried again after 30 to 60 s, then less often", () => {
    const shard = flows(5, 5061);
    shard.wire.removeServer(shard.registrar.server);
    const dials: number[] = [];
    shard.wire.onPassage = (passage) => dials.push(passage.atMs);
    shard.run(3_600_000, 50);
    expect(shard.count("registrationsRetrying")).toBe(5);
    expect(dials.length).toBeLessThan(60);
  });

  test("accounts whose server takes no connection say why while they wait for the next try, latecomers too", () => {
    const shard = new BenchShard({ endpoint, host: { tlsPort: 5061 }, rows: 2 });
    shard.wire.removeServer(shard.registrar.server);
    const first = shard.add(1, { transport: "tls" });
    shard.run(1000);
    const second = shard.add(2, { transport: "tls" });
    shard.run(1000);
    for (const account of [first, second]) {
      const status = shard.keeper.status(account);
      expect([status?.state, status?.lastReason]).toEqual(["retrying", "connection refused"]);
    }
  });

  test("a server that closes after each REGISTER does not make us loop", () => {
    const shard = flows(1, 5061);
    shard.registrar.behaviour = (heard, registrar) => {
      shard.wire.after(50, () => registrar.server.dropConnections("go away"));
      return registrar.own(heard);
    };
    shard.registrar.heard.length = 0;
    shard.registrar.server.dropConnections("restart");
    shard.run(600_000, 50);
    expect(shard.registrar.heard.length).toBeLessThan(30);
  });

  test("the flow is kept alive every 25 to 29 s, or as Flow-Timer says", () => {
    const shard = flows(3, 5061);
    shard.run(300_000);
    expect(shard.host.keepAlives).toBeWithin(10, 13);
    const timed = new BenchShard({ endpoint, host: { tlsPort: 5061 }, registrar: { open: true } });
    timed.registrar.behaviour = (heard, registrar) => {
      const own = registrar.own(heard);
      return { ...own, headers: [...(own.headers ?? []), "Flow-Timer: 60"] };
    };
    timed.add(1, { transport: "tls" });
    timed.run(300_000);
    expect(timed.host.keepAlives).toBeWithin(4, 7);
  });

  test("a flow without pongs is given up and replaced", () => {
    const shard = flows(3, 5061);
    const first = [...shard.registrar.server.connections.keys()][0];
    shard.registrar.server.answersPings = false;
    shard.run(45_000);
    expect([...shard.registrar.server.connections.keys()][0]).not.toBe(first);
    expect(shard.count("registrationsRegistered")).toBe(3);
  });
});

describe("overload, after RFC 7339", () => {
  test("503 with Retry-After to everybody stops new requests for that long", () => {
    const shard = crowd(500, { open: true });
    shard.registrar.behaviour = () => ({ status: 503, headers: ["Retry-After: 60"] });
    shard.run(59_000);
    expect(shard.registrar.requests).toBeLessThan(60);
    shard.registrar.behaviour = undefined;
    shard.run(120_000);
    expect(shard.count("registrationsRegistered")).toBe(500);
  });

  test("a registrar that loses what is too much is asked less", () => {
    const shard = crowd(3000, { open: true, perSec: 200, queueMax: 10 });
    const done = shard.wire.runUntil(() => shard.count("registrationsRegistered") === 3000, 60_000);
    expect(done).toBe(true);
    expect(shard.count("registerRetransmitted")).toBeLessThan(500);
  });
});

describe("the breaker", () => {
  test("many refusals at once stop new attempts and no refresh", () => {
    const shard = new BenchShard({ rows: 400 });
    for (let n = 0; n < 50; n++) shard.directory.put(accountOf(n));
    shard.keeper.start();
    shard.run(1000);
    for (let n = 1000; n < 1300; n++) shard.add(n, {}, { kind: "password", password: "wrong" });
    shard.run(5000);
    // What was under way when the first refusal came is what the window allowed.
    expect(shard.registrar.wrong).toBeLessThan(120);
    expect(shard.keeper.registrars()[0]!.breaker).toBe("open");
    shard.run(600_000, 50);
    expect(shard.count("registrationsRegistered")).toBe(50);
    expect(shard.count("registerLapsed")).toBe(0);
    expect(shard.registrar.wrong).toBeLessThan(140);
  });
});

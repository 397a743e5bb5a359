import { describe, expect, test } from "bun:test";
import { VirtualRegistrar } from "../fakes/virtual-registrar.ts";
import { BenchShard, registrarEndpoint } from "./bench-shard.ts";

/** What may happen between the first REGISTER of an attempt and the answer that ends it. */
describe("within one attempt", () => {
  const backup = { transport: "udp", address: "192.0.2.11", port: 5060 } as const;

  // Root cause: credentials for the first server's nonce went to the second, whose plain 401 was taken for a wrong password.
  test("the next server, which does not know the first one's nonces, is no wrong password (RFC 3263 §4.3)", () => {
    const shard = new BenchShard();
    const second = new VirtualRegistrar(shard.wire, backup, { saysStale: false });
    shard.locator.set("virtual.test", [registrarEndpoint, backup]);
    shard.registrar.behaviour = (heard, registrar) =>
      heard.authorization === undefined ? registrar.challenge() : { status: 503 };
    const account = shard.add(1);
    shard.run(1000);
    expect(shard.newsOf("refused")).toEqual([]);
    expect(shard.state(account)).toBe("registered");
    expect(second.wrong).toBe(0);
    expect(second.bindingsOf("u1")).toHaveLength(1);
  });

  // Root cause: only the silence of the server in use was noticed, not that of one which an attempt had gone on to.
  test.each([
    ["silent", false],
    ["not there (ICMP)", true],
  ] as const)(
    "of three servers the first says 503 and the second is %s: the third serves, within seconds",
    (_what, isGone) => {
      const shard = new BenchShard({ registrar: { open: true } });
      const second = new VirtualRegistrar(shard.wire, backup, { open: true });
      const third = new VirtualRegistrar(shard.wire, { ...backup, address: "192.0.2.12" }, { open: true });
      shard.locator.set("virtual.test", [registrarEndpoint, backup, { ...backup, address: "192.0.2.12" }]);
      shard.registrar.behaviour = () => ({ status: 503 });
      second.isSilent = true;
      if (isGone) shard.wire.removeServer(second.server);
      const account = shard.add(1);
      shard.run(5000);
      expect(shard.state(account)).toBe("registered");
      expect(third.bindingsOf("u1")).toHaveLength(1);
    },
  );

  test("of two servers the first says 503 and the second refuses connections: a failure like any other, with a pause", () => {
    const first = { transport: "tcp", address: "192.0.2.10", port: 5060 } as const;
    const shard = new BenchShard({ registrar: { open: true }, endpoint: first });
    shard.locator.set("virtual.test", [first, { ...first, address: "192.0.2.11" }]);
    shard.registrar.behaviour = () => ({ status: 503 });
    const account = shard.add(1, { transport: "tcp" });
    shard.run(600_000, 20);
    const times = shard.registrar.heard.map((one) => one.atMs);
    expect(times.length).toBeWithin(3, 12);
    expect(Math.min(...times.slice(1).map((atMs, n) => atMs - times[n]!))).toBeGreaterThan(5000);
    expect(shard.state(account)).toBe("retrying");
  });

  // Root cause: an un-REGISTER that was refused with a list was answered by one REGISTER that replaces what is on it.
  test("an un-REGISTER that is answered like a second binding (503 with Contacts) registers nothing and removes nobody", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    const account = shard.add(1, { registrationMode: "singleDevice" });
    shard.run(100);
    shard.registrar.bind("u1", "sip:u1@203.0.113.1:5070");
    shard.registrar.behaviour = (heard) =>
      heard.expires === 0
        ? { status: 503, headers: ["Contact: <sip:u1@203.0.113.1:5070>;expires=300"] }
        : { status: 200, headers: heard.contacts.map(({ uri }) => `Contact: <${uri}>;expires=600`) };
    const before = shard.registrar.heard.length;
    shard.remove(account);
    shard.run(60_000);
    const after = shard.registrar.heard.slice(before);
    expect(after.every((one) => one.expires === 0 && one.contacts.length === 1)).toBe(true);
    expect(after.length).toBeLessThan(8);
  });

  test.each([500, 403])(
    "an un-REGISTER that fails (%d) when the account is wanted again costs no waiting",
    (status) => {
      const shard = new BenchShard({ registrar: { thinkMs: 200 } });
      const account = shard.add(1);
      shard.run(1000);
      shard.registrar.behaviour = (heard) => (heard.expires === 0 ? { status } : "own");
      shard.presence(account, false);
      shard.run(100);
      const back = shard.presence(account, true);
      shard.run(1000);
      expect(shard.answerOf(back)).toMatchObject({ isPending: false, status: { state: "registered" } });
    },
  );

  test("a refresh is due by the time of its request, however late the answer came", () => {
    const shard = new BenchShard({ registrar: { open: true, expiresSecMax: 60, thinkMs: 28_000 } });
    const account = shard.add(1);
    shard.run(600_000, 20);
    expect(shard.state(account)).toBe("registered");
    expect(shard.count("registerLapsed")).toBe(0);
  });
});

describe("a refresh whose 200 does not list our Contact, RFC 3261 §10.2.4", () => {
  test("says that the binding is gone: the account is not called registered, and tried again", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    const account = shard.add(1);
    shard.run(100);
    let losses = 1;
    shard.registrar.behaviour = () =>
      losses-- > 0 ? { status: 200, headers: ["Contact: <sip:other@203.0.113.9>;expires=300"] } : "own";
    shard.run(541_000, 20);
    expect(shard.keeper.status(account)).toMatchObject({
      state: "retrying",
      lastReason: "registrar did not keep our Contact",
    });
    expect(shard.keeper.status(account)?.expiresAtMs).toBeUndefined();
    shard.run(61_000);
    expect(shard.state(account)).toBe("registered");
  });
});

describe("423 Interval Too Brief, RFC 3261 §10.2.8", () => {
  test("with a Min-Expires that is not above what was asked is answered as one without: twice as much", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.registrar.behaviour = (heard) =>
      (heard.expires ?? 0) < 1200 ? { status: 423, headers: ["Min-Expires: 600"] } : "own";
    const account = shard.add(1);
    shard.run(100);
    expect(shard.registrar.heard.map((one) => one.expires)).toEqual([600, 1200]);
    expect(shard.state(account)).toBe("registered");
  });
});

describe("305 Use Proxy, RFC 3261 §21.3.4", () => {
  test("the same request goes by that proxy: its Request-URI stays the domain", () => {
    const shard = new BenchShard();
    const proxy = new VirtualRegistrar(shard.wire, { transport: "udp", address: "192.0.2.99", port: 5080 });
    shard.registrar.behaviour = () => ({ status: 305, headers: ["Contact: <sip:192.0.2.99:5080>"] });
    const account = shard.add(1);
    shard.run(1000);
    expect(shard.state(account)).toBe("registered");
    expect(new Set(proxy.heard.map((one) => one.view.requestUri()))).toEqual(new Set(["sip:virtual.test"]));
  });
});

describe("a flow that breaks, RFC 5626 §4.5", () => {
  test("does not cut short what Retry-After asked for", () => {
    const endpoint = { transport: "tcp", address: "192.0.2.10", port: 5060 } as const;
    const shard = new BenchShard({ endpoint, registrar: { open: true }, rows: 4 });
    shard.registrar.behaviour = (heard) =>
      heard.user === "u1" ? { status: 480, headers: ["Retry-After: 900"] } : "own";
    shard.add(1, { transport: "tcp" });
    shard.add(2, { transport: "tcp" });
    shard.run(60_000);
    const asked = (): number => shard.registrar.heard.filter((one) => one.user === "u1").length;
    const before = asked();
    shard.registrar.server.dropConnections("restart");
    shard.run(600_000, 50);
    expect(asked()).toBe(before);
    shard.run(500_000, 50);
    expect(asked()).toBeGreaterThan(before);
  });
});

describe("the server that holds the binding, RFC 3263 §4.3", () => {
  const other = { transport: "udp", address: "192.0.2.11", port: 5060 } as const;

  test.each([false, true])(
    "serves refreshes and the un-REGISTER, whatever a look-up lists first (restart: %p)",
    (isRestarted) => {
      const shard = new BenchShard({ registrar: { open: true } });
      const second = new VirtualRegistrar(shard.wire, other, { open: true });
      shard.locator.set("virtual.test", [registrarEndpoint, other], 30);
      const account = shard.add(1);
      shard.run(1000);
      shard.locator.set("virtual.test", [other, registrarEndpoint], 30);
      if (isRestarted) shard.restart();
      shard.run(1_200_000, 50);
      expect(shard.registrar.heard.length).toBeGreaterThan(2);
      shard.presence(account, false);
      shard.run(1000);
      expect(shard.registrar.bindingsOf("u1")).toEqual([]);
      expect(second.requests).toBe(0);
    },
  );
});

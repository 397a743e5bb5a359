import { describe, expect, test } from "bun:test";
import { AttackBench, host, registrarAddress, strangerAddress } from "./attack-bench.ts";

const tcp = { endpoint: { transport: "tcp" }, account: { transport: "tcp" } } as const;

describe("connections that break in mid-transaction (ES2018-04, ES2020-02)", () => {
  test("a thousand calls whose connection closes at once: all end, nothing is left", () => {
    const bench = new AttackBench(tcp);
    const contact = bench.registered();
    for (let n = 0; n < 1000; n++) {
      const { server } = bench.registrar;
      server.send(host, 5060, Buffer.from(bench.request("INVITE", contact, [], registrarAddress), "latin1"));
      if (n % 10 === 0) {
        bench.run(10);
        server.dropConnections("closed by the attacker");
      }
    }
    bench.run(200_000);
    expect(bench.core.sizes()).toMatchObject({ transactions: 0, dialogs: 0, inboundCalls: 0, messages: 0 });
    expect(bench.faults).toBe(0);
    expect(bench.registrar.bindingsOf("u1")).toHaveLength(1);
  });

  test("a phone's request hears at once that the way to its server is gone", () => {
    const bench = new AttackBench(tcp);
    bench.registered();
    const tunnel = bench.openTunnel();
    bench.registrar.behaviour = undefined;
    bench.frame(
      tunnel,
      bench.request("MESSAGE", "sip:bob@far.example", [
        "Via: SIP/2.0/WSS phone.invalid;branch=z9hG4bKphone",
        "From: <sip:u1@virtual.test>;tag=p",
      ]),
    );
    bench.run(10);
    expect(bench.sentTo(registrarAddress).map(({ method }) => method)).toContain("MESSAGE");
    bench.wire.removeServer(bench.registrar.server);
    bench.registrar.server.dropConnections("closed by the attacker");
    bench.run(5000);
    expect(bench.frames.at(-1)?.status).toBeGreaterThanOrEqual(500);
    bench.run(60_000);
    expect(bench.core.sizes()).toMatchObject({ transactions: 0 });
  });

  test("a stranger's connections leave no state, answered or not", () => {
    const bench = new AttackBench(tcp);
    const contact = bench.registered();
    for (let n = 0; n < 500; n++) {
      const one = bench.wire.server({ transport: "tcp", address: strangerAddress, port: 5060 }, () => undefined);
      for (const uri of [contact, `sip:x${n}@${host}`]) {
        one.send(host, 5060, Buffer.from(bench.request("INVITE", uri), "latin1"));
      }
      bench.run(2);
      bench.wire.removeServer(one);
    }
    bench.run(1000);
    expect(bench.core.sizes()).toMatchObject({ transactions: 0, dialogs: 0, inboundCalls: 0, alarms: 0 });
    expect(bench.wakes).toBe(0);
    expect(bench.faults).toBe(0);
  });
});

describe("an account of TCP", () => {
  test("is not reached by a datagram with its server's address, which anybody can write", () => {
    const bench = new AttackBench(tcp);
    const contact = bench.registered();
    bench.openTunnel();
    bench.inject(bench.request("INVITE", contact, [], registrarAddress), registrarAddress);
    bench.inject(bench.request("INVITE", `sip:u1@${host}`, [], registrarAddress), registrarAddress);
    expect(bench.frames).toEqual([]);
    expect(bench.wakes).toBe(0);
  });
});

import { describe, expect, test } from "bun:test";
import { VirtualRegistrar } from "../fakes/virtual-registrar.ts";
import { accountIdOf, accountOf, BenchShard, registrarEndpoint } from "./bench-shard.ts";

/** A nonce that carries any REGISTER over the limit. */
const nonce = "n".repeat(1000);

function challengeOnce(registrar: VirtualRegistrar): void {
  registrar.behaviour = (heard) =>
    heard.authorization === undefined
      ? { status: 401, headers: [`WWW-Authenticate: Digest realm="virtual.test", nonce="${nonce}"`] }
      : {
          status: 200,
          headers: heard.contacts.map(({ uri }) => `Contact: <${uri}>;expires=600`),
        };
}

describe("a REGISTER over 1,300 bytes to a server of UDP, RFC 3261 §18.1.1", () => {
  test("goes by TCP with a Via that says so; small ones stay on UDP", () => {
    const shard = new BenchShard();
    challengeOnce(shard.registrar);
    const tcp = new VirtualRegistrar(shard.wire, { ...registrarEndpoint, transport: "tcp" });
    challengeOnce(tcp);
    const id = shard.add(1);
    shard.run(2000);
    expect(shard.state(id)).toBe("registered");
    expect(shard.registrar.heard).toHaveLength(1);
    expect(tcp.heard).toHaveLength(1);
    expect(tcp.heard[0]?.text.length).toBeGreaterThan(1300);
    expect(tcp.heard[0]?.text).toContain("\r\nVia: SIP/2.0/TCP ");
    expect(tcp.heard[0]?.text).toContain(";transport=udp;line=");
  });

  test("is not sent again over TCP while its server thinks", () => {
    const shard = new BenchShard();
    challengeOnce(shard.registrar);
    const tcp = new VirtualRegistrar(shard.wire, { ...registrarEndpoint, transport: "tcp" }, { thinkMs: 3000 });
    challengeOnce(tcp);
    const id = shard.add(1);
    shard.run(6000);
    expect(shard.state(id)).toBe("registered");
    expect(tcp.heard).toHaveLength(1);
  });

  test("goes by UDP within the same transaction when TCP is refused", () => {
    const shard = new BenchShard();
    challengeOnce(shard.registrar);
    const id = shard.add(1);
    shard.run(2000);
    expect(shard.state(id)).toBe("registered");
    expect(shard.registrar.heard).toHaveLength(2);
    expect(shard.registrar.heard[1]?.text).toContain("\r\nVia: SIP/2.0/UDP ");
  });
});

describe("a check of credentials over 1,300 bytes, RFC 3261 §18.1.1", () => {
  const right = { kind: "password", password: "p-u1" } as const;

  function checking(): BenchShard {
    const shard = new BenchShard();
    challengeOnce(shard.registrar);
    shard.directory.put(accountOf(1));
    return shard;
  }

  test("goes by TCP with a Via that says so", () => {
    const shard = checking();
    const tcp = new VirtualRegistrar(shard.wire, { ...registrarEndpoint, transport: "tcp" });
    challengeOnce(tcp);
    shard.prove(accountIdOf(1), right);
    shard.run(2000);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "accepted", status: 200 }]);
    expect(shard.registrar.heard).toHaveLength(1);
    expect(tcp.heard).toHaveLength(1);
    expect(tcp.heard[0]?.text.length).toBeGreaterThan(1300);
    expect(tcp.heard[0]?.text).toContain("\r\nVia: SIP/2.0/TCP ");
  });

  test("is not sent again over TCP while its server thinks", () => {
    const shard = checking();
    const tcp = new VirtualRegistrar(shard.wire, { ...registrarEndpoint, transport: "tcp" }, { thinkMs: 3000 });
    challengeOnce(tcp);
    shard.prove(accountIdOf(1), right);
    shard.run(5000);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "accepted" }]);
    expect(tcp.heard).toHaveLength(1);
    expect(shard.registrar.heard).toHaveLength(1);
  });

  test("comes back to UDP when TCP is refused", () => {
    const shard = checking();
    shard.prove(accountIdOf(1), right);
    shard.run(2000);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "accepted" }]);
    expect(shard.registrar.heard).toHaveLength(2);
    expect(shard.registrar.heard[1]?.text).toContain("\r\nVia: SIP/2.0/UDP ");
  });
});

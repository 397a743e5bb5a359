import { describe, expect, test } from "bun:test";
import { parametersOf, VirtualRegistrar } from "../fakes/virtual-registrar.ts";
import { accountIdOf, accountOf, BenchShard, registrarEndpoint } from "./bench-shard.ts";

const right = { kind: "password", password: "p-u1" } as const;
const wrong = { kind: "password", password: "x" } as const;
const backup = { transport: "udp", address: "192.0.2.11", port: 5060 } as const;

describe("a check of credentials where a proxy asks, too (RFC 3261 §22.3)", () => {
  /** The proxy's challenge first, then the registrar's; each checks its own, and that no nonce count comes twice. */
  function twoRealms(secret: typeof right | typeof wrong) {
    const shard = new BenchShard();
    const counts: string[] = [];
    shard.registrar.behaviour = (heard, registrar) => {
      const edge = /^Proxy-Authorization: (.*)$/m.exec(heard.text)?.[1];
      if (edge === undefined) {
        return { status: 407, headers: ['Proxy-Authenticate: Digest realm="edge", nonce="e", qop="auth"'] };
      }
      counts.push(parametersOf(edge).nc ?? "");
      const own = /^Authorization: /m.test(heard.text) ? heard : { ...heard, authorization: undefined };
      return registrar.own(own);
    };
    shard.directory.put(accountOf(1));
    shard.prove(accountIdOf(1), secret);
    shard.run(2000);
    return { shard, counts };
  }

  test("both are answered, and the right password is accepted", () => {
    const { shard, counts } = twoRealms(right);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "accepted", status: 200 }]);
    expect(counts).toEqual(["00000001", "00000002"]);
  });

  test("a wrong one is refused all the same", () => {
    const { shard } = twoRealms(wrong);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "refused", status: 401 }]);
    expect(shard.registrar.heard).toHaveLength(3);
  });
});

describe("a check of credentials at several servers, RFC 3263 §4.3", () => {
  test.each([false, true])(
    "503 goes to the next one, whose nonces are its own (after a challenge: %p)",
    (isChallenged) => {
      const shard = new BenchShard();
      const second = new VirtualRegistrar(shard.wire, backup, { saysStale: false });
      shard.locator.set("virtual.test", [registrarEndpoint, backup]);
      shard.registrar.behaviour = (heard, registrar) =>
        isChallenged && heard.authorization === undefined ? registrar.challenge() : { status: 503 };
      shard.directory.put(accountOf(1));
      shard.prove(accountIdOf(1), right);
      shard.run(2000);
      expect(shard.newsOf("proof")).toMatchObject([{ outcome: "accepted", status: 200 }]);
      expect(second.wrong).toBe(0);
    },
  );

  test("all of them busy is no refusal", () => {
    const shard = new BenchShard();
    const second = new VirtualRegistrar(shard.wire, backup);
    shard.locator.set("virtual.test", [registrarEndpoint, backup]);
    shard.registrar.behaviour = second.behaviour = () => ({ status: 503 });
    shard.directory.put(accountOf(1));
    shard.prove(accountIdOf(1), right);
    shard.run(2000);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "unavailable", status: 503 }]);
    expect(shard.registrar.heard.length + second.heard.length).toBe(2);
  });
});

describe("a check of credentials of an account that was redirected, RFC 3261 §8.1.3.4", () => {
  test("goes where the account's REGISTERs go, and leaves nothing behind", () => {
    const shard = new BenchShard();
    const elsewhere = new VirtualRegistrar(shard.wire, { transport: "udp", address: "192.0.2.99", port: 5080 });
    shard.registrar.behaviour = () => ({ status: 302, headers: ["Contact: <sip:192.0.2.99:5080>"] });
    const account = shard.add(1);
    shard.run(1000);
    expect(shard.state(account)).toBe("registered");
    shard.prove(account, right);
    shard.run(2000);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "accepted", status: 200 }]);
    expect(elsewhere.heard.at(-1)?.contacts).toEqual([]);
    shard.remove(account);
    shard.directory.remove(account);
    shard.run(2000);
    expect(shard.keeper.registrars()).toEqual([]);
  });
});

import { describe, expect, test } from "bun:test";
import { SipText } from "../fakes/sip-text.ts";
import { answerTo, AttackBench, registrarAddress, strangerAddress, victimAddress } from "./attack-bench.ts";

const tls = { endpoint: { transport: "tls", port: 5061, serverName: "virtual.test" } } as const;

/** A call that was answered, whose phone is gone for good: a BYE of our own is under way to the server. */
function lostPhone(): { readonly bench: AttackBench; readonly bye: SipText } {
  const bench = new AttackBench();
  const contact = bench.registered();
  bench.registrar.behaviour = undefined;
  const tunnel = bench.openTunnel();
  bench.inject(bench.request("INVITE", contact, [], registrarAddress), registrarAddress);
  const invite = bench.frames.find(({ method }) => method === "INVITE");
  if (invite === undefined) throw new Error("no INVITE at the phone");
  bench.frame(tunnel, answerTo(invite, 200, ["Contact: <sip:u1@phone.invalid;transport=ws>"]));
  const answered = bench.sentTo(registrarAddress).find(({ status }) => status === 200);
  if (answered === undefined) throw new Error("no 200 at the server");
  const dialog = [
    `From: ${answered.get("From")}`,
    `To: ${answered.get("To")}`,
    `Call-ID: ${answered.get("Call-ID")}`,
  ] as const;
  bench.inject(bench.request("ACK", contact, [...dialog, "CSeq: 1 ACK"], registrarAddress), registrarAddress);
  bench.closeTunnel(tunnel);
  bench.inject(bench.request("INFO", contact, [...dialog, "CSeq: 2 INFO"], registrarAddress), registrarAddress);
  bench.run(70_000);
  const bye = bench.sentTo(registrarAddress).find(({ method, isResponse }) => method === "BYE" && !isResponse);
  if (bye === undefined) throw new Error("no BYE");
  bench.sent.length = 0;
  return { bench, bye };
}

const challengeLine = (realm: string, more = 'qop="auth"'): string =>
  `WWW-Authenticate: Digest realm="${realm}", nonce="rogue", ${more}`;

describe("digest leak: somebody challenges a request of ours (ES2021-05, CVE-2021-41158)", () => {
  const credentialsAfter = (lines: readonly string[], status: number, from = registrarAddress): boolean => {
    const { bench, bye } = lostPhone();
    bench.inject(answerTo(bye, status, lines), from);
    bench.run(2000);
    expect(bench.faults).toBe(0);
    return bench.sent.some(({ bytes }) => /authorization:/i.test(Buffer.from(bytes).toString("latin1")));
  };

  test("the account's own registrar in the realm that it registered with gets credentials", () => {
    expect(credentialsAfter([challengeLine("virtual.test")], 401)).toBeTrue();
  });

  test("another address does not, though it knows branch and realm", () => {
    expect(credentialsAfter([challengeLine("virtual.test")], 401, strangerAddress)).toBeFalse();
    expect(credentialsAfter([challengeLine("virtual.test")], 407, strangerAddress)).toBeFalse();
  });

  test("another realm does not, nor Basic, nor an algorithm that nobody knows", () => {
    expect(credentialsAfter([challengeLine("rogue.test")], 401)).toBeFalse();
    expect(credentialsAfter(['WWW-Authenticate: Basic realm="virtual.test"'], 401)).toBeFalse();
    expect(credentialsAfter([challengeLine("virtual.test", "algorithm=MD4")], 401)).toBeFalse();
  });

  test("a challenge within a call goes to the phone, never answered by us", () => {
    const bench = new AttackBench();
    bench.registered();
    const tunnel = bench.openTunnel();
    bench.frame(
      tunnel,
      bench.request("INVITE", "sip:bob@far.example", [
        "Via: SIP/2.0/WSS phone.invalid;branch=z9hG4bKphone",
        "From: <sip:u1@virtual.test>;tag=p",
        "Contact: <sip:u1@phone.invalid;transport=ws>",
      ]),
    );
    bench.run(100);
    const invite = bench.sentTo(registrarAddress).find(({ method }) => method === "INVITE");
    if (invite === undefined) throw new Error("no INVITE at the server");
    bench.inject(answerTo(invite, 407, [challengeLine("virtual.test").replace("WWW-", "Proxy-")]), registrarAddress);
    bench.run(2000);
    expect(bench.frames.at(-1)?.status).toBe(407);
    for (const { bytes } of bench.sent) expect(Buffer.from(bytes).toString("latin1")).not.toMatch(/authorization:/i);
  });
});

describe("downgrade, RFC 8760", () => {
  test("an account that used SHA-256 sends nothing to MD5, Basic or the unknown", () => {
    for (const challenge of [
      'Digest realm="virtual.test", nonce="n", qop="auth", algorithm=MD5',
      'Digest realm="virtual.test", nonce="n"',
      'Basic realm="virtual.test"',
      'Digest realm="virtual.test", nonce="n", algorithm=ROT13',
    ]) {
      const bench = new AttackBench({ registrar: { algorithms: ["MD5", "SHA-256"] }, account: { expiresSec: 60 } });
      bench.registered();
      expect(bench.registrar.heard.at(-1)?.authorization).toContain("algorithm=SHA-256");
      const before = bench.registrar.heard.length;
      bench.registrar.behaviour = () => ({ status: 401, headers: [`WWW-Authenticate: ${challenge}`] });
      bench.run(600_000);
      const after = bench.registrar.heard.slice(before);
      expect(after.length).toBeGreaterThan(0);
      for (const { authorization } of after)
        if (authorization !== undefined) expect(authorization).toContain("SHA-256");
    }
  });
});

describe("a registrar that was moved (DNS poisoning)", () => {
  test("gets at most two digests an attempt, and refuses an account after a few", () => {
    const bench = new AttackBench({ account: { expiresSec: 60 } });
    bench.registered();
    let digests = 0;
    let nonce = 0;
    bench.wire.server({ transport: "udp", address: strangerAddress, port: 5060 }, () => undefined);
    bench.locator.set("virtual.test", [{ transport: "udp", address: strangerAddress, port: 5060 }], 1);
    bench.wire.removeServer(bench.registrar.server);
    const rogue = bench.wire.server({ transport: "udp", address: strangerAddress, port: 5060 }, (bytes, source) => {
      const text = Buffer.from(bytes).toString("latin1");
      if (!text.startsWith("REGISTER")) return;
      if (/^authorization:/im.test(text)) digests++;
      const lines = [`WWW-Authenticate: Digest realm="virtual.test", nonce="fresh${nonce++}", qop="auth", stale=true`];
      rogue.reply(source, Buffer.from(answerTo(new SipText(text), 401, lines), "latin1"));
    });
    bench.run(600_000);
    expect(digests).toBeGreaterThan(0);
    // Ten minutes: the back-off lets some ten attempts through.
    expect(digests).toBeLessThanOrEqual(40);
  });

  test("a realm that changes is told to the operator, once", () => {
    const bench = new AttackBench({ account: { expiresSec: 60 } });
    bench.registered();
    bench.run(200_000);
    const told = (): unknown[] => bench.events.filter(({ kind }) => kind === "realmChanged");
    expect(told()).toEqual([]);
    const sameAs = (heard: { readonly contacts: readonly { readonly uri: string }[] }): string[] =>
      heard.contacts.map(({ uri }) => `Contact: <${uri}>;expires=60`);
    bench.registrar.behaviour = (heard) =>
      heard.text.includes(`realm="moved.test"`)
        ? { status: 200, headers: sameAs(heard) }
        : { status: 401, headers: [challengeLine("moved.test")] };
    bench.run(300_000);
    expect(told()).toMatchObject([{ registrar: "virtual.test", realm: "moved.test" }]);
  });

  test("an account of TLS follows no redirect out of TLS", () => {
    for (const target of ["", ";transport=udp", ";transport=tcp"]) {
      const bench = new AttackBench({ ...tls, account: { transport: "tls", expiresSec: 60 } });
      bench.registered();
      for (const transport of ["udp", "tcp"] as const) {
        bench.wire.server({ transport, address: victimAddress, port: 5060 }, () => undefined);
      }
      bench.locator.set(victimAddress, [
        { transport: "udp", address: victimAddress, port: 5060 },
        { transport: "tcp", address: victimAddress, port: 5060 },
      ]);
      bench.registrar.behaviour = () => ({ status: 302, headers: [`Contact: <sip:${victimAddress}:5060${target}>`] });
      bench.run(300_000);
      expect(bench.sentTo(victimAddress)).toEqual([]);
    }
  });

  test("an account of TLS never goes to UDP or TCP, whatever the name says now", () => {
    const bench = new AttackBench({ ...tls, account: { transport: "tls", expiresSec: 60 } });
    bench.registered();
    bench.wire.removeServer(bench.registrar.server);
    for (const transport of ["udp", "tcp"] as const) {
      bench.wire.server({ transport, address: victimAddress, port: 5060 }, () => undefined);
    }
    // Not even when the resolver answers what was not asked.
    bench.locator.failing = {
      ok: true,
      endpoints: (["udp", "tcp"] as const).map((transport) => ({ transport, address: victimAddress, port: 5060 })),
      ttlSec: 1,
    };
    bench.run(900_000);
    expect(bench.sentTo(victimAddress)).toEqual([]);
    expect(bench.sent.every(({ transport }) => transport === "tls")).toBeTrue();
  });
});

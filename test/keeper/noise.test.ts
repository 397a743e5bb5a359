import { describe, expect, test } from "bun:test";
import type { ConnectionId, Source } from "../../src/net/network.ts";
import { SipView } from "../../src/sip/message/view.ts";
import { SeededRandom } from "../fakes/virtual-clock.ts";
import { BenchShard } from "./bench-shard.ts";

const source: Source = { transport: "udp", address: "192.0.2.10", port: 5060, connection: 0 as ConnectionId };
const statuses = [
  100, 180, 200, 202, 300, 301, 302, 305, 400, 401, 403, 404, 407, 408, 420, 423, 439, 480, 486, 494, 500, 503, 504,
  600, 603, 606, 699,
];

/** Header values that somebody has sent somewhere, and worse. */
const oddities = (contact: string, line: string): readonly string[] => [
  `Contact: <${contact}>;expires=600`,
  `Contact: <${contact}>;expires=0`,
  `Contact: <${contact}>;expires=99999999999999999999`,
  `Contact: <${contact}>;expires=-1, <sip:x@y>;expires=60`,
  `Contact: <sip:u1@10.0.0.1;line=${line.slice(0, -1)}z>;expires=60`,
  `Contact: <sip:u1@10.0.0.1;line=${line}>;expires=60, <${contact}>;expires=50`,
  "Contact: *",
  'Contact: <sip:u1@192.0.2.99:5060>;expires=60;+sip.instance="<urn:uuid:x>"',
  `Contact: ${Array.from({ length: 100 }, (_, n) => `<sip:u1@10.0.0.${n}>;expires=${n}`).join(",")}`,
  "Contact: <sip:192.0.2.77:5080;transport=tcp>",
  "Contact: <sips:192.0.2.77>",
  "Contact: <tel:+1>",
  'Contact: "<<>>',
  "Expires: 0",
  "Expires: 4294967296",
  "Expires: -5",
  "Min-Expires: 0",
  "Min-Expires: 4294967295",
  "Retry-After: 4294967295",
  "Retry-After: 0",
  "Retry-After: 5 (never)",
  'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"',
  'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", stale=true, algorithm=SHA-256',
  'WWW-Authenticate: Digest realm="s", nonce="n", algorithm=MD5-sess, qop="auth-int"',
  `WWW-Authenticate: Digest realm="${"r".repeat(256)}", nonce="${"n".repeat(1024)}", opaque="${"o".repeat(1024)}"`,
  'WWW-Authenticate: Basic realm="r"',
  "WWW-Authenticate: Digest",
  'Proxy-Authenticate: Digest realm="p", nonce="n", qop="auth"',
  'Proxy-Authenticate: Digest realm="q", nonce=""',
  'Authentication-Info: nextnonce="x"',
  `Authentication-Info: nextnonce="${"x".repeat(1000)}"`,
  "Service-Route: <sip:a;lr>, <sip:b;lr>",
  `Service-Route: ${"<sip:a;lr>,".repeat(50)}<sip:b;lr>`,
  "Flow-Timer: 0",
  "Flow-Timer: 99999999999",
  "P-Registrar-Error: Too many registered contacts",
  "Via: SIP/2.0/UDP 1.2.3.4;branch=z9hG4bKother",
  "CSeq: 1 REGISTER",
  "Content-Length: 5",
  ": nothing",
];

describe("whatever a registrar answers", () => {
  test("a million answers throw nothing, leave no state behind and keep the manners", () => {
    const random = new SeededRandom(4711);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random.next() * from.length)]!;
    const shard = new BenchShard({ rows: 64 });
    shard.registrar.behaviour = () => "silence";
    const accounts = [1, 2, 3, 4].map((n) => shard.add(n, { registrationMode: n === 1 ? "auto" : "alternate" }));
    const view = new SipView();
    let last = "";
    let requests = 0;
    shard.wire.onPassage = (passage) => {
      if (!passage.to.startsWith("192.0.2.10:")) return;
      last = Buffer.from(passage.bytes).toString("latin1");
      requests++;
    };
    let taken = 0;
    const total = 1_000_000;
    let answer = Buffer.alloc(0);
    for (let n = 0; n < total; n++) {
      if (n % 50 === 0) {
        shard.run(n % 500 === 0 ? 200_000 : 20_000, 5000);
        if (n % 2000 === 0) for (const account of accounts) shard.presence(account, random.next() < 0.6, 0);
        if (n % 5000 === 0) for (const account of accounts) shard.keeper.retryNow(account);
      }
      // Most are a variation of the one before: building each anew would cost more than reading it.
      if (n % 4 === 0 || answer.length === 0) {
        const [, via, , from, to, callId, cseq] = last.split("\r\n");
        const contact = /Contact: <([^>]+)>/.exec(last)?.[1] ?? "sip:x@y";
        const line = /line=(\w+)/.exec(contact)?.[1] ?? "";
        const extra: string[] = [];
        const odd = oddities(contact, line);
        for (let k = Math.floor(random.next() * 4); k > 0; k--) extra.push(pick(odd));
        answer = Buffer.from(
          [
            `SIP/2.0 ${pick(statuses)} Whatever`,
            via,
            from,
            `${to};tag=r`,
            callId,
            cseq,
            ...extra,
            "Content-Length: 0",
            "",
            "",
          ].join("\r\n"),
          "latin1",
        );
      } else if (answer.length > 0) {
        for (let k = Math.floor(random.next() * 6); k > 0; k--)
          answer[Math.floor(random.next() * answer.length)] = Math.floor(random.next() * 256);
      }
      if (shard.keeper.onResponse(answer, 0, answer.length, view, source)) taken++;
    }
    expect(taken).toBeGreaterThan(total / 10);
    const seconds = shard.clock.nowMs() / 1000;
    // Four accounts, one REGISTER in 5 s each, challenges and what people asked for included: far below.
    expect(requests).toBeLessThan((seconds / 5) * 4);

    shard.registrar.behaviour = undefined;
    shard.registrar.options = { password: () => "new" };
    for (const account of accounts) {
      // Some have answered SHA-256 by now, and will not answer MD5 before their credentials are new.
      shard.directory.put({ ...shard.directory.account(account)!, version: 2 }, { kind: "password", password: "new" });
      shard.keeper.accountChanged(account, true);
    }
    shard.run(7_200_000, 500);
    expect(accounts.map((account) => shard.state(account))).toEqual(accounts.map(() => "registered"));
    for (const account of accounts) {
      shard.remove(account);
      shard.directory.remove(account);
    }
    shard.run(60_000);
    expect(shard.keeper.registrars()).toEqual([]);
    expect(shard.registrar.registered).toBe(0);
  }, 60_000);

  test("requests, fragments and noise are somebody else's, and harmless", () => {
    const random = new SeededRandom(7);
    const shard = new BenchShard();
    shard.add(1);
    shard.run(100);
    const view = new SipView();
    const whole = Buffer.from(shard.registrar.heard[1]!.text, "latin1");
    for (let n = 0; n < 20_000; n++) {
      const bytes = Buffer.from(whole.subarray(0, Math.floor(random.next() * whole.length)));
      for (let k = 0; k < 5; k++)
        if (bytes.length > 0) bytes[Math.floor(random.next() * bytes.length)] = Math.floor(random.next() * 256);
      shard.keeper.onResponse(bytes, 0, bytes.length, view, source);
    }
    expect(shard.state(shard.keeper.accountId(shard.keeper.rowOf(shard.directory.records.keys().next().value!)!))).toBe(
      "registered",
    );
  });
});

describe("whatever the wire does", () => {
  test("loss, delay, duplicates and disorder: every account is registered in the end, and no binding is left behind", () => {
    for (let seed = 1; seed <= 12; seed++) {
      const shard = new BenchShard({
        seed,
        rows: 60,
        registrar: seed % 2 === 0 ? { nonceUses: 1 } : { expiresSecMax: 60, nonceLifeMs: 40_000 },
        weather: { delayMs: [1, 400], lossRatio: 0.2, duplicateRatio: 0.2 },
      });
      const accounts = Array.from({ length: 30 }, (_, n) => shard.add(n));
      shard.run(120_000);
      for (let n = 0; n < 100; n++) {
        shard.presence(accounts[Math.floor(shard.random.next() * 30)]!, shard.random.next() < 0.5, 0);
        if (n % 25 === 0) shard.restart();
        shard.run(Math.floor(shard.random.next() * 3000));
      }
      for (const [n, account] of accounts.entries()) shard.presence(account, n % 2 === 0, 0);
      shard.wire.weather = { delayMs: [1, 20], lossRatio: 0, duplicateRatio: 0 };
      shard.run(700_000, 20);
      for (const [n, account] of accounts.entries()) {
        expect([seed, n, shard.state(account), shard.registrar.bindingsOf(`u${n}`).length]).toEqual([
          seed,
          n,
          n % 2 === 0 ? "registered" : "idle",
          n % 2 === 0 ? 1 : 0,
        ]);
      }
    }
  }, 30_000);
});

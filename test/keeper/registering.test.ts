import { describe, expect, test } from "bun:test";
import { Header } from "../../src/sip/message/header.ts";
import { parseUriText, uriParam } from "../../src/sip/uri.ts";
import { lineOf } from "../fakes/virtual-registrar.ts";
import { accountOf, BenchShard } from "./bench-shard.ts";

describe("a registration, RFC 3261 §10.2", () => {
  test("challenges are answered, and the state is registered with what was granted", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    expect(shard.state(account)).toBe("registering");
    shard.run(100);
    const status = shard.keeper.status(account);
    expect(status).toMatchObject({
      state: "registered",
      lastStatus: 200,
      registrar: "192.0.2.10:5060",
      transport: "udp",
    });
    const leftSec = (status!.expiresAtMs! - shard.clock.wallMs()) / 1000;
    expect(leftSec).toBeWithin(599, 600.1);
    expect(shard.registrar.heard).toHaveLength(2);
    expect(shard.registrar.wrong).toBe(0);
  });

  test("each REGISTER has the same Call-ID and From-tag and a higher CSeq", () => {
    const shard = new BenchShard();
    shard.add(1);
    shard.run(1_200_000);
    const { heard } = shard.registrar;
    expect(heard.length).toBeGreaterThanOrEqual(4);
    expect(new Set(heard.map((one) => one.callId)).size).toBe(1);
    expect(new Set(heard.map((one) => one.view.value(Header.from))).size).toBe(1);
    expect(new Set(heard.map((one) => one.branch)).size).toBe(heard.length);
    for (let n = 1; n < heard.length; n++) expect(heard[n]!.cseq).toBe(heard[n - 1]!.cseq + 1);
  });

  test("the Contact leads to where we listen and carries line token and instance", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    const contact = shard.registrar.heard[0]!.contacts[0]!;
    const uri = parseUriText(contact.uri)!;
    expect(uri).toMatchObject({ scheme: "sip", user: "u1", host: "198.51.100.7", port: 5060 });
    expect(uriParam(uri, "transport")).toBe("udp");
    const row = shard.keeper.rowOf(account)!;
    expect(shard.keeper.rowByLine(lineOf(contact.uri)!)).toBe(row);
    expect(contact.params.get("+sip.instance")).toBe(`<urn:uuid:${account}>`);
  });

  test("nothing is required of the registrar that RFC 3261 does not have", () => {
    const shard = new BenchShard();
    shard.add(1);
    shard.run(100);
    const { view, text } = shard.registrar.heard[0]!;
    expect(view.count(Header.require)).toBe(0);
    expect(view.count(Header.proxyRequire)).toBe(0);
    expect(view.value(Header.maxForwards)).toBe("70");
    expect(view.value(Header.contentLength)).toBe("0");
    expect(text).toContain(";rport;branch=z9hG4bKk");
    expect(text).toContain("User-Agent: Wakeline\r\n");
  });

  test("names that need it are escaped in URIs and quoted in credentials", () => {
    const shard = new BenchShard({ registrar: { password: () => "secret" } });
    const account = shard.add(
      1,
      { username: 'a b"c', authUsername: 'x"\\y' },
      { kind: "password", password: "secret" },
    );
    shard.registrar.behaviour = (heard, registrar) =>
      heard.authorization === undefined ? "own" : { status: 200, headers: registrar.bindingsOf("x").map(String) };
    shard.run(100);
    const last = shard.registrar.heard.at(-1)!;
    expect(last.text).toContain("<sip:a%20b%22c@virtual.test>");
    expect(last.text).toContain(String.raw`Digest username="x\"\\y"`);
    expect(shard.state(account)).toBe("registered");
  });

  test("an account's own instance, user agent and expiry are used", () => {
    const shard = new BenchShard();
    shard.add(1, {
      instanceId: "urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF",
      userAgent: "Phone/1.0",
      expiresSec: 120,
    });
    shard.run(100);
    const { text, expires } = shard.registrar.heard[0]!;
    expect(text).toContain(`+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"`);
    expect(text).toContain("User-Agent: Phone/1.0\r\n");
    expect(expires).toBe(120);
  });

  test("a line break in a user agent cannot begin a header", () => {
    const shard = new BenchShard();
    shard.add(1, { userAgent: "Phone\r\nX-Evil: 1" });
    shard.run(100);
    expect(shard.registrar.heard[0]!.text).not.toContain("\r\nX-Evil");
  });

  test("`proxy` is where REGISTERs go, `alternateProxy` before it", () => {
    const shard = new BenchShard();
    shard.locator.set("proxy.test", [{ transport: "udp", address: "192.0.2.10", port: 5060 }]);
    shard.locator.refuse("inside.test", "notFound");
    const account = shard.add(1, { proxy: "sip:inside.test", alternateProxy: "proxy.test:5060" });
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.heard[0]!.view.requestUri()).toBe("sip:virtual.test");
  });

  test("over a stream, REGISTERs share one connection and name outbound without requiring it", () => {
    const endpoint = { transport: "tcp", address: "192.0.2.10", port: 5060 } as const;
    const shard = new BenchShard({ endpoint });
    for (let n = 1; n <= 5; n++) shard.add(n);
    shard.run(100);
    expect(shard.count("registrationsRegistered")).toBe(5);
    expect(shard.registrar.server.connections.size).toBe(1);
    expect(shard.registrar.heard[0]!.text).toContain("Supported: path, outbound");
    expect(shard.registrar.heard[0]!.text).toContain(";reg-id=1");
    expect(shard.registrar.heard[0]!.text).toContain("Via: SIP/2.0/TCP 198.51.100.7:5060");
  });
});

describe("a refresh", () => {
  test("comes at 80 to 90 % of the granted time, with the kept nonce, in one round trip", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const shard = new BenchShard({ seed });
      const account = shard.add(1);
      shard.run(100);
      const before = shard.registrar.heard.length;
      const boundAt = shard.registrar.heard.at(-1)!.atMs;
      shard.run(560_000);
      const fresh = shard.registrar.heard.slice(before);
      expect(fresh).toHaveLength(1);
      expect(fresh[0]!.atMs - boundAt).toBeWithin(479_000, 541_000);
      expect(fresh[0]!.authorization).toContain("nc=00000002");
      expect(shard.state(account)).toBe("registered");
      expect(shard.count("registerRefreshed")).toBe(1);
    }
  });

  test("is never later than half of a short time, and differs between accounts", () => {
    const shard = new BenchShard({ registrar: { expiresSecMax: 60 } });
    for (let n = 1; n <= 20; n++) shard.add(n);
    shard.run(100);
    shard.registrar.heard.length = 0;
    shard.run(31_000);
    const times = shard.registrar.heard.map((one) => one.atMs);
    expect(times).toHaveLength(20);
    expect(Math.max(...times)).toBeLessThan(31_200);
    expect(new Set(times.map((atMs) => Math.floor(atMs / 100))).size).toBeGreaterThan(10);
  });

  test("is not news", () => {
    const shard = new BenchShard();
    shard.add(1);
    shard.run(1_200_000);
    expect(shard.newsOf("changed")).toHaveLength(1);
  });

  test("costs no database read while the nonce is kept", () => {
    const shard = new BenchShard();
    shard.add(1);
    shard.run(100);
    shard.directory.secretReads = 0;
    shard.run(3_000_000);
    expect(shard.registrar.heard.length).toBeGreaterThan(6);
    expect(shard.directory.secretReads).toBe(0);
  });
});

describe("non-INVITE client transaction, RFC 3261 §17.1.2", () => {
  test("a REGISTER is sent again at 0.5, 1.5, 3.5 s and then every 4 s, byte for byte, for 32 s", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = () => "silence";
    shard.add(1);
    shard.run(32_500);
    const first = shard.registrar.heard[0]!;
    const same = shard.registrar.heard.filter((one) => one.branch === first.branch);
    expect(same.map((one) => Math.round((one.atMs - first.atMs) / 100) / 10)).toEqual([
      0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5,
    ]);
    expect(new Set(same.map((one) => one.text)).size).toBe(1);
    expect(shard.count("registerRetransmitted")).toBe(10);
    expect(shard.count("registerTimeouts")).toBe(1);
  });

  test("100 Trying slows retransmission to every 4 s, it does not stop it", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = (_heard, registrar) => (registrar.heard.length === 1 ? { status: 100 } : "silence");
    shard.add(1);
    shard.run(20_000);
    const [first, ...rest] = shard.registrar.heard;
    expect(rest.map((one) => Math.round((one.atMs - first!.atMs) / 100) / 10)).toEqual([0.5, 4.5, 8.5, 12.5, 16.5]);
    expect(shard.count("registerAnswers1xx")).toBe(1);
  });

  test("nothing is sent again over a stream", () => {
    const shard = new BenchShard({ endpoint: { transport: "tcp", address: "192.0.2.10", port: 5060 } });
    shard.registrar.behaviour = () => "silence";
    shard.add(1);
    shard.run(31_000);
    expect(shard.registrar.heard).toHaveLength(1);
  });

  test("a final answer that comes again is absorbed", () => {
    const shard = new BenchShard({ weather: { duplicateRatio: 1 } });
    const account = shard.add(1);
    shard.run(1000);
    expect(shard.state(account)).toBe("registered");
    expect(shard.count("registerAnswers200")).toBe(1);
    expect(shard.count("registerSent")).toBe(2);
  });

  test("a 200 with another CSeq is dropped", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.registrar.behaviour = (heard, registrar) => {
      const wrong = heard.text.replace(/CSeq: (\d+)/, (_, n) => `CSeq: ${Number(n) + 1}`);
      const bytes = Buffer.from(
        `SIP/2.0 200 OK\r\n${wrong.split("\r\n").slice(1, 7).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`,
      );
      registrar.server.reply(heard.source, bytes);
      return "silence";
    };
    const account = shard.add(1);
    shard.run(400);
    expect(shard.state(account)).toBe("registering");
    expect(shard.count("unmatchedDropped")).toBe(1);
  });

  test("a 200 from another address is dropped, and so is one with a guessed branch", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    const stranger = shard.wire.server({ transport: "udp", address: "203.0.113.66", port: 5060 }, () => undefined);
    shard.registrar.behaviour = (heard, registrar) => {
      const answer = `SIP/2.0 200 OK\r\n${heard.text.split("\r\n").slice(1, 7).join("\r\n")}\r\nContent-Length: 0\r\n\r\n`;
      stranger.send("198.51.100.7", 5060, Buffer.from(answer));
      const guessed = answer.replace(
        heard.branch,
        `${heard.branch.slice(0, -1)}${heard.branch.endsWith("a") ? "b" : "a"}`,
      );
      registrar.server.reply(heard.source, Buffer.from(guessed));
      return "silence";
    };
    const account = shard.add(1);
    shard.run(400);
    expect(shard.count("unmatchedDropped")).toBe(2);
    expect(shard.state(account)).toBe("registering");
  });

  test("a 200 with two Vias is dropped (RFC 3261 §8.1.3.3)", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.registrar.behaviour = (heard, registrar) => {
      const lines = heard.text.split("\r\n").slice(1, 7);
      lines.splice(1, 0, "Via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKother");
      registrar.server.reply(
        heard.source,
        Buffer.from(`SIP/2.0 200 OK\r\n${lines.join("\r\n")}\r\nContent-Length: 0\r\n\r\n`),
      );
      return "silence";
    };
    const account = shard.add(1);
    shard.run(400);
    expect(shard.state(account)).toBe("registering");
  });
});

test("of many that register at once some are told, of those that were in trouble all", () => {
  const shard = new BenchShard({ registrar: { open: true }, rows: 2048 });
  for (let n = 1; n <= 500; n++) shard.directory.put(accountOf(n));
  shard.keeper.start();
  shard.run(2000);
  expect(shard.count("registrationsRegistered")).toBe(500);
  const told = shard.newsOf("changed").length;
  expect(told).toBeWithin(32, 400);
  // All lapse; that they did, and that they are back, is news.
  shard.registrar.isSilent = true;
  shard.run(900_000, 50);
  expect(shard.count("registrationsRetrying")).toBe(500);
  shard.registrar.isSilent = false;
  shard.run(60_000, 50);
  expect(shard.count("registrationsRegistered")).toBe(500);
  const states = shard.newsOf("changed").map(({ status }) => status.state);
  expect(states.filter((state) => state === "registered").length).toBe(told + 500);
});

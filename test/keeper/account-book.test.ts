import { describe, expect, test } from "bun:test";
import type { AccountBook } from "../../src/anchor/account-book.ts";
import type { RegistrationIndex } from "../../src/base/ids.ts";
import { type ConnectionId, type Source } from "../../src/net/network.ts";
import { scan } from "../../src/sip/message/scan.ts";
import { SipView } from "../../src/sip/message/view.ts";
import { lineOf, parametersOf, VirtualRegistrar } from "../fakes/virtual-registrar.ts";
import { accountIdOf, accountOf, BenchShard } from "./bench-shard.ts";

const server: Source = { transport: "udp", address: "192.0.2.10", port: 5060, connection: 0 as ConnectionId };
const stranger: Source = { ...server, address: "203.0.113.66" };

function challengeView(lines: string, status = 407): SipView {
  const text = `SIP/2.0 ${status} Challenged\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx\r\nFrom: <sip:u1@virtual.test>;tag=1\r\nTo: <sip:x@y>;tag=2\r\nCall-ID: c\r\nCSeq: 2 BYE\r\n${lines}\r\nContent-Length: 0\r\n\r\n`;
  const view = new SipView();
  scan(Buffer.from(text), 0, text.length, view);
  return view;
}

describe("what the anchor asks of registrations", () => {
  test("the keeper is an AccountBook", () => {
    const book: AccountBook = new BenchShard().keeper;
    expect(book.rowOf(accountIdOf(1))).toBeUndefined();
  });

  test("a line token names its row; one character else and it names nobody", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.add(2);
    shard.run(100);
    const row = shard.keeper.rowOf(account)!;
    const token = lineOf(shard.registrar.bindingsOf("u1")[0]!.uri)!;
    expect(shard.keeper.rowByLine(token)).toBe(row);
    expect(shard.keeper.accountId(row)).toBe(account);
    for (let at = 0; at < token.length; at++) {
      const other = `${token.slice(0, at)}${token[at] === "a" ? "b" : "a"}${token.slice(at + 1)}`;
      expect(shard.keeper.rowByLine(other)).toBeUndefined();
    }
    for (const wrong of ["", "x", token.slice(1), `${token}a`, "é".repeat(29), "0".repeat(29), "a".repeat(29)]) {
      expect(shard.keeper.rowByLine(wrong)).toBeUndefined();
    }
  });

  test("tokens have 96 random bits and differ between accounts and shards", () => {
    const tokens = new Set<string>();
    for (let seed = 1; seed <= 5; seed++) {
      const shard = new BenchShard({ seed });
      for (let n = 0; n < 20; n++) shard.add(n);
      shard.run(100);
      for (let n = 0; n < 20; n++) tokens.add(lineOf(shard.registrar.bindingsOf(`u${n}`)[0]!.uri)!);
    }
    expect(tokens.size).toBe(100);
    expect([...tokens][0]!.length).toBe(29);
  });

  test("a source is a server when it is the one in use or another of the name's", () => {
    const shard = new BenchShard();
    shard.locator.set("virtual.test", [
      { transport: "udp", address: "192.0.2.10", port: 5060 },
      { transport: "udp", address: "192.0.2.11", port: 5060 },
    ]);
    const row = shard.keeper.rowOf(shard.add(1))!;
    shard.run(100);
    expect(shard.keeper.isServer(row, server)).toBe(true);
    expect(shard.keeper.isServer(row, { ...server, port: 9999 })).toBe(true);
    expect(shard.keeper.isServer(row, { ...server, address: "192.0.2.11" })).toBe(true);
    expect(shard.keeper.isServer(row, stranger)).toBe(false);
    expect(shard.keeper.isServer(77 as RegistrationIndex, server)).toBe(false);
  });

  test("where the line parameter is stripped, user and server together name the account, if it is one", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    const row = shard.keeper.rowOf(account);
    expect(shard.keeper.rowByAddress("u1", server)).toBe(row);
    expect(shard.keeper.rowByAddress("%751", server)).toBe(row);
    expect(shard.keeper.rowByAddress("u1", stranger)).toBeUndefined();
    expect(shard.keeper.rowByAddress("u9", server)).toBeUndefined();
    // The same user of another domain at the same server: nobody can tell.
    shard.locator.set("second.test", [{ transport: "udp", address: "192.0.2.10", port: 5060 }]);
    shard.add(2, { username: "u1", domain: "second.test" });
    shard.run(100);
    expect(shard.keeper.rowByAddress("u1", server)).toBeUndefined();
  });

  test("... also where the user is no ASCII: UTF-8, escaped or not", () => {
    const shard = new BenchShard();
    const account = shard.add(1, { username: "j\u00f6rg" });
    shard.run(100);
    const row = shard.keeper.rowOf(account);
    expect(shard.keeper.rowByAddress("j%C3%B6rg", server)).toBe(row);
    expect(shard.keeper.rowByAddress("j%c3%b6r%67", server)).toBe(row);
    expect(shard.keeper.rowByAddress(Buffer.from("j\u00f6rg").toString("latin1"), server)).toBe(row);
    expect(shard.keeper.rowByAddress("j%F6rg", server)).toBeUndefined();
  });

  test("serverOf says where requests go, or tells later", () => {
    const shard = new BenchShard();
    shard.locator.holding = true;
    const row = shard.keeper.rowOf(shard.add(1))!;
    expect(shard.keeper.serverOf(row)).toBeUndefined();
    shard.locator.release();
    expect(shard.newsOf("serverKnown")).toEqual([{ kind: "serverKnown", row }]);
    expect(shard.host.endpoint(shard.keeper.serverOf(row)!)).toMatchObject({ address: "192.0.2.10" });
  });

  test("contactUri is the Contact of our REGISTER", () => {
    const shard = new BenchShard();
    const row = shard.keeper.rowOf(shard.add(1))!;
    shard.run(100);
    expect(shard.keeper.contactUri(row, shard.keeper.serverOf(row)!)).toBe(shard.registrar.bindingsOf("u1")[0]!.uri);
    expect(shard.keeper.aor(row)).toEqual({ user: "u1", domain: "virtual.test" });
  });

  test("secondsLeft counts down to 0", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    const row = shard.keeper.rowOf(account)!;
    expect(shard.keeper.secondsLeft(row)).toBe(0);
    shard.run(100);
    expect(shard.keeper.secondsLeft(row)).toBe(599);
    shard.run(100_000);
    expect(shard.keeper.secondsLeft(row)).toBe(499);
    shard.presence(account, false);
    expect(shard.keeper.secondsLeft(row)).toBe(0);
  });

  test("a row that is nobody's any more answers nothing and throws nothing", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    const account = shard.add(1);
    shard.run(100);
    const row = shard.keeper.rowOf(account)!;
    const peer = shard.keeper.serverOf(row)!;
    shard.remove(account);
    shard.directory.remove(account);
    shard.run(1000);
    expect(shard.keeper.isServer(row, server)).toBe(false);
    expect(shard.keeper.serverOf(row)).toBeUndefined();
    expect(shard.keeper.secondsLeft(row)).toBe(0);
    expect(shard.keeper.serviceRoute(row)).toEqual([]);
    expect(shard.keeper.isSecure(row)).toBe(false);
    expect(shard.keeper.isNatEmulated(row)).toBe(false);
    expect(shard.keeper.authorize(row, challengeView("X: 1"), server, "BYE", "sip:x")).toBeUndefined();
    expect(shard.keeper.contactUri(row, peer)).toContain("sip:");
    expect(shard.keeper.aor(row)).toEqual({ user: "", domain: "" });
  });
});

describe("credentials for other requests of ours (ES2021-05, CVE-2021-41158)", () => {
  const line = 'Proxy-Authenticate: Digest realm="virtual.test", nonce="n1", qop="auth"';

  function registered() {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    return { shard, account, row: shard.keeper.rowOf(account)! };
  }

  test("are given to the account's own server, in the realm that it proved itself in", () => {
    const { shard, row } = registered();
    const answer = shard.keeper.authorize(row, challengeView(line), server, "BYE", "sip:caller@192.0.2.10")!;
    expect(answer).toStartWith("Proxy-Authorization: Digest ");
    expect(parametersOf(answer)).toMatchObject({
      username: "u1",
      realm: "virtual.test",
      nonce: "n1",
      uri: "sip:caller@192.0.2.10",
      nc: "00000001",
    });
  });

  test("not to another peer, not for another realm, not by Basic", () => {
    const { shard, row } = registered();
    expect(shard.keeper.authorize(row, challengeView(line), stranger, "BYE", "sip:x")).toBeUndefined();
    expect(
      shard.keeper.authorize(row, challengeView(line.replace("virtual.test", "evil.test")), server, "BYE", "sip:x"),
    ).toBeUndefined();
    expect(
      shard.keeper.authorize(
        row,
        challengeView('Proxy-Authenticate: Basic realm="virtual.test"'),
        server,
        "BYE",
        "sip:x",
      ),
    ).toBeUndefined();
  });

  test("not before the account has proved itself, not when the secret is gone", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = () => "silence";
    const account = shard.add(1);
    shard.run(100);
    const row = shard.keeper.rowOf(account)!;
    expect(shard.keeper.authorize(row, challengeView(line), server, "BYE", "sip:x")).toBeUndefined();
    const known = registered();
    known.shard.directory.remove(known.account);
    expect(known.shard.keeper.authorize(known.row, challengeView(line), server, "BYE", "sip:x")).toBeUndefined();
  });

  test("not by a weaker algorithm than was used before", () => {
    const shard = new BenchShard({ registrar: { algorithms: ["SHA-256"] } });
    const row = shard.keeper.rowOf(shard.add(1))!;
    shard.run(100);
    expect(shard.keeper.authorize(row, challengeView(line), server, "BYE", "sip:x")).toBeUndefined();
    expect(shard.keeper.authorize(row, challengeView(`${line}, algorithm=SHA-256`), server, "BYE", "sip:x")).toContain(
      "SHA-256",
    );
  });

  test("also after a restart, before the next refresh", () => {
    const { shard, row } = registered();
    shard.restart();
    expect(shard.keeper.authorize(row, challengeView(line), server, "BYE", "sip:x")).toContain("Proxy-Authorization");
  });
});

describe("a check of credentials (REGISTER without Contact, RFC 3261 §10.2.3)", () => {
  const right = { kind: "password", password: "p-u1" } as const;
  const wrong = { kind: "password", password: "x" } as const;

  function checked(secret: typeof right | typeof wrong, change: ConstructorParameters<typeof BenchShard>[0] = {}) {
    const shard = new BenchShard(change);
    shard.directory.put(accountOf(1));
    const id = shard.prove(accountIdOf(1), secret);
    shard.run(9000);
    return { shard, news: shard.newsOf("proof").filter((one) => one.requestId === id) };
  }

  test("the right password is accepted, and no binding is touched", () => {
    const { shard, news } = checked(right);
    expect(news).toMatchObject([{ outcome: "accepted", status: 200 }]);
    expect(shard.registrar.heard.every((one) => one.contacts.length === 0 && one.expires === undefined)).toBe(true);
    expect(shard.registrar.registered).toBe(0);
    expect(shard.keeper.registrars()).toEqual([]);
  });

  test("a wrong one is refused after one try", () => {
    const { shard, news } = checked(wrong);
    expect(news).toMatchObject([{ outcome: "refused", status: 401 }]);
    expect(shard.registrar.wrong).toBe(1);
  });

  test("hashes are checked as hashes", () => {
    const shard = new BenchShard();
    shard.directory.put(accountOf(1));
    const hash = new Bun.CryptoHasher("md5").update("u1:virtual.test:p-u1").digest("hex");
    shard.prove(accountIdOf(1), { kind: "ha1", entries: [{ realm: "virtual.test", algorithm: "MD5", hash }] });
    shard.run(100);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "accepted" }]);
  });

  test("403 is a refusal, 503 and silence are not", () => {
    for (const [behaviour, outcome, status] of [
      [{ status: 403 }, "refused", 403],
      [{ status: 503 }, "unavailable", 503],
      ["silence", "unavailable", 0],
    ] as const) {
      const shard = new BenchShard();
      shard.registrar.behaviour = () => behaviour;
      shard.directory.put(accountOf(1));
      shard.prove(accountIdOf(1), right);
      shard.run(7900);
      if (behaviour === "silence") expect(shard.newsOf("proof")).toEqual([]);
      shard.run(200);
      expect(shard.newsOf("proof")).toMatchObject([{ outcome, status }]);
    }
  });

  test("a lossy way is no refusal", () => {
    const { news } = checked(right, { weather: { lossRatio: 0.3 }, seed: 3 });
    expect(news).toMatchObject([{ outcome: "accepted" }]);
  });

  test("a stale nonce is excused once, a loop is not", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = (_heard, registrar) => registrar.challenge(true);
    shard.directory.put(accountOf(1));
    shard.prove(accountIdOf(1), right);
    shard.run(1000);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "refused" }]);
    expect(shard.registrar.heard).toHaveLength(3);
  });

  test("a registrar that asks for nothing proves nothing: only the secret on file is accepted", () => {
    expect(checked(right, { registrar: { open: true } }).news).toMatchObject([{ outcome: "accepted" }]);
    expect(checked(wrong, { registrar: { open: true } }).news).toMatchObject([{ outcome: "refused", status: 200 }]);
  });

  test("goes where it is told to, and not to the account's own server", () => {
    const shard = new BenchShard();
    const other = new VirtualRegistrar(shard.wire, { transport: "udp", address: "192.0.2.77", port: 5060 });
    shard.locator.set("other.test", [{ transport: "udp", address: "192.0.2.77", port: 5060 }]);
    shard.directory.put(accountOf(1));
    const place = {
      authUsername: undefined,
      proxy: "other.test",
      alternateProxy: undefined,
      transport: "auto",
    } as const;
    shard.prove(accountIdOf(1), right, place);
    shard.run(100);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "accepted" }]);
    expect([other.heard.length, shard.registrar.heard.length]).toEqual([2, 0]);
  });

  test("tells whether the account itself is more than a claim", () => {
    // Nobody has registered yet: only the secret on file speaks for whoever put it there.
    expect(checked(wrong).news).toMatchObject([{ isProven: false }]);
    expect(checked(right).news).toMatchObject([{ isProven: true }]);
    const shard = new BenchShard();
    const refused = shard.add(1, {}, wrong);
    const registered = shard.add(2);
    shard.run(100);
    expect([shard.state(refused), shard.state(registered)]).toEqual(["refused", "registered"]);
    shard.prove(refused, right);
    shard.prove(registered, right);
    shard.run(100);
    expect(shard.newsOf("proof").map(({ outcome, isProven }) => [outcome, isProven])).toEqual([
      ["accepted", false],
      ["refused", true],
    ]);
    // Once taken, it stays so, also while the phone itself is registered and after a restart.
    shard.presence(registered, false);
    shard.run(1000);
    shard.restart();
    shard.prove(registered, right);
    shard.run(1000);
    expect(shard.newsOf("proof").at(-1)).toMatchObject({ isProven: true });
  });

  test("one at a time for an account, and none for nobody", () => {
    const shard = new BenchShard();
    shard.directory.put(accountOf(1));
    shard.prove(accountIdOf(1), right);
    const second = shard.prove(accountIdOf(1), right);
    const nobody = shard.prove(accountIdOf(2), right);
    expect(shard.newsOf("proof").map((one) => [one.requestId, one.outcome])).toEqual([
      [second, "unavailable"],
      [nobody, "unavailable"],
    ]);
    shard.run(100);
    expect(shard.newsOf("proof")).toHaveLength(3);
  });

  test("at a place that never answers keeps nobody from asking where the account is", () => {
    const shard = new BenchShard();
    shard.directory.put(accountOf(1));
    const place = {
      authUsername: undefined,
      proxy: "192.0.2.99",
      alternateProxy: undefined,
      transport: "auto",
    } as const;
    shard.prove(accountIdOf(1), wrong, place);
    shard.run(100);
    shard.prove(accountIdOf(1), right);
    shard.run(100);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "accepted" }]);
  });

  test("does not disturb the account's registration", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.prove(account, wrong);
    shard.run(1000);
    expect(shard.state(account)).toBe("registered");
    expect(shard.keeper.registrars()[0]).toMatchObject({ accounts: 1, registered: 1, refused: 0 });
    shard.run(1_200_000, 50);
    expect(shard.count("registerLapsed")).toBe(0);
  });

  test("of a name that nobody knows is unavailable", () => {
    const shard = new BenchShard();
    shard.directory.put(accountOf(1, { domain: "nowhere.test" }));
    shard.prove(accountIdOf(1), right);
    shard.run(8200);
    expect(shard.newsOf("proof")).toMatchObject([{ outcome: "unavailable", reason: "nowhere.test: not found" }]);
    expect(shard.keeper.registrars()).toEqual([]);
  });
});

describe("the list of registrars", () => {
  test("tells accounts, states, budget and the last status of each", () => {
    const shard = new BenchShard({ rows: 20 });
    const backup = new VirtualRegistrar(
      shard.wire,
      { transport: "tcp", address: "192.0.2.12", port: 5060 },
      { open: true },
    );
    for (let n = 0; n < 5; n++) shard.add(n);
    shard.add(6, {}, { kind: "password", password: "x" });
    shard.add(7, { domain: "other.test", proxy: "sip:192.0.2.12:5060;transport=tcp" });
    shard.run(1000);
    expect(shard.keeper.registrars()).toMatchObject([
      {
        registrar: "virtual.test",
        transport: "udp",
        accounts: 6,
        registered: 5,
        refused: 1,
        inFlight: 0,
        waiting: 0,
        breaker: "closed",
      },
      { registrar: "192.0.2.12:5060", transport: "tcp", accounts: 1, registered: 1, refused: 0, lastStatus: 200 },
    ]);
    expect(backup.registered).toBe(1);
  });
});

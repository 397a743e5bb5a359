import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { parametersOf } from "../fakes/virtual-registrar.ts";
import { BenchShard } from "./bench-shard.ts";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const md5 = (text: string): string => createHash("md5").update(text).digest("hex");

describe("challenges, RFC 3261 §22, RFC 7616, RFC 8760", () => {
  test("407 is answered in Proxy-Authorization", () => {
    const shard = new BenchShard({ registrar: { proxy: true } });
    const account = shard.add(1);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.heard.at(-1)!.text).toContain("Proxy-Authorization: Digest ");
  });

  test("the strongest algorithm offered is used", () => {
    const shard = new BenchShard({ registrar: { algorithms: ["SHA-512-256", "SHA-256", "MD5"] } });
    const account = shard.add(1);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.heard.at(-1)!.authorization).toContain("algorithm=SHA-512-256");
  });

  test("the strongest is found below weaker ones, too", () => {
    const shard = new BenchShard({ registrar: { algorithms: ["MD5", "SHA-256"] } });
    shard.add(1);
    shard.run(100);
    expect(shard.registrar.heard.at(-1)!.authorization).toContain("algorithm=SHA-256");
  });

  test("an account that used SHA-256 does not fall back to MD5", () => {
    const shard = new BenchShard({ registrar: { algorithms: ["SHA-256"] } });
    const account = shard.add(1);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    shard.registrar.options = { algorithms: ["MD5"] };
    shard.registrar.forgetNonces();
    const before = shard.registrar.heard.length;
    shard.run(600_000);
    const after = shard.registrar.heard.slice(before);
    // The refresh carried the old SHA-256 answer; MD5 was offered and not taken.
    expect(after.map((one) => parametersOf(one.authorization ?? "").algorithm)).toEqual(["SHA-256"]);
    expect(shard.state(account)).toBe("refused");
  });

  test("the pin outlives a restart, and new credentials lift it", () => {
    const shard = new BenchShard({ registrar: { algorithms: ["SHA-256"] } });
    const account = shard.add(1);
    shard.run(100);
    shard.registrar.options = { algorithms: ["MD5"], password: () => "new" };
    shard.restart();
    shard.run(600_000);
    expect(shard.state(account)).toBe("refused");
    expect(shard.registrar.heard.every((one) => !(one.authorization ?? "").includes("algorithm=MD5"))).toBe(true);
    shard.directory.put({ ...shard.directory.account(account)!, version: 2 }, { kind: "password", password: "new" });
    shard.keeper.accountChanged(account, true);
    shard.run(1000);
    expect(shard.state(account)).toBe("registered");
  });

  test("Basic and unknown algorithms are never answered", () => {
    for (const line of [
      'WWW-Authenticate: Basic realm="virtual.test"',
      'WWW-Authenticate: Digest realm="virtual.test", nonce="1", algorithm=SHA3-512',
      'WWW-Authenticate: Digest realm="virtual.test", algorithm=MD5',
      "X-None: 1",
    ]) {
      const shard = new BenchShard();
      shard.registrar.behaviour = () => ({ status: 401, headers: [line] });
      const account = shard.add(1);
      shard.run(120_000);
      expect(shard.registrar.heard).toHaveLength(1);
      expect(shard.registrar.heard[0]!.text).not.toContain("uthorization:");
      expect(shard.state(account)).toBe("refused");
    }
  });

  test("the form without qop (RFC 2069) is answered without nc and cnonce", () => {
    const shard = new BenchShard({ registrar: { qop: undefined } });
    const account = shard.add(1);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    const given = parametersOf(shard.registrar.heard.at(-1)!.authorization!);
    expect(given.nc).toBeUndefined();
    expect(given.cnonce).toBeUndefined();
  });

  test("auth-int is used when nothing else is offered, auth before it", () => {
    for (const [qop, used] of [
      ["auth-int", "auth-int"],
      ["auth-int,auth", "auth"],
    ] as const) {
      const shard = new BenchShard({ registrar: { qop } });
      const account = shard.add(1);
      shard.run(100);
      expect(shard.state(account)).toBe("registered");
      expect(parametersOf(shard.registrar.heard.at(-1)!.authorization!).qop).toBe(used);
      shard.run(600_000);
      expect(shard.state(account)).toBe("registered");
      expect(shard.registrar.wrong).toBe(0);
    }
  });

  test("opaque and a long nonce come back as they were", () => {
    const shard = new BenchShard();
    const nonce = "n".repeat(300);
    const opaque = "o".repeat(100);
    shard.registrar.behaviour = (heard) =>
      heard.authorization === undefined
        ? {
            status: 401,
            headers: [`WWW-Authenticate: Digest realm="r", nonce="${nonce}", opaque="${opaque}", qop="auth"`],
          }
        : { status: 200, headers: [`Contact: <${heard.contacts[0]!.uri}>;expires=600`] };
    const account = shard.add(1);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    for (const count of ["00000001", "00000002"]) {
      const given = parametersOf(shard.registrar.heard.at(-1)!.authorization!);
      expect(given).toMatchObject({ nonce, opaque, nc: count });
      const ha1 = md5("u1:r:p-u1");
      const ha2 = md5("REGISTER:sip:virtual.test");
      expect(given.response).toBe(md5(`${ha1}:${nonce}:${count}:${given.cnonce}:auth:${ha2}`));
      expect(given.algorithm).toBeUndefined();
      shard.run(560_000);
    }
  });

  test("Asterisk's opaque fits the columns and comes back", () => {
    const shard = new BenchShard({ registrar: { opaque: "6ee2e6f91b4a35b3" } });
    const account = shard.add(1);
    shard.run(100);
    expect(parametersOf(shard.registrar.heard.at(-1)!.authorization!).opaque).toBe("6ee2e6f91b4a35b3");
    expect(shard.state(account)).toBe("registered");
  });

  test("a session variant is computed as RFC 7616 §3.4.2 says", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = (heard) =>
      heard.authorization === undefined
        ? {
            status: 401,
            headers: ['WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA-256-sess, qop="auth"'],
          }
        : { status: 200, headers: [`Contact: <${heard.contacts[0]!.uri}>;expires=600`] };
    shard.add(1);
    shard.run(100);
    const given = parametersOf(shard.registrar.heard.at(-1)!.authorization!);
    const ha1 = sha256(`${sha256("u1:r:p-u1")}:n:${given.cnonce}`);
    expect(given.response).toBe(
      sha256(`${ha1}:n:${given.nc}:${given.cnonce}:auth:${sha256("REGISTER:sip:virtual.test")}`),
    );
  });

  test("401 and then 407 of another realm: both credentials from then on", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = (heard, registrar) => {
      const { text } = heard;
      if (!text.includes("\r\nAuthorization: ")) {
        return { status: 401, headers: ['WWW-Authenticate: Digest realm="home", nonce="h", qop="auth"'] };
      }
      if (!text.includes("\r\nProxy-Authorization: ")) {
        return { status: 407, headers: ['Proxy-Authenticate: Digest realm="edge", nonce="e", qop="auth"'] };
      }
      registrar.accepted++;
      return { status: 200, headers: [`Contact: <${heard.contacts[0]!.uri}>;expires=600`] };
    };
    const account = shard.add(1);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.heard).toHaveLength(3);
    shard.run(560_000);
    expect(shard.registrar.heard).toHaveLength(4);
    expect(shard.registrar.accepted).toBe(2);
    expect(shard.registrar.heard.at(-1)!.text).toContain("nc=00000003");
  });

  test("both challenges in one answer are both answered", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = (heard) => {
      const { text } = heard;
      if (text.includes('realm="home"') && text.includes('realm="edge"')) {
        return { status: 200, headers: [`Contact: <${heard.contacts[0]!.uri}>;expires=600`] };
      }
      return {
        status: 401,
        headers: [
          'WWW-Authenticate: Digest realm="home", nonce="h", qop="auth"',
          'Proxy-Authenticate: Digest realm="edge", nonce="e", qop="auth"',
        ],
      };
    };
    const account = shard.add(1);
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.heard).toHaveLength(2);
  });

  test("a realm that is another than the one proven before is told, once, with the registrar's name", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(600_000);
    expect(shard.newsOf("realm")).toEqual([]);
    shard.registrar.options = { ...shard.registrar.options, realm: "moved.test" };
    shard.registrar.forgetNonces();
    shard.run(1_800_000, 50);
    expect(shard.state(account)).toBe("registered");
    expect(shard.newsOf("realm")).toEqual([
      { kind: "realm", accountId: account, registrar: "virtual.test", realm: "moved.test" },
    ]);
  });

  test("a registrar with another realm each time does not make requests grow", () => {
    const shard = new BenchShard();
    let realm = 0;
    shard.registrar.behaviour = (heard) =>
      heard.authorization !== undefined && heard.text.includes(`realm="r${realm}"`)
        ? { status: 200, headers: [`Contact: <${heard.contacts[0]!.uri}>;expires=60`] }
        : { status: 401, headers: [`WWW-Authenticate: Digest realm="r${++realm}", nonce="n", qop="auth"`] };
    const account = shard.add(1);
    for (let n = 0; n < 12; n++) {
      shard.run(30_000);
      realm++;
    }
    expect(shard.state(account)).toBe("registered");
    const lines = shard.registrar.heard.map((one) => one.text.split("\r\nAuthorization: ").length - 1);
    expect(Math.max(...lines)).toBe(4);
  });

  test("accounts of one profile in realms of their own each answer in theirs", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = (heard) =>
      heard.authorization === undefined
        ? { status: 401, headers: [`WWW-Authenticate: Digest realm="realm-of-${heard.user}", nonce="n", qop="auth"`] }
        : { status: 200, headers: [`Contact: <${heard.contacts[0]!.uri}>;expires=600`] };
    for (let n = 1; n <= 3; n++) shard.add(n);
    shard.run(100);
    const answers = shard.registrar.heard.filter((one) => one.authorization !== undefined);
    expect(answers.map((one) => [one.user, parametersOf(one.authorization!).realm])).toEqual([
      ["u1", "realm-of-u1"],
      ["u2", "realm-of-u2"],
      ["u3", "realm-of-u3"],
    ]);
  });

  test("an account with hashes answers for their realm and algorithm only", () => {
    const shard = new BenchShard({ registrar: { algorithms: ["SHA-256", "MD5"] } });
    const entries = [{ realm: "virtual.test", algorithm: "MD5", hash: md5("u1:virtual.test:p-u1") }];
    const account = shard.add(1, {}, { kind: "ha1", entries });
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.heard.at(-1)!.authorization).toContain("algorithm=MD5");

    const foreign = new BenchShard({ registrar: { realm: "elsewhere" } });
    const other = foreign.add(1, {}, { kind: "ha1", entries });
    foreign.run(1000);
    expect(foreign.state(other)).toBe("refused");
    expect(foreign.registrar.heard).toHaveLength(1);
  });
});

describe("nonces", () => {
  test("an expired nonce is replaced, whether the server says stale or not (Kamailio)", () => {
    for (const saysStale of [true, false]) {
      const shard = new BenchShard({ registrar: { nonceLifeMs: 60_000, saysStale } });
      const account = shard.add(1);
      shard.run(600_000);
      expect(shard.state(account)).toBe("registered");
      expect(shard.registrar.heard.map((one) => one.authorization !== undefined)).toEqual([false, true, true, true]);
    }
  });

  test("where nonces serve once (chan_sip) the kept one is no longer sent", () => {
    const shard = new BenchShard({ registrar: { nonceUses: 1, qop: undefined } });
    const account = shard.add(1);
    shard.run(5_000_000);
    expect(shard.state(account)).toBe("registered");
    const late = shard.registrar.heard.slice(-6).map((one) => one.authorization !== undefined);
    expect(late.filter(Boolean)).toHaveLength(3);
    expect(shard.count("registerLapsed")).toBe(0);
  });

  test("nextnonce is used for the next request, its count from 1", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = (heard, registrar) => {
      const own = registrar.own(heard);
      return own.status === 200
        ? { ...own, headers: [...(own.headers ?? []), `Authentication-Info: nextnonce="${"next".repeat(4)}"`] }
        : own;
    };
    shard.add(1);
    shard.run(560_000);
    const given = parametersOf(shard.registrar.heard[2]!.authorization!);
    expect(given).toMatchObject({ nonce: "nextnextnextnext", nc: "00000001" });
  });

  test("a registrar that calls every nonce stale gets at most two answers an attempt, and few attempts", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = (_heard, registrar) => registrar.challenge(true);
    const account = shard.add(1);
    shard.run(1000);
    expect(shard.registrar.heard.map((one) => one.authorization !== undefined)).toEqual([false, true, true]);
    shard.run(3_600_000, 100);
    expect(shard.state(account)).toBe("refused");
    expect(shard.registrar.heard.length).toBeLessThanOrEqual(9);
  });

  test("a realm that changes at every challenge gets no more answers than that", () => {
    const shard = new BenchShard();
    shard.registrar.behaviour = (_heard, registrar) => ({
      status: 401,
      headers: [
        `WWW-Authenticate: Digest realm="r${registrar.heard.length}", nonce="n${registrar.heard.length}", qop="auth"`,
      ],
    });
    const account = shard.add(1);
    shard.run(1000);
    expect(shard.registrar.heard.length).toBeLessThanOrEqual(3);
    expect(shard.state(account)).toBe("retrying");
  });
});

describe("a wrong password", () => {
  const wrong = { kind: "password", password: "wrong" } as const;

  test("costs the registrar one REGISTER with credentials and ends refused", () => {
    const shard = new BenchShard();
    const account = shard.add(1, {}, wrong);
    shard.run(3_600_000, 100);
    expect(shard.state(account)).toBe("refused");
    expect(shard.registrar.heard).toHaveLength(2);
    expect(shard.registrar.wrong).toBe(1);
    expect(shard.newsOf("refused")).toMatchObject([{ accountId: account, status: 401 }]);
  });

  test("that was changed at the registrar costs two, and the device hears of it", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.registrar.options = { password: () => "changed" };
    shard.registrar.heard.length = 0;
    shard.run(600_000);
    expect(shard.registrar.heard.filter((one) => one.authorization !== undefined).length).toBeLessThanOrEqual(2);
    expect(shard.state(account)).toBe("refused");
    expect(shard.newsOf("refused")).toHaveLength(1);
  });

  test("is tried again once a day and no more", () => {
    const shard = new BenchShard();
    const account = shard.add(1, {}, wrong);
    shard.run(1000);
    const status = shard.keeper.status(account)!;
    expect((status.nextAttemptAtMs! - shard.clock.wallMs()) / 3_600_000).toBeWithin(21, 27);
    shard.run(4 * 86_400_000, 1000);
    expect(shard.registrar.wrong).toBeWithin(4, 6);
    expect(shard.state(account)).toBe("refused");
  });

  test("stays refused over a restart without a REGISTER", () => {
    const shard = new BenchShard();
    const account = shard.add(1, {}, wrong);
    shard.run(1000);
    const before = shard.registrar.requests;
    shard.restart();
    shard.run(3_600_000, 100);
    expect(shard.state(account)).toBe("refused");
    expect(shard.registrar.requests).toBe(before);
  });

  test("is not tried again by a change of presence", () => {
    const shard = new BenchShard();
    const account = shard.add(1, {}, wrong);
    shard.run(1000);
    const before = shard.registrar.requests;
    for (let n = 0; n < 10; n++) {
      shard.presence(account, false);
      shard.run(1000);
      expect(shard.state(account)).toBe("idle");
      const id = shard.presence(account, true);
      shard.run(1000);
      expect(shard.answerOf(id)).toMatchObject({ isPending: false, status: { state: "refused" } });
    }
    expect(shard.registrar.requests).toBe(before);
  });

  test("is cured by new credentials at once", () => {
    const shard = new BenchShard();
    const account = shard.add(1, {}, wrong);
    shard.run(1000);
    shard.directory.put({ ...shard.directory.account(account)!, version: 2 });
    shard.keeper.accountChanged(account, true);
    shard.run(1000);
    expect(shard.state(account)).toBe("registered");
  });

  test("is tried at once when an operator says so", () => {
    const shard = new BenchShard({ registrar: { password: () => "wrong-for-now" } });
    const account = shard.add(1);
    shard.run(1000);
    expect(shard.state(account)).toBe("refused");
    shard.registrar.options = {};
    shard.keeper.retryNow(account);
    shard.run(1000);
    expect(shard.state(account)).toBe("registered");
  });
});

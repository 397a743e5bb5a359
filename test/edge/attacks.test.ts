import { describe, expect, test } from "bun:test";
import { createHmac, sign, generateKeyPairSync } from "node:crypto";
import { importJWK, type JWK, SignJWT } from "jose";
import type { DeviceId, SubscriptionId } from "../../src/base/ids.ts";
import { appId, appKey, at, EdgeBench, faultFields, RawSocket } from "./edge-bench.ts";

interface PublicKey {
  readonly kid: string;
  readonly x: string;
}

function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}

function partsOf(token: string): {
  readonly header: Record<string, unknown>;
  readonly payload: Record<string, unknown>;
} {
  const [header = "", payload = ""] = token.split(".");
  const read = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString()) as Record<string, unknown>;
  return { header: read(header), payload: read(payload) };
}

async function setUp() {
  const bench = await EdgeBench.open();
  const phone = await bench.phone();
  const jwks = (await bench.call("GET", "/.well-known/jwks.json")).body as { readonly keys: readonly PublicKey[] };
  const key = jwks.keys[0];
  if (key === undefined) throw new Error("no key");
  const statusOf = async (token: string) => (await bench.call("GET", "/v1/devices/me", token)).status;
  return { bench, phone, key, statusOf, ...partsOf(phone.token) };
}

describe("device tokens: attacks of CVE-2022-36083, GHSA-27h2-hvpr-p74q, GHSA-869p-cjfg-cm3x and their kind", () => {
  test("a token is an EdDSA JWT with fixed issuer and audience, and its public key is published", async () => {
    const { bench, phone, key, header, payload, statusOf } = await setUp();
    await using _ = bench;
    expect(header).toEqual({ alg: "EdDSA", kid: key.kid, typ: "JWT" });
    expect(payload).toMatchObject({ iss: "wakeline", aud: "wakeline:device", sub: phone.deviceId });
    expect(key).toMatchObject({ kty: "OKP", crv: "Ed25519", alg: "EdDSA", use: "sig" });
    expect(Object.keys(key)).not.toContain("d");
    expect(await statusOf(phone.token)).toBe(200);
  });

  test("alg none, however it is written, is nothing", async () => {
    const { bench, header, payload, phone, statusOf } = await setUp();
    await using _ = bench;
    for (const alg of ["none", "None", "NONE", "nOnE", ""]) {
      const start = `${encode({ ...header, alg })}.${encode(payload)}`;
      expect(await statusOf(`${start}.`)).toBe(401);
      expect(await statusOf(start)).toBe(401);
      expect(await statusOf(`${start}.${phone.token.split(".")[2]}`)).toBe(401);
    }
  });

  test("HS256 with the public key as its secret is nothing", async () => {
    const { bench, header, payload, key, statusOf } = await setUp();
    await using _ = bench;
    const raw = Buffer.from(key.x, "base64url");
    for (const secret of [raw, Buffer.from(key.x), Buffer.from(JSON.stringify(key))]) {
      const start = `${encode({ ...header, alg: "HS256" })}.${encode(payload)}`;
      expect(await statusOf(`${start}.${createHmac("sha256", secret).update(start).digest("base64url")}`)).toBe(401);
    }
  });

  test("a key in the header, its URL or its path is never looked at", async () => {
    const { bench, header, payload, key, statusOf } = await setUp();
    await using _ = bench;
    const own = generateKeyPairSync("ed25519");
    const jwk = own.publicKey.export({ format: "jwk" });
    const signed = (more: Record<string, unknown>) => {
      const start = `${encode({ ...header, ...more })}.${encode(payload)}`;
      return `${start}.${sign(null, Buffer.from(start), own.privateKey).toString("base64url")}`;
    };
    for (const more of [
      {},
      { jwk },
      { jku: `http://127.0.0.1:${bench.edge.publicPort}/keys.json` },
      { x5u: "http://127.0.0.1:1/cert.pem" },
      { kid: "../../../../dev/null" },
      { kid: "' or 1=1 --" },
      { kid: "__proto__" },
      { kid: "constructor" },
      { kid: undefined },
      { kid: 7 },
      { kid: ["a"] },
      { kid: `${key.kid}\u0000` },
      { b64: false, crit: ["b64"] },
    ]) {
      expect([more, await statusOf(signed(more))]).toEqual([more, 401]);
    }
  });

  test("claims that are not ours, or were changed, are nothing", async () => {
    const { bench, header, payload, phone, statusOf } = await setUp();
    await using _ = bench;
    const [first, , signature] = phone.token.split(".");
    expect(
      await statusOf(`${first}.${encode({ ...payload, sub: "0192d1c8-0000-7000-8000-000000000000" })}.${signature}`),
    ).toBe(401);
    expect(await statusOf(`${encode(header)}.${encode(payload)}.${signature}`)).toBe(200);
    expect(await statusOf(`${encode({ ...header, typ: "X" })}.${encode(payload)}.${signature}`)).toBe(401);
  });

  test("even our own key signs nothing but device tokens: issuer, audience, algorithm and length are fixed", async () => {
    const { bench, key, payload, statusOf } = await setUp();
    await using _ = bench;
    const stored = JSON.parse(bench.store.setting("deviceTokenKeys") ?? "") as { current: { privateKey: JWK } };
    const privateKey = await importJWK(stored.current.privateKey, "EdDSA");
    const signed = (claims: Record<string, unknown>, alg = "EdDSA") =>
      new SignJWT({ ...payload, ...claims }).setProtectedHeader({ alg, kid: key.kid, typ: "JWT" }).sign(privateKey);
    expect(await statusOf(await signed({}))).toBe(200);
    for (const claims of [
      { iss: "another" },
      { aud: "wakeline:operator" },
      { iss: undefined },
      { aud: undefined },
      { sub: undefined },
      { app: "com.example.other" },
      { exp: 1 },
      { padding: "x".repeat(1_000) },
    ]) {
      expect([claims, await statusOf(await signed(claims))]).toEqual([claims, 401]);
    }
    expect(await statusOf(await signed({}, "Ed25519"))).toBe(401);
  });

  test("encrypted tokens, bombs and noise are nothing, at once", async () => {
    const { bench, statusOf } = await setUp();
    await using _ = bench;
    const pbes2 = encode({ alg: "PBES2-HS512+A256KW", enc: "A256GCM", p2c: 2_000_000_000, p2s: "AAAA" });
    const zip = encode({ alg: "dir", enc: "A256GCM", zip: "DEF" });
    const startMs = performance.now();
    for (const token of [
      `${pbes2}.AA.AA.AA.AA`,
      `${zip}..AA.AA.AA`,
      "....",
      "a.b.c",
      "x".repeat(9_000),
      encode({}).repeat(3),
    ]) {
      expect(await statusOf(token)).toBe(401);
    }
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });

  test("a token of another Wakeline is nothing here", async () => {
    const { bench, statusOf } = await setUp();
    await using _ = bench;
    await using other = await EdgeBench.open();
    expect(await statusOf((await other.phone()).token)).toBe(401);
  });

  test("after a rotation old tokens stay good, and new ones have another key", async () => {
    const { bench, phone, key, statusOf } = await setUp();
    await using _ = bench;
    expect((await bench.operator("POST", "/operator/v1/keys/rotate")).status).toBe(200);
    const next = await bench.phone();
    expect(partsOf(next.token).header["kid"]).not.toBe(key.kid);
    expect([await statusOf(phone.token), await statusOf(next.token)]).toEqual([200, 200]);
    const kids = ((await bench.call("GET", "/.well-known/jwks.json")).body as { keys: PublicKey[] }).keys.map(
      ({ kid }) => kid,
    );
    expect(kids).toEqual([String(partsOf(next.token).header["kid"]), key.kid]);
  });

  test("who tries tokens is slowed down; a right one is still taken", async () => {
    const { bench, phone, statusOf } = await setUp();
    await using _ = bench;
    const statuses: number[] = [];
    for (let n = 0; n < 101; n++) statuses.push(await statusOf(`guess.${n}.x`));
    expect([statuses[0], statuses.at(-1)]).toEqual([401, 429]);
    expect(await statusOf(phone.token)).toBe(200);
  });
});

describe("bodies", () => {
  const enrol = (bench: EdgeBench, body: string, headers: Record<string, string> = {}) =>
    bench.call("POST", "/v1/devices", appKey, body, headers);

  test.each([
    ["nothing", ""],
    ["half a body", '{"app": "a'],
    ["no JSON", "app=com.example.phone"],
    ["two values", "{} {}"],
    ["deep arrays", "[".repeat(30_000) + "]".repeat(30_000)],
    ["deep objects", '{"a":'.repeat(10_000) + "1" + "}".repeat(10_000)],
    ["deep arrays in a field", `{"app":${"[".repeat(20)}${"]".repeat(20)}}`],
  ])("%s is 400 as a problem", async (_what, body) => {
    await using bench = await EdgeBench.open();
    const answer = await enrol(bench, body);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([400, "application/problem+json"]);
    expect(await bench.metric('wakeline_faults_total{where="http"}')).toBe(0);
  });

  test("brackets inside a string are not depth", async () => {
    await using bench = await EdgeBench.open();
    const token = `${"[".repeat(100)}\\"${"{".repeat(100)}`;
    const body = `{"app":"${appId}","push":{"provider":"webhook","token":"${token}"}}`;
    expect((await enrol(bench, body)).status).toBe(201);
  });

  test.each(["null", "5", '"text"', "[]", "true"])("%s is 422", async (body) => {
    await using bench = await EdgeBench.open();
    expect((await enrol(bench, body)).status).toBe(422);
  });

  test("bytes that are not UTF-8 are 400", async () => {
    await using bench = await EdgeBench.open();
    const response = await fetch(`${bench.url}/v1/devices`, {
      method: "POST",
      headers: { authorization: `Bearer ${appKey}` },
      body: new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    });
    expect(response.status).toBe(400);
  });

  test("64 KiB are read, more is 413 as a problem, with a length or in chunks; 20 MB are cut off", async () => {
    await using bench = await EdgeBench.open();
    const sized = (bytes: number) => `{"app":"${"x".repeat(bytes - 10)}"}`;
    expect((await enrol(bench, sized(65_536))).status).toBe(422);
    const large = await enrol(bench, sized(65_537));
    expect([large.status, large.headers.get("content-type")]).toEqual([413, "application/problem+json"]);
    const raw = await RawSocket.open(bench.edge.publicPort);
    const chunk = `2000\r\n${"a".repeat(8_192)}\r\n`;
    raw.write(
      `POST /v1/devices HTTP/1.1\r\nHost: x.example\r\nAuthorization: Bearer ${appKey}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    raw.write(`${chunk.repeat(9)}0\r\n\r\n`);
    expect(await raw.head()).toStartWith("HTTP/1.1 413");
    raw.destroy();
    const huge = await RawSocket.open(bench.edge.publicPort);
    huge.write(`POST /v1/devices HTTP/1.1\r\nHost: x.example\r\nContent-Length: 20000000\r\n\r\n`);
    expect(await huge.head()).toStartWith("HTTP/1.1 413");
    huge.destroy();
  });

  test("what is too long is refused before it has come: by its length, or in chunks at 256 KiB", async () => {
    await using bench = await EdgeBench.open();
    const start = `POST /v1/devices HTTP/1.1\r\nHost: x.example\r\nAuthorization: Bearer ${appKey}\r\n`;
    for (const begun of [
      "Content-Length: 70000\r\n\r\n",
      `Transfer-Encoding: chunked\r\n\r\n${`2000\r\n${"a".repeat(8_192)}\r\n`.repeat(40)}`,
    ]) {
      const raw = await RawSocket.open(bench.edge.publicPort);
      raw.write(start + begun);
      expect(await raw.head()).toStartWith("HTTP/1.1 413");
      raw.destroy();
    }
  });

  test("of a field that comes twice the one that was judged is the one that is used", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const account = (name: string) =>
      `{"account":{"username":"a","domain":"b.example","password":"p","displayName":"A","displayName":"${name}"}}`;
    expect((await bench.call("POST", "/v1/subscriptions", phone.token, account("\\u000d\\u000aX: y"))).status).toBe(
      422,
    );
    const answer = await bench.call("POST", "/v1/subscriptions", phone.token, account("B"));
    expect([answer.status, at(answer, "account.displayName")]).toEqual([201, "B"]);
  });

  test.each(["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"])(
    "a field named %s is refused as any unknown one, and changes nothing",
    async (name) => {
      await using bench = await EdgeBench.open();
      const phone = await bench.phone();
      const body = (inner: string, outer: string) =>
        `{"account":{"username":"a","domain":"b.example","password":"p"${inner}},"notify":{}${outer}}`;
      const evil = `,"${name}":{"admin":true,"password":"x","presence":"foreground"}`;
      for (const text of [body(evil, ""), body("", evil)]) {
        const answer = await bench.call("POST", "/v1/subscriptions", phone.token, text);
        expect(answer.status).toBe(422);
        expect(faultFields(answer)[0]).toEndWith(name);
      }
      expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
      expect((await bench.call("POST", "/v1/subscriptions", phone.token, body("", ""))).status).toBe(201);
    },
  );

  test("a query that nobody asked for is refused, never a fault", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    for (const query of ["?__proto__=1", "?constructor[prototype]=1", "?%00=%zz&&&=", `?${"a=1&".repeat(2_000)}`]) {
      expect((await bench.call("GET", `/v1/calls${query}`, phone.token)).status).toBe(422);
    }
    expect(await bench.metric('wakeline_faults_total{where="http"}')).toBe(0);
  });
});

describe("requests that no client library sends", () => {
  async function ask(bench: EdgeBench, bytes: string): Promise<string> {
    const raw = await RawSocket.open(bench.edge.publicPort);
    raw.write(bytes);
    const head = await raw.head();
    raw.destroy();
    return head.split("\r\n")[0] ?? "";
  }

  test.each(["a", "abc", "[::1]", "[::1]:8080", "[2001:db8::1]", "push.example.com:1", "127.0.0.1"])(
    "Host %s finds the app",
    async (host) => {
      await using bench = await EdgeBench.open();
      const phone = await bench.phone();
      const start = `Host: ${host}\r\nAuthorization: Bearer ${phone.token}\r\n`;
      expect(await ask(bench, `GET /v1/devices/me HTTP/1.1\r\n${start}\r\n`)).toBe("HTTP/1.1 200 OK");
      const body = '{"name":"x"}';
      expect(
        await ask(bench, `PATCH /v1/devices/me HTTP/1.1\r\n${start}Content-Length: ${body.length}\r\n\r\n${body}`),
      ).toBe("HTTP/1.1 200 OK");
      expect(bench.store.devices.values().next().value?.name).toBe("x");
    },
  );

  test.each(["", " ", "a b", "evil/v1/tunnel#", "a\tb", "[::1", "x:99999999"])(
    "Host %p is 400 or as good as none, never a fault",
    async (host) => {
      await using bench = await EdgeBench.open();
      const line = await ask(bench, `GET /v1/devices/me HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect(line).toMatch(/^HTTP\/1\.1 40[01] /);
      expect(await bench.metric('wakeline_faults_total{where="http"}')).toBe(0);
    },
  );

  test("HTTP/1.0 without a Host is 400", async () => {
    await using bench = await EdgeBench.open();
    expect(await ask(bench, "GET /v1/devices/me HTTP/1.0\r\n\r\n")).toStartWith("HTTP/1.1 400");
  });

  test("odd paths are 404, never a fault", async () => {
    await using bench = await EdgeBench.open();
    for (const path of [
      "/%",
      "/%00",
      "/v1/../v1/devices/../../etc/passwd",
      "//v1//devices",
      "/v1/devices/me/%2e%2e",
      `/${"a".repeat(5_000)}`,
    ]) {
      expect(await ask(bench, `GET ${path} HTTP/1.1\r\nHost: x.example\r\n\r\n`)).toMatch(
        /^HTTP\/1\.1 (?:404|401|400) /,
      );
    }
    expect(await bench.metric('wakeline_faults_total{where="http"}')).toBe(0);
  });
});

describe("a SIP server that tells without end", () => {
  test("lights a screen sixty times and then every five seconds; what ends a call always goes out", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const subscriptionId = at(await bench.subscribe(phone), "id") as SubscriptionId;
    const [accountId] = bench.store.accountRecords.keys();
    if (accountId === undefined) throw new Error("no account");
    const deviceId = phone.deviceId as DeviceId;
    const tell = (push: "voicemail" | "message" | "missed" | "cancel"): void =>
      bench.edge.dispatcher.onEvent({ kind: "notify", push, accountId, targets: [{ deviceId, subscriptionId }] });
    for (let n = 0; n < 100; n++) tell((["voicemail", "message", "missed"] as const)[n % 3] ?? "missed");
    expect(bench.gateway.pushes.length).toBe(60);
    expect(await bench.metric('wakeline_alarms_total{kind="push_flood"}')).toBe(40);
    tell("cancel");
    bench.clock.advance(5_000);
    tell("voicemail");
    tell("voicemail");
    expect(bench.gateway.pushes.slice(60).map(({ payload }) => payload.kind)).toEqual(["cancel", "voicemail"]);
  });
});

describe("answers of the public listener", () => {
  test("carry no cookie and no cache, and may be read by any page", async () => {
    await using bench = await EdgeBench.open();
    const answer = await bench.call("GET", "/v1/devices/me", (await bench.phone()).token);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("set-cookie")).toBeNull();
    const preflight = await bench.call("OPTIONS", "/v1/subscriptions", undefined, undefined, {
      origin: "https://app.example",
    });
    expect([preflight.status, preflight.headers.get("access-control-allow-headers")]).toEqual([
      204,
      "authorization, content-type",
    ]);
  });

  test("the operator's interface is not there", async () => {
    await using bench = await EdgeBench.open();
    for (const path of ["/metrics", "/health/live", "/operator/v1/summary", "/"]) {
      expect((await bench.call("GET", path)).status).toBe(404);
    }
  });

  test("one address that asks without end gets 429; behind a trusted proxy the phone's address counts", async () => {
    await using bench = await EdgeBench.open({
      http: {
        listen: { host: "127.0.0.1", port: 0 },
        tlsCert: undefined,
        tlsKey: undefined,
        trustedProxies: ["127.0.0.1"],
      },
    });
    const ask = (forwarded: string) =>
      bench.call("GET", "/.well-known/wakeline.json", undefined, undefined, { "x-forwarded-for": forwarded });
    for (let n = 0; n < 400; n++) await Promise.all(Array.from({ length: 25 }, () => ask("192.0.2.1")));
    const late = await ask("192.0.2.1");
    expect([late.status, late.headers.get("retry-after")]).toEqual([429, "1"]);
    // What the client itself claims further left does not count.
    expect((await ask("203.0.113.9, 192.0.2.1")).status).toBe(429);
    expect((await ask("192.0.2.2")).status).toBe(200);
  });

  test("the server tells where its SIP comes from", async () => {
    await using bench = await EdgeBench.open();
    expect((await bench.call("GET", "/.well-known/wakeline.json")).body).toEqual({
      name: "wakeline",
      version: "0.0.0-test",
      interface: 1,
      api: "https://push.example.com",
      tunnel: "wss://push.example.com/v1/tunnel",
      docs: "https://push.example.com/docs",
      egressAddresses: ["203.0.113.7"],
      vapidPublicKey: "BPublic",
    });
  });

  test("HTTP problems name their kind", async () => {
    await using bench = await EdgeBench.open();
    const answer = await bench.call("GET", "/v1/nowhere");
    expect([answer.status, at(answer, "type"), answer.headers.get("content-type")]).toEqual([
      404,
      "urn:wakeline:problem:notFound",
      "application/problem+json",
    ]);
  });
});

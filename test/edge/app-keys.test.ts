import { describe, expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { AppKeys } from "../../src/edge/app-keys.ts";
import { VirtualClock } from "../fakes/virtual-clock.ts";
import { app, appId, appKey } from "./edge-bench.ts";

const issuer = "https://id.example.com";
const audience = "wakeline-enrolment";

/** An issuer with one key, that serves its key set and counts how often it is asked. */
async function openIssuer() {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const jwk = { ...(await exportJWK(publicKey)), kid: "one", alg: "ES256" };
  let asked = 0;
  let status = 200;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => {
      asked++;
      return Response.json({ keys: [jwk] }, { status });
    },
  });
  const sign = (claims: { iss?: string; aud?: string; exp?: number } = {}, clock = new VirtualClock()) =>
    new SignJWT({})
      .setProtectedHeader({ alg: "ES256", kid: "one" })
      .setIssuer(claims.iss ?? issuer)
      .setAudience(claims.aud ?? audience)
      .setExpirationTime(claims.exp ?? Math.floor(clock.wallMs() / 1_000) + 60)
      .sign(privateKey);
  return {
    jwksUrl: `http://127.0.0.1:${server.port}/jwks.json`,
    sign,
    asked: () => asked,
    fail: () => {
      status = 500;
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

describe("tokens of an app's issuer", () => {
  test("the issuer's token enrols, and so does the key; the key set is fetched once", async () => {
    await using idp = await openIssuer();
    const keys = new AppKeys([app({ jwksUrl: idp.jwksUrl, issuer, audience })], new VirtualClock());
    expect(await keys.check(appId, await idp.sign())).toBe("accepted");
    expect(await keys.check(appId, await idp.sign())).toBe("accepted");
    expect(await keys.check(appId, appKey)).toBe("accepted");
    expect(idp.asked()).toBe(1);
  });

  test("one of another issuer or audience, out of date, or for another app does not", async () => {
    await using idp = await openIssuer();
    const clock = new VirtualClock();
    const keys = new AppKeys(
      [app({ jwksUrl: idp.jwksUrl, issuer, audience }), app({ id: "com.example.other" })],
      clock,
    );
    expect(await keys.check(appId, await idp.sign({ iss: "https://evil.example" }))).toBe("refused");
    expect(await keys.check(appId, await idp.sign({ aud: "somebody-else" }))).toBe("refused");
    expect(await keys.check(appId, await idp.sign({ exp: Math.floor(clock.wallMs() / 1_000) - 1 }))).toBe("refused");
    expect(await keys.check("com.example.other", await idp.sign())).toBe("refused");
    expect(await keys.check("com.example.unknown", await idp.sign())).toBe("refused");
  });

  test("one that is not signed by the issuer does not, whatever its header says", async () => {
    await using idp = await openIssuer();
    await using evil = await openIssuer();
    const keys = new AppKeys([app({ jwksUrl: idp.jwksUrl, issuer, audience })], new VirtualClock());
    expect(await keys.check(appId, await evil.sign())).toBe("refused");
    const [, payload = ""] = (await idp.sign()).split(".");
    for (const header of [{ alg: "none" }, { alg: "HS256", kid: "one" }, { alg: "ES256", jku: evil.jwksUrl }]) {
      const start = Buffer.from(JSON.stringify(header)).toString("base64url");
      expect(await keys.check(appId, `${start}.${payload}.`)).toBe("refused");
      expect(await keys.check(appId, `${start}.${payload}.AAAA`)).toBe("refused");
    }
    expect(evil.asked()).toBe(0);
  });

  test("what is no token does not make us fetch keys", async () => {
    await using idp = await openIssuer();
    const keys = new AppKeys([app({ jwksUrl: idp.jwksUrl, issuer, audience })], new VirtualClock());
    for (const text of ["wrong", "a.b", "x".repeat(10_000), "€"]) expect(await keys.check(appId, text)).toBe("refused");
    expect(idp.asked()).toBe(0);
  });

  test("an issuer that cannot be asked is told apart from a wrong token", async () => {
    await using idp = await openIssuer();
    idp.fail();
    const keys = new AppKeys([app({ jwksUrl: idp.jwksUrl, issuer, audience })], new VirtualClock());
    expect(await keys.check(appId, await idp.sign())).toBe("unavailable");
    expect(await keys.check(appId, appKey)).toBe("accepted");
  });

  test("without issuer and audience in the configuration no token is taken", async () => {
    await using idp = await openIssuer();
    for (const part of [{ issuer }, { audience }, {}]) {
      const keys = new AppKeys([app({ jwksUrl: idp.jwksUrl, ...part })], new VirtualClock());
      expect(await keys.check(appId, await idp.sign())).toBe("refused");
    }
  });
});

test("an app without a key is opened by none", async () => {
  const keys = new AppKeys([app({ keySha256: undefined })], new VirtualClock());
  for (const key of ["", "0".repeat(64), appKey]) expect(await keys.check(appId, key)).toBe("refused");
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { importJWK, jwtVerify } from "jose";
import { startWebPushFake, type WebPushFake, type WebPushFakeRequest } from "../fakes/webpush-server.ts";
import type { Push } from "../interop/lab/pushes.ts";
import { until } from "../interop/lab/wait.ts";
import { Lab, type AccountInput, type Phone } from "./lab.ts";
import { answersAndHangsUp } from "./whole-call.ts";

let lab: Lab;
let service: WebPushFake;
beforeAll(async () => {
  service = startWebPushFake();
  // The lab's operator listens on loopback and allows it to devices; only so may a push service be there, too.
  lab = await Lab.open({ app: () => [`webpush = { subject = "mailto:ops@integration.example" }`] });
});
afterAll(() => Promise.all([lab.close(), service.close()]));

interface Browser {
  readonly phone: Phone;
  readonly account: AccountInput;
  /** Path of its endpoint: whose pushes are whose. */
  readonly path: string;
}

/** A phone in a browser, asleep. */
async function sleepingBrowser(): Promise<Browser> {
  const token = service.subscribe();
  const phone = await lab.phone({ provider: "webpush", token });
  const account = lab.account();
  await phone.sleeps(account);
  return { phone, account, path: new URL((JSON.parse(token) as { endpoint: string }).endpoint).pathname };
}

function requestsOf(path: string): readonly WebPushFakeRequest[] {
  return service.requests.filter((request) => request.path === path);
}

/** The push of this kind as the service worker sees it: decrypted with the browser's own keys (RFC 8291). */
function pushed(path: string, kind: string): Promise<{ readonly push: Push; readonly request: WebPushFakeRequest }> {
  return until(
    `${kind} for ${path}`,
    () => {
      for (const request of requestsOf(path)) {
        const push = JSON.parse(request.text ?? "{}") as Push;
        if (push.kind === kind) return { push, request };
      }
      return undefined;
    },
    { detail: () => `${requestsOf(path).length} requests` },
  );
}

/** The claims of the request's VAPID token, checked with the key that browsers subscribe with (RFC 8292 §2, §4). */
async function vapidClaims({ headers }: WebPushFakeRequest) {
  const facts = (await lab.http("GET", "/.well-known/wakeline.json", "")).body;
  const [, token = "", key = ""] = /^vapid t=([^,]+), k=(.+)$/.exec(headers.get("authorization") ?? "") ?? [];
  expect(key).toBe(String(facts.vapidPublicKey));
  const point = Buffer.from(key, "base64url");
  const jwk = {
    kty: "EC",
    crv: "P-256",
    x: point.subarray(1, 33).toString("base64url"),
    y: point.subarray(33).toString("base64url"),
  };
  const { payload } = await jwtVerify(token, await importJWK(jwk, "ES256"), { audience: service.url.origin });
  return payload;
}

describe("Web Push, RFC 8030, 8291, 8292", () => {
  test("wakes a browser that answers and hangs up; the push is encrypted, signed, urgent, for the time left", async () => {
    const { phone, account, path } = await sleepingBrowser();
    const invite = lab.provider.sends("INVITE", account.username);
    const { push, request } = await pushed(path, "call");
    expect(push).toMatchObject({ callId: invite.get("Call-ID"), from: { uri: "sip:bob@far.example" } });
    expect(Object.fromEntries(request.headers)).toMatchObject({
      "content-encoding": "aes128gcm",
      urgency: "high",
      topic: push.call?.replaceAll("-", ""),
    });
    const ttlSec = Number(request.headers.get("ttl"));
    expect(ttlSec > 0 && ttlSec <= 20).toBe(true);
    const { sub, exp = 0 } = await vapidClaims(request);
    expect(sub).toBe("mailto:ops@integration.example");
    const leftSec = exp - Date.now() / 1_000;
    expect(leftSec > 0 && leftSec <= 86_400).toBe(true);

    await answersAndHangsUp(lab, phone, invite, push.tunnel);
    await phone.callBecomes(push.call, "ended");
    expect(requestsOf(path)).toHaveLength(1);
  });

  test("cancelled while the browser sleeps: a cancel under the same topic, which takes the call's place in the queue", async () => {
    const { phone, account, path } = await sleepingBrowser();
    const invite = lab.provider.sends("INVITE", account.username);
    const call = await pushed(path, "call");
    lab.provider.cancels(invite);
    lab.provider.acksFailure(invite, await lab.provider.gets("487 INVITE", invite.get("Call-ID")));
    const cancel = await pushed(path, "cancel");
    expect(cancel.push.call).toBe(String(call.push.call));
    expect(cancel.push.tunnel).toBeUndefined();
    expect(cancel.request.headers.get("topic")).toBe(call.request.headers.get("topic"));
    await phone.callBecomes(call.push.call, "cancelled");
  });

  test("a push service that is busy is asked again in time", async () => {
    const { phone, account, path } = await sleepingBrowser();
    service.answer = (request) => ({ status: request.path === path && requestsOf(path).length === 1 ? 503 : 201 });
    const invite = lab.provider.sends("INVITE", account.username);
    await until("a second try", () => requestsOf(path).length === 2);
    const pushes = requestsOf(path).map(({ text }) => JSON.parse(text ?? "{}") as Push);
    expect(new Set(pushes.map(({ id }) => id)).size).toBe(1);
    await answersAndHangsUp(lab, phone, invite, pushes[1]?.tunnel);
  });

  test("410: the subscription is dead, the caller hears 480 at once, and the service is not asked again", async () => {
    const { phone, account, path } = await sleepingBrowser();
    service.answer = (request) => ({ status: request.path === path ? 410 : 201 });
    for (let n = 0; n < 2; n++) {
      const invite = lab.provider.sends("INVITE", account.username);
      lab.provider.acksFailure(invite, await lab.provider.gets("480 INVITE", invite.get("Call-ID")));
    }
    expect(requestsOf(path)).toHaveLength(1);
    expect((await phone.http("GET", "/v1/devices/me")).body.push).toMatchObject({ state: "dead" });
  });
});

import { describe, expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { jwtVerify } from "jose";
import webpush from "web-push";
import type { Delivery } from "../../src/push/types.ts";
import { type UrlPolicy, WebPushSender } from "../../src/push/webpush.ts";
import type { DeviceRecord } from "../../src/store/types.ts";
import { createTestAuthority } from "../fakes/certificates.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { startWebPushFake, type WebPushFake, type WebPushFakeAnswer } from "../fakes/webpush-server.ts";
import { callOne, callPayload, deviceWith, startWallMs } from "./devices.ts";

const vapid = webpush.generateVAPIDKeys();
const clock = { nowMs: () => performance.now(), wallMs: () => startWallMs };
const closing = closedAfterEach();

interface Setup {
  readonly allowUrl?: UrlPolicy;
  readonly allowLoopbackHttp?: boolean;
  readonly requestMsMax?: number;
  readonly ca?: string;
  readonly tls?: { readonly cert: string; readonly key: string };
}

function start({ tls, allowUrl = () => ({ ok: true }), ...more }: Setup = {}): {
  fake: WebPushFake;
  sender: WebPushSender;
} {
  const fake = startWebPushFake(tls);
  closing.push(() => fake.close());
  const sender = new WebPushSender({
    subject: "mailto:ops@example.com",
    vapid,
    allowUrl,
    allowLoopbackHttp: true,
    clock,
    ...more,
  });
  return { fake, sender };
}

const device = (token: string): DeviceRecord => deviceWith({ provider: "webpush", token });
const sendCall = (sender: WebPushSender, token: string, ttlMs = 39_500): Promise<Delivery> =>
  sender.send(device(token), callPayload(), ttlMs);

/** The VAPID public key as a key that jose takes. */
function vapidKey() {
  const point = Buffer.from(vapid.publicKey, "base64url");
  const x = point.subarray(1, 33).toString("base64url");
  const y = point.subarray(33).toString("base64url");
  return createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
}

describe("Web Push, RFC 8030 and RFC 8291", () => {
  test("reaches the browser encrypted, urgent, for the time left, under the call's topic", async () => {
    const { fake, sender } = start();
    const delivery = await sendCall(sender, fake.subscribe());
    expect(delivery).toEqual({ kind: "accepted", providerId: `${fake.url.origin}/message/1` });
    const { headers, text, bodyBytes } = fake.requests[0]!;
    expect(JSON.parse(text ?? "")).toEqual(callPayload());
    expect(headers.get("content-encoding")).toBe("aes128gcm");
    expect(headers.get("ttl")).toBe("40");
    expect(headers.get("urgency")).toBe("high");
    expect(headers.get("topic")).toBe(callOne.replaceAll("-", ""));
    expect(headers.get("content-length")).toBe(String(bodyBytes));
  });

  test("has no topic without a call", async () => {
    const { fake, sender } = start();
    await sender.send(device(fake.subscribe()), callPayload({ kind: "lease", call: undefined }), 1_000);
    expect(fake.requests[0]?.headers.has("topic")).toBe(false);
  });

  test("a cancel has the topic of its call, so that it replaces it in the queue", async () => {
    const { fake, sender } = start();
    await sender.send(device(fake.subscribe()), callPayload({ kind: "cancel" }), 1_000);
    expect(fake.requests[0]?.headers.get("topic")).toBe(callOne.replaceAll("-", ""));
  });

  test("stays within 4,096 bytes encrypted", async () => {
    const { fake, sender } = start();
    await sender.send(device(fake.subscribe()), callPayload({ text: "t".repeat(9000) }), 1_000);
    expect(fake.requests[0]?.bodyBytes).toBeLessThanOrEqual(4096);
    expect(fake.requests[0]?.text).toContain('"kind":"call"');
  });

  test("is signed with the VAPID key for the service's origin (RFC 8292), once an hour", async () => {
    const { fake, sender } = start();
    const token = fake.subscribe();
    await sendCall(sender, token);
    await sendCall(sender, token);
    const [first, second] = fake.requests.map(({ headers }) => headers.get("authorization") ?? "");
    expect(second).toBe(first);
    const match = /^vapid t=([^,]+), k=(.+)$/.exec(first ?? "");
    expect(match?.[2]).toBe(vapid.publicKey);
    const { payload } = await jwtVerify(match?.[1] ?? "", vapidKey(), { audience: fake.url.origin });
    expect(payload.sub).toBe("mailto:ops@example.com");
    expect((payload.exp ?? 0) - Date.now() / 1000).toBeLessThan(86_400);
  });

  test("keys or a subject that cannot serve are an error at the start, not at the first call", () => {
    expect(() => new WebPushSender({ subject: "ops", vapid, allowUrl: () => ({ ok: true }), clock })).toThrow();
    const broken = { ...vapid, privateKey: "AAAA" };
    expect(
      () => new WebPushSender({ subject: "mailto:a@b.c", vapid: broken, allowUrl: () => ({ ok: true }), clock }),
    ).toThrow();
  });
});

describe("Web Push, answers", () => {
  const table: readonly (readonly [string, WebPushFakeAnswer, Delivery])[] = [
    [
      "404: the subscription has expired (RFC 8030 §7.3)",
      { status: 404 },
      { kind: "tokenDead", which: "token", reason: "status 404" },
    ],
    ["410: removed", { status: 410 }, { kind: "tokenDead", which: "token", reason: "status 410" }],
    ["413 is ours", { status: 413 }, { kind: "refused", reason: "status 413", ours: true }],
    ["403, another VAPID key, is ours", { status: 403 }, { kind: "refused", reason: "status 403", ours: true }],
    [
      "429 honours Retry-After",
      { status: 429, headers: { "retry-after": "9" } },
      { kind: "retry", afterMs: 9_000, reason: "status 429" },
    ],
    ["500 is retried", { status: 500 }, { kind: "retry", afterMs: 250, reason: "status 500" }],
    [
      "a redirect is not followed",
      { status: 307, headers: { location: "http://169.254.169.254/" } },
      { kind: "refused", reason: "status 307", ours: true },
    ],
  ];
  for (const [name, answer, expected] of table) {
    test(name, async () => {
      const { fake, sender } = start();
      fake.answer = () => answer;
      expect(await sendCall(sender, fake.subscribe())).toEqual(expected);
      expect(fake.requests.length).toBe(1);
    });
  }

  test("hung: given up in time", async () => {
    const { fake, sender } = start({ requestMsMax: 100 });
    fake.answer = () => "silence";
    expect(await sendCall(sender, fake.subscribe())).toEqual({ kind: "retry", afterMs: 0, reason: "timeout" });
  });
});

describe("Web Push, endpoints that devices name", () => {
  test("the policy's no is final, and nothing is sent", async () => {
    const asked: string[] = [];
    const { fake, sender } = start({
      allowUrl(url) {
        asked.push(url.href);
        return { ok: false, reason: "private network" };
      },
    });
    const token = fake.subscribe();
    expect(await sendCall(sender, token)).toEqual({
      kind: "refused",
      reason: "endpoint: private network",
      ours: false,
    });
    expect(asked).toEqual([JSON.parse(token).endpoint]);
    expect(fake.requests).toEqual([]);
  });

  test("the policy is asked at each push", async () => {
    let answers = 0;
    const { fake, sender } = start({
      allowUrl: () => (answers++ === 0 ? { ok: true } : { ok: false, reason: "moved" }),
    });
    const token = fake.subscribe();
    expect((await sendCall(sender, token)).kind).toBe("accepted");
    expect((await sendCall(sender, token)).kind).toBe("refused");
  });

  test("plain HTTP needs the caller's leave", async () => {
    const { fake, sender } = start({ allowLoopbackHttp: false });
    expect(await sendCall(sender, fake.subscribe())).toEqual({
      kind: "refused",
      reason: "endpoint: not https",
      ours: false,
    });
    expect(fake.requests).toEqual([]);
  });

  test("plain HTTP goes to this machine only, whatever the caller allows", async () => {
    const { fake, sender } = start();
    const away = fake.subscribe().replace("localhost", "push.example.com");
    expect(await sendCall(sender, away)).toEqual({ kind: "refused", reason: "endpoint: not https", ours: false });
  });

  test("the connection goes to the address that was judged, under the name's certificate", async () => {
    const authority = createTestAuthority();
    const tls = authority.issue(["push.example.com"]);
    const { fake, sender } = start({ tls, ca: authority.ca, allowUrl: () => ({ ok: true, address: "127.0.0.1" }) });
    const token = fake.subscribe().replace("localhost", "push.example.com");
    expect((await sendCall(sender, token)).kind).toBe("accepted");
    expect(fake.requests[0]?.headers.get("host")).toBe(`push.example.com:${fake.url.port}`);
    const other = fake.subscribe().replace("localhost", "other.example.com");
    expect(await sendCall(sender, other)).toMatchObject({ kind: "refused", ours: true });
    expect(fake.requests.length).toBe(1);
  });

  test("a policy that hangs does not hold the call", async () => {
    const { fake, sender } = start({ requestMsMax: 60, allowUrl: () => new Promise(() => undefined) });
    expect(await sendCall(sender, fake.subscribe())).toMatchObject({ kind: "retry" });
  });

  const keys = { p256dh: Buffer.alloc(65, 4).toString("base64url"), auth: Buffer.alloc(16).toString("base64url") };
  const broken: readonly (readonly [string, string])[] = [
    ["no JSON", "not json"],
    ["null", "null"],
    ["no keys", '{"endpoint":"https://push.example.com/1"}'],
    ["no endpoint", JSON.stringify({ keys })],
    ["short keys", JSON.stringify({ endpoint: "https://push.example.com/1", keys: { ...keys, auth: "AA" } })],
    ["a key that is no point of the curve", JSON.stringify({ endpoint: "https://push.example.com/1", keys })],
    ["credentials in the URL", JSON.stringify({ endpoint: "https://a:b@push.example.com/1", keys })],
  ];
  for (const [name, token] of broken) {
    test(`a token that is no subscription is dead: ${name}`, async () => {
      const { sender } = start();
      expect(await sendCall(sender, token)).toEqual({
        kind: "tokenDead",
        which: "token",
        reason: "not a push subscription",
      });
    });
  }
});

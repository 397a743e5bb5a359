import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { jwtVerify } from "jose";
import { silentLog } from "../../src/observe/log.ts";
import { FcmSender } from "../../src/push/fcm.ts";
import { readServiceAccount, type ServiceAccount } from "../../src/push/google-token.ts";
import type { Delivery, PushKind } from "../../src/push/types.ts";
import type { DeviceRecord } from "../../src/store/types.ts";
import { systemClock } from "../../src/time/clock.ts";
import { createTestAuthority } from "../fakes/certificates.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { type FcmFake, type FcmFakeAnswer, fcmErrorBody, fcmErrorDetail, startFcmFake } from "../fakes/fcm-server.ts";
import { VirtualClock } from "../fakes/virtual-clock.ts";
import { callPayload, deviceWith, startWallMs } from "./devices.ts";

const keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
const account: ServiceAccount = {
  projectId: "wakeline-test",
  clientEmail: "push@wakeline-test.iam.gserviceaccount.com",
  privateKeyPem: keys.privateKey.export({ type: "pkcs8", format: "pem" }),
  privateKeyId: "key-1",
  tokenUri: "https://oauth2.googleapis.com/token",
};
const authority = createTestAuthority();
const closing = closedAfterEach();

interface Setup {
  readonly ca?: string;
  readonly requestMsMax?: number;
  readonly clock?: VirtualClock;
}

function start(setup: Setup = {}): { fake: FcmFake; sender: FcmSender } {
  const fake = startFcmFake({ authority });
  const sender = new FcmSender({
    account,
    endpoint: fake.url,
    tokenEndpoint: fake.tokenUrl,
    trust: { ca: setup.ca ?? authority.ca },
    clock: setup.clock ?? { nowMs: () => systemClock.nowMs(), wallMs: () => startWallMs },
    log: silentLog,
    requestMsMax: setup.requestMsMax ?? 2_000,
  });
  closing.push(
    () => sender.close(),
    () => fake.close(),
  );
  return { fake, sender };
}

const device = (token = "fcm-token:APA91b"): DeviceRecord => deviceWith({ provider: "fcm", token });
const sendCall = (sender: FcmSender, ttlMs = 30_500): Promise<Delivery> => sender.send(device(), callPayload(), ttlMs);

describe("FCM, a call", () => {
  test("is a data message of high priority for the time left, not collapsible", async () => {
    const { fake, sender } = start();
    expect(await sendCall(sender)).toEqual({ kind: "accepted", providerId: "projects/wakeline-test/messages/1" });
    const [request] = fake.requests;
    expect(request).toMatchObject({ project: "wakeline-test", authorization: "Bearer access-1", dryRun: false });
    expect(request?.message).toEqual({
      token: "fcm-token:APA91b",
      data: { wakeline: JSON.stringify(callPayload()) },
      android: { priority: "high", ttl: "30.500000000s" },
    });
  });

  for (const kind of [
    "cancel",
    "message",
    "voicemail",
    "missed",
    "refused",
    "lease",
    "test",
  ] as const satisfies readonly PushKind[]) {
    const priority = kind === "cancel" ? "high" : "normal";
    test(`${kind} is of ${priority} priority`, async () => {
      const { fake, sender } = start();
      await sender.send(device(), callPayload({ kind }), 60_000);
      expect(fake.requests[0]?.message.android).toEqual({ priority, ttl: "60s" });
    });
  }

  test("is addressed by fid when the token is a Firebase installation id", async () => {
    const { fake, sender } = start();
    await sender.send(device("cAbCdEfGhIjKlMnOpQrS_-"), callPayload(), 1_000);
    expect(fake.requests[0]?.message).toMatchObject({ fid: "cAbCdEfGhIjKlMnOpQrS_-" });
    expect(fake.requests[0]?.message).not.toHaveProperty("token");
  });

  test("is not sent to a token that is known to be dead", async () => {
    const { fake, sender } = start();
    const delivery = await sender.send({ ...device(), tokenState: "dead" }, callPayload(), 1_000);
    expect(delivery).toEqual({ kind: "tokenDead", which: "token", reason: "known" });
    expect(fake.requests).toEqual([]);
  });

  test("stays under 4 KB", async () => {
    const { fake, sender } = start();
    await sender.send(device(), callPayload({ from: { uri: "sip:a@b", name: "n".repeat(9000) } }), 1_000);
    const { wakeline } = fake.requests[0]!.message.data as { wakeline: string };
    expect(Buffer.byteLength(wakeline)).toBeLessThan(4096);
  });
});

describe("FCM, access token (RFC 7523)", () => {
  test("is asked for with a signed assertion, and used again", async () => {
    const { fake, sender } = start();
    await sender.warm();
    await sendCall(sender);
    await sendCall(sender);
    expect(fake.assertions.length).toBe(1);
    const { payload } = await jwtVerify(fake.assertions[0] ?? "", keys.publicKey, {
      issuer: account.clientEmail,
      audience: account.tokenUri,
      currentDate: new Date(startWallMs),
    });
    expect(payload.scope).toBe("https://www.googleapis.com/auth/firebase.messaging");
  });

  test("is renewed in the background before its end, and waited for only when it has ended", async () => {
    const clock = new VirtualClock();
    const { fake, sender } = start({ clock });
    await sender.warm();
    clock.advance(3_200_000);
    await sendCall(sender);
    expect(fake.requests.at(-1)?.authorization).toBe("Bearer access-1");
    for (let tries = 0; tries < 100 && fake.requests.at(-1)?.authorization === "Bearer access-1"; tries++)
      await sendCall(sender);
    expect(fake.requests.at(-1)?.authorization).toBe("Bearer access-2");
    clock.advance(3_590_000);
    await sendCall(sender);
    expect(fake.requests.at(-1)?.authorization).toBe("Bearer access-3");
  });

  test("401 once: a new one and one more try", async () => {
    const { fake, sender } = start();
    fake.answer = ({ authorization }) =>
      authorization === "Bearer access-1"
        ? { status: 401, body: fcmErrorBody(401, "UNAUTHENTICATED", "expired") }
        : { status: 200, body: { name: "n" } };
    expect((await sendCall(sender)).kind).toBe("accepted");
    expect(fake.requests.length).toBe(2);
  });

  test("401 again is ours", async () => {
    const { fake, sender } = start();
    fake.answer = () => ({ status: 401, body: fcmErrorBody(401, "UNAUTHENTICATED", "no") });
    expect(await sendCall(sender)).toEqual({ kind: "refused", reason: "UNAUTHENTICATED", ours: true });
    expect(fake.requests.length).toBe(2);
  });

  test("refused to us is ours; not to be had now is a retry", async () => {
    const { fake, sender } = start();
    fake.answerToken = () => ({ status: 400, body: { error: "invalid_grant" } });
    expect(await sendCall(sender)).toEqual({ kind: "refused", reason: "invalid_grant", ours: true });
    fake.answerToken = () => ({ status: 503 });
    expect((await sendCall(sender)).kind).toBe("retry");
    expect(fake.requests).toEqual([]);
  });
});

describe("FCM, answers", () => {
  const badRequest = (field: string): object => ({
    "@type": "type.googleapis.com/google.rpc.BadRequest",
    fieldViolations: [{ field, description: "Invalid" }],
  });
  const table: readonly (readonly [string, FcmFakeAnswer, Delivery])[] = [
    [
      "404 UNREGISTERED kills the token",
      { status: 404, body: fcmErrorBody(404, "NOT_FOUND", "gone", [fcmErrorDetail("UNREGISTERED")]) },
      { kind: "tokenDead", which: "token", reason: "UNREGISTERED" },
    ],
    [
      "404 without a word about the token is ours",
      { status: 404, body: fcmErrorBody(404, "NOT_FOUND", "no such project") },
      { kind: "refused", reason: "NOT_FOUND", ours: true },
    ],
    [
      "400 that says the token is none kills it",
      {
        status: 400,
        body: fcmErrorBody(400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", [
          fcmErrorDetail("INVALID_ARGUMENT"),
        ]),
      },
      { kind: "tokenDead", which: "token", reason: "INVALID_REGISTRATION" },
    ],
    [
      "400 about another field is ours",
      {
        status: 400,
        body: fcmErrorBody(400, "INVALID_ARGUMENT", "Invalid value", [badRequest("message.android.ttl")]),
      },
      { kind: "refused", reason: "INVALID_ARGUMENT", ours: true },
    ],
    [
      "403 SENDER_ID_MISMATCH is ours and kills nothing",
      { status: 403, body: fcmErrorBody(403, "PERMISSION_DENIED", "m", [fcmErrorDetail("SENDER_ID_MISMATCH")]) },
      { kind: "refused", reason: "SENDER_ID_MISMATCH", ours: true },
    ],
    [
      "401 THIRD_PARTY_AUTH_ERROR is ours",
      { status: 401, body: fcmErrorBody(401, "UNAUTHENTICATED", "m", [fcmErrorDetail("THIRD_PARTY_AUTH_ERROR")]) },
      { kind: "refused", reason: "THIRD_PARTY_AUTH_ERROR", ours: true },
    ],
    [
      "429 without Retry-After waits a minute",
      { status: 429, body: fcmErrorBody(429, "RESOURCE_EXHAUSTED", "m", [fcmErrorDetail("QUOTA_EXCEEDED")]) },
      { kind: "retry", afterMs: 60_000, reason: "QUOTA_EXCEEDED" },
    ],
    [
      "503 honours Retry-After",
      { status: 503, body: fcmErrorBody(503, "UNAVAILABLE", "m"), headers: { "retry-after": "2" } },
      { kind: "retry", afterMs: 2_000, reason: "UNAVAILABLE" },
    ],
    [
      "500 is retried",
      { status: 500, body: fcmErrorBody(500, "INTERNAL", "m") },
      { kind: "retry", afterMs: 250, reason: "INTERNAL" },
    ],
    ["502 in HTML is retried", { status: 502, body: "<html>" }, { kind: "retry", afterMs: 250, reason: "status 502" }],
    ["403 in HTML is ours", { status: 403, body: "<html>" }, { kind: "refused", reason: "status 403", ours: true }],
  ];
  for (const [name, answer, expected] of table) {
    test(name, async () => {
      const { fake, sender } = start();
      fake.answer = () => answer;
      expect(await sendCall(sender)).toEqual(expected);
      expect(fake.requests.length).toBe(1);
    });
  }

  test("the library's own five retries of 503 are off", async () => {
    const { fake, sender } = start();
    fake.answer = () => ({ status: 503, body: fcmErrorBody(503, "UNAVAILABLE", "m") });
    await sendCall(sender);
    expect(fake.requests.length).toBe(1);
  });

  test("hung: given up at the limit of a request, or at the end of the time left", async () => {
    const { fake, sender } = start({ requestMsMax: 150 });
    fake.answer = () => "silence";
    for (const ttlMs of [40_000, 60]) {
      const from = performance.now();
      expect(await sendCall(sender, ttlMs)).toEqual({ kind: "retry", afterMs: 0, reason: "timeout" });
      expect(performance.now() - from).toBeLessThan(3_000);
    }
  });
});

describe("FCM, TLS", () => {
  test("a certificate of another authority: no token is asked for, and it is ours to repair", async () => {
    const { fake, sender } = start({ ca: createTestAuthority().ca });
    expect(await sendCall(sender)).toMatchObject({ kind: "refused", ours: true });
    expect([fake.assertions.length, fake.requests.length]).toEqual([0, 0]);
  });

  test("the send itself is checked too", async () => {
    const tokens = startFcmFake({ authority });
    const stranger = startFcmFake();
    const sender = new FcmSender({
      account,
      endpoint: stranger.url,
      tokenEndpoint: tokens.tokenUrl,
      trust: { ca: authority.ca },
      clock: systemClock,
      log: silentLog,
    });
    closing.push(
      () => sender.close(),
      () => tokens.close(),
      () => stranger.close(),
    );
    expect(await sendCall(sender)).toMatchObject({ kind: "refused", ours: true });
    expect([tokens.assertions.length, stranger.requests.length]).toEqual([1, 0]);
  });
});

describe("FCM, probe for `wakeline check`", () => {
  test("is a dry run; all is well when Google only minds the token", async () => {
    const { fake, sender } = start();
    fake.answer = () => ({
      status: 400,
      body: fcmErrorBody(400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token"),
    });
    expect(await sender.probe()).toBeUndefined();
    expect(fake.requests[0]?.dryRun).toBe(true);
  });

  test("says what Google says", async () => {
    const { fake, sender } = start();
    fake.answerToken = () => ({ status: 400, body: { error: "invalid_grant" } });
    expect(await sender.probe()).toContain("invalid_grant");
  });
});

describe("service account file", () => {
  test("names everything that it lacks", () => {
    expect(readServiceAccount('{"project_id":"p"}')).toEqual({
      ok: false,
      text: "service account file lacks client_email, private_key",
    });
    expect(readServiceAccount("-----BEGIN")).toEqual({ ok: false, text: "service account file is not JSON" });
    expect(readServiceAccount("null").ok).toBe(false);
  });
});

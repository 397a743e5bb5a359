import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { jwtVerify } from "jose";
import { silentLog } from "../../src/observe/log.ts";
import { ApnsSender } from "../../src/push/apns.ts";
import { notForApns } from "../../src/push/delivery.ts";
import type { Delivery, PushKind } from "../../src/push/types.ts";
import type { DeviceRecord } from "../../src/store/types.ts";
import { systemClock } from "../../src/time/clock.ts";
import { type ApnsFake, type ApnsFakeAnswer, type ApnsFakeOptions, startApnsFake } from "../fakes/apns-server.ts";
import { createTestAuthority } from "../fakes/certificates.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { callPayload, deviceWith, startWallMs, subscriptionOne } from "./devices.ts";

const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const key = { pem: keys.privateKey.export({ type: "pkcs8", format: "pem" }), keyId: "KEY1", teamId: "TEAM1" };
const authority = createTestAuthority();
const closing = closedAfterEach();

async function startFake(options: ApnsFakeOptions = {}): Promise<ApnsFake> {
  const fake = await startApnsFake({ authority, ...options });
  closing.push(() => fake.close());
  return fake;
}

interface SenderSetup {
  readonly development?: ApnsFake;
  readonly ca?: string | undefined;
  readonly requestMsMax?: number;
  readonly host?: string;
}

function senderTo(production: ApnsFake, setup: SenderSetup = {}): ApnsSender {
  const { development = production, requestMsMax = 2_000, host = "localhost" } = setup;
  const url = new URL(production.url);
  url.hostname = host;
  const sender = new ApnsSender({
    key,
    topic: "com.example.phone",
    hosts: { production: url, development: development === production ? url : development.url },
    trust: { ca: "ca" in setup ? setup.ca : authority.ca },
    clock: { nowMs: () => systemClock.nowMs(), wallMs: () => startWallMs },
    log: silentLog,
    requestMsMax,
  });
  closing.push(() => sender.close());
  return sender;
}

const both = { token: "aa11", alertToken: "bb22" };
const sendCall = (sender: ApnsSender, device: DeviceRecord = deviceWith(), ttlMs = 40_000): Promise<Delivery> =>
  sender.send(device, callPayload(), ttlMs);

describe("APNs, a call", () => {
  test("goes out as voip with priority 10 and expiration 0, under the payload's id", async () => {
    const fake = await startFake();
    const delivery = await sendCall(senderTo(fake));
    expect(delivery).toEqual({ kind: "accepted", providerId: callPayload().id });
    const [request] = fake.requests;
    expect(request?.token).toBe("aa11");
    expect(request?.headers).toMatchObject({
      ":method": "POST",
      "apns-topic": "com.example.phone.voip",
      "apns-push-type": "voip",
      "apns-priority": "10",
      "apns-expiration": "0",
      "apns-id": callPayload().id,
    });
    expect(JSON.parse(request?.body ?? "")).toEqual({ aps: {}, wakeline: callPayload() });
  });

  test("is signed with the team's key (ES256)", async () => {
    const fake = await startFake();
    await sendCall(senderTo(fake));
    const bearer = String(fake.requests[0]?.headers.authorization).replace(/^bearer /, "");
    const { payload, protectedHeader } = await jwtVerify(bearer, keys.publicKey, { issuer: "TEAM1" });
    expect(protectedHeader).toMatchObject({ alg: "ES256", kid: "KEY1" });
    expect(Math.abs((payload.iat ?? 0) - Date.now() / 1000)).toBeLessThan(60);
  });

  test("goes to the alert token as an alert once the VoIP token is dead", async () => {
    const fake = await startFake();
    const delivery = await sendCall(senderTo(fake), deviceWith(both, { tokenState: "dead" }));
    expect(delivery.kind).toBe("accepted");
    expect(fake.requests[0]).toMatchObject({ token: "bb22", headers: { "apns-push-type": "alert" } });
    expect(JSON.parse(fake.requests[0]?.body ?? "").aps.alert).toEqual({ title: "Incoming call", body: "Alice" });
  });

  test("goes nowhere when no token is left", async () => {
    const fake = await startFake();
    const delivery = await sendCall(senderTo(fake), deviceWith({}, { tokenState: "dead" }));
    expect(delivery).toEqual({ kind: "tokenDead", which: "token", reason: "known" });
    expect(fake.requests).toEqual([]);
  });

  test("keeps an id that is no UUID the same over retries, as a UUID", async () => {
    const fake = await startFake();
    const sender = senderTo(fake);
    for (let n = 0; n < 2; n++) await sender.send(deviceWith(), callPayload({ id: "push 1" }), 40_000);
    const ids = fake.requests.map(({ headers }) => headers["apns-id"]);
    expect(ids[0]).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(ids[1]).toBe(ids[0]);
  });
});

describe("APNs, everything but calls", () => {
  test("never sends a cancel: Apple forbids it, the tunnel tells", async () => {
    const fake = await startFake();
    const delivery = await senderTo(fake).send(deviceWith(both), callPayload({ kind: "cancel" }), 40_000);
    expect(delivery).toEqual({ kind: "refused", reason: notForApns, ours: false });
    expect(fake.requests).toEqual([]);
  });

  for (const kind of [
    "message",
    "voicemail",
    "missed",
    "refused",
    "lease",
    "test",
  ] as const satisfies readonly PushKind[]) {
    test(`sends ${kind} as alert to the alert token, with an end`, async () => {
      const fake = await startFake();
      const delivery = await senderTo(fake).send(deviceWith(both), callPayload({ kind }), 60_000);
      expect(delivery.kind).toBe("accepted");
      const [request] = fake.requests;
      expect(request?.token).toBe("bb22");
      expect(request?.headers).toMatchObject({
        "apns-topic": "com.example.phone",
        "apns-push-type": "alert",
        "apns-expiration": String(startWallMs / 1000 + 60),
      });
      const body = JSON.parse(request?.body ?? "");
      expect(body.wakeline.kind).toBe(kind);
      expect(body.aps).toMatchObject({ sound: "default", "mutable-content": 1, "thread-id": subscriptionOne });
    });
  }

  test("refuses without blame when the device has no alert token", async () => {
    const fake = await startFake();
    const delivery = await senderTo(fake).send(deviceWith(), callPayload({ kind: "missed" }), 60_000);
    expect(delivery).toEqual({ kind: "refused", reason: "noAlertToken", ours: false });
  });

  test("stays within 4,096 bytes, envelope included", async () => {
    const fake = await startFake();
    const payload = callPayload({
      kind: "message",
      text: "ü".repeat(4000),
      from: { uri: "sip:a@b", name: "n".repeat(900) },
    });
    expect((await senderTo(fake).send(deviceWith(both), payload, 60_000)).kind).toBe("accepted");
    const body = fake.requests[0]?.body ?? "";
    expect(Buffer.byteLength(body)).toBeLessThanOrEqual(4096);
    expect(JSON.parse(body).wakeline.from).toEqual({ uri: "sip:a@b" });
  });
});

describe("APNs, answers (Apple, Handling notification responses)", () => {
  const tokenSetAtMs = startWallMs - 1_000;
  const table: readonly (readonly [string, ApnsFakeAnswer, Delivery])[] = [
    [
      "410 after the token was set kills it",
      { status: 410, body: { reason: "Unregistered", timestamp: tokenSetAtMs + 1 } },
      { kind: "tokenDead", which: "token", reason: "Unregistered" },
    ],
    [
      "410 ExpiredToken kills it too",
      { status: 410, body: { reason: "ExpiredToken", timestamp: tokenSetAtMs + 1 } },
      { kind: "tokenDead", which: "token", reason: "ExpiredToken" },
    ],
    [
      "410 from before the token was set does not",
      { status: 410, body: { reason: "Unregistered", timestamp: tokenSetAtMs } },
      { kind: "refused", reason: "Unregistered before the token was set", ours: false },
    ],
    [
      "410 without a body does not",
      { status: 410 },
      { kind: "refused", reason: "status 410 before the token was set", ours: false },
    ],
    [
      "400 BadDeviceToken kills it where there is one environment only",
      { status: 400, body: { reason: "BadDeviceToken" } },
      { kind: "tokenDead", which: "token", reason: "BadDeviceToken" },
    ],
    ...["DeviceTokenNotForTopic", "TopicDisallowed", "BadTopic"].map(
      (reason) =>
        [`400 ${reason} is ours`, { status: 400, body: { reason } }, { kind: "refused", reason, ours: true }] as const,
    ),
    ...["InvalidProviderToken", "Forbidden", "SomethingNew"].map(
      (reason) =>
        [`403 ${reason} is ours`, { status: 403, body: { reason } }, { kind: "refused", reason, ours: true }] as const,
    ),
    [
      "413 is ours",
      { status: 413, body: { reason: "PayloadTooLarge" } },
      { kind: "refused", reason: "PayloadTooLarge", ours: true },
    ],
    [
      "429 is retried",
      { status: 429, body: { reason: "TooManyRequests" } },
      { kind: "retry", afterMs: 1000, reason: "TooManyRequests" },
    ],
    [
      "429 honours Retry-After",
      { status: 429, body: { reason: "TooManyRequests" }, headers: { "retry-after": "7" } },
      { kind: "retry", afterMs: 7000, reason: "TooManyRequests" },
    ],
    [
      "500 is retried",
      { status: 500, body: { reason: "InternalServerError" } },
      { kind: "retry", afterMs: 250, reason: "status 500" },
    ],
    [
      "503 is retried",
      { status: 503, body: { reason: "Shutdown" } },
      { kind: "retry", afterMs: 0, reason: "Shutdown" },
    ],
    ["503 without a body is retried", { status: 503 }, { kind: "retry", afterMs: 250, reason: "status 503" }],
    ["502 is retried", { status: 502 }, { kind: "retry", afterMs: 250, reason: "status 502" }],
  ];
  for (const [name, answer, expected] of table) {
    test(name, async () => {
      const fake = await startFake();
      fake.answer = () => answer;
      expect(await sendCall(senderTo(fake), deviceWith({}, { tokenSetAtMs }))).toEqual(expected);
      expect(fake.requests.length).toBe(1); // the library's own retries are off
    });
  }

  test("a token that an alert found dead is the alert token", async () => {
    const fake = await startFake();
    fake.answer = () => ({ status: 410, body: { reason: "Unregistered", timestamp: startWallMs } });
    const delivery = await senderTo(fake).send(deviceWith(both), callPayload({ kind: "missed" }), 60_000);
    expect(delivery).toEqual({ kind: "tokenDead", which: "alertToken", reason: "Unregistered" });
  });

  test("403 ExpiredProviderToken signs anew and tries once more", async () => {
    const fake = await startFake();
    fake.answer = () =>
      fake.requests.length === 1 ? { status: 403, body: { reason: "ExpiredProviderToken" } } : { status: 200 };
    expect((await sendCall(senderTo(fake))).kind).toBe("accepted");
    expect(fake.requests.length).toBe(2);
  });

  test("403 ExpiredProviderToken again is ours: the clock is wrong", async () => {
    const fake = await startFake();
    fake.answer = () => ({ status: 403, body: { reason: "ExpiredProviderToken" } });
    expect(await sendCall(senderTo(fake))).toEqual({ kind: "refused", reason: "ExpiredProviderToken", ours: true });
    expect(fake.requests.length).toBe(2);
  });
});

describe("APNs, environments", () => {
  test("a token of the other environment is found there, and looked for there from then on", async () => {
    const production = await startFake();
    const development = await startFake();
    production.answer = () => ({ status: 400, body: { reason: "BadDeviceToken" } });
    const sender = senderTo(production, { development });
    expect((await sendCall(sender)).kind).toBe("accepted");
    expect([production.requests.length, development.requests.length]).toEqual([1, 1]);
    expect((await sendCall(sender)).kind).toBe("accepted");
    expect([production.requests.length, development.requests.length]).toEqual([1, 2]);
  });

  test("a device of the development environment is reached there first", async () => {
    const production = await startFake();
    const development = await startFake();
    await sendCall(senderTo(production, { development }), deviceWith({ environment: "development" }));
    expect([production.requests.length, development.requests.length]).toEqual([0, 1]);
  });

  test("a token that neither knows is dead after one try at each", async () => {
    const production = await startFake();
    const development = await startFake();
    for (const fake of [production, development])
      fake.answer = () => ({ status: 400, body: { reason: "BadDeviceToken" } });
    const delivery = await sendCall(senderTo(production, { development }));
    expect(delivery).toEqual({ kind: "tokenDead", which: "token", reason: "BadDeviceToken" });
    expect([production.requests.length, development.requests.length]).toEqual([1, 1]);
  });
});

describe("APNs, the connection", () => {
  test("is one for all pushes, and open before the first when warmed", async () => {
    const fake = await startFake();
    const sender = senderTo(fake);
    await sender.warm();
    expect([fake.connections, fake.requests.length]).toEqual([1, 0]);
    await Promise.all(Array.from({ length: 50 }, () => sendCall(sender)));
    expect([fake.connections, fake.requests.length]).toEqual([1, 50]);
  });

  test("waits for SETTINGS: a burst on a cold connection is not refused by a server that allows one stream", async () => {
    const fake = await startFake({ streamsMax: 1 });
    const sender = senderTo(fake);
    const burst = Array.from({ length: 20 }, (_, n) =>
      sender.send(deviceWith(), callPayload({ id: `push ${n}` }), 40_000),
    );
    expect(new Set((await Promise.all(burst)).map(({ kind }) => kind))).toEqual(new Set(["accepted"]));
  });

  // node-apn destroys a connection at GOAWAY, with every request in flight.
  test("GOAWAY: what is in flight is still answered, what follows takes a new connection", async () => {
    const fake = await startFake();
    fake.answer = () => ({ status: 200, afterMs: 60 });
    const sender = senderTo(fake);
    await sender.warm();
    let waiting = 20;
    const allThere = Promise.withResolvers<void>();
    fake.onHeaders = () => void (--waiting === 0 && allThere.resolve());
    const flying = Array.from({ length: 20 }, (_, n) =>
      sender.send(deviceWith(), callPayload({ id: `push ${n}` }), 40_000),
    );
    await allThere.promise;
    fake.goaway();
    expect(new Set((await Promise.all(flying)).map(({ kind }) => kind))).toEqual(new Set(["accepted"]));
    fake.onHeaders = undefined;
    expect((await sendCall(sender)).kind).toBe("accepted");
    expect(fake.requests.at(-1)?.connection).toBe(2);
  });

  // node-apn closes the whole connection for one answer of 500.
  test("an answer of 500 leaves the connection in use", async () => {
    const fake = await startFake();
    fake.answer = () =>
      fake.requests.length === 1 ? { status: 500, body: { reason: "InternalServerError" } } : { status: 200 };
    const sender = senderTo(fake);
    await sendCall(sender);
    expect((await sendCall(sender)).kind).toBe("accepted");
    expect(fake.connections).toBe(1);
  });

  test("cut under a request: a retry at once, on a new connection", async () => {
    const fake = await startFake();
    fake.answer = () => (fake.requests.length === 1 ? "reset" : { status: 200 });
    const sender = senderTo(fake);
    expect(await sendCall(sender)).toMatchObject({ kind: "retry", afterMs: 0 });
    expect((await sendCall(sender)).kind).toBe("accepted");
  });

  test("hung: the request is given up in time and the connection is left", async () => {
    const fake = await startFake();
    fake.answer = ({ connection }) => (connection === 1 ? "silence" : { status: 200 });
    const sender = senderTo(fake, { requestMsMax: 100 });
    await sender.warm();
    const from = performance.now();
    expect(await sendCall(sender)).toEqual({ kind: "retry", afterMs: 0, reason: "timeout" });
    expect(performance.now() - from).toBeLessThan(3_000);
    expect((await sendCall(sender)).kind).toBe("accepted");
    expect(fake.requests.at(-1)?.connection).toBe(2);
  });

  test("a request that hangs among answered ones leaves the connection in use", async () => {
    const fake = await startFake();
    fake.answer = ({ token }) => (token === "dead" ? "silence" : { status: 200 });
    const sender = senderTo(fake, { requestMsMax: 100 });
    await sender.warm();
    const hung = sender.send(deviceWith({ token: "dead" }), callPayload({ id: "hung" }), 40_000);
    await sendCall(sender);
    expect((await hung).kind).toBe("retry");
    await sendCall(sender);
    expect(fake.connections).toBe(1);
  });

  test("gives up when the time left is shorter than the limit of a request", async () => {
    const fake = await startFake();
    fake.answer = () => "silence";
    const from = performance.now();
    expect((await sendCall(senderTo(fake), deviceWith(), 80)).kind).toBe("retry");
    expect(performance.now() - from).toBeLessThan(3_000);
  });

  test("nobody listening is a retry", async () => {
    const fake = await startFake();
    await fake.close();
    expect(await sendCall(senderTo(fake))).toEqual({ kind: "retry", afterMs: 0, reason: "ECONNREFUSED" });
  });

  test("warming what cannot be reached does not reject", async () => {
    const fake = await startFake();
    await fake.close();
    expect(await senderTo(fake).warm()).toBeUndefined();
  });
});

describe("APNs, TLS", () => {
  test("a certificate of another authority: nothing is sent, and it is ours to repair", async () => {
    const fake = await startFake();
    const delivery = await sendCall(senderTo(fake, { ca: createTestAuthority().ca }));
    expect(delivery).toMatchObject({ kind: "refused", ours: true });
    expect(delivery).toHaveProperty("reason", expect.stringMatching(/^certificate: /));
    expect(fake.requests).toEqual([]);
  });

  test("without a ca_file the system's authorities count, and they do not know this one", async () => {
    const fake = await startFake();
    expect(await sendCall(senderTo(fake, { ca: undefined }))).toMatchObject({ kind: "refused", ours: true });
  });

  test("a certificate of another name", async () => {
    const fake = await startFake({ names: ["other.example"] });
    expect(await sendCall(senderTo(fake))).toMatchObject({ kind: "refused", ours: true });
    expect(fake.requests).toEqual([]);
  });

  test("a server that speaks no better than TLS 1.1", async () => {
    const fake = await startFake({ tlsMax: "TLSv1.1" });
    expect((await sendCall(senderTo(fake))).kind).not.toBe("accepted");
    expect(fake.requests).toEqual([]);
  });

  test("a certificate out of date", async () => {
    const day = 86_400_000;
    const past = authority.issue(["localhost"], { fromMs: Date.now() - 2 * day, toMs: Date.now() - day });
    const fake = await startFake({ certificate: past });
    expect(await sendCall(senderTo(fake))).toMatchObject({ kind: "refused", ours: true });
    expect(fake.requests).toEqual([]);
  });
});

describe("APNs, probe for `wakeline check`", () => {
  test("all is well when Apple only minds the token", async () => {
    const fake = await startFake();
    fake.answer = () => ({ status: 400, body: { reason: "BadDeviceToken" } });
    expect(await senderTo(fake).probe()).toBeUndefined();
    expect(fake.requests[0]?.headers["apns-push-type"]).toBe("alert");
  });

  test("says what is wrong with the key", async () => {
    const fake = await startFake();
    fake.answer = () => ({ status: 403, body: { reason: "InvalidProviderToken" } });
    expect(await senderTo(fake).probe()).toContain("403 InvalidProviderToken (key, key id and team id");
  });

  test("says when the certificate does not hold", async () => {
    const fake = await startFake();
    expect(await senderTo(fake, { ca: createTestAuthority().ca }).probe()).toContain("certificate does not hold");
  });
});

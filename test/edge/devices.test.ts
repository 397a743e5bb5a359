import { describe, expect, test } from "bun:test";
import type { DeviceId } from "../../src/base/ids.ts";
import { app, appId, appKey, at, EdgeBench, faultFields } from "./edge-bench.ts";

const webhook = { provider: "webhook", token: "hook-1" };

describe("enrolment", () => {
  test("a device gets an id and a token that opens its own door", async () => {
    await using bench = await EdgeBench.open();
    const answer = await bench.call("POST", "/v1/devices", appKey, { app: appId, push: webhook, name: "Anna's phone" });
    expect(answer.status).toBe(201);
    expect(Object.keys(answer.body as object).sort()).toEqual(["deviceId", "token"]);
    const me = await bench.call("GET", "/v1/devices/me", at(answer, "token"));
    expect(me.status).toBe(200);
    expect(me.body).toMatchObject({
      deviceId: at(answer, "deviceId"),
      app: appId,
      name: "Anna's phone",
      push: { provider: "webhook", state: "alive" },
      wake: { receipts: 0, unanswered: 0 },
      createdAt: "2026-11-24T12:00:00.000Z",
      leaseUntil: "2026-12-08T12:00:00.000Z",
    });
    expect(me.text).not.toContain("hook-1");
  });

  test("a wrong key, an unknown app and no key at all are 401, the first two alike", async () => {
    await using bench = await EdgeBench.open();
    const wrongKey = await bench.call("POST", "/v1/devices", "wrong", { app: appId, push: webhook });
    const unknownApp = await bench.call("POST", "/v1/devices", appKey, { app: "com.example.other", push: webhook });
    const none = await bench.call("POST", "/v1/devices", undefined, { app: appId, push: webhook });
    expect([wrongKey.status, unknownApp.status, none.status]).toEqual([401, 401, 401]);
    expect(wrongKey.text).toBe(unknownApp.text);
    expect(wrongKey.headers.get("content-type")).toBe("application/problem+json");
    expect(wrongKey.headers.get("www-authenticate")).toStartWith("Bearer");
    expect(bench.store.devices.size).toBe(0);
  });

  test("without a key the body is not even judged", async () => {
    await using bench = await EdgeBench.open();
    expect((await bench.call("POST", "/v1/devices", undefined, { nonsense: true })).status).toBe(401);
  });

  test("who guesses keys is slowed down with 429 and Retry-After, and heard again later", async () => {
    await using bench = await EdgeBench.open();
    const guess = () => bench.call("POST", "/v1/devices", "wrong", { app: appId, push: webhook });
    const statuses: number[] = [];
    for (let n = 0; n < 51; n++) statuses.push((await guess()).status);
    expect(statuses.slice(0, 50).every((status) => status === 401)).toBe(true);
    expect(statuses[50]).toBe(429);
    const right = await bench.call("POST", "/v1/devices", appKey, { app: appId, push: webhook });
    expect(right.status).toBe(429);
    expect(Number(right.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    bench.clock.advance(3_000);
    expect((await bench.call("POST", "/v1/devices", appKey, { app: appId, push: webhook })).status).toBe(201);
  });

  test("every field that cannot be taken is named", async () => {
    await using bench = await EdgeBench.open();
    const answer = await bench.call("POST", "/v1/devices", appKey, {
      app: appId,
      push: { provider: "pigeon", token: 7, extra: true },
      names: "x",
    });
    expect(answer.status).toBe(422);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(faultFields(answer)).toEqual(["names", "push.extra", "push.provider", "push.token"]);
    expect(answer.body).toMatchObject({ status: 422, code: "invalid" });
    expect(answer.text).toContain("must be one of apns, fcm, webpush, webhook");
    expect(answer.text).toContain("#/push/token");
  });

  test("a provider that the app has not set up is refused", async () => {
    await using bench = await EdgeBench.open({ apps: [app({ fcm: undefined })] });
    const answer = await bench.call("POST", "/v1/devices", appKey, {
      app: appId,
      push: { provider: "fcm", token: "t" },
    });
    expect([answer.status, faultFields(answer)]).toEqual([422, ["push.provider"]]);
  });

  test("push tokens are of the shape their provider gives", async () => {
    await using bench = await EdgeBench.open();
    const statusOf = async (push: unknown) =>
      (await bench.call("POST", "/v1/devices", appKey, { app: appId, push })).status;
    const subscriptionTo = (endpoint: string) =>
      JSON.stringify({
        endpoint,
        keys: { p256dh: Buffer.alloc(65, 4).toString("base64url"), auth: Buffer.alloc(16).toString("base64url") },
      });
    expect(await statusOf({ provider: "apns", token: "a".repeat(64), alertToken: "b".repeat(64) })).toBe(201);
    expect(await statusOf({ provider: "apns", token: "../../3/device/x" })).toBe(422);
    expect(await statusOf({ provider: "fcm", token: "cX:APA91b-_x" })).toBe(201);
    expect(await statusOf({ provider: "fcm", token: "x", alertToken: "y" })).toBe(422);
    expect(await statusOf({ provider: "webhook", token: "any string, really" })).toBe(201);
    expect(await statusOf({ provider: "webhook", token: "line\r\nbreak" })).toBe(422);
    expect(await statusOf({ provider: "webpush", token: subscriptionTo("https://push.example.net/abc") })).toBe(201);
    expect(await statusOf({ provider: "webpush", token: subscriptionTo("http://push.example.net/abc") })).toBe(422);
    expect(await statusOf({ provider: "webpush", token: subscriptionTo("https://10.0.0.1/abc") })).toBe(422);
    expect(await statusOf({ provider: "webpush", token: subscriptionTo("https://[::1]/abc") })).toBe(422);
    expect(await statusOf({ provider: "webpush", token: "https://push.example.net/abc" })).toBe(422);
    expect(await statusOf({ provider: "webpush", token: "null" })).toBe(422);
  });
});

describe("device", () => {
  test("a push token given again is alive again", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone({ provider: "fcm", token: "old" });
    await bench.store.patchDevice(phone.deviceId as DeviceId, { tokenState: "dead" });
    expect((await bench.call("GET", "/v1/devices/me", phone.token)).body).toMatchObject({ push: { state: "dead" } });
    const patched = await bench.call("PATCH", "/v1/devices/me", phone.token, {
      push: { provider: "fcm", token: "new" },
    });
    expect(patched.status).toBe(200);
    expect(patched.body).toMatchObject({ push: { provider: "fcm", state: "alive" } });
    expect(bench.store.device(phone.deviceId as DeviceId)?.push.token).toBe("new");
  });

  test("a name with control characters is refused", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const answer = await bench.call("PATCH", "/v1/devices/me", phone.token, { name: "a\u0000b" });
    expect([answer.status, faultFields(answer)]).toEqual([422, ["name"]]);
  });

  test("test pushes are a hundred at a time from one address, then one a second, whichever devices they are for", async () => {
    await using bench = await EdgeBench.open();
    const phones = [await bench.phone(), await bench.phone()];
    const ask = async (n: number) =>
      (await bench.call("POST", "/v1/devices/me/test-push", phones[n % 2]?.token)).status;
    for (let n = 0; n < 100; n++) expect(await ask(n)).toBe(202);
    expect([await ask(0), await ask(1), bench.gateway.pushes.length]).toEqual([429, 429, 100]);
    bench.clock.advance(1_000);
    expect(await ask(1)).toBe(202);
  });

  test("a test push tells what the provider said", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const accepted = await bench.call("POST", "/v1/devices/me/test-push", phone.token);
    expect([accepted.status, at(accepted, "outcome")]).toEqual([202, "accepted"]);
    const { payload } = bench.gateway.pushes[0] ?? {};
    expect(payload).toMatchObject({ v: 1, kind: "test", sentAt: "2026-11-24T12:00:00.000Z" });
    expect(payload?.tunnel).toBeUndefined();
    bench.gateway.deliver = () => ({ kind: "tokenDead", which: "token", reason: "Unregistered" });
    const dead = await bench.call("POST", "/v1/devices/me/test-push", phone.token);
    expect(dead.body).toMatchObject({ outcome: "tokenDead", reason: "Unregistered" });
  });

  test("its token is worth nothing after DELETE, and its accounts are taken back at their registrars first", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    await bench.subscribe(phone);
    const [accountId] = bench.store.accountRecords.keys();
    bench.shards.onRemove = async () => {
      expect(bench.store.secrets.size).toBe(1);
    };
    expect((await bench.call("DELETE", "/v1/devices/me", phone.token)).status).toBe(204);
    expect(bench.shards.told).toContain(`remove ${accountId}`);
    expect([bench.store.devices.size, bench.store.accountRecords.size, bench.store.secrets.size]).toEqual([0, 0, 0]);
    expect((await bench.call("GET", "/v1/devices/me", phone.token)).status).toBe(401);
  });

  test("an account that another device has stays", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    await bench.subscribe(one);
    await bench.subscribe(two);
    const [accountId] = bench.store.accountRecords.keys();
    await bench.call("DELETE", "/v1/devices/me", one.token);
    expect(bench.store.accountRecords.size).toBe(1);
    expect(bench.shards.told).toContain(`subscriptionRemoved ${accountId} ${one.deviceId}`);
    expect(bench.shards.told).not.toContain(`remove ${accountId}`);
  });

  test("one that asks too much gets 429 with Retry-After; others do not", async () => {
    await using bench = await EdgeBench.open();
    const [eager, other] = [await bench.phone(), await bench.phone()];
    const statuses = new Set<number>();
    for (let n = 0; n < 610; n++) statuses.add((await bench.call("GET", "/v1/subscriptions", eager.token)).status);
    expect([...statuses].sort((a, b) => a - b)).toEqual([200, 429]);
    const late = await bench.call("GET", "/v1/subscriptions", eager.token);
    expect(late.headers.get("retry-after")).toBe("1");
    expect((await bench.call("GET", "/v1/subscriptions", other.token)).status).toBe(200);
  });
});

describe("receipts", () => {
  test("a receipt counts for the device that was pushed to, once", async () => {
    await using bench = await EdgeBench.open();
    const [phone, stranger] = [await bench.phone(), await bench.phone()];
    const id = at(await bench.call("POST", "/v1/devices/me/test-push", phone.token), "id");
    const receivedAt = new Date(bench.clock.wallMs() + 700).toISOString();
    const send = (token: string) =>
      bench.call("POST", `/v1/pushes/${id}/receipt`, token, { receivedAt, priority: "high" });
    expect((await send(stranger.token)).status).toBe(404);
    expect((await send(phone.token)).status).toBe(204);
    expect((await send(phone.token)).status).toBe(204);
    const me = await bench.call("GET", "/v1/devices/me", phone.token);
    expect(me.body).toMatchObject({ wake: { receipts: 1, medianMs: 700, unanswered: 0 } });
    expect(await bench.metric('wakeline_push_receipt_seconds_count{provider="webhook"}')).toBe(1);
  });

  test("an unknown push is 404, a time that is none 422", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const path = "/v1/pushes/0192d1c8-0000-7000-8000-000000000000/receipt";
    expect((await bench.call("POST", path, phone.token, { receivedAt: "2026-11-24T12:00:00Z" })).status).toBe(404);
    for (const receivedAt of ["yesterday", "2999-01-01T00:00:00Z", ""]) {
      expect((await bench.call("POST", path, phone.token, { receivedAt })).status).toBe(422);
    }
  });

  test("when a phone's receipts stop there is an alarm, once", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const push = async () => at(await bench.call("POST", "/v1/devices/me/test-push", phone.token), "id");
    const receivedAt = new Date(bench.clock.wallMs()).toISOString();
    await bench.call("POST", `/v1/pushes/${await push()}/receipt`, phone.token, { receivedAt });
    for (let n = 0; n < 3; n++) await push();
    expect(await bench.metric('wakeline_alarms_total{kind="receipts_stopped"}')).toBe(0);
    for (let n = 0; n < 3; n++) await push();
    expect(await bench.metric('wakeline_alarms_total{kind="receipts_stopped"}')).toBe(1);
  });
});

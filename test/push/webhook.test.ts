import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import type { Delivery } from "../../src/push/types.ts";
import { verifySignature, WebhookSender } from "../../src/push/webhook.ts";
import { createTestAuthority } from "../fakes/certificates.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { startWebhookFake, type WebhookFake, type WebhookFakeAnswer } from "../fakes/webhook-server.ts";
import { callPayload, deviceOne, deviceWith, startWallMs } from "./devices.ts";

const secret = "shared with the relay";
const clock = { nowMs: () => performance.now(), wallMs: () => startWallMs };
const closing = closedAfterEach();

function start(more: { readonly requestMsMax?: number } = {}): { fake: WebhookFake; sender: WebhookSender } {
  const fake = startWebhookFake();
  closing.push(() => fake.close());
  return { fake, sender: new WebhookSender({ url: fake.url, secret, clock, ...more }) };
}

const device = deviceWith({ provider: "webhook", token: "whatever the relay wants" });
const sendCall = (sender: WebhookSender, ttlMs = 40_000): Promise<Delivery> =>
  sender.send(device, callPayload(), ttlMs);

describe("webhook, what the relay receives", () => {
  test("is {id, app, device, token, payload} by POST", async () => {
    const { fake, sender } = start();
    expect(await sendCall(sender)).toEqual({ kind: "accepted" });
    const [request] = fake.requests;
    expect(request?.method).toBe("POST");
    expect(request?.headers.get("content-type")).toBe("application/json");
    expect(JSON.parse(request?.body ?? "")).toEqual({
      id: callPayload().id,
      app: "com.example.phone",
      device: deviceOne,
      token: "whatever the relay wants",
      payload: callPayload(),
    });
  });

  test("is signed: hex HMAC-SHA256 of `t.body`", async () => {
    const { fake, sender } = start();
    await sendCall(sender);
    const { headers, body } = fake.requests[0]!;
    const atSec = startWallMs / 1000;
    const expected = createHmac("sha256", secret).update(`${atSec}.${body}`).digest("hex");
    expect(headers.get("wakeline-signature")).toBe(`t=${atSec},v1=${expected}`);
    expect(verifySignature(headers.get("wakeline-signature") ?? "", body, secret, atSec + 10)).toBe(true);
  });

  test("comes over one connection", async () => {
    const { fake, sender } = start();
    for (let n = 0; n < 5; n++) await sendCall(sender);
    expect(new Set(fake.requests.map(({ fromPort }) => fromPort)).size).toBe(1);
  });

  test("has a payload under 4 KB", async () => {
    const { fake, sender } = start();
    await sender.send(device, callPayload({ from: { uri: "sip:a@b", name: "n".repeat(9000) } }), 1_000);
    const { payload } = JSON.parse(fake.requests[0]?.body ?? "") as { payload: object };
    expect(Buffer.byteLength(JSON.stringify(payload))).toBeLessThan(4096);
  });
});

describe("webhook signature", () => {
  const body = '{"id":"1"}';
  const header = `t=1000,v1=${createHmac("sha256", secret).update(`1000.${body}`).digest("hex")}`;

  test("holds for this body, this secret and this time only", () => {
    expect(verifySignature(header, body, secret, 1000)).toBe(true);
    expect(verifySignature(header, `${body} `, secret, 1000)).toBe(false);
    expect(verifySignature(header, body, "other", 1000)).toBe(false);
    expect(verifySignature(header.replace("t=1000", "t=1001"), body, secret, 1000)).toBe(false);
  });

  test("is too old after five minutes, and malformed ones are refused", () => {
    expect(verifySignature(header, body, secret, 1300)).toBe(true);
    expect(verifySignature(header, body, secret, 1301)).toBe(false);
    expect(verifySignature("t=1000", body, secret, 1000)).toBe(false);
    expect(verifySignature("", body, secret, 1000)).toBe(false);
  });
});

describe("webhook, answers", () => {
  const inTenSec = new Date(startWallMs + 10_000).toUTCString();
  const table: readonly (readonly [string, WebhookFakeAnswer, Delivery])[] = [
    ["204 is accepted", { status: 202 }, { kind: "accepted" }],
    ["410 kills the token", { status: 410 }, { kind: "tokenDead", which: "token", reason: "status 410" }],
    ["429 is retried", { status: 429 }, { kind: "retry", afterMs: 1_000, reason: "status 429" }],
    [
      "503 honours Retry-After in seconds",
      { status: 503, headers: { "retry-after": "3" } },
      { kind: "retry", afterMs: 3_000, reason: "status 503" },
    ],
    [
      "503 honours Retry-After as a date",
      { status: 503, headers: { "retry-after": inTenSec } },
      { kind: "retry", afterMs: 10_000, reason: "status 503" },
    ],
    ["500 is retried", { status: 500 }, { kind: "retry", afterMs: 250, reason: "status 500" }],
    ["401 is ours", { status: 401 }, { kind: "refused", reason: "status 401", ours: true }],
    [
      "a redirect is ours and not followed",
      { status: 307, headers: { location: "/elsewhere" } },
      { kind: "refused", reason: "status 307", ours: true },
    ],
  ];
  for (const [name, answer, expected] of table) {
    test(name, async () => {
      const { fake, sender } = start();
      fake.answer = () => answer;
      expect(await sendCall(sender)).toEqual(expected);
      expect(fake.requests.length).toBe(1);
    });
  }

  test("an answer that never ends does not hold the push, nor fill the memory", async () => {
    const { fake, sender } = start();
    fake.answer = () => ({ status: 200, body: "x".repeat(1_000_000) });
    expect((await sendCall(sender)).kind).toBe("accepted");
    fake.answer = () => ({ status: 200 });
    expect((await sendCall(sender)).kind).toBe("accepted");
  });

  test("hung: given up at the limit of a request, or at the end of the time left", async () => {
    const { fake, sender } = start({ requestMsMax: 100 });
    fake.answer = () => "silence";
    for (const ttlMs of [40_000, 50]) {
      const from = performance.now();
      expect(await sendCall(sender, ttlMs)).toEqual({ kind: "retry", afterMs: 0, reason: "timeout" });
      expect(performance.now() - from).toBeLessThan(3_000);
    }
  });

  test("nobody listening is a retry", async () => {
    const { fake, sender } = start();
    await fake.close();
    expect(await sendCall(sender)).toEqual({ kind: "retry", afterMs: 0, reason: "ECONNREFUSED" });
  });
});

describe("webhook, TLS", () => {
  test("a certificate that does not hold: nothing is sent, and it is ours to repair", async () => {
    const authority = createTestAuthority();
    const fake = startWebhookFake(authority.issue(["localhost"]));
    closing.push(() => fake.close());
    const stranger = new WebhookSender({ url: fake.url, secret, clock });
    expect(await sendCall(stranger)).toMatchObject({ kind: "refused", ours: true });
    expect(await stranger.probe()).toContain("certificate does not hold");
    expect(fake.requests).toEqual([]);
    expect(await sendCall(new WebhookSender({ url: fake.url, secret, clock, ca: authority.ca }))).toEqual({
      kind: "accepted",
    });
  });
});

describe("webhook, probe for `wakeline check`", () => {
  test("is no push: whatever the relay answers to HEAD, it is there", async () => {
    const { fake, sender } = start();
    fake.answer = () => ({ status: 405 });
    expect(await sender.probe()).toBeUndefined();
    expect(fake.requests[0]?.method).toBe("HEAD");
  });
});

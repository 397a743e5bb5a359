import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AppConfig } from "../../src/config/config.ts";
import { silentLog } from "../../src/observe/log.ts";
import { readRetryAfterMs } from "../../src/push/retry-after.ts";
import { openSenders, type SenderOptions } from "../../src/push/senders.ts";
import { makeVapidKeys, storedVapidKeys, type VapidKeys } from "../../src/push/vapid-keys.ts";
import { systemClock } from "../../src/time/clock.ts";
import { startApnsFake } from "../fakes/apns-server.ts";
import { createTestAuthority } from "../fakes/certificates.ts";
import { startFcmFake } from "../fakes/fcm-server.ts";
import { startWebhookFake } from "../fakes/webhook-server.ts";
import { callPayload, deviceWith } from "./devices.ts";

let folder = "";
let vapid: VapidKeys;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "wakeline-senders-"));
  vapid = makeVapidKeys();
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const ecKey = (): string =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" });
const rsaKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" });

const options = (more: Partial<SenderOptions> = {}): SenderOptions => ({
  vapid,
  allowUrl: () => ({ ok: true }),
  clock: systemClock,
  log: silentLog,
  ...more,
});

function app(providers: Partial<AppConfig>, id = "com.example.phone"): AppConfig {
  return {
    id,
    keySha256: undefined,
    jwksUrl: undefined,
    issuer: undefined,
    audience: undefined,
    apns: undefined,
    fcm: undefined,
    webpush: undefined,
    webhook: undefined,
    ...providers,
  };
}

const apnsConfig = (keyFile: string, endpoint?: string, caFile?: string) => ({
  keyFile,
  keyId: "K",
  teamId: "T",
  topic: "com.example.phone",
  endpoint,
  caFile,
});
const serviceAccount = (): string =>
  JSON.stringify({ project_id: "p", client_email: "a@b", private_key: rsaKey, token_uri: "https://token.invalid/" });

describe("senders of a configuration", () => {
  test("one for each provider of each app, through the whole wire", async () => {
    const authority = createTestAuthority();
    const caFile = file("ca.pem", authority.ca);
    const apns = await startApnsFake({ authority });
    const fcm = startFcmFake({ authority });
    const hook = startWebhookFake();
    const config = app({
      apns: apnsConfig(file("key.p8", ecKey()), apns.url.origin, caFile),
      fcm: {
        serviceAccountFile: file("sa.json", serviceAccount()),
        endpoint: fcm.url.origin,
        tokenEndpoint: fcm.tokenUrl.href,
        caFile,
      },
      webpush: { subject: "mailto:ops@example.com" },
      webhook: { url: hook.url.href, secret: "s3cret" },
    });
    const set = await openSenders([config], options());
    expect(set.faults).toEqual([]);
    const { apns: a, fcm: f, webpush: w, webhook: h } = set.table.get("com.example.phone") ?? {};
    expect((await a?.send(deviceWith(), callPayload(), 9_000))?.kind).toBe("accepted");
    expect((await f?.send(deviceWith({ provider: "fcm" }), callPayload(), 9_000))?.kind).toBe("accepted");
    expect((await h?.send(deviceWith({ provider: "webhook" }), callPayload(), 9_000))?.kind).toBe("accepted");
    expect(w).toBeDefined();
    apns.answer = () => ({ status: 400, body: { reason: "BadDeviceToken" } });
    expect(await set.probe()).toEqual([]);
    apns.answer = () => ({ status: 403, body: { reason: "InvalidProviderToken" } });
    expect(await set.probe()).toMatchObject([{ app: "com.example.phone", provider: "apns" }]);
    await set.close();
    for (const fake of [apns, fcm, hook]) await fake.close();
  });

  test("warmed, connection and access token are there before the first call; a new key's after a reload", async () => {
    const authority = createTestAuthority();
    const caFile = file("warm-ca.pem", authority.ca);
    const apns = await startApnsFake({ authority });
    const fcm = startFcmFake({ authority });
    const keyFile = file("warm.p8", ecKey());
    const [endpoint, tokenEndpoint] = [fcm.url.origin, fcm.tokenUrl.href];
    const serviceAccountFile = file("warm-sa.json", serviceAccount());
    const config = app({
      apns: apnsConfig(keyFile, apns.url.origin, caFile),
      fcm: { serviceAccountFile, endpoint, tokenEndpoint, caFile },
    });
    const set = await openSenders([config], options());
    await set.warm();
    expect([apns.connections, apns.requests.length, fcm.assertions.length]).toEqual([1, 0, 1]);
    // What is open stays as it is.
    await set.warm();
    expect([apns.connections, fcm.assertions.length]).toEqual([1, 1]);
    writeFileSync(keyFile, ecKey());
    await set.reload([config]);
    await set.warm();
    expect([apns.connections, apns.requests.length, fcm.assertions.length]).toEqual([2, 0, 1]);
    await set.close();
    for (const fake of [apns, fcm]) await fake.close();
  });

  test("every fault is named, and costs only its own provider", async () => {
    const config = app({
      apns: apnsConfig(join(folder, "missing.p8")),
      fcm: {
        serviceAccountFile: file("broken.json", "{}"),
        endpoint: undefined,
        tokenEndpoint: undefined,
        caFile: undefined,
      },
      webpush: { subject: "ops" },
      webhook: { url: "ftp://relay.example.com/push", secret: "s" },
    });
    const other = app({ webhook: { url: "http://127.0.0.1:7000/push", secret: "s" } }, "other");
    const set = await openSenders([config, other], options());
    const faults = set.faults.map(({ provider, text }) => `${provider}: ${text}`);
    expect(faults[0]).toMatch(/^apns: apns key_file .*missing\.p8: ENOENT$/);
    expect(faults[1]).toContain("lacks project_id, client_email, private_key");
    expect(faults[2]).toMatch(/^webpush: /);
    expect(faults[3]).toContain("not an http or https URL");
    expect(Object.keys(set.table.get("com.example.phone") ?? {})).toEqual([]);
    expect(Object.keys(set.table.get("other") ?? {})).toEqual(["webhook"]);
    await set.close();
  });

  test("a key of the wrong kind, an empty secret, a CA file that is not there", async () => {
    const faultsOf = async (providers: Partial<AppConfig>): Promise<string> =>
      (await openSenders([app(providers)], options())).faults.map(({ text }) => text).join();
    expect(await faultsOf({ apns: apnsConfig(file("rsa.p8", rsaKey)) })).toContain("not a P-256 key");
    expect(await faultsOf({ apns: apnsConfig(file("no.p8", "hello")) })).toContain("not a private key");
    expect(await faultsOf({ apns: apnsConfig(file("k.p8", ecKey()), undefined, join(folder, "no.pem")) })).toContain(
      "ca_file",
    );
    expect(await faultsOf({ apns: apnsConfig(file("k.p8", ecKey()), "http://apns.example.com") })).toContain(
      "must be https",
    );
    expect(await faultsOf({ webhook: { url: "https://x.example/", secret: "" } })).toContain("secret is empty");
  });
});

describe("senders, reload (SIGHUP)", () => {
  test("what has not changed stays; a new key makes a new sender; what is gone is closed", async () => {
    const keyFile = file("reload.p8", ecKey());
    const config = app({ apns: apnsConfig(keyFile), webhook: { url: "http://127.0.0.1:7000/", secret: "s" } });
    const set = await openSenders([config], options());
    const { table } = set;
    const before = table.get("com.example.phone");
    writeFileSync(keyFile, ecKey());
    expect(await set.reload([config])).toEqual([]);
    const after = table.get("com.example.phone");
    expect(after?.webhook).toBe(before?.webhook);
    expect(after?.apns).not.toBe(before?.apns);
    expect(await before?.apns?.send(deviceWith(), callPayload(), 1_000)).toMatchObject({ kind: "retry" }); // closed
    await set.reload([]);
    expect(table.size).toBe(0);
    await set.close();
  });

  test("a key file that has become unreadable is a fault; the old key goes on", async () => {
    const keyFile = file("broken-later.p8", ecKey());
    const config = app({ apns: apnsConfig(keyFile) });
    const set = await openSenders([config], options());
    const before = set.table.get("com.example.phone")?.apns;
    writeFileSync(keyFile, "half a fi");
    expect((await set.reload([config])).length).toBe(1);
    expect(set.table.get("com.example.phone")?.apns).toBe(before);
    await set.close();
  });
});

describe("VAPID keys", () => {
  function settingsOf(kept: Map<string, string>) {
    return {
      setting: (name: string) => kept.get(name),
      async putSetting(name: string, value: string) {
        kept.set(name, value);
      },
    };
  }

  test("are made once, kept in the store, and read from then on", async () => {
    const kept = new Map<string, string>();
    const first = await storedVapidKeys(settingsOf(kept));
    expect(Buffer.from(first.publicKey, "base64url").length).toBe(65);
    expect(await storedVapidKeys(settingsOf(kept))).toEqual(first);
    expect(kept.size).toBe(1);
  });

  test("that are damaged are an error, never replaced: every browser would have to subscribe again", async () => {
    const kept = new Map([["vapidKeys", '{"publicKey":"x"}']]);
    let reason = "";
    await storedVapidKeys(settingsOf(kept)).catch((cause: unknown) => {
      reason = String(cause);
    });
    expect(reason).toContain("damaged");
    expect(kept.get("vapidKeys")).toBe('{"publicKey":"x"}');
  });
});

describe("Retry-After, RFC 9110 §10.2.3", () => {
  test("reads seconds and dates, and nothing else", () => {
    expect(readRetryAfterMs("120", 0)).toBe(120_000);
    expect(readRetryAfterMs("Thu, 01 Jan 1970 00:00:09 GMT", 4_000)).toBe(5_000);
    expect(readRetryAfterMs("Thu, 01 Jan 1970 00:00:01 GMT", 4_000)).toBe(0);
    for (const text of [undefined, null, "", "soon", "-5", "1.5", "1e9"])
      expect(readRetryAfterMs(text, 0)).toBeUndefined();
  });

  test("is never longer than a day", () => {
    expect(readRetryAfterMs("9999999999", 0)).toBe(86_400_000);
  });
});

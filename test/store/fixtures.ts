import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AccountId, CallUuid, DeviceId, SubscriptionId } from "../../src/base/ids.ts";
import { silentLog } from "../../src/observe/log.ts";
import { openStore, type OpenStore, type StoreOptions } from "../../src/store/open.ts";
import type { AccountFields, DeviceRecord, JournalEntry, NewSubscription } from "../../src/store/types.ts";

export const newAccountId = (): AccountId => Bun.randomUUIDv7() as AccountId;
export const newDeviceId = (): DeviceId => Bun.randomUUIDv7() as DeviceId;
export const newSubscriptionId = (): SubscriptionId => Bun.randomUUIDv7() as SubscriptionId;
const newCall = (): CallUuid => Bun.randomUUIDv7() as CallUuid;

export interface Folder extends Disposable {
  readonly path: string;
}

/** A temporary data folder, gone at the end of the scope. */
export function folder(): Folder {
  const path = mkdtempSync(join(tmpdir(), "wakeline-store-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export function open(dataDir: string, more: Partial<StoreOptions> = {}): Promise<OpenStore> {
  return openStore({ dataDir, masterKey: `file:${dataDir}/master.key`, env: {}, log: silentLog, ...more });
}

export function device(more: Partial<DeviceRecord> = {}): DeviceRecord {
  return {
    deviceId: newDeviceId(),
    app: "com.example.phone",
    name: "Anna's phone",
    push: { provider: "fcm", token: "token-1", alertToken: undefined, environment: undefined },
    tokenState: "alive",
    alertTokenState: "alive",
    tokenSetAtMs: 1_000,
    createdAtMs: 1_000,
    lastSeenAtMs: 1_000,
    ...more,
  };
}

export function fields(username: string, more: Partial<AccountFields> = {}): AccountFields {
  return {
    app: "com.example.phone",
    username,
    domain: "sip.example.com",
    authUsername: undefined,
    displayName: undefined,
    proxy: undefined,
    alternateProxy: undefined,
    transport: "auto",
    expiresSec: 600,
    registrationMode: "auto",
    natEmulation: false,
    instanceId: undefined,
    userAgent: undefined,
    forwardTo: undefined,
    ...more,
  };
}

export function subscription(
  accountId: AccountId,
  deviceId: DeviceId,
  more: Partial<NewSubscription> = {},
): NewSubscription {
  return {
    subscriptionId: newSubscriptionId(),
    accountId,
    deviceId,
    presence: "background",
    notify: { message: true, voicemail: true, missed: true, preview: false },
    createdAtMs: 2_000,
    ...more,
  };
}

export function password(text: string) {
  return { kind: "password", password: text } as const;
}

export function call(accountId: AccountId, more: Partial<JournalEntry> = {}): JournalEntry {
  return {
    call: newCall(),
    callId: "1@pbx",
    accountId,
    subscriptionId: undefined,
    direction: "inbound",
    state: "missed",
    fromUri: "sip:bob@example.com",
    fromName: "Bob",
    startedAtMs: Date.now(),
    answeredAtMs: undefined,
    endedAtMs: undefined,
    ...more,
  };
}

/** A device with an account of its own. */
export async function enrol(store: OpenStore, username: string, secret = password(`pw-${username}`)) {
  const phone = device();
  await store.putDevice(phone);
  const accountId = newAccountId();
  const subscribed = subscription(accountId, phone.deviceId);
  const account = await store.createAccount(accountId, fields(username), secret, subscribed);
  return { deviceId: phone.deviceId, accountId, subscriptionId: subscribed.subscriptionId, account };
}

/**
 * All bytes of all files of a folder, by another process: closing a file of the database here would drop the locks that
 * SQLite holds in this process.
 */
export function rawBytes(path: string): Buffer {
  const files = readdirSync(path)
    .map((name) => join(path, name))
    .filter((file) => statSync(file).isFile());
  return Buffer.from(Bun.spawnSync(["cat", ...files]).stdout);
}

/**
 * What a promise rejects with. (`expect(…).rejects` spins the event loop by itself and never sees a worker's message.)
 */
export async function refusal(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (cause) {
    return cause;
  }
  throw new Error("was done instead of being refused");
}

import { existsSync, mkdirSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import type { AccountId, DeviceId, SubscriptionId } from "../base/ids.ts";
import type { Notify, Presence, RegistrationMode, Secret } from "../base/records.ts";
import type { Log } from "../observe/log.ts";
import { systemClock, type Clock } from "../time/clock.ts";
import { databaseFile, openReader } from "./database.ts";
import { hasDataKeys } from "./data-keys.ts";
import { StoreFault } from "./faults.ts";
import { lockDataDir } from "./lock.ts";
import { createMasterKeyFile, readMasterKey } from "./master-key.ts";
import { Reader } from "./reader.ts";
import { spawnWriter } from "./spawn-writer.ts";
import type { AccountFields, DeviceRecord, JournalEntry, NewSubscription, Store } from "./types.ts";
import { newVaultKeys, Vault, type VaultKeys } from "./vault.ts";
import { WriteQueue, type SpawnWriter } from "./write-queue.ts";
import type { DevicePatch } from "./writes.ts";

const journalDays = 30;
const pruneEveryMs = 60 * 60_000;
const prunedAtOnce = 500;
/** A device seen again and again is written once in this time. */
const touchEveryMs = 5_000;
const dayMs = 24 * 60 * 60_000;
/** What is written to learn whether writes come through again. */
const triedSetting = "triedAtMs";

export interface StoreOptions {
  readonly dataDir: string;
  /** "file:PATH" (generated when missing) or "env:NAME". */
  readonly masterKey: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly clock?: Clock;
  readonly spawn?: SpawnWriter;
}

/** Store of this process; `vaultKeys` go to the shard workers, for their Directory. */
export interface OpenStore extends Store {
  readonly vaultKeys: VaultKeys;
}

/**
 * Opens the data folder, making folder, database and master key when missing. Throws StoreFault, in words for the operator,
 * when another process serves it, the master key is missing or wrong, or the database is of a newer version.
 *
 * Writes reject with StoreConflict, StoreMissing or StoreFault (faults.ts); `createAccount` and `updateAccount` with
 * StoreConflict "account" when app, username and domain are another account's.
 */
export async function openStore(options: StoreOptions): Promise<OpenStore> {
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  const dataDir = realpathSync(options.dataDir);
  const unlock = lockDataDir(dataDir);
  const clock = options.clock ?? systemClock;
  try {
    const master = masterKeyFor(dataDir, options);
    const vaultKeys = newVaultKeys();
    const queue = new WriteQueue({
      spawn: options.spawn ?? spawnWriter,
      open: { kind: "open", dataDir, master, vaultKeys },
      onLost: (reason) => options.log.error("store.lost", { reason }),
      clock,
    });
    await queue.start();
    const store = new SqliteStore({
      dataDir,
      queue,
      vaultKeys,
      unlock,
      log: options.log,
      clock,
    });
    await store.begin();
    return store;
  } catch (cause) {
    unlock();
    throw cause;
  }
}

function masterKeyFor(dataDir: string, options: StoreOptions): Buffer {
  const found = readMasterKey(options.masterKey, options.env);
  if (found.ok) return found.key;
  if (found.reason === "invalid") throw new StoreFault(`master key: ${found.text}`);
  if (!options.masterKey.startsWith("file:")) throw new StoreFault(`master key: ${found.text}`);
  if (existsSync(databaseFile(dataDir)) && isSealed(dataDir)) {
    throw new StoreFault(`master key: ${found.text}, but the database is sealed under it; put it back from its backup`);
  }
  const file = options.masterKey.slice("file:".length);
  const key = createMasterKeyFile(file);
  options.log.info("masterKey.created", { file });
  return key;
}

function isSealed(dataDir: string): boolean {
  const database = openReader(dataDir);
  try {
    const made = database.query("select 1 from sqlite_schema where name = 'data_keys'").get() !== null;
    return made && hasDataKeys(database);
  } finally {
    database.close();
  }
}

class SqliteStore extends Reader implements OpenStore {
  readonly vaultKeys: VaultKeys;
  readonly #dataDir: string;
  readonly #queue: WriteQueue;
  readonly #unlock: () => void;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #touched = new Map<DeviceId, number>();
  #isTrying = false;
  #touchTimer: ReturnType<typeof setTimeout> | undefined;
  #pruneTimer: ReturnType<typeof setInterval> | undefined;

  constructor(parts: {
    readonly dataDir: string;
    readonly queue: WriteQueue;
    readonly vaultKeys: VaultKeys;
    readonly unlock: () => void;
    readonly log: Log;
    readonly clock: Clock;
  }) {
    super(openReader(parts.dataDir), new Vault(parts.vaultKeys));
    this.vaultKeys = parts.vaultKeys;
    this.#dataDir = parts.dataDir;
    this.#queue = parts.queue;
    this.#unlock = parts.unlock;
    this.#log = parts.log;
    this.#clock = parts.clock;
  }

  async begin(): Promise<void> {
    await this.#queue.write({ kind: "closeJournal", atMs: this.#clock.wallMs() });
    await this.#prune();
    this.#pruneTimer = setInterval(() => void this.#prune(), pruneEveryMs);
    this.#pruneTimer.unref();
  }

  async putDevice(device: DeviceRecord): Promise<void> {
    await this.#queue.write({ kind: "putDevice", device });
  }

  async patchDevice(deviceId: DeviceId, patch: DevicePatch): Promise<void> {
    await this.#queue.write({ kind: "patchDevice", deviceId, patch, atMs: this.#clock.wallMs() });
  }

  touchDevice(deviceId: DeviceId, atMs: number): void {
    this.#touched.set(deviceId, Math.max(atMs, this.#touched.get(deviceId) ?? 0));
    if (this.#touchTimer !== undefined) return;
    this.#touchTimer = setTimeout(() => this.#flushTouched(), touchEveryMs);
    this.#touchTimer.unref();
  }

  removeDevice(deviceId: DeviceId): Promise<readonly AccountId[]> {
    this.#touched.delete(deviceId);
    return this.#queue.write({ kind: "removeDevice", deviceId });
  }

  createAccount(accountId: AccountId, fields: AccountFields, secret: Secret, subscription: NewSubscription) {
    return this.#queue.write({ kind: "createAccount", accountId, fields, secret, subscription });
  }

  async createSubscription(subscription: NewSubscription): Promise<void> {
    await this.#queue.write({ kind: "createSubscription", subscription });
  }

  updateAccount(accountId: AccountId, fields: AccountFields, secret: Secret | undefined) {
    return this.#queue.write({ kind: "updateAccount", accountId, fields, secret });
  }

  async setLearnedMode(accountId: AccountId, mode: Exclude<RegistrationMode, "auto">): Promise<void> {
    await this.#queue.write({ kind: "setLearnedMode", accountId, mode });
  }

  async setPresence(subscriptionId: SubscriptionId, presence: Presence): Promise<void> {
    await this.#queue.write({ kind: "setPresence", subscriptionId, presence });
  }

  async setNotify(subscriptionId: SubscriptionId, notify: Notify): Promise<void> {
    await this.#queue.write({ kind: "setNotify", subscriptionId, notify });
  }

  removeSubscription(subscriptionId: SubscriptionId): Promise<boolean> {
    return this.#queue.write({ kind: "removeSubscription", subscriptionId });
  }

  async removeAccount(accountId: AccountId): Promise<void> {
    await this.#queue.write({ kind: "removeAccount", accountId });
  }

  putJournal(entry: JournalEntry, devices: readonly DeviceId[]): void {
    this.#background("putJournal", this.#queue.write({ kind: "putJournal", entry, devices }), { call: entry.call });
  }

  async putSetting(name: string, value: string): Promise<void> {
    await this.#queue.write({ kind: "putSetting", name, value });
  }

  writesWaiting(): number {
    return this.#queue.waiting;
  }

  trouble(): string | undefined {
    const words = this.#queue.trouble;
    if (words !== undefined && !this.#isTrying) {
      // Nobody may be writing any more because we are in trouble: the end of it is found by a write of our own.
      this.#isTrying = true;
      const tried = (): void => {
        this.#isTrying = false;
      };
      void this.putSetting(triedSetting, String(this.#clock.wallMs())).then(tried, tried);
    }
    return words;
  }

  async backup(file: string): Promise<void> {
    await new Promise<void>((done, failed) => {
      const fail = (text: string): void => failed(new StoreFault(text));
      const thread = spawnWriter({
        onReport: (report) => {
          if (report.kind === "backedUp") done();
          else if (report.kind === "failed") fail(report.text);
          thread.terminate();
        },
        onGone: fail,
      });
      thread.post({ kind: "backup", dataDir: this.#dataDir, file: resolve(file) });
    });
  }

  rotateKeys(): Promise<number> {
    return this.#queue.rotate();
  }

  /** After the shard workers' directories, so that the log can be emptied. */
  async close(): Promise<void> {
    clearTimeout(this.#touchTimer);
    clearInterval(this.#pruneTimer);
    this.#flushTouched();
    this.endReads();
    await this.#queue.close();
    this.#unlock();
  }

  #flushTouched(): void {
    this.#touchTimer = undefined;
    if (this.#touched.size === 0) return;
    const seen = [...this.#touched];
    this.#touched.clear();
    this.#background("touchDevices", this.#queue.write({ kind: "touchDevices", seen }));
  }

  async #prune(): Promise<void> {
    const beforeMs = this.#clock.wallMs() - journalDays * dayMs;
    try {
      while ((await this.#queue.write({ kind: "pruneJournal", beforeMs, most: prunedAtOnce })) === prunedAtOnce);
    } catch (cause) {
      this.#log.warn("journal.notPruned", { cause });
    }
  }

  #background(what: string, work: Promise<unknown>, fields: Readonly<Record<string, unknown>> = {}): void {
    work.catch((cause: unknown) => this.#log.warn("store.writeLost", { what, ...fields, cause }));
  }
}

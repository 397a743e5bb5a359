import type { AccountId, CallUuid, DeviceId, SubscriptionId } from "../../src/base/ids.ts";
import type { AccountRecord, Presence, Secret, SubscriptionRecord } from "../../src/base/records.ts";
import type {
  AccountFields,
  DeviceRecord,
  JournalEntry,
  NewSubscription,
  Store,
  SubscriptionDetail,
} from "../../src/store/types.ts";

/** A Store in maps. Writes take effect at once and resolve later, as the real one's do after the commit. */
export class MemoryStore implements Store {
  readonly devices = new Map<DeviceId, DeviceRecord>();
  readonly accountRecords = new Map<AccountId, AccountRecord>();
  readonly secrets = new Map<AccountId, Secret>();
  readonly subscriptions = new Map<SubscriptionId, NewSubscription>();
  readonly journal = new Map<CallUuid, { readonly entry: JournalEntry; readonly devices: readonly DeviceId[] }>();
  readonly settings = new Map<string, string>();
  readonly backups: string[] = [];
  /** Names of writes, in order. */
  readonly writes: string[] = [];
  rotations = 0;
  /** Why nothing can be written. */
  troubled: string | undefined;
  /** Makes the next write reject. */
  failNext: Error | undefined;
  /** Holds writes back, by name. */
  before: (write: string) => Promise<void> = () => Promise.resolve();

  /** As long as a test says. */
  line = 0;
  writesWaiting(): number {
    return this.line;
  }
  trouble(): string | undefined {
    return this.troubled;
  }

  device(deviceId: DeviceId): DeviceRecord | undefined {
    return this.devices.get(deviceId);
  }

  account(accountId: AccountId): AccountRecord | undefined {
    return this.accountRecords.get(accountId);
  }

  accountByIdentity(app: string, username: string, domain: string): AccountRecord | undefined {
    return [...this.accountRecords.values()].find(
      (account) =>
        account.app === app && account.username === username && account.domain.toLowerCase() === domain.toLowerCase(),
    );
  }

  subscription(subscriptionId: SubscriptionId): SubscriptionDetail | undefined {
    const found = this.subscriptions.get(subscriptionId);
    return found === undefined ? undefined : this.#detail(found);
  }

  subscriptionsOfDevice(deviceId: DeviceId): readonly SubscriptionDetail[] {
    return this.#where((one) => one.deviceId === deviceId);
  }

  subscriptionsOfAccount(accountId: AccountId): readonly SubscriptionRecord[] {
    return this.#where((one) => one.accountId === accountId);
  }

  accountsOfDevice(deviceId: DeviceId): readonly AccountId[] {
    return this.subscriptionsOfDevice(deviceId).map(({ accountId }) => accountId);
  }

  journalOfDevice(deviceId: DeviceId, sinceMs: number, most: number): readonly JournalEntry[] {
    return [...this.journal.values()]
      .filter(({ entry, devices }) => devices.includes(deviceId) && entry.startedAtMs >= sinceMs)
      .map(({ entry }) => this.#entryFor(entry, deviceId))
      .sort((a, b) => b.startedAtMs - a.startedAtMs)
      .slice(0, most);
  }

  journalCall(call: CallUuid, deviceId: DeviceId): JournalEntry | undefined {
    const found = this.journal.get(call);
    return found?.devices.includes(deviceId) === true ? this.#entryFor(found.entry, deviceId) : undefined;
  }

  accounts(after: AccountId | undefined, most: number, like?: string): readonly AccountRecord[] {
    return [...this.accountRecords.values()]
      .filter(({ accountId }) => after === undefined || accountId > after)
      .filter(({ username, domain }) => like === undefined || username.includes(like) || domain.includes(like))
      .sort((a, b) => (a.accountId < b.accountId ? -1 : 1))
      .slice(0, most);
  }

  counts() {
    return {
      devices: this.devices.size,
      accounts: this.accountRecords.size,
      subscriptions: this.subscriptions.size,
    };
  }

  async putDevice(device: DeviceRecord): Promise<void> {
    await this.#write("putDevice");
    this.devices.set(device.deviceId, device);
  }

  async patchDevice(deviceId: DeviceId, patch: Parameters<Store["patchDevice"]>[1]): Promise<void> {
    await this.#write("patchDevice");
    const before = this.devices.get(deviceId);
    const { ofToken: _ofToken, ofAlertToken: _ofAlertToken, ...fields } = patch;
    if (before !== undefined) this.devices.set(deviceId, { ...before, ...fields });
  }

  touchDevice(deviceId: DeviceId, atMs: number): void {
    const before = this.devices.get(deviceId);
    if (before !== undefined) this.devices.set(deviceId, { ...before, lastSeenAtMs: atMs });
  }

  async removeDevice(deviceId: DeviceId): Promise<readonly AccountId[]> {
    await this.#write("removeDevice");
    const mine = this.subscriptionsOfDevice(deviceId);
    for (const { subscriptionId } of mine) this.subscriptions.delete(subscriptionId);
    this.devices.delete(deviceId);
    return mine.map(({ accountId }) => accountId).filter((id) => this.subscriptionsOfAccount(id).length === 0);
  }

  async createAccount(
    accountId: AccountId,
    fields: AccountFields,
    secret: Secret,
    subscription: NewSubscription,
  ): Promise<AccountRecord> {
    await this.#write("createAccount");
    if (this.accountByIdentity(fields.app, fields.username, fields.domain) !== undefined) throw new Error("exists");
    const record: AccountRecord = { ...fields, accountId, version: 1, learnedMode: undefined };
    this.accountRecords.set(accountId, record);
    this.secrets.set(accountId, secret);
    this.subscriptions.set(subscription.subscriptionId, subscription);
    return record;
  }

  async createSubscription(subscription: NewSubscription): Promise<void> {
    await this.#write("createSubscription");
    if (!this.accountRecords.has(subscription.accountId)) throw new Error("no such account");
    this.subscriptions.set(subscription.subscriptionId, subscription);
  }

  async updateAccount(accountId: AccountId, fields: AccountFields, secret: Secret | undefined): Promise<AccountRecord> {
    await this.#write("updateAccount");
    const before = this.accountRecords.get(accountId);
    if (before === undefined) throw new Error("no such account");
    const record = { ...before, ...fields, version: before.version + 1 };
    this.accountRecords.set(accountId, record);
    if (secret !== undefined) this.secrets.set(accountId, secret);
    return record;
  }

  async setLearnedMode(accountId: AccountId, mode: NonNullable<AccountRecord["learnedMode"]>): Promise<void> {
    await this.#write("setLearnedMode");
    const before = this.accountRecords.get(accountId);
    if (before !== undefined) this.accountRecords.set(accountId, { ...before, learnedMode: mode });
  }

  async setPresence(subscriptionId: SubscriptionId, presence: Presence): Promise<void> {
    await this.#write("setPresence");
    const before = this.subscriptions.get(subscriptionId);
    if (before !== undefined) this.subscriptions.set(subscriptionId, { ...before, presence });
  }

  async setNotify(subscriptionId: SubscriptionId, notify: NewSubscription["notify"]): Promise<void> {
    await this.#write("setNotify");
    const before = this.subscriptions.get(subscriptionId);
    if (before !== undefined) this.subscriptions.set(subscriptionId, { ...before, notify });
  }

  async removeSubscription(subscriptionId: SubscriptionId): Promise<boolean> {
    await this.#write("removeSubscription");
    const before = this.subscriptions.get(subscriptionId);
    this.subscriptions.delete(subscriptionId);
    return before !== undefined && this.subscriptionsOfAccount(before.accountId).length === 0;
  }

  async removeAccount(accountId: AccountId): Promise<void> {
    await this.#write("removeAccount");
    this.accountRecords.delete(accountId);
    this.secrets.delete(accountId);
    for (const one of this.#where((each) => each.accountId === accountId))
      this.subscriptions.delete(one.subscriptionId);
  }

  putJournal(entry: JournalEntry, devices: readonly DeviceId[]): void {
    this.journal.set(entry.call, { entry, devices });
  }

  staleDevices(beforeMs: number, most: number): readonly DeviceRecord[] {
    return [...this.devices.values()]
      .filter(({ lastSeenAtMs }) => lastSeenAtMs < beforeMs)
      .sort((a, b) => a.lastSeenAtMs - b.lastSeenAtMs)
      .slice(0, most);
  }

  async backup(file: string): Promise<void> {
    await this.#write("backup");
    this.backups.push(file);
  }

  async rotateKeys(): Promise<number> {
    await this.#write("rotateKeys");
    this.rotations++;
    return this.secrets.size;
  }

  orphans(most: number): readonly AccountId[] {
    return [...this.accountRecords.keys()].filter((id) => this.subscriptionsOfAccount(id).length === 0).slice(0, most);
  }

  setting(name: string): string | undefined {
    return this.settings.get(name);
  }

  async putSetting(name: string, value: string): Promise<void> {
    await this.#write("putSetting");
    this.settings.set(name, value);
  }

  async close(): Promise<void> {}

  async #write(name: string): Promise<void> {
    await this.before(name);
    const failure = this.failNext;
    this.failNext = undefined;
    if (failure !== undefined) throw failure;
    this.writes.push(name);
  }

  #where(holds: (one: NewSubscription) => boolean): SubscriptionDetail[] {
    return [...this.subscriptions.values()].filter((one) => holds(one)).flatMap((one) => this.#detail(one) ?? []);
  }

  #detail(one: NewSubscription): SubscriptionDetail | undefined {
    const account = this.accountRecords.get(one.accountId);
    const device = this.devices.get(one.deviceId);
    if (account === undefined || device === undefined) return undefined;
    const { push, tokenState, alertTokenState } = device;
    const takesAlerts = push.provider === "apns" && push.alertToken !== undefined && alertTokenState === "alive";
    return { ...one, account, wakeable: tokenState === "alive" || takesAlerts, lastSeenAtMs: device.lastSeenAtMs };
  }

  #entryFor(entry: JournalEntry, deviceId: DeviceId): JournalEntry {
    const own = this.subscriptionsOfDevice(deviceId).find(({ accountId }) => accountId === entry.accountId);
    return { ...entry, subscriptionId: own?.subscriptionId };
  }
}

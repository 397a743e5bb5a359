import type { AccountId, CallUuid, DeviceId, SubscriptionId } from "../base/ids.ts";
import type { AccountRecord, Notify, Presence, RegistrationMode, Secret, SubscriptionRecord } from "../base/records.ts";

export type PushProvider = "apns" | "fcm" | "webpush" | "webhook";

export interface PushTarget {
  readonly provider: PushProvider;
  readonly token: string;
  readonly alertToken: string | undefined;
  readonly environment: "production" | "development" | undefined;
}

export interface DeviceRecord {
  readonly deviceId: DeviceId;
  readonly app: string;
  readonly name: string | undefined;
  readonly push: PushTarget;
  /** "dead" once the provider said so for this very token; a new token makes it alive again. */
  readonly tokenState: "alive" | "dead";
  readonly alertTokenState: "alive" | "dead";
  readonly tokenSetAtMs: number;
  readonly createdAtMs: number;
  readonly lastSeenAtMs: number;
}

/** A subscription with what the edge shows of it. */
export interface SubscriptionDetail extends SubscriptionRecord {
  readonly account: AccountRecord;
  readonly createdAtMs: number;
  readonly lastSeenAtMs: number;
}

export interface JournalEntry {
  readonly call: CallUuid;
  readonly callId: string;
  readonly accountId: AccountId;
  readonly subscriptionId: SubscriptionId | undefined;
  readonly direction: "inbound" | "outbound";
  readonly state: "ringing" | "answered" | "answeredElsewhere" | "cancelled" | "missed" | "ended";
  readonly fromUri: string;
  readonly fromName: string | undefined;
  readonly startedAtMs: number;
  readonly answeredAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
}

/** Fields an account is made of; the store adds id, version and what it has learned. */
export type AccountFields = Omit<AccountRecord, "accountId" | "version" | "learnedMode">;

/**
 * Persistence as the edge and the pool see it. Reads are synchronous and local (SQLite in WAL mode, read-only connection);
 * writes go to the store worker and resolve once committed. A write that cannot be done rejects with an Error; expected
 * outcomes are values.
 */
export interface Store {
  device(deviceId: DeviceId): DeviceRecord | undefined;
  account(accountId: AccountId): AccountRecord | undefined;
  accountByIdentity(app: string, username: string, domain: string): AccountRecord | undefined;
  subscription(subscriptionId: SubscriptionId): SubscriptionDetail | undefined;
  subscriptionsOfDevice(deviceId: DeviceId): readonly SubscriptionDetail[];
  subscriptionsOfAccount(accountId: AccountId): readonly SubscriptionRecord[];
  /** Account ids the device is subscribed to. */
  accountsOfDevice(deviceId: DeviceId): readonly AccountId[];
  journalOfDevice(deviceId: DeviceId, sinceMs: number, most: number): readonly JournalEntry[];
  journalCall(call: CallUuid, deviceId: DeviceId): JournalEntry | undefined;
  /**
   * A page of an operator's list: what follows the account `after`. `search`, whose case does not count: how a username begins; `@` and how a
   * domain begins; a username, `@` and how its domain begins. Where no username begins so, how a domain begins. Ascending by what is searched for.
   */
  accounts(after: AccountId | undefined, most: number, search?: string): readonly AccountRecord[];
  counts(): { readonly devices: number; readonly accounts: number; readonly subscriptions: number };

  putDevice(device: DeviceRecord): Promise<void>;
  /** Sets what is given; undefined leaves a field. */
  patchDevice(
    deviceId: DeviceId,
    patch: {
      push?: PushTarget;
      name?: string;
      tokenState?: "alive" | "dead";
      alertTokenState?: "alive" | "dead";
      lastSeenAtMs?: number;
      /** When given, `tokenState` counts only while this is still the device's token (a verdict may come late). */
      ofToken?: string;
      /** The same for `alertTokenState`. */
      ofAlertToken?: string;
    },
  ): Promise<void>;
  /** Notes that devices were seen; coalesced, may be lost on a crash. */
  touchDevice(deviceId: DeviceId, atMs: number): void;
  /** Erases the device, its subscriptions and journal. Returns the accounts left without a subscription: the caller removes them. */
  removeDevice(deviceId: DeviceId): Promise<readonly AccountId[]>;

  /** Creates account (with its secret) and subscription in one transaction. */
  createAccount(
    accountId: AccountId,
    fields: AccountFields,
    secret: Secret,
    subscription: NewSubscription,
  ): Promise<AccountRecord>;
  /** Joins a device to an existing account. */
  createSubscription(subscription: NewSubscription): Promise<void>;
  /** Replaces fields and, when given, the secret; version + 1. */
  updateAccount(accountId: AccountId, fields: AccountFields, secret: Secret | undefined): Promise<AccountRecord>;
  setLearnedMode(accountId: AccountId, mode: Exclude<RegistrationMode, "auto">): Promise<void>;
  setPresence(subscriptionId: SubscriptionId, presence: Presence): Promise<void>;
  setNotify(subscriptionId: SubscriptionId, notify: Notify): Promise<void>;
  /** Removes the subscription; true when its account has none left (the caller removes the account). */
  removeSubscription(subscriptionId: SubscriptionId): Promise<boolean>;
  /** Erases the account: secure_delete and a WAL checkpoint, so that the secret is in no file once this resolves. */
  removeAccount(accountId: AccountId): Promise<void>;

  putJournal(entry: JournalEntry, devices: readonly DeviceId[]): void;
  /** Devices not seen since `beforeMs`. */
  staleDevices(beforeMs: number, most: number): readonly DeviceRecord[];
  /** Consistent copy (VACUUM INTO); ciphertext only. */
  backup(file: string): Promise<void>;
  /** Re-encrypts every secret under a new key; returns how many. */
  rotateKeys(): Promise<number>;
  /** Accounts without a subscription, as a crash between `removeDevice` and `removeAccount` may leave: to be removed at start. */
  orphans(most: number): readonly AccountId[];
  /** A setting of the server itself (signing keys and the like), sealed in the vault; undefined when it was never set. */
  setting(name: string): string | undefined;
  putSetting(name: string, value: string): Promise<void>;
  /** Why nothing can be written now, in words for the operator; undefined while writes come through. Asking also tries again. */
  trouble(): string | undefined;
  /** Writes that nobody has taken in hand yet. */
  writesWaiting(): number;
  close(): Promise<void>;
}

export interface NewSubscription {
  readonly subscriptionId: SubscriptionId;
  readonly accountId: AccountId;
  readonly deviceId: DeviceId;
  readonly presence: Presence;
  readonly notify: Notify;
  readonly createdAtMs: number;
}

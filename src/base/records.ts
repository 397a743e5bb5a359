import type { AccountId, DeviceId, SubscriptionId } from "./ids.ts";

export type AccountTransport = "auto" | "udp" | "tcp" | "tls";
export type RegistrationMode = "auto" | "alternate" | "continuous" | "singleDevice";
export type Presence = "background" | "foreground";

/** States of an account's registration, in the order of their numbers in the keeper's columns. */
export const registrationStates = [
  "idle",
  "registering",
  "registered",
  "retrying",
  "refused",
  "unregistering",
] as const;
export type RegistrationState = (typeof registrationStates)[number];

/** A SIP identity as stored, without its secret. Absent optional fields are `undefined`, never "". */
export interface AccountRecord {
  readonly accountId: AccountId;
  readonly app: string;
  readonly username: string;
  readonly domain: string;
  readonly authUsername: string | undefined;
  readonly displayName: string | undefined;
  /** `host`, `host:port` or a SIP URI with transport: what the phone itself uses. */
  readonly proxy: string | undefined;
  /** When given, used by Wakeline instead of `proxy`. */
  readonly alternateProxy: string | undefined;
  readonly transport: AccountTransport;
  readonly expiresSec: number;
  readonly registrationMode: RegistrationMode;
  /** What `auto` has learned from the registrar's answers; undefined until it has. */
  readonly learnedMode: Exclude<RegistrationMode, "auto"> | undefined;
  readonly natEmulation: boolean;
  readonly instanceId: string | undefined;
  readonly userAgent: string | undefined;
  /** `onUnreachable.forwardTo`. */
  readonly forwardTo: string | undefined;
  /** Rises with each accepted change of the secret or of any field above. */
  readonly version: number;
}

export interface Ha1 {
  readonly realm: string;
  /** "MD5" | "SHA-256" | "SHA-512-256" */
  readonly algorithm: string;
  /** Lower-case hex. */
  readonly hash: string;
}

/** What proves an account at its registrar. Never logged, never in a mapped file. */
export type Secret =
  | { readonly kind: "password"; readonly password: string }
  | { readonly kind: "ha1"; readonly entries: readonly Ha1[] };

export interface Notify {
  readonly message: boolean;
  readonly voicemail: boolean;
  readonly missed: boolean;
  readonly preview: boolean;
}

/** Where credentials are asked for, and as whom: what a check of them may be told to take in place of the account's own. */
export type ProofPlace = Pick<AccountRecord, "authUsername" | "proxy" | "alternateProxy" | "transport">;

/** A device's standing order to keep an account reachable. */
export interface SubscriptionRecord {
  readonly subscriptionId: SubscriptionId;
  readonly accountId: AccountId;
  readonly deviceId: DeviceId;
  readonly presence: Presence;
  readonly notify: Notify;
  /** False when the device's push token is dead or absent: no wake can reach it. */
  readonly wakeable: boolean;
}

/** What an account answers challenges with. */
export interface Proof {
  /** The digest username. */
  readonly username: string;
  readonly secret: Secret;
}

/** An account, and whether it should be registered now. */
export interface AccountEntry {
  readonly record: AccountRecord;
  readonly wanted: boolean;
}

/** Synchronous reads a shard makes on demand (SQLite in WAL mode; a Map in simulations). */
export interface Directory {
  account(accountId: AccountId): AccountRecord | undefined;
  secret(accountId: AccountId): Secret | undefined;
  /** What the account answers challenges with, in one read; undefined when it is gone. */
  proof(accountId: AccountId): Proof | undefined;
  /**
   * Reads what `proof` will need of these accounts in one go, still sealed. Each serves one `proof`, and none after `account` has been asked
   * again: who hears of a change asks it.
   */
  prepareProofs(accountIds: readonly AccountId[]): void;
  subscriptions(accountId: AccountId): readonly SubscriptionRecord[];
  /** Those of these accounts of which a device that can be woken wants to hear of voicemail; one read for all. */
  wantVoicemail(accountIds: readonly AccountId[]): readonly AccountId[];
  /** All accounts of this shard, in no order, page by page: each page is as the directory is when it is asked for. */
  accounts(): Iterable<readonly AccountEntry[]>;
  /** How many accounts the shard has. */
  size(): number;
}

import type { Database } from "bun:sqlite";
import type { AccountId, CallUuid, DeviceId, SubscriptionId } from "../base/ids.ts";
import type { AccountRecord, SubscriptionRecord } from "../base/records.ts";
import { uuidBytes, uuidText } from "../base/uuid.ts";
import {
  accountColumns,
  accountOf,
  callColumns,
  deviceColumns,
  deviceOf,
  journalEntryOf,
  subscriptionColumns,
  subscriptionDetailColumns,
  subscriptionDetailOf,
  subscriptionOf,
  type AccountRow,
  type CallRow,
  type DeviceRow,
  type SubscriptionDetailRow,
  type SubscriptionRow,
} from "./rows.ts";
import { openSealed, settingPlace } from "./secret.ts";
import type { DeviceRecord, JournalEntry, Store, SubscriptionDetail } from "./types.ts";
import type { Vault } from "./vault.ts";

type Reads = Pick<
  Store,
  | "device"
  | "account"
  | "accountByIdentity"
  | "subscription"
  | "subscriptionsOfDevice"
  | "subscriptionsOfAccount"
  | "accountsOfDevice"
  | "journalOfDevice"
  | "journalCall"
  | "accounts"
  | "counts"
  | "staleDevices"
  | "orphans"
  | "setting"
>;

const details =
  `select ${subscriptionDetailColumns} from subscriptions s ` +
  "join devices d on d.device_id = s.device_id join accounts a on a.account_id = s.account_id";
/** The subscription shown with a call is the reading device's own, whoever wrote the entry. */
const callsOfDevice =
  `select ${callColumns} from calls_of_devices o join calls c on c.call = o.call ` +
  "left join subscriptions s on s.account_id = c.account_id and s.device_id = o.device_id";
const firstKey = new Uint8Array(0);
/** Sorts after everything that a name can go on with. */
const lastChar = "\u{10ffff}";

/** The reads of a Store on one read-only handle. An id that is not a UUID finds nothing. */
export class Reader implements Reads {
  readonly #database: Database;
  readonly #vault: Vault;
  #countsAt = -1;
  #counts = { devices: 0, accounts: 0, subscriptions: 0 };

  constructor(database: Database, vault: Vault) {
    this.#database = database;
    this.#vault = vault;
  }

  device(deviceId: DeviceId): DeviceRecord | undefined {
    const key = uuidBytes(deviceId);
    if (key === undefined) return undefined;
    const row = this.#database
      .query<DeviceRow, [Uint8Array]>(`select ${deviceColumns} from devices where device_id = ?`)
      .get(key);
    return row === null ? undefined : deviceOf(row);
  }

  account(accountId: AccountId): AccountRecord | undefined {
    const key = uuidBytes(accountId);
    if (key === undefined) return undefined;
    const row = this.#database
      .query<AccountRow, [Uint8Array]>(`select ${accountColumns} from accounts a where account_id = ?`)
      .get(key);
    return row === null ? undefined : accountOf(row);
  }

  /** The domain is a host name: its case does not count (RFC 3261 §19.1.4); the username's does. */
  accountByIdentity(app: string, username: string, domain: string): AccountRecord | undefined {
    const row = this.#database
      .query<AccountRow, [string, string, string]>(
        `select ${accountColumns} from accounts a where app = ? and username = ? and domain = ?`,
      )
      .get(app, username, domain);
    return row === null ? undefined : accountOf(row);
  }

  subscription(subscriptionId: SubscriptionId): SubscriptionDetail | undefined {
    const key = uuidBytes(subscriptionId);
    if (key === undefined) return undefined;
    const row = this.#database
      .query<SubscriptionDetailRow, [Uint8Array]>(`${details} where s.subscription_id = ?`)
      .get(key);
    return row === null ? undefined : subscriptionDetailOf(row);
  }

  subscriptionsOfDevice(deviceId: DeviceId): readonly SubscriptionDetail[] {
    const key = uuidBytes(deviceId);
    if (key === undefined) return [];
    return this.#database
      .query<SubscriptionDetailRow, [Uint8Array]>(`${details} where s.device_id = ? order by s.created_at_ms, s.rowid`)
      .all(key)
      .map(subscriptionDetailOf);
  }

  subscriptionsOfAccount(accountId: AccountId): readonly SubscriptionRecord[] {
    const key = uuidBytes(accountId);
    if (key === undefined) return [];
    return this.#database
      .query<SubscriptionRow, [Uint8Array]>(
        `select ${subscriptionColumns} from subscriptions s join devices d using (device_id) where s.account_id = ?`,
      )
      .all(key)
      .map(subscriptionOf);
  }

  accountsOfDevice(deviceId: DeviceId): readonly AccountId[] {
    const key = uuidBytes(deviceId);
    if (key === undefined) return [];
    return this.#database
      .query<{ account_id: Uint8Array }, [Uint8Array]>("select account_id from subscriptions where device_id = ?")
      .all(key)
      .map((row) => uuidText(row.account_id) as AccountId);
  }

  /** Newest first. */
  journalOfDevice(deviceId: DeviceId, sinceMs: number, most: number): readonly JournalEntry[] {
    const key = uuidBytes(deviceId);
    if (key === undefined) return [];
    return this.#database
      .query<CallRow, [Uint8Array, number, number]>(
        `${callsOfDevice} where o.device_id = ? and o.started_at_ms >= ? order by o.started_at_ms desc, o.call desc limit ?`,
      )
      .all(key, sinceMs, most)
      .map(journalEntryOf);
  }

  journalCall(call: CallUuid, deviceId: DeviceId): JournalEntry | undefined {
    const [callKey, deviceKey] = [uuidBytes(call), uuidBytes(deviceId)];
    if (callKey === undefined || deviceKey === undefined) return undefined;
    const row = this.#database
      .query<CallRow, [Uint8Array, Uint8Array]>(`${callsOfDevice} where o.call = ? and o.device_id = ?`)
      .get(callKey, deviceKey);
    return row === null ? undefined : journalEntryOf(row);
  }

  accounts(after: AccountId | undefined, most: number, search?: string): readonly AccountRecord[] {
    const key = after === undefined ? firstKey : uuidBytes(after);
    if (key === undefined) return [];
    if (search !== undefined && search !== "") return this.#found(search, after, key, most);
    return this.#database
      .query<AccountRow, [Uint8Array, number]>(
        `select ${accountColumns} from accounts a where account_id > ? order by account_id limit ?`,
      )
      .all(key, most)
      .map(accountOf);
  }

  #found(search: string, after: AccountId | undefined, key: Uint8Array, most: number): readonly AccountRecord[] {
    const [name = "", domain] = search.split(/@(.*)/s, 2);
    if (name !== "" && domain !== undefined) {
      return this.#database
        .query<AccountRow, [string, string, string, Uint8Array, number]>(
          `select ${accountColumns} from accounts a where username = ? collate nocase and domain >= ? and domain < ?
           and account_id > ? order by account_id limit ?`,
        )
        .all(name, domain, `${domain}${lastChar}`, key, most)
        .map(accountOf);
    }
    const last = after === undefined ? undefined : this.account(after);
    if (after !== undefined && last === undefined) return [];
    if (domain !== undefined) return this.#beginning("domain", domain, last, key, most);
    // The account that a page ended with tells which of the two lists it was of.
    const isName = last === undefined || last.username.slice(0, name.length).toLowerCase() === name.toLowerCase();
    const named = isName ? this.#beginning("username", name, last, key, most) : [];
    const isOther = last === undefined ? named.length === 0 : !isName;
    return isOther ? this.#beginning("domain", name, last, key, most) : named;
  }

  /** Accounts whose column begins so, ascending by it, from an index. `last`: the account that the page before ended with. */
  #beginning(
    column: "username" | "domain",
    begin: string,
    last: AccountRecord | undefined,
    lastKey: Uint8Array,
    most: number,
  ): readonly AccountRecord[] {
    const until = `${begin}${lastChar}`;
    const from = last?.[column];
    if (from === undefined) return this.#between(column, ">=", begin, until, most);
    // One condition for both would read all accounts of a large domain from its first one.
    const alike = this.#database
      .query<AccountRow, [string, Uint8Array, number]>(
        `select ${accountColumns} from accounts a where ${column} = ? collate nocase and account_id > ? order by account_id limit ?`,
      )
      .all(from, lastKey, most)
      .map(accountOf);
    return [...alike, ...this.#between(column, ">", from, until, most - alike.length)];
  }

  #between(
    column: "username" | "domain",
    than: ">" | ">=",
    from: string,
    until: string,
    most: number,
  ): readonly AccountRecord[] {
    return this.#database
      .query<AccountRow, [string, string, number]>(
        `select ${accountColumns} from accounts a where ${column} collate nocase ${than} ? and ${column} collate nocase < ?
         order by ${column} collate nocase, account_id limit ?`,
      )
      .all(from, until, most)
      .map(accountOf);
  }

  counts(): { readonly devices: number; readonly accounts: number; readonly subscriptions: number } {
    // Counting half a million rows takes milliseconds: only when another connection has committed since.
    const at = this.#database.query<{ data_version: number }, []>("pragma data_version").get()?.data_version ?? 0;
    if (at !== this.#countsAt) {
      const row = this.#database
        .query<{ devices: number; accounts: number; subscriptions: number }, []>(
          `select (select count(*) from devices) as devices, (select count(*) from accounts) as accounts,
           (select count(*) from subscriptions) as subscriptions`,
        )
        .get();
      if (row !== null) this.#counts = row;
      this.#countsAt = at;
    }
    return { ...this.#counts };
  }

  /** Longest unseen first. */
  staleDevices(beforeMs: number, most: number): readonly DeviceRecord[] {
    return this.#database
      .query<DeviceRow, [number, number]>(
        `select ${deviceColumns} from devices where last_seen_at_ms < ? order by last_seen_at_ms limit ?`,
      )
      .all(beforeMs, most)
      .map(deviceOf);
  }

  orphans(most: number): readonly AccountId[] {
    return this.#database
      .query<{ account_id: Uint8Array }, [number]>(
        `select account_id from accounts a
         where not exists (select 1 from subscriptions s where s.account_id = a.account_id) limit ?`,
      )
      .all(most)
      .map((row) => uuidText(row.account_id) as AccountId);
  }

  /** Throws when the stored value is damaged. */
  setting(name: string): string | undefined {
    return openSealed(
      this.#vault,
      settingPlace(name),
      () =>
        this.#database.query<{ value: Uint8Array }, [string]>("select value from settings where name = ?").get(name)
          ?.value,
    )?.toString();
  }

  protected endReads(): void {
    this.#database.close();
  }
}

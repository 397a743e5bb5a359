import type { Database } from "bun:sqlite";
import type { AccountId, DeviceId, SubscriptionId } from "../base/ids.ts";
import type { AccountRecord, Secret } from "../base/records.ts";
import { placementHash } from "../base/placement.ts";
import { uuidBytes, uuidText } from "../base/uuid.ts";
import { StoreConflict, StoreFault, StoreMissing } from "./faults.ts";
import { accountColumns, accountOf, type AccountRow } from "./rows.ts";
import { secretBytes, secretPlace, settingPlace } from "./secret.ts";
import type { AccountFields, DeviceRecord, JournalEntry, NewSubscription } from "./types.ts";
import type { Vault } from "./vault.ts";
import type { DevicePatch, Write, WriteResults } from "./writes.ts";

type Value = string | number | null | Uint8Array;

const fieldColumns =
  "app, username, domain, auth_username, display_name, proxy, alternate_proxy, transport, expires_sec, " +
  "registration_mode, nat_emulation, instance_id, user_agent, forward_to";

/**
 * Carries out writes on the writer's handle, inside the caller's transaction. Throws StoreConflict, StoreMissing, or what
 * SQLite throws; the caller rolls back to before the write.
 */
export class Applier {
  readonly #database: Database;
  readonly #vault: Vault;

  constructor(database: Database, vault: Vault) {
    this.#database = database;
    this.#vault = vault;
  }

  apply(write: Write): WriteResults[Write["kind"]] {
    try {
      return this.#apply(write);
    } catch (cause) {
      throw classified(cause);
    }
  }

  #apply(write: Write): WriteResults[Write["kind"]] {
    switch (write.kind) {
      case "putDevice":
        return this.#putDevice(write.device);
      case "patchDevice":
        return this.#patchDevice(write.deviceId, write.patch, write.atMs);
      case "touchDevices":
        for (const [deviceId, atMs] of write.seen) this.#touch(deviceId, atMs);
        return;
      case "removeDevice":
        return this.#removeDevice(write.deviceId);
      case "createAccount":
        return this.#createAccount(write.accountId, write.fields, write.secret, write.subscription);
      case "createSubscription":
        return this.#createSubscription(write.subscription);
      case "updateAccount":
        return this.#updateAccount(write.accountId, write.fields, write.secret);
      case "setLearnedMode":
        // The account may be gone by now; then there is nothing to remember. No new version: it is the shard's own news, and
        // a shard that starts again would take a new version for new credentials.
        this.#run("update accounts set learned_mode = ? where account_id = ?", [write.mode, key(write.accountId)]);
        return;
      case "setPresence":
        return this.#one("subscription", "update subscriptions set background = ? where subscription_id = ?", [
          write.presence === "background" ? 1 : 0,
          key(write.subscriptionId),
        ]);
      case "setNotify":
        return this.#one(
          "subscription",
          `update subscriptions set notify_message = ?, notify_voicemail = ?, notify_missed = ?, notify_preview = ?
           where subscription_id = ?`,
          [...notifyValues(write.notify), key(write.subscriptionId)],
        );
      case "removeSubscription":
        return this.#removeSubscription(write.subscriptionId);
      case "removeAccount":
        // The journal's calls of the account and its subscriptions go with it (on delete cascade).
        this.#run("delete from accounts where account_id = ?", [key(write.accountId)]);
        return;
      case "putJournal":
        return this.#putJournal(write.entry, write.devices);
      case "closeJournal":
        this.#run("update calls set state = 'missed', ended_at_ms = ? where state = 'ringing'", [write.atMs]);
        this.#run("update calls set state = 'ended', ended_at_ms = ? where state = 'answered'", [write.atMs]);
        return;
      case "pruneJournal":
        return this.#run("delete from calls where call in (select call from calls where started_at_ms < ? limit ?)", [
          write.beforeMs,
          write.most,
        ]);
      case "putSetting":
        this.#run(
          "insert into settings (name, value) values (?, ?) on conflict (name) do update set value = excluded.value",
          [write.name, this.#vault.seal(settingPlace(write.name), Buffer.from(write.value))],
        );
        return;
      default:
        return write satisfies never;
    }
  }

  #putDevice(device: DeviceRecord): void {
    this.#run(
      `insert into devices (device_id, app, name, provider, token, alert_token, environment, token_dead, alert_token_dead,
         token_set_at_ms, created_at_ms, last_seen_at_ms) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       on conflict (device_id) do update set app = excluded.app, name = excluded.name, provider = excluded.provider,
         token = excluded.token, alert_token = excluded.alert_token, environment = excluded.environment,
         token_dead = excluded.token_dead, alert_token_dead = excluded.alert_token_dead,
         token_set_at_ms = excluded.token_set_at_ms, created_at_ms = excluded.created_at_ms,
         last_seen_at_ms = excluded.last_seen_at_ms`,
      [
        key(device.deviceId),
        device.app,
        device.name ?? null,
        device.push.provider,
        device.push.token,
        device.push.alertToken ?? null,
        device.push.environment ?? null,
        dead(device.tokenState),
        dead(device.alertTokenState),
        device.tokenSetAtMs,
        device.createdAtMs,
        device.lastSeenAtMs,
      ],
    );
  }

  #patchDevice(deviceId: DeviceId, patch: DevicePatch, atMs: number): void {
    const id = key(deviceId);
    if (this.#database.query("select 1 from devices where device_id = ?").get(id) === null)
      throw new StoreMissing("device");
    const { push } = patch;
    if (push !== undefined) {
      // A verdict holds for the very token it was given for: the same token stays dead, a new one is alive.
      this.#run(
        `update devices set
           token_dead = token_dead and token = ?1 and provider = ?3, token_set_at_ms = iif(token = ?1 and provider = ?3, token_set_at_ms, ?5),
           alert_token_dead = alert_token_dead and alert_token is ?2 and provider = ?3,
           token = ?1, alert_token = ?2, provider = ?3, environment = ?4
         where device_id = ?6`,
        [push.token, push.alertToken ?? null, push.provider, push.environment ?? null, atMs, id],
      );
    }
    if (patch.name !== undefined) this.#run("update devices set name = ? where device_id = ?", [patch.name, id]);
    if (patch.tokenState !== undefined) {
      this.#run("update devices set token_dead = ? where device_id = ? and token = coalesce(?, token)", [
        dead(patch.tokenState),
        id,
        patch.ofToken ?? null,
      ]);
    }
    if (patch.alertTokenState !== undefined) {
      this.#run("update devices set alert_token_dead = ?1 where device_id = ?2 and (?3 is null or alert_token = ?3)", [
        dead(patch.alertTokenState),
        id,
        patch.ofAlertToken ?? null,
      ]);
    }
    if (patch.lastSeenAtMs !== undefined) this.#touch(deviceId, patch.lastSeenAtMs);
  }

  #touch(deviceId: DeviceId, atMs: number): void {
    this.#run("update devices set last_seen_at_ms = max(last_seen_at_ms, ?) where device_id = ?", [
      atMs,
      key(deviceId),
    ]);
  }

  #removeDevice(deviceId: DeviceId): readonly AccountId[] {
    const id = key(deviceId);
    const left = this.#database
      .query<{ account_id: Uint8Array }, [Uint8Array]>(
        `select account_id from subscriptions s where device_id = ?1 and not exists
           (select 1 from subscriptions o where o.account_id = s.account_id and o.device_id <> ?1)`,
      )
      .all(id);
    this.#run(
      `delete from calls where call in (select call from calls_of_devices where device_id = ?1) and not exists
         (select 1 from calls_of_devices o where o.call = calls.call and o.device_id <> ?1)`,
      [id],
    );
    this.#run("delete from devices where device_id = ?", [id]);
    return left.map((row) => uuidText(row.account_id) as AccountId);
  }

  #createAccount(
    accountId: AccountId,
    fields: AccountFields,
    secret: Secret,
    subscription: NewSubscription,
  ): AccountRecord {
    this.#run(
      `insert into accounts (account_id, placement, ${fieldColumns}, version, secret)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)`,
      [
        key(accountId),
        placementHash(accountId),
        ...fieldValues(fields),
        this.#vault.seal(secretPlace(accountId), secretBytes(secret)),
      ],
    );
    this.#createSubscription(subscription);
    return this.#account(accountId);
  }

  #createSubscription(subscription: NewSubscription): void {
    const [accountId, deviceId] = [key(subscription.accountId), key(subscription.deviceId)];
    if (this.#database.query("select 1 from accounts where account_id = ?").get(accountId) === null) {
      throw new StoreMissing("account");
    }
    if (this.#database.query("select 1 from devices where device_id = ?").get(deviceId) === null) {
      throw new StoreMissing("device");
    }
    this.#run(
      `insert into subscriptions (subscription_id, account_id, device_id, background, notify_message, notify_voicemail,
         notify_missed, notify_preview, created_at_ms) values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        key(subscription.subscriptionId),
        accountId,
        deviceId,
        subscription.presence === "background" ? 1 : 0,
        ...notifyValues(subscription.notify),
        subscription.createdAtMs,
      ],
    );
  }

  #updateAccount(accountId: AccountId, fields: AccountFields, secret: Secret | undefined): AccountRecord {
    const id = key(accountId);
    // What `auto` has learned holds for the server it was learned from.
    this.#one(
      "account",
      `update accounts set learned_mode = iif(domain = ?3 and proxy is ?6 and alternate_proxy is ?7 and transport = ?8 and
         registration_mode = ?10, learned_mode, null), (${fieldColumns}) =
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14), version = version + 1 where account_id = ?15`,
      [...fieldValues(fields), id],
    );
    if (secret !== undefined) {
      this.#run("update accounts set secret = ? where account_id = ?", [
        this.#vault.seal(secretPlace(accountId), secretBytes(secret)),
        id,
      ]);
    }
    return this.#account(accountId);
  }

  #removeSubscription(subscriptionId: SubscriptionId): boolean {
    const id = key(subscriptionId);
    const row = this.#database
      .query<{ account_id: Uint8Array; device_id: Uint8Array }, [Uint8Array]>(
        "select account_id, device_id from subscriptions where subscription_id = ?",
      )
      .get(id);
    if (row === null) return false;
    this.#run(
      `delete from calls_of_devices where device_id = ?1 and call in (select call from calls where account_id = ?2)`,
      [row.device_id, row.account_id],
    );
    this.#run("delete from subscriptions where subscription_id = ?", [id]);
    return this.#database.query("select 1 from subscriptions where account_id = ?").get(row.account_id) === null;
  }

  /** The journal of an account or device that is gone stays gone, however late an entry comes. */
  #putJournal(entry: JournalEntry, devices: readonly DeviceId[]): void {
    const call = key(entry.call);
    const written = this.#run(
      `insert into calls (call, call_id, account_id, direction, state, from_uri, from_name, started_at_ms, answered_at_ms,
         ended_at_ms) select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 where exists (select 1 from accounts where account_id = ?3)
       on conflict (call) do update set
         state = iif(excluded.state = 'answeredElsewhere' and calls.state in ('answered', 'ended'), calls.state, excluded.state),
         from_uri = excluded.from_uri, from_name = excluded.from_name,
         answered_at_ms = coalesce(excluded.answered_at_ms, calls.answered_at_ms),
         ended_at_ms = coalesce(excluded.ended_at_ms, calls.ended_at_ms)`,
      [
        call,
        entry.callId,
        key(entry.accountId),
        entry.direction,
        entry.state,
        entry.fromUri,
        entry.fromName ?? null,
        entry.startedAtMs,
        entry.answeredAtMs ?? null,
        entry.endedAtMs ?? null,
      ],
    );
    if (written === 0) return;
    for (const deviceId of devices) {
      this.#run(
        `insert into calls_of_devices (device_id, started_at_ms, call, answered_elsewhere)
         select device_id, (select started_at_ms from calls where call = ?1), ?1, ?3 from devices where device_id = ?2
         on conflict do update set answered_elsewhere = excluded.answered_elsewhere`,
        [call, key(deviceId), entry.state === "answeredElsewhere" ? 1 : 0],
      );
    }
  }

  #account(accountId: AccountId): AccountRecord {
    const row = this.#database
      .query<AccountRow, [Uint8Array]>(`select ${accountColumns} from accounts a where account_id = ?`)
      .get(key(accountId));
    if (row === null) throw new StoreMissing("account");
    return accountOf(row);
  }

  #one(what: "account" | "device" | "subscription", sql: string, values: readonly Value[]): void {
    if (this.#run(sql, values) === 0) throw new StoreMissing(what);
  }

  #run(sql: string, values: readonly Value[]): number {
    return this.#database.query<unknown, Value[]>(sql).run(...values).changes;
  }
}

function key(id: AccountId | DeviceId | SubscriptionId | JournalEntry["call"]): Uint8Array {
  const bytes = uuidBytes(id);
  if (bytes === undefined) throw new StoreMissing("row");
  return bytes;
}

function dead(state: "alive" | "dead"): number {
  return state === "dead" ? 1 : 0;
}

function notifyValues(notify: NewSubscription["notify"]): readonly number[] {
  return [notify.message, notify.voicemail, notify.missed, notify.preview].map(Number);
}

/** In the order of `fieldColumns`. */
function fieldValues(fields: AccountFields): readonly Value[] {
  return [
    fields.app,
    fields.username,
    fields.domain,
    fields.authUsername ?? null,
    fields.displayName ?? null,
    fields.proxy ?? null,
    fields.alternateProxy ?? null,
    fields.transport,
    fields.expiresSec,
    fields.registrationMode,
    fields.natEmulation ? 1 : 0,
    fields.instanceId ?? null,
    fields.userAgent ?? null,
    fields.forwardTo ?? null,
  ];
}

/** SQLite's error, or ours as it is. */
function classified(cause: unknown): Error {
  if (!(cause instanceof Error)) return new StoreFault(String(cause));
  if (!cause.message.startsWith("UNIQUE constraint failed:")) return cause;
  if (cause.message.includes("accounts.username")) return new StoreConflict("account");
  if (cause.message.includes("subscriptions.account_id")) return new StoreConflict("subscription");
  return new StoreConflict("id");
}

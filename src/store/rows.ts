import type { AccountId, CallUuid, DeviceId, SubscriptionId } from "../base/ids.ts";
import type { AccountRecord, AccountTransport, Notify, RegistrationMode, SubscriptionRecord } from "../base/records.ts";
import { uuidText } from "../base/uuid.ts";
import type { DeviceRecord, JournalEntry, PushProvider, SubscriptionDetail } from "./types.ts";

/** Rows as SQLite gives them, and the records they are. Column lists stand here so that a query and its row agree. */
export interface AccountRow {
  account_id: Uint8Array;
  app: string;
  username: string;
  domain: string;
  auth_username: string | null;
  display_name: string | null;
  proxy: string | null;
  alternate_proxy: string | null;
  transport: AccountTransport;
  expires_sec: number;
  registration_mode: RegistrationMode;
  learned_mode: Exclude<RegistrationMode, "auto"> | null;
  nat_emulation: number;
  instance_id: string | null;
  user_agent: string | null;
  forward_to: string | null;
  version: number;
}

export const accountColumns =
  "a.account_id, a.app, a.username, a.domain, a.auth_username, a.display_name, a.proxy, a.alternate_proxy, a.transport, " +
  "a.expires_sec, a.registration_mode, a.learned_mode, a.nat_emulation, a.instance_id, a.user_agent, a.forward_to, a.version";

export function accountOf(row: AccountRow): AccountRecord {
  return {
    accountId: uuidText(row.account_id) as AccountId,
    app: row.app,
    username: row.username,
    domain: row.domain,
    authUsername: row.auth_username ?? undefined,
    displayName: row.display_name ?? undefined,
    proxy: row.proxy ?? undefined,
    alternateProxy: row.alternate_proxy ?? undefined,
    transport: row.transport,
    expiresSec: row.expires_sec,
    registrationMode: row.registration_mode,
    learnedMode: row.learned_mode ?? undefined,
    natEmulation: row.nat_emulation === 1,
    instanceId: row.instance_id ?? undefined,
    userAgent: row.user_agent ?? undefined,
    forwardTo: row.forward_to ?? undefined,
    version: row.version,
  };
}

export interface DeviceRow {
  device_id: Uint8Array;
  app: string;
  name: string | null;
  provider: PushProvider;
  token: string;
  alert_token: string | null;
  environment: "production" | "development" | null;
  token_dead: number;
  alert_token_dead: number;
  token_set_at_ms: number;
  created_at_ms: number;
  last_seen_at_ms: number;
}

export const deviceColumns =
  "device_id, app, name, provider, token, alert_token, environment, token_dead, alert_token_dead, token_set_at_ms, " +
  "created_at_ms, last_seen_at_ms";

export function deviceOf(row: DeviceRow): DeviceRecord {
  return {
    deviceId: uuidText(row.device_id) as DeviceId,
    app: row.app,
    name: row.name ?? undefined,
    push: {
      provider: row.provider,
      token: row.token,
      alertToken: row.alert_token ?? undefined,
      environment: row.environment ?? undefined,
    },
    tokenState: row.token_dead === 1 ? "dead" : "alive",
    alertTokenState: row.alert_token_dead === 1 ? "dead" : "alive",
    tokenSetAtMs: row.token_set_at_ms,
    createdAtMs: row.created_at_ms,
    lastSeenAtMs: row.last_seen_at_ms,
  };
}

export interface SubscriptionRow {
  subscription_id: Uint8Array;
  account_id: Uint8Array;
  device_id: Uint8Array;
  background: number;
  notify_message: number;
  notify_voicemail: number;
  notify_missed: number;
  notify_preview: number;
  wakeable: number;
}

/** Of `devices d`. A phone whose VoIP token is dead is still woken by an alert, where it has a token for those. */
export const wakeable =
  "(d.token_dead = 0 and d.token <> '') or " +
  "(d.provider = 'apns' and d.alert_token is not null and d.alert_token_dead = 0)";

/** From `subscriptions s join devices d`. */
export const subscriptionColumns =
  "s.subscription_id, s.account_id, s.device_id, s.background, s.notify_message, s.notify_voicemail, s.notify_missed, " +
  `s.notify_preview, ${wakeable} as wakeable`;

function notifyOf(row: SubscriptionRow): Notify {
  return {
    message: row.notify_message === 1,
    voicemail: row.notify_voicemail === 1,
    missed: row.notify_missed === 1,
    preview: row.notify_preview === 1,
  };
}

export function subscriptionOf(row: SubscriptionRow): SubscriptionRecord {
  return {
    subscriptionId: uuidText(row.subscription_id) as SubscriptionId,
    accountId: uuidText(row.account_id) as AccountId,
    deviceId: uuidText(row.device_id) as DeviceId,
    presence: row.background === 1 ? "background" : "foreground",
    notify: notifyOf(row),
    wakeable: row.wakeable === 1,
  };
}

export type SubscriptionDetailRow = SubscriptionRow & AccountRow & { created_at_ms: number; last_seen_at_ms: number };

export const subscriptionDetailColumns = `${subscriptionColumns}, s.created_at_ms, d.last_seen_at_ms, ${accountColumns}`;

export function subscriptionDetailOf(row: SubscriptionDetailRow): SubscriptionDetail {
  return {
    ...subscriptionOf(row),
    account: accountOf(row),
    createdAtMs: row.created_at_ms,
    lastSeenAtMs: row.last_seen_at_ms,
  };
}

export interface CallRow {
  call: Uint8Array;
  call_id: string;
  account_id: Uint8Array;
  subscription_id: Uint8Array | null;
  direction: "inbound" | "outbound";
  state: JournalEntry["state"];
  from_uri: string;
  from_name: string | null;
  started_at_ms: number;
  answered_at_ms: number | null;
  ended_at_ms: number | null;
}

/** From `calls_of_devices o join calls c left join subscriptions s`. */
export const callColumns =
  "c.call, c.call_id, c.account_id, s.subscription_id, c.direction, " +
  "iif(o.answered_elsewhere, 'answeredElsewhere', c.state) as state, c.from_uri, c.from_name, c.started_at_ms, " +
  "c.answered_at_ms, c.ended_at_ms";

export function journalEntryOf(row: CallRow): JournalEntry {
  return {
    call: uuidText(row.call) as CallUuid,
    callId: row.call_id,
    accountId: uuidText(row.account_id) as AccountId,
    subscriptionId: row.subscription_id === null ? undefined : (uuidText(row.subscription_id) as SubscriptionId),
    direction: row.direction,
    state: row.state,
    fromUri: row.from_uri,
    fromName: row.from_name ?? undefined,
    startedAtMs: row.started_at_ms,
    answeredAtMs: row.answered_at_ms ?? undefined,
    endedAtMs: row.ended_at_ms ?? undefined,
  };
}

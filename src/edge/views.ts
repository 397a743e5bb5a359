import type { AccountRecord, SubscriptionRecord } from "../base/records.ts";
import type { DeviceRecord, JournalEntry, SubscriptionDetail } from "../store/types.ts";
import type { CallState, CallSummary, Caller, LadderEntry, RegistrationStatus } from "../workers/protocol.ts";

/** What the outside sees of our records: times in RFC 3339, no field without a value, no secret. */
type View = Readonly<Record<string, unknown>>;

export function rfc3339(atMs: number): string {
  return new Date(atMs).toISOString();
}

function optionalTime(atMs: number | undefined): string | undefined {
  return atMs === undefined ? undefined : rfc3339(atMs);
}

export function json(value: unknown, status = 200): Response {
  return Response.json(value, { status });
}

export function accountView(account: AccountRecord): View {
  return {
    username: account.username,
    domain: account.domain,
    authUsername: account.authUsername,
    displayName: account.displayName,
    proxy: account.proxy,
    alternateProxy: account.alternateProxy,
    transport: account.transport,
    expiresSec: account.expiresSec,
    registrationMode: account.registrationMode,
    natEmulation: account.natEmulation,
    instanceId: account.instanceId,
    userAgent: account.userAgent,
    onUnreachable: account.forwardTo === undefined ? undefined : { forwardTo: account.forwardTo },
  };
}

export function statusView(status: RegistrationStatus): View {
  return {
    mode: status.mode,
    state: status.state,
    expiresAt: optionalTime(status.expiresAtMs),
    lastStatus: status.lastStatus,
    lastReason: status.lastReason,
    nextAttemptAt: optionalTime(status.nextAttemptAtMs),
    registrar: status.registrar,
    transport: status.transport,
  };
}

/** `status` undefined: no shard knows the account yet. */
export function registrationView(account: AccountRecord, status: RegistrationStatus | undefined): View {
  return statusView(status ?? { mode: account.learnedMode ?? account.registrationMode, state: "idle" });
}

export function subscriptionView(subscription: SubscriptionDetail, status: RegistrationStatus | undefined): View {
  return {
    id: subscription.subscriptionId,
    account: accountView(subscription.account),
    presence: subscription.presence,
    notify: subscription.notify,
    registration: registrationView(subscription.account, status),
    createdAt: rfc3339(subscription.createdAtMs),
    lastSeenAt: rfc3339(subscription.lastSeenAtMs),
  };
}

export interface WakeFigures {
  readonly receipts: number;
  readonly medianMs: number | undefined;
  readonly unanswered: number;
}

/** Push tokens are the phone's own affair: it gets to know whether they live. */
export function deviceView(device: DeviceRecord, leaseUntilMs: number, wake: WakeFigures): View {
  return {
    deviceId: device.deviceId,
    app: device.app,
    name: device.name,
    push: {
      provider: device.push.provider,
      environment: device.push.environment,
      state: device.tokenState,
      alertState: device.push.alertToken === undefined ? undefined : device.alertTokenState,
    },
    wake,
    createdAt: rfc3339(device.createdAtMs),
    lastSeenAt: rfc3339(device.lastSeenAtMs),
    leaseUntil: rfc3339(leaseUntilMs),
  };
}

/** A device of an account as the operator sees it: never its push token. */
export function operatorDeviceView(device: DeviceRecord, subscription: SubscriptionRecord): View {
  return {
    device: device.deviceId,
    name: device.name,
    provider: device.push.provider,
    tokenState: device.tokenState,
    presence: subscription.presence,
    wakeable: subscription.wakeable,
    lastSeenAt: rfc3339(device.lastSeenAtMs),
  };
}

/** A call as a phone that got a late push asks for it. */
export function callView(call: {
  readonly state: CallState;
  readonly from: Caller;
  readonly startedAtMs: number;
  readonly deadlineMs?: number | undefined;
}): View {
  return {
    state: call.state,
    from: call.from,
    at: rfc3339(call.startedAtMs),
    deadline: call.state === "ringing" ? optionalTime(call.deadlineMs) : undefined,
  };
}

export function callerOf(entry: JournalEntry): Caller {
  return { uri: entry.fromUri, ...(entry.fromName === undefined ? {} : { name: entry.fromName }) };
}

/** A line of the device's call list. */
export function journalView(entry: JournalEntry): View {
  return {
    call: entry.call,
    callId: entry.callId,
    subscription: entry.subscriptionId,
    direction: entry.direction,
    state: entry.state,
    from: callerOf(entry),
    at: rfc3339(entry.startedAtMs),
    answeredAt: optionalTime(entry.answeredAtMs),
    endedAt: optionalTime(entry.endedAtMs),
  };
}

/** A call as the operator sees it. */
export function summaryView(summary: CallSummary): View {
  return {
    call: summary.call,
    callId: summary.callId,
    account: summary.accountId,
    direction: summary.direction,
    from: summary.from,
    state: summary.state,
    startedAt: rfc3339(summary.startedAtMs),
    answeredAt: optionalTime(summary.answeredAtMs),
    endedAt: optionalTime(summary.endedAtMs),
    devices: summary.devices,
  };
}

export function ladderView(entry: LadderEntry): View {
  return {
    at: rfc3339(entry.atMs),
    from: entry.from,
    to: entry.to,
    device: entry.deviceId,
    label: entry.label,
    detail: entry.detail,
    text: entry.text,
  };
}

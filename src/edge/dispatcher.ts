import type { AccountId, CallUuid, DeviceId, SubscriptionId } from "../base/ids.ts";
import type { Notify } from "../base/records.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { buildPayload } from "../push/payload.ts";
import { pushIdOf } from "../push/push-id.ts";
import type { Delivery, PushGateway, PushKind, PushPayload } from "../push/types.ts";
import type { DeviceRecord, JournalEntry, Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import type { CallSummary, Event, WakeAgain } from "../workers/protocol.ts";
import type { LiveCalls } from "./live-calls.ts";
import type { OperatorFeed } from "./operator-feed.ts";
import { pushOfParameters } from "./push-parameters.ts";
import { RateLimiter } from "./rate-limiter.ts";
import type { RegistrarNews } from "./registrar-news.ts";
import type { Receipts } from "./receipts.ts";
import type { Shards, TunnelSink } from "./shards.ts";
import type { Subscriptions } from "./subscriptions.ts";
import type { Tickets } from "./tickets.ts";

/** How long a provider is asked to deliver what no deadline bounds. */
const ordinaryPushMs = 3_600_000;
/** A cancel that comes later finds a phone that has stopped ringing by itself. */
const cancelPushMs = 60_000;

/**
 * Alerts (messages, voicemail, missed calls) to one device: whoever can be its SIP server could else light its screen without end. Calls
 * have bounds of their own, and what ends a call always goes out.
 */
const alerts = { burst: 60, perSec: 0.2, keysMax: 100_000 };

type Wake = Extract<Event, { kind: "wake" }>;
type Notice = Extract<Event, { kind: "notify" }>;

/** Which switch of a subscription a notice obeys; those that are not here always go out. */
const switchOf: Partial<Record<Notice["push"], keyof Notify>> = {
  message: "message",
  voicemail: "voicemail",
  missed: "missed",
};

/**
 * Turns what shards report into pushes, journal lines and operator's events. `onEvent` takes every event that the pool does not
 * answer itself; a fault in one costs only that event.
 */
export class Dispatcher {
  readonly #store: Store;
  readonly #shards: Shards;
  readonly #gateway: PushGateway;
  readonly #sink: TunnelSink;
  readonly #tickets: Tickets;
  readonly #calls: LiveCalls;
  readonly #receipts: Receipts;
  readonly #subscriptions: Subscriptions;
  readonly #feed: OperatorFeed;
  readonly #news: RegistrarNews;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #tunnelUrl: string;
  /** Push tokens that are being written: what is sent to such a device goes to its new one. */
  readonly #newTokens = new Map<DeviceId, Promise<void>>();
  readonly #alerts: RateLimiter;

  constructor(options: {
    readonly store: Store;
    readonly shards: Shards;
    readonly gateway: PushGateway;
    readonly sink: TunnelSink;
    readonly tickets: Tickets;
    readonly calls: LiveCalls;
    readonly receipts: Receipts;
    readonly subscriptions: Subscriptions;
    readonly feed: OperatorFeed;
    readonly news: RegistrarNews;
    readonly metrics: Metrics;
    readonly clock: Clock;
    readonly log: Log;
    /** `wss://host/v1/tunnel`. */
    readonly tunnelUrl: string;
  }) {
    this.#store = options.store;
    this.#shards = options.shards;
    this.#gateway = options.gateway;
    this.#sink = options.sink;
    this.#tickets = options.tickets;
    this.#calls = options.calls;
    this.#receipts = options.receipts;
    this.#subscriptions = options.subscriptions;
    this.#feed = options.feed;
    this.#news = options.news;
    this.#metrics = options.metrics;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#tunnelUrl = options.tunnelUrl;
    this.#alerts = new RateLimiter({ clock: options.clock, ...alerts });
  }

  onEvent(event: Event): void {
    try {
      this.#dispatch(event);
    } catch (cause) {
      this.#fault(event.kind, cause);
    }
  }

  /** Sends one push to a device that no shard asked for (lease). Resolves with the outcome. */
  async push(
    device: DeviceRecord,
    kind: PushKind,
    more: { readonly text?: string; readonly deadlineMs?: number },
  ): Promise<Delivery> {
    const payload = buildPayload({ id: Bun.randomUUIDv7(), kind, ...more }, this.#clock.wallMs());
    return this.#send(device, payload, this.#clock.wallMs() + ordinaryPushMs);
  }

  #dispatch(event: Event): void {
    switch (event.kind) {
      case "frame":
        return this.#sink.frame(event.tunnelId, event.text);
      case "wake":
        return this.#onWake(event);
      case "notify":
        return this.#onNotify(event);
      case "callState":
        return this.#onCallState(event);
      case "journal":
        return this.#onJournal(event.summary, event.targets);
      case "registrationChanged":
        return this.#feed.registration(event.accountId, event.status);
      case "modeLearned":
        this.#feed.publish("modeLearned", { account: event.accountId, mode: event.mode });
        return this.#background(event.kind, this.#subscriptions.learnMode(event.accountId, event.mode));
      case "realmChanged":
        return this.#news.realmChanged(event);
      case "serverCertificate":
        return this.#news.certificate(event.certificate);
      case "pushParameters":
        return this.#onPushParameters(event);
      case "ladder":
        return this.#feed.ladder(event.accountId, event.entry);
      // Answers and states of shards: the pool's own affair.
      case "ready":
      case "startFailed":
      case "done":
      case "presenceDone":
      case "proof":
      case "registration":
      case "registrars":
      case "troubles":
      case "calls":
      case "call":
      case "frameForeign":
      case "will":
      case "drained":
        return undefined;
      default:
        return event satisfies never;
    }
  }

  #onWake(wake: Wake): void {
    if (wake.again !== undefined) return this.#onWakeAgain(wake, wake.again);
    const { call, callId, accountId, from, receivedAtMs, deadlineMs } = wake;
    const live = { call, callId, accountId, from, startedAtMs: receivedAtMs, deadlineMs };
    for (const { deviceId, subscriptionId } of wake.targets) {
      const device = this.#store.device(deviceId);
      if (device === undefined) {
        this.#shards.delivery(call, deviceId, "failed", accountId);
        continue;
      }
      const isVoip = device.push.provider === "apns" && device.tokenState === "alive";
      if (!this.#calls.waking(live, deviceId, isVoip, device.push.provider)) continue;
      const payload = this.#callPayload(wake, deviceId, subscriptionId, 1);
      this.#background("wake", this.#wake(device, payload, call, accountId, deadlineMs));
    }
    this.#feed.publish("wake", { call, account: accountId, devices: wake.targets.map(({ deviceId }) => deviceId) });
  }

  /**
   * A further push for a call, under an id of its own. On APNs it is an alert, never a second VoIP push: each of those is a call to the
   * system, and an app that knows the call already would report nothing and be ended for it.
   */
  #onWakeAgain(wake: Wake, why: WakeAgain): void {
    const { call, accountId, deadlineMs } = wake;
    for (const { deviceId, subscriptionId } of wake.targets) {
      const device = this.#store.device(deviceId);
      const nth = device === undefined ? undefined : this.#calls.wakingAgain(call, deviceId);
      if (device === undefined || nth === undefined) continue;
      // It has the push and is on its way.
      if (why === "silent" && this.#receipts.has(pushIdOf(call, deviceId, "call"))) continue;
      const asAlert = device.push.provider === "apns";
      if (asAlert && (device.push.alertToken === undefined || device.alertTokenState === "dead")) continue;
      const payload = this.#callPayload(wake, deviceId, subscriptionId, nth);
      this.#background("wake", this.#send(device, payload, deadlineMs, { asAlert, accountId }));
    }
  }

  #callPayload(wake: Wake, deviceId: DeviceId, subscription: SubscriptionId, nth: number): PushPayload {
    const { call, callId, from, deadlineMs } = wake;
    const id = pushIdOf(call, deviceId, "call", nth);
    const tunnel = this.#tunnelFor(deviceId, call, deadlineMs);
    return this.#payload("call", { id, subscription, call, callId, from, tunnel, deadlineMs });
  }

  async #wake(
    device: DeviceRecord,
    payload: PushPayload,
    call: CallUuid,
    accountId: AccountId,
    deadlineMs: number,
  ): Promise<void> {
    const delivery = await this.#send(device, payload, deadlineMs, { accountId });
    const { deviceId } = device;
    if (delivery.kind !== "accepted") return this.#shards.delivery(call, deviceId, "failed", accountId);
    this.#calls.accepted(call, deviceId);
    this.#shards.delivery(call, deviceId, "accepted", accountId, this.#calls.times.silenceMs(deviceId));
  }

  #onNotify(notice: Notice): void {
    const { push: kind, call, callId, from, text, deadlineMs } = notice;
    const nowMs = this.#clock.wallMs();
    for (const { deviceId, subscriptionId } of notice.targets) {
      const device = this.#store.device(deviceId);
      const subscription = this.#store.subscription(subscriptionId);
      if (device === undefined || subscription === undefined) continue;
      const obeyed = switchOf[kind];
      if (obeyed !== undefined && !(subscription.notify[obeyed] && this.#mayAlert(deviceId))) continue;
      const payload = this.#payload(kind, {
        id: call === undefined ? Bun.randomUUIDv7() : pushIdOf(call, deviceId, kind),
        subscription: subscriptionId,
        call,
        callId,
        from,
        text: kind === "message" && !subscription.notify.preview ? undefined : text,
        tunnel:
          kind === "message" && deadlineMs !== undefined ? this.#tunnelFor(deviceId, undefined, deadlineMs) : undefined,
        deadlineMs,
      });
      const untilMs = deadlineMs ?? nowMs + (kind === "cancel" ? cancelPushMs : ordinaryPushMs);
      this.#background(kind, this.#send(device, payload, untilMs, { accountId: notice.accountId }));
    }
  }

  #mayAlert(deviceId: DeviceId): boolean {
    const may = this.#alerts.take(deviceId) === 0;
    if (!may) this.#metrics.alarm("push_flood");
    return may;
  }

  #onCallState({ call, state, over }: Extract<Event, { kind: "callState" }>): void {
    this.#calls.stateOf(call, state, over);
    if (over) this.#tickets.callOver(call);
    if (over || state === "answered") this.#gateway.abandon(call);
    this.#feed.publish("call", { call, state });
  }

  #onJournal(summary: CallSummary, targets: readonly DeviceId[]): void {
    const { call, callId, accountId, from, state, startedAtMs } = summary;
    if (summary.direction === "inbound") {
      this.#calls.changed({ call, callId, accountId, from, state, startedAtMs, deadlineMs: undefined }, targets);
    }
    const entry: JournalEntry = {
      call,
      callId,
      accountId,
      subscriptionId: undefined,
      direction: summary.direction,
      state,
      fromUri: from.uri,
      fromName: from.name,
      startedAtMs,
      answeredAtMs: summary.answeredAtMs,
      endedAtMs: summary.endedAtMs,
    };
    this.#store.putJournal(entry, targets);
  }

  /** RFC 8599: a REGISTER through the tunnel may carry the device's newest push token. */
  #onPushParameters(event: Extract<Event, { kind: "pushParameters" }>): void {
    const device = this.#store.device(event.deviceId);
    const push = device === undefined ? undefined : pushOfParameters(device.push, event);
    if (device === undefined || push === undefined) return;
    const isSame = push.token === device.push.token && push.alertToken === device.push.alertToken;
    if (isSame && device.tokenState === "alive" && device.alertTokenState === "alive") return;
    const { deviceId } = device;
    const written: Promise<void> = this.#store
      .patchDevice(deviceId, { push, tokenState: "alive", alertTokenState: "alive" })
      .catch((cause: unknown) => this.#fault(event.kind, cause))
      .finally(() => {
        if (this.#newTokens.get(deviceId) === written) this.#newTokens.delete(deviceId);
      });
    this.#newTokens.set(deviceId, written);
  }

  async #send(
    device: DeviceRecord,
    payload: PushPayload,
    deadlineMs: number,
    { asAlert = false, accountId }: { readonly asAlert?: boolean; readonly accountId?: AccountId } = {},
  ): Promise<Delivery> {
    const newToken = this.#newTokens.get(device.deviceId);
    if (newToken !== undefined) await newToken;
    this.#receipts.sending(payload.id, device, this.#clock.wallMs());
    const delivery = await this.#gateway.push({
      deviceId: device.deviceId,
      payload,
      deadlineMs,
      ...(asAlert ? { asAlert } : {}),
    });
    if (delivery.kind === "accepted") this.#receipts.accepted(payload.id);
    this.#feed.publish("push", {
      account: accountId,
      device: device.deviceId,
      provider: device.push.provider,
      kind: payload.kind,
      outcome: delivery.kind,
      reason: delivery.kind === "accepted" ? undefined : delivery.reason,
    });
    return delivery;
  }

  #payload(
    kind: PushKind,
    fields: {
      readonly id: string;
      readonly subscription: SubscriptionId;
      readonly call: CallUuid | undefined;
      readonly callId: string | undefined;
      readonly from: { readonly uri: string; readonly name?: string } | undefined;
      readonly tunnel: string | undefined;
      readonly deadlineMs: number | undefined;
      readonly text?: string | undefined;
    },
  ): PushPayload {
    return buildPayload({ kind, ...fields }, this.#clock.wallMs());
  }

  #tunnelFor(deviceId: DeviceId, call: CallUuid | undefined, deadlineMs: number): string {
    return `${this.#tunnelUrl}?ticket=${this.#tickets.issue({ deviceId, call, deadlineMs })}`;
  }

  /** Work that nobody awaits. */
  #background(what: string, work: Promise<unknown>): void {
    work.catch((cause: unknown) => this.#fault(what, cause));
  }

  #fault(what: string, cause: unknown): void {
    this.#metrics.fault("dispatch");
    this.#log.error("dispatch.fault", { what, cause });
  }
}

import { LRUCache } from "lru-cache";
import type { CallUuid } from "../base/ids.ts";
import type { Log } from "../observe/log.ts";
import type { DeviceRecord, PushProvider, Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";
import { knownDead, notForApns } from "./delivery.ts";
import type { PushMetrics } from "./metrics.ts";
import type { Delivery, PushGateway, PushPayload, PushRequest, PushSender } from "./types.ts";

/** Senders by app, then provider. Read at each attempt, so a reload is seen by pushes that are waiting. */
export type SenderTable = ReadonlyMap<string, Readonly<Partial<Record<PushProvider, PushSender>>>>;

/** Runs `action` once after `ms`; what it returns calls that off. */
export type After = (ms: number, action: () => void) => () => void;

export interface GatewayOptions {
  readonly senders: SenderTable;
  readonly store: Pick<Store, "device" | "patchDevice">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: PushMetrics;
  readonly after?: After;
  readonly limits?: Partial<GatewayLimits>;
}

export interface GatewayLimits {
  /** Requests on the wire at once for one app and provider; a push beyond waits its turn on the retry ladder. */
  readonly sendsPerSenderMax: number;
  /** Pushes of calls (and cancels) under way; one more is refused at once. */
  readonly urgentMax: number;
  /** All other pushes under way: they never take the place of a call. */
  readonly ordinaryMax: number;
}

const defaultLimits: GatewayLimits = { sendsPerSenderMax: 512, urgentMax: 8_192, ordinaryMax: 8_192 };

/** Wait before each further attempt. The first is at once: it mends a lost connection; the provider's own wish wins when longer. */
const ladderMs = [0, 250, 1_000, 3_000, 5_000, 10_000, 20_000, 30_000, 60_000] as const;
/** Each wait is spread over this part of itself, so that a crowd refused together does not come back together. */
const jitterShare = 0.2;
/** Calls and accepted pushes that are remembered, for repeats and latecomers. */
const rememberedMax = 20_000;
const rememberedMs = 600_000;
/** One line a minute for the same alarm: the metric counts them all. */
const alarmEveryMs = 60_000;
const alarmsMax = 1_000;

const timeoutAfter: After = (ms, action) => {
  const timer = setTimeout(action, ms);
  return () => clearTimeout(timer);
};

const abandoned: Delivery = { kind: "refused", reason: "abandoned", ours: false };

/** One push on its way: what `abandon` and `close` reach. */
interface Underway {
  stopped: boolean;
  /** Ends a wait; set only while one runs. */
  wake: (() => void) | undefined;
}

export function createGateway(options: GatewayOptions): PushGateway {
  return new LadderGateway(options);
}

class LadderGateway implements PushGateway {
  readonly #options: GatewayOptions;
  readonly #limits: GatewayLimits;
  readonly #after: After;
  /** By kind, call and device: whoever asks again meanwhile gets the same answer. */
  readonly #running = new Map<string, Promise<Delivery>>();
  /** By id and device: a push that was accepted is not sent twice. */
  readonly #accepted: LRUCache<string, Delivery>;
  readonly #abandoned: LRUCache<CallUuid, true>;
  readonly #alarmed: LRUCache<string, true>;
  readonly #byCall = new Map<CallUuid, Set<Underway>>();
  readonly #all = new Map<Underway, Promise<Delivery>>();
  readonly #onWire = new Map<PushSender, number>();
  #urgent = 0;
  #closed = false;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#after = options.after ?? timeoutAfter;
    const perf = { now: () => options.clock.nowMs() };
    this.#accepted = new LRUCache({ max: rememberedMax, ttl: rememberedMs, perf, ttlResolution: 0 });
    this.#abandoned = new LRUCache({ max: rememberedMax, ttl: rememberedMs, perf, ttlResolution: 0 });
    this.#alarmed = new LRUCache({ max: alarmsMax, ttl: alarmEveryMs, perf, ttlResolution: 0 });
  }

  async push(request: PushRequest): Promise<Delivery> {
    const { id, call, kind } = request.payload;
    const acceptedKey = `${id} ${request.deviceId}`;
    const accepted = this.#accepted.get(acceptedKey);
    if (accepted !== undefined) return accepted;
    const runningKey = `${kind} ${call ?? id} ${request.deviceId}`;
    const running = this.#running.get(runningKey);
    if (running !== undefined) return running;
    const refusal = this.#refusal(request);
    if (refusal !== undefined) return refusal;
    const started = this.#run(request);
    this.#running.set(runningKey, started);
    const delivery = await started;
    this.#running.delete(runningKey);
    if (delivery.kind === "accepted") this.#accepted.set(acceptedKey, delivery);
    return delivery;
  }

  abandon(call: CallUuid): void {
    this.#abandoned.set(call, true);
    for (const underway of this.#byCall.get(call) ?? []) stop(underway);
  }

  /** Retries nothing any more and waits for what is on the wire; senders limit that themselves. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const underway of this.#all.keys()) stop(underway);
    await Promise.all(this.#all.values());
  }

  #refusal({ payload, deviceId }: PushRequest): Delivery | undefined {
    if (this.#closed) return { kind: "refused", reason: "closed", ours: false };
    if (payload.kind === "call" && payload.call !== undefined && this.#abandoned.has(payload.call)) return abandoned;
    const { urgentMax, ordinaryMax } = this.#limits;
    const full = isUrgent(payload) ? this.#urgent >= urgentMax : this.#all.size - this.#urgent >= ordinaryMax;
    if (!full) return undefined;
    if (this.#isFirst("overflow")) this.#options.log.error("push.overflow", { kind: payload.kind, device: deviceId });
    return { kind: "refused", reason: "tooManyPushes", ours: true };
  }

  async #run(request: PushRequest): Promise<Delivery> {
    const { payload, deviceId } = request;
    const underway: Underway = { stopped: false, wake: undefined };
    const ladder = this.#climb(request, underway).catch((cause: unknown): Delivery => {
      // A bug of ours, or the store is gone: the call goes on without this push.
      this.#options.log.error("push.fault", { device: deviceId, kind: payload.kind, cause });
      return { kind: "refused", reason: "fault", ours: true };
    });
    this.#all.set(underway, ladder);
    if (isUrgent(payload)) this.#urgent++;
    const ofCall = payload.kind === "call" ? payload.call : undefined;
    if (ofCall !== undefined) this.#byCall.set(ofCall, (this.#byCall.get(ofCall) ?? new Set()).add(underway));
    const delivery = await ladder;
    this.#all.delete(underway);
    if (isUrgent(payload)) this.#urgent--;
    const siblings = ofCall === undefined ? undefined : this.#byCall.get(ofCall);
    siblings?.delete(underway);
    if (ofCall !== undefined && siblings?.size === 0) this.#byCall.delete(ofCall);
    return delivery;
  }

  async #climb(request: PushRequest, underway: Underway): Promise<Delivery> {
    const { clock } = this.#options;
    // The deadline is wall time; from here on the monotonic clock keeps it.
    const endMs = clock.nowMs() + (request.deadlineMs - clock.wallMs());
    for (let attempt = 0; ; attempt++) {
      const leftMs = endMs - clock.nowMs();
      if (leftMs <= 0) return { kind: "refused", reason: "tooLate", ours: false };
      const delivery = await this.#attempt(request, leftMs);
      if (delivery.kind !== "retry" || underway.stopped) return delivery;
      const waitMs = this.#waitMs(delivery.afterMs, attempt);
      if (waitMs === undefined || clock.nowMs() + waitMs >= endMs) return delivery;
      await this.#wait(waitMs, underway);
      if (underway.stopped) return delivery;
    }
  }

  /** The longer of the provider's wish and the ladder's rung, spread; undefined beyond the last rung. */
  #waitMs(wishMs: number, attempt: number): number | undefined {
    const rungMs = ladderMs[attempt];
    if (rungMs === undefined) return undefined;
    const spread = 1 + jitterShare * this.#options.random.next();
    return Math.max(wishMs, rungMs) * spread;
  }

  #wait(ms: number, underway: Underway): Promise<void> {
    if (ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const callOff = this.#after(ms, () => {
        underway.wake = undefined;
        resolve();
      });
      underway.wake = () => {
        underway.wake = undefined;
        callOff();
        resolve();
      };
    });
  }

  /** One attempt at the token of now: a phone that has enrolled a new one meanwhile is reached there. */
  async #attempt(request: PushRequest, ttlMs: number): Promise<Delivery> {
    const stored = this.#options.store.device(request.deviceId);
    if (stored === undefined) return { kind: "refused", reason: "noDevice", ours: false };
    // The sender chooses the token by the state of the VoIP token.
    const isAlert = request.asAlert === true && stored.push.provider === "apns";
    const device = isAlert ? ({ ...stored, tokenState: "dead" } as const) : stored;
    const sender = this.#options.senders.get(device.app)?.[device.push.provider];
    if (sender === undefined) {
      this.#alarm(device, "the app has no such provider configured");
      return { kind: "refused", reason: "noSender", ours: true };
    }
    const delivery = await this.#send(sender, device, request.payload, ttlMs);
    if (delivery.kind !== "tokenDead") return delivery;
    if (!(await this.#mark(device, delivery.which))) return { kind: "retry", afterMs: 0, reason: "tokenReplaced" };
    if (delivery.which === "alertToken" || !hasSpareToken(device)) return delivery;
    // The VoIP token has just died; a call still goes out as an alert, which the sender chooses by the token's state.
    const second = await this.#send(sender, { ...device, tokenState: "dead" }, request.payload, ttlMs);
    if (second.kind !== "tokenDead") return second;
    return (await this.#mark(device, second.which)) ? delivery : { kind: "retry", afterMs: 0, reason: "tokenReplaced" };
  }

  async #send(sender: PushSender, device: DeviceRecord, payload: PushPayload, ttlMs: number): Promise<Delivery> {
    const { clock, metrics } = this.#options;
    const { provider } = device.push;
    const onWire = this.#onWire.get(sender) ?? 0;
    if (onWire >= this.#limits.sendsPerSenderMax) {
      metrics.outcome(provider, "retry");
      return { kind: "retry", afterMs: ladderMs[1], reason: "tooManySends" };
    }
    this.#onWire.set(sender, onWire + 1);
    const startedMs = clock.nowMs();
    let delivery: Delivery;
    try {
      delivery = await sender.send(device, payload, ttlMs);
    } finally {
      const now = (this.#onWire.get(sender) ?? 1) - 1;
      if (now === 0) this.#onWire.delete(sender);
      else this.#onWire.set(sender, now);
    }
    // Nothing went out and nothing is wrong: APNs phones hear of the end of a call through the tunnel.
    if (delivery.kind === "refused" && delivery.reason === notForApns) return delivery;
    const asked = !(delivery.kind === "tokenDead" && delivery.reason === knownDead);
    if (asked) metrics.seconds(provider, (clock.nowMs() - startedMs) / 1000);
    metrics.outcome(provider, delivery.kind);
    if (delivery.kind === "refused" && delivery.ours) this.#alarm(device, delivery.reason);
    return delivery;
  }

  /** Marks the token that was tried. False when the device has another by now (or is gone): that one deserves a try. */
  async #mark(tried: DeviceRecord, which: "token" | "alertToken"): Promise<boolean> {
    const { store, log } = this.#options;
    const now = store.device(tried.deviceId);
    if (now === undefined || now.push[which] !== tried.push[which]) return false;
    const isToken = which === "token";
    if (now[isToken ? "tokenState" : "alertTokenState"] === "dead") return true;
    log.info("push.tokenDead", { device: tried.deviceId, app: tried.app, provider: tried.push.provider, which });
    try {
      // The verdict is on the token that was tried: a newer one, set in between, stays alive.
      const { token, alertToken } = tried.push;
      await store.patchDevice(
        tried.deviceId,
        isToken
          ? { tokenState: "dead", ofToken: token }
          : { alertTokenState: "dead", ...(alertToken === undefined ? {} : { ofAlertToken: alertToken }) },
      );
    } catch (cause) {
      log.error("push.markFailed", { device: tried.deviceId, cause });
    }
    return true;
  }

  #alarm({ app, push }: DeviceRecord, reason: string): void {
    const { metrics, log } = this.#options;
    metrics.alarm(app, push.provider, reason);
    if (this.#isFirst(`${app} ${push.provider} ${reason}`))
      log.error("push.alarm", { app, provider: push.provider, reason });
  }

  /** True once a minute for the same words. */
  #isFirst(words: string): boolean {
    if (this.#alarmed.has(words)) return false;
    this.#alarmed.set(words, true);
    return true;
  }
}

function hasSpareToken({ push, tokenState, alertTokenState }: DeviceRecord): boolean {
  return (
    tokenState === "alive" && push.provider === "apns" && push.alertToken !== undefined && alertTokenState === "alive"
  );
}

function isUrgent(payload: PushPayload): boolean {
  return payload.kind === "call" || payload.kind === "cancel";
}

function stop(underway: Underway): void {
  underway.stopped = true;
  underway.wake?.();
}

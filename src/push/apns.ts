import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Log } from "../observe/log.ts";
import type { DeviceRecord } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import { alertText } from "./alert-text.ts";
import { type ApnsAnswer, ApnsLine, type ApnsNote } from "./apns-line.ts";
import { apnsReasons, apnsStatuses, deliveryOf, knownDead, notForApns, rowOfStatus } from "./delivery.ts";
import type { Trust } from "./endpoint.ts";
import { failedDelivery, failureReason, isTrustFailure } from "./failure.ts";
import { fitPayload, payloadBytesMax } from "./payload.ts";
import type { Delivery, PushPayload, PushSender } from "./types.ts";

/** Apple's limits; the payload inside stays under 4 KB in both. */
const voipBytesMax = 5120;
const alertBytesMax = 4096;
/** One request, its connection included. A ringing call has time for a second try. */
const requestMsMax = 4_000;
/** Tokens known to live in the other environment than their device says. */
const swappedMax = 10_000;

export const appleHosts = {
  production: "https://api.push.apple.com",
  development: "https://api.sandbox.push.apple.com",
} as const;
type Environment = keyof typeof appleHosts;

export interface ApnsOptions {
  /** The .p8 key, PEM. */
  readonly key: { readonly pem: string; readonly keyId: string; readonly teamId: string };
  /** Bundle id; calls go to `<topic>.voip`. */
  readonly topic: string;
  /** Both the same when the configuration names an endpoint: then there is no other environment to try. */
  readonly hosts: Readonly<Record<Environment, URL>>;
  readonly trust: Trust;
  readonly clock: Clock;
  readonly log: Log;
  readonly requestMsMax?: number;
}

type Which = "token" | "alertToken";

/**
 * Which token of a device a push goes to. A call goes to the VoIP token, and as an alert to the alert token once the VoIP
 * token is dead: a banner is better than silence. Everything else is an alert, never `voip` (Apple ends apps for that).
 */
function apnsRoute(device: DeviceRecord, payload: PushPayload): Which | { readonly none: Delivery } {
  if (payload.kind === "cancel") return { none: { kind: "refused", reason: notForApns, ours: false } };
  if (payload.kind === "call" && device.tokenState === "alive") return "token";
  if (device.push.alertToken === undefined)
    return payload.kind === "call"
      ? { none: { kind: "tokenDead", which: "token", reason: knownDead } }
      : { none: { kind: "refused", reason: "noAlertToken", ours: false } };
  if (device.alertTokenState === "dead") return { none: { kind: "tokenDead", which: "alertToken", reason: knownDead } };
  return "alertToken";
}

/** APNs over HTTP/2 with token authentication. Throws when the key is not one. */
export class ApnsSender implements PushSender {
  readonly #options: ApnsOptions;
  readonly #lines: Readonly<Record<Environment, ApnsLine>>;
  readonly #swapped = new LRUCache<string, Environment>({ max: swappedMax });

  constructor(options: ApnsOptions) {
    this.#options = options;
    const { hosts, key, trust, clock } = options;
    const production = new ApnsLine({ url: hosts.production, key, trust, clock });
    const oneHost = hosts.production.origin === hosts.development.origin;
    const development = oneHost ? production : new ApnsLine({ url: hosts.development, key, trust, clock });
    this.#lines = { production, development };
  }

  async send(device: DeviceRecord, payload: PushPayload, ttlMs: number): Promise<Delivery> {
    const which = apnsRoute(device, payload);
    if (typeof which === "object") return which.none;
    const note = this.#note(payload, which, ttlMs);
    if (note === undefined) return { kind: "refused", reason: "payloadTooLarge", ours: true };
    const token = which === "token" ? device.push.token : (device.push.alertToken ?? "");
    const home = this.#swapped.get(token) ?? device.push.environment ?? "production";
    const delivery = await this.#sendTo(home, note, device, which, token, ttlMs);
    if (delivery.kind !== "tokenDead" || delivery.reason !== "BadDeviceToken") return delivery;
    return this.#sendToOther(home, note, device, which, token, ttlMs, delivery);
  }

  async warm(): Promise<void> {
    try {
      await this.#lines.production.warm();
    } catch (cause) {
      // Only a head start was lost; the first push says what is wrong.
      this.#options.log.warn("push.cold", { provider: "apns", reason: failureReason(cause) });
    }
  }

  /** Asks with a token that no device has: BadDeviceToken proves key, team and topic (Apple checks those first). */
  async probe(): Promise<string | undefined> {
    const { topic, hosts, requestMsMax: timeoutMs = requestMsMax } = this.#options;
    const note: ApnsNote = {
      id: crypto.randomUUID(),
      topic,
      pushType: "alert",
      priority: 5,
      expirationSec: 0,
      collapseId: undefined,
      body: { aps: { "content-available": 1 } },
    };
    const answer = await this.#lines.production.request(note, "0".repeat(64), timeoutMs);
    if (answer.kind === "none") {
      const trust = isTrustFailure(answer.fault) ? "its certificate does not hold: " : "";
      return `${hosts.production.origin}: ${trust}${failureReason(answer.fault)}`;
    }
    if (answer.status === 200 || answer.reason === "BadDeviceToken" || answer.reason === "Unregistered")
      return undefined;
    const why = rowOf(answer).why;
    return `${hosts.production.origin}: ${answer.status} ${answer.reason ?? ""} (${why})`;
  }

  async close(): Promise<void> {
    await Promise.all(new Set([this.#lines.production, this.#lines.development]).values().map((line) => line.close()));
  }

  #note(payload: PushPayload, which: Which, ttlMs: number): ApnsNote | undefined {
    const { topic, clock } = this.#options;
    const voip = which === "token";
    const bodyOf = voip ? voipBody : alertBody;
    const fitted = fitPayload(payload, payloadBytesMax);
    const whole =
      fitted && fitPayload(fitted, voip ? voipBytesMax : alertBytesMax, (candidate) => bytesOf(bodyOf(candidate)));
    if (whole === undefined) return undefined;
    return {
      id: apnsId(payload.id),
      topic: voip ? `${topic}.voip` : topic,
      pushType: voip ? "voip" : "alert",
      priority: 10,
      // A call that cannot be delivered now is of no use later; an alert is, until its time is over.
      expirationSec: voip ? 0 : Math.ceil((clock.wallMs() + ttlMs) / 1000),
      collapseId: collapseId(payload),
      body: bodyOf(whole),
    };
  }

  async #sendTo(
    environment: Environment,
    note: ApnsNote,
    device: DeviceRecord,
    which: Which,
    token: string,
    ttlMs: number,
  ): Promise<Delivery> {
    const line = this.#lines[environment];
    const timeoutMs = Math.max(1, Math.min(this.#options.requestMsMax ?? requestMsMax, ttlMs));
    let answer = await line.request(note, token, timeoutMs);
    // node-apn has signed a new token by now; once, for a clock that is wrong would go on for ever.
    if (answer.kind === "answer" && answer.reason === "ExpiredProviderToken")
      answer = await line.request(note, token, timeoutMs);
    return answer.kind === "none" ? failedDelivery(answer.fault) : apnsDelivery(answer, device, which, note.id);
  }

  /** A token of a development build offered to production answers BadDeviceToken, and the other way round: the other one is tried once. */
  async #sendToOther(
    home: Environment,
    note: ApnsNote,
    device: DeviceRecord,
    which: Which,
    token: string,
    ttlMs: number,
    first: Delivery,
  ): Promise<Delivery> {
    const other: Environment = home === "production" ? "development" : "production";
    if (this.#lines[other] === this.#lines[home]) return first;
    const delivery = await this.#sendTo(other, note, device, which, token, ttlMs);
    if (delivery.kind === "accepted") this.#swapped.set(token, other);
    else this.#swapped.delete(token);
    return delivery;
  }
}

type Answered = Extract<ApnsAnswer, { kind: "answer" }>;

function rowOf(answer: Answered) {
  return apnsReasons[answer.reason ?? ""] ?? rowOfStatus(apnsStatuses, answer.status);
}

/** What an answer means for this device: 410 counts only when it speaks of a time after the token was set. */
function apnsDelivery(answer: Answered, device: DeviceRecord, which: Which, id: string): Delivery {
  const reason = answer.reason ?? `status ${answer.status}`;
  if (answer.status === 410 && !(answer.timestampMs !== undefined && answer.timestampMs > device.tokenSetAtMs))
    return { kind: "refused", reason: `${reason} before the token was set`, ours: false };
  return deliveryOf(rowOf(answer), { reason, which, providerId: id, retryAfterMs: answer.retryAfterMs });
}

const bytesOf = (body: object): number => Buffer.byteLength(JSON.stringify(body));
const voipBody = (payload: PushPayload): object => ({ aps: {}, wakeline: payload });
const alertBody = (payload: PushPayload): object => ({
  aps: {
    alert: alertText(payload),
    sound: "default",
    "mutable-content": 1,
    ...(payload.kind === "call" ? { "interruption-level": "time-sensitive" } : {}),
    ...(payload.subscription === undefined ? {} : { "thread-id": payload.subscription }),
  },
  wakeline: payload,
});

/** States of an account replace their predecessor on the screen; events do not. At most 64 bytes. */
function collapseId({ kind, subscription }: PushPayload): string | undefined {
  const isState = kind === "voicemail" || kind === "lease" || kind === "refused";
  return isState && subscription !== undefined ? `${kind}-${subscription}`.slice(0, 64) : undefined;
}

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** APNs takes canonical UUIDs only; any other id becomes one, always the same. */
function apnsId(id: string): string {
  const lower = id.toLowerCase();
  if (uuid.test(lower)) return lower;
  return createHash("sha256")
    .update(id)
    .digest("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
}

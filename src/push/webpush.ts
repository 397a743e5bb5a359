import { LRUCache } from "lru-cache";
import webpush from "web-push";
import type { DeviceRecord } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import { deliveryOf, knownDead, rowOfStatus, webpushStatuses } from "./delivery.ts";
import { isLoopbackHost } from "./endpoint.ts";
import { failedDelivery } from "./failure.ts";
import { fitPayload } from "./payload.ts";
import { post } from "./post.ts";
import { readRetryAfterMs } from "./retry-after.ts";
import type { Delivery, PushPayload, PushSender } from "./types.ts";
import type { VapidKeys } from "./vapid-keys.ts";

/** RFC 8291 §4: a body of 4,096 bytes holds 3,993 of cleartext. */
const cleartextBytesMax = 3993;
const requestMsMax = 4_000;
const endpointCharsMax = 2_048;
/** A VAPID token is signed once an hour and push service, and is valid for twelve (RFC 8292 §2: 24 at most). */
const vapidKeptMs = 3_600_000;
const originsMax = 500;

/** The policy's word on an endpoint that a device has named. `address`: the one that was checked; the connection goes there. */
export type UrlVerdict =
  | { readonly ok: true; readonly address?: string }
  | { readonly ok: false; readonly reason: string };

/** Guards against endpoints inside the operator's network; asked before each push, since names move (DNS rebinding). */
export type UrlPolicy = (url: URL) => UrlVerdict | Promise<UrlVerdict>;

export interface WebPushOptions {
  /** `mailto:` or `https:`. */
  readonly subject: string;
  readonly vapid: VapidKeys;
  readonly allowUrl: UrlPolicy;
  /** Development and tests: push services on this machine over plain HTTP, still subject to `allowUrl`. */
  readonly allowLoopbackHttp?: boolean;
  readonly ca?: string | undefined;
  readonly clock: Clock;
  readonly requestMsMax?: number;
}

interface BrowserSubscription {
  readonly endpoint: URL;
  readonly keys: { readonly p256dh: string; readonly auth: string };
}

/** What a browser's `PushSubscription` looks like as JSON; undefined when it is none. */
function readBrowserSubscription(text: string): BrowserSubscription | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { endpoint, keys } = (json ?? {}) as {
    readonly endpoint?: unknown;
    readonly keys?: Readonly<Record<string, unknown>>;
  };
  const { p256dh, auth } = keys ?? {};
  if (typeof endpoint !== "string" || endpoint.length > endpointCharsMax) return undefined;
  if (typeof p256dh !== "string" || typeof auth !== "string") return undefined;
  if (Buffer.from(p256dh, "base64url").length !== 65 || Buffer.from(auth, "base64url").length < 16) return undefined;
  const url = URL.parse(endpoint);
  if (url === null || url.username !== "" || url.password !== "") return undefined;
  return { endpoint: url, keys: { p256dh, auth } };
}

/** Web Push: RFC 8030, encrypted (RFC 8291), signed (RFC 8292). Throws when keys or subject are not usable. */
export class WebPushSender implements PushSender {
  readonly #options: WebPushOptions;
  readonly #vapidHeaders: LRUCache<string, string>;

  constructor(options: WebPushOptions) {
    this.#options = options;
    this.#vapidHeaders = new LRUCache({
      max: originsMax,
      ttl: vapidKeptMs,
      perf: { now: () => options.clock.nowMs() },
      ttlResolution: 0,
    });
    this.#authorization("https://push.invalid"); // throws now, and not at the first call, when keys or subject are no good
  }

  async send(device: DeviceRecord, payload: PushPayload, ttlMs: number): Promise<Delivery> {
    if (device.tokenState === "dead") return { kind: "tokenDead", which: "token", reason: knownDead };
    const subscription = readBrowserSubscription(device.push.token);
    if (subscription === undefined) return { kind: "tokenDead", which: "token", reason: "not a push subscription" };
    const fitted = fitPayload(payload, cleartextBytesMax);
    if (fitted === undefined) return { kind: "refused", reason: "payloadTooLarge", ours: true };
    const timeoutMs = Math.min(this.#options.requestMsMax ?? requestMsMax, ttlMs);
    const verdict = await this.#judge(subscription.endpoint, timeoutMs);
    if (verdict === "late") return { kind: "retry", afterMs: 0, reason: "endpoint not resolved in time" };
    if (!verdict.ok) return { kind: "refused", reason: `endpoint: ${verdict.reason}`, ours: false };
    const request = this.#encrypt(subscription, fitted, ttlMs);
    if (request === undefined) return { kind: "tokenDead", which: "token", reason: "not a push subscription" };
    const answer = await post({ ...request, timeoutMs, address: verdict.address, ca: this.#options.ca });
    if (answer.kind === "none") return failedDelivery(answer.fault);
    return deliveryOf(rowOfStatus(webpushStatuses, answer.status), {
      reason: `status ${answer.status}`,
      which: "token",
      providerId: answer.headers.get("location") ?? undefined,
      retryAfterMs: readRetryAfterMs(answer.headers.get("retry-after"), this.#options.clock.wallMs()),
    });
  }

  /** Push services differ from device to device: there is nothing to open ahead. */
  warm(): Promise<void> {
    return Promise.resolve();
  }

  /** Keys and subject were checked at the start; which services there are is known to the devices only. */
  probe(): Promise<string | undefined> {
    return Promise.resolve(undefined);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #judge(endpoint: URL, timeoutMs: number): Promise<UrlVerdict | "late"> {
    const isLocal = endpoint.protocol === "http:" && isLoopbackHost(endpoint.hostname);
    if (endpoint.protocol !== "https:" && !(isLocal && this.#options.allowLoopbackHttp === true))
      return { ok: false, reason: "not https" };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), Math.max(1, timeoutMs));
    });
    try {
      return await Promise.race([this.#options.allowUrl(endpoint), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Undefined when the subscription's keys are no point on the curve. */
  #encrypt(subscription: BrowserSubscription, payload: PushPayload, ttlMs: number) {
    const { endpoint, keys } = subscription;
    const topic = payload.call?.replaceAll("-", "").slice(0, 32);
    try {
      const details = webpush.generateRequestDetails({ endpoint: endpoint.href, keys }, JSON.stringify(payload), {
        TTL: Math.max(0, Math.ceil(ttlMs / 1000)),
        urgency: "high",
        contentEncoding: "aes128gcm",
        ...(topic === undefined || !/^[A-Za-z0-9_-]{1,32}$/.test(topic) ? {} : { topic }),
        headers: { Authorization: this.#authorization(endpoint.origin) },
      });
      const headers = Object.entries(details.headers as Readonly<Record<string, string | number>>);
      return {
        url: endpoint,
        headers: Object.fromEntries(headers.map(([name, value]) => [name, String(value)])),
        body: new Uint8Array(details.body),
      };
    } catch {
      return undefined;
    }
  }

  #authorization(origin: string): string {
    const known = this.#vapidHeaders.get(origin);
    if (known !== undefined) return known;
    const { subject, vapid } = this.#options;
    const made = webpush.getVapidHeaders(origin, subject, vapid.publicKey, vapid.privateKey, "aes128gcm").Authorization;
    this.#vapidHeaders.set(origin, made);
    return made;
  }
}

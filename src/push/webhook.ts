import { createHmac, timingSafeEqual } from "node:crypto";
import type { DeviceRecord } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import { deliveryOf, knownDead, rowOfStatus, webhookStatuses } from "./delivery.ts";
import { failedDelivery, failureReason, isTrustFailure } from "./failure.ts";
import { fitPayload } from "./payload.ts";
import { post, type PostAnswer } from "./post.ts";
import { readRetryAfterMs } from "./retry-after.ts";
import type { Delivery, PushPayload, PushSender } from "./types.ts";

const requestMsMax = 4_000;
const signatureHeader = "wakeline-signature";

export interface WebhookOptions {
  readonly url: URL;
  readonly secret: string;
  readonly ca?: string | undefined;
  readonly clock: Clock;
  readonly requestMsMax?: number;
}

/** What the relay receives, as JSON. */
interface WebhookBody {
  /** The payload's id: the same for every retry. */
  readonly id: string;
  readonly app: string;
  readonly device: string;
  readonly token: string;
  readonly payload: PushPayload;
}

const hmac = (body: string, secret: string, atSec: number): string =>
  createHmac("sha256", secret).update(`${atSec}.${body}`).digest("hex");

/** `t=<Unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`, the body byte for byte as sent. */
function signBody(body: string, secret: string, atSec: number): string {
  return `t=${atSec},v1=${hmac(body, secret, atSec)}`;
}

/** What a relay does with the header: true when the signature is ours and at most `ageSecMax` old (or ahead). */
export function verifySignature(
  header: string,
  body: string,
  secret: string,
  nowSec: number,
  ageSecMax = 300,
): boolean {
  const match = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(header);
  if (match?.[1] === undefined || match[2] === undefined) return false;
  const atSec = Number(match[1]);
  if (Math.abs(nowSec - atSec) > ageSecMax) return false;
  return timingSafeEqual(Buffer.from(hmac(body, secret, atSec), "hex"), Buffer.from(match[2], "hex"));
}

/** The operator's own push relay. */
export class WebhookSender implements PushSender {
  readonly #options: WebhookOptions;

  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  async send(device: DeviceRecord, payload: PushPayload, ttlMs: number): Promise<Delivery> {
    if (device.tokenState === "dead") return { kind: "tokenDead", which: "token", reason: knownDead };
    const fitted = fitPayload(payload);
    if (fitted === undefined) return { kind: "refused", reason: "payloadTooLarge", ours: true };
    const { deviceId, app } = device;
    const body: WebhookBody = { id: fitted.id, app, device: deviceId, token: device.push.token, payload: fitted };
    const answer = await this.#post(JSON.stringify(body), ttlMs);
    if (answer.kind === "none") return failedDelivery(answer.fault);
    return deliveryOf(rowOfStatus(webhookStatuses, answer.status), {
      reason: `status ${answer.status}`,
      which: "token",
      retryAfterMs: readRetryAfterMs(answer.headers.get("retry-after"), this.#options.clock.wallMs()),
    });
  }

  /** The first push opens the connection: a relay knows pushes only, and would have to be taught a greeting. */
  warm(): Promise<void> {
    return Promise.resolve();
  }

  /** HEAD, so that no relay takes it for a push: whatever it answers, it is there and its certificate holds. */
  async probe(): Promise<string | undefined> {
    const { url, ca, requestMsMax: timeoutMs = requestMsMax } = this.#options;
    const answer = await post({ url, method: "HEAD", headers: {}, timeoutMs, ca });
    if (answer.kind === "answer") return undefined;
    const trust = isTrustFailure(answer.fault) ? "its certificate does not hold: " : "";
    return `${url.origin}: ${trust}${failureReason(answer.fault)}`;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #post(body: string, ttlMs: number): Promise<PostAnswer> {
    const { url, secret, ca, clock, requestMsMax: timeoutMs = requestMsMax } = this.#options;
    const signature = signBody(body, secret, Math.floor(clock.wallMs() / 1000));
    return post({
      url,
      headers: { "content-type": "application/json", [signatureHeader]: signature },
      body,
      timeoutMs: Math.min(timeoutMs, ttlMs),
      ca,
    });
  }
}

import { Agent as PlainAgent } from "node:http";
import { Agent } from "node:https";
import { type App, deleteApp, initializeApp } from "firebase-admin/app";
import { getMessaging, type Message, type Messaging } from "firebase-admin/messaging";
import type { Log } from "../observe/log.ts";
import type { DeviceRecord } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import { deliveryOf, fcmCodes, fcmStatuses, knownDead, rowOfStatus } from "./delivery.ts";
import type { Trust } from "./endpoint.ts";
import { failedDelivery, failureReason } from "./failure.ts";
import { GoogleToken, type ServiceAccount, TokenRefused, tokenRefusals } from "./google-token.ts";
import { fitPayload } from "./payload.ts";
import { readRetryAfterMs } from "./retry-after.ts";
import type { Delivery, PushPayload, PushSender } from "./types.ts";

export const googleHost = "https://fcm.googleapis.com";
/** One request; firebase-admin's own is 15 s, too long for a ringing phone. */
const requestMsMax = 4_000;
/** Google's longest. */
const ttlMsMax = 2_419_200_000;
const socketsMax = 512;

export interface FcmOptions {
  readonly account: ServiceAccount;
  readonly endpoint: URL;
  readonly tokenEndpoint: URL;
  readonly trust: Trust;
  readonly clock: Clock;
  readonly log: Log;
  readonly requestMsMax?: number;
}

interface WireRequest {
  readonly url: string;
  readonly timeout: number;
}

/** What is used of firebase-admin beyond its published types: its host, credential and retries are fixed there. */
interface Wire {
  retry: unknown;
  getToken(): Promise<string>;
  send(request: WireRequest): Promise<unknown>;
}

interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly data: unknown;
}

/** FCM HTTP v1 through firebase-admin's `send()`: data messages only, so that the app decides what to show. */
export class FcmSender implements PushSender {
  readonly #options: FcmOptions;
  readonly #token: GoogleToken;
  readonly #agent: PlainAgent;
  readonly #app: App;
  readonly #messaging: Messaging;

  constructor(options: FcmOptions) {
    this.#options = options;
    const { account, tokenEndpoint, trust, clock } = options;
    this.#token = new GoogleToken(account, tokenEndpoint, trust, clock);
    const kept = { keepAlive: true, maxSockets: socketsMax };
    this.#agent =
      options.endpoint.protocol === "https:"
        ? new Agent({ ...kept, minVersion: "TLSv1.2", ...(trust.ca === undefined ? {} : { ca: trust.ca }) })
        : new PlainAgent(kept);
    this.#app = initializeApp(
      {
        projectId: account.projectId,
        httpAgent: this.#agent,
        // Never asked: the wire below takes its tokens from `#token`, which renews ahead of time and can drop a refused one.
        credential: { getAccessToken: async () => ({ access_token: await this.#token.value(), expires_in: 60 }) },
      },
      `wakeline-${crypto.randomUUID()}`,
    );
    this.#messaging = getMessaging(this.#app);
    this.#rewire();
  }

  async send(device: DeviceRecord, payload: PushPayload, ttlMs: number): Promise<Delivery> {
    const fitted = fitPayload(payload);
    if (fitted === undefined) return { kind: "refused", reason: "payloadTooLarge", ours: true };
    if (device.tokenState === "dead") return { kind: "tokenDead", which: "token", reason: knownDead };
    const message = messageOf(device.push.token, fitted, ttlMs);
    return within(Math.min(this.#options.requestMsMax ?? requestMsMax, ttlMs), this.#deliver(message));
  }

  /** The access token: it costs a signature and a round trip, a connection only the latter. */
  async warm(): Promise<void> {
    try {
      await this.#token.value();
    } catch (cause) {
      this.#options.log.warn("push.cold", { provider: "fcm", reason: failureReason(cause) });
    }
  }

  /** A dry run to a token that no device has: refused for the token's sake, which proves project and credential. */
  async probe(): Promise<string | undefined> {
    const message = { token: "wakeline-check", data: { wakeline: "{}" } };
    const delivery = await this.#deliver(message, true);
    if (delivery.kind === "accepted" || delivery.kind === "tokenDead") return undefined;
    if (delivery.kind === "refused" && delivery.reason === "INVALID_ARGUMENT") return undefined;
    const why = fcmCodes[delivery.reason]?.why ?? tokenRefusals[delivery.reason];
    return `${this.#options.endpoint.origin}: ${delivery.reason}${why === undefined ? "" : ` (${why})`}`;
  }

  async close(): Promise<void> {
    this.#agent.destroy();
    await deleteApp(this.#app);
  }

  #rewire(): void {
    const { endpoint, requestMsMax: timeout = requestMsMax } = this.#options;
    const handler = this.#messaging as unknown as { readonly messagingRequestHandler?: { readonly httpClient?: Wire } };
    const wire = handler.messagingRequestHandler?.httpClient;
    if (typeof wire?.send !== "function") throw new Error("firebase-admin has changed inside: FcmSender must follow");
    const send = wire.send.bind(wire);
    // Five tries in four seconds, whatever the call's deadline: retries belong to the gateway.
    wire.retry = undefined;
    wire.getToken = () => this.#token.value();
    const origin = `${endpoint.origin}${endpoint.pathname.replace(/\/$/, "")}`;
    wire.send = async (request) => {
      const moved = { ...request, url: `${origin}${new URL(request.url).pathname}`, timeout };
      const token = await this.#token.value();
      try {
        return await send(moved);
      } catch (fault) {
        if (!isTokenRefusal(fault)) throw fault;
        // Once: an access token can be withdrawn before its time; a wrong credential cannot be cured.
        this.#token.drop(token);
        return send(moved);
      }
    };
  }

  async #deliver(message: Message, dryRun = false): Promise<Delivery> {
    try {
      return { kind: "accepted", providerId: await this.#messaging.send(message, dryRun) };
    } catch (fault) {
      if (fault instanceof TokenRefused) return { kind: "refused", reason: fault.reason, ours: true };
      const answer = (fault as { readonly httpResponse?: HttpAnswer }).httpResponse;
      if (answer !== undefined) return fcmDelivery(answer, this.#options.clock.wallMs());
      const { code } = fault as { readonly code?: unknown };
      // The library's own checks: a message that never left.
      if (typeof code === "string" && code.startsWith("messaging/"))
        return { kind: "refused", reason: code, ours: true };
      return failedDelivery(fault);
    }
  }
}

/** 401 that speaks of our access token, not of the project's APNs or web push key. */
function isTokenRefusal(fault: unknown): boolean {
  const response = (fault as { readonly response?: { readonly status?: number; readonly text?: string } }).response;
  return response?.status === 401 && response.text?.includes("THIRD_PARTY_AUTH_ERROR") !== true;
}

/** Firebase installation ids: 17 bytes in base64url, the first four bits 0111. Registration tokens are far longer. */
const installationId = /^[cdef][A-Za-z0-9_-]{21}$/;

function messageOf(token: string, payload: PushPayload, ttlMs: number): Message {
  const urgent = payload.kind === "call" || payload.kind === "cancel";
  const base = {
    data: { wakeline: JSON.stringify(payload) },
    // No collapse key: collapsible messages are limited to 20 and one every three minutes.
    android: { priority: urgent ? "high" : "normal", ttl: Math.min(Math.max(Math.round(ttlMs), 0), ttlMsMax) },
  } as const;
  return installationId.test(token) ? { ...base, fid: token } : { ...base, token };
}

const fcmError = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const badRequest = "type.googleapis.com/google.rpc.BadRequest";
const tokenFields = new Set(["message.token", "message.fid"]);

interface FcmFault {
  readonly status?: unknown;
  readonly message?: unknown;
  readonly details?: unknown;
}

/** FCM's own code of an error body; INVALID_REGISTRATION when the body says that the token itself is no token. */
function fcmCode(data: unknown): string | undefined {
  const error = (data as { readonly error?: FcmFault } | undefined)?.error;
  if (typeof error !== "object" || error === null) return undefined;
  const details = (Array.isArray(error.details) ? error.details : []) as readonly Readonly<Record<string, unknown>>[];
  const own = details.find((detail) => detail?.["@type"] === fcmError)?.errorCode;
  const code = typeof own === "string" ? own : typeof error.status === "string" ? error.status : undefined;
  if (code !== "INVALID_ARGUMENT") return code;
  const violations = details
    .filter((detail) => detail?.["@type"] === badRequest)
    .flatMap((detail) => detail.fieldViolations ?? []);
  const namesToken = (violations as readonly { readonly field?: unknown }[]).some(({ field }) =>
    tokenFields.has(String(field)),
  );
  const saysToken = /not a valid (?:FCM )?(?:registration token|installation id)/i.test(String(error.message));
  return namesToken || saysToken ? "INVALID_REGISTRATION" : code;
}

function fcmDelivery(answer: HttpAnswer, wallMs: number): Delivery {
  const code = fcmCode(answer.data);
  const row = fcmCodes[code ?? ""] ?? rowOfStatus(fcmStatuses, answer.status);
  const retryAfter = answer.headers["retry-after"];
  const retryAfterMs = readRetryAfterMs(typeof retryAfter === "string" ? retryAfter : undefined, wallMs);
  return deliveryOf(row, { reason: code ?? `status ${answer.status}`, which: "token", retryAfterMs });
}

/** Answers with a retry when the time is over; what was sent may still arrive, under the same id. */
async function within(msMax: number, sending: Promise<Delivery>): Promise<Delivery> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Delivery>((resolve) => {
    timer = setTimeout(() => resolve({ kind: "retry", afterMs: 0, reason: "timeout" }), Math.max(msMax, 1));
  });
  try {
    return await Promise.race([sending, late]);
  } finally {
    clearTimeout(timer);
  }
}

import type { Delivery } from "./types.ts";

/**
 * What each provider's answers mean, a row an answer, with the reason for the row. Three things are kept apart: the token is
 * dead (only then is it marked in the store), trying again may help, and we are at fault (alarm, tokens stay).
 */
export type Row =
  | { readonly means: "accepted"; readonly why: string }
  | { readonly means: "tokenDead"; readonly why: string }
  /** `afterMs`: the least wait when the answer names none; 0 means at once is fine. */
  | { readonly means: "retry"; readonly afterMs: number; readonly why: string }
  | { readonly means: "ours"; readonly why: string }
  | { readonly means: "refused"; readonly why: string };

/** The push as such is not for APNs: Apple forbids telling a phone by push that a call is over; the tunnel does. */
export const notForApns = "notForApns";

/** The token was marked dead before: nothing was sent. */
export const knownDead = "known";

const accepted: Row = { means: "accepted", why: "the provider took it" };

/** APNs reasons (Apple, "Handling notification response errors from APNs"). */
export const apnsReasons: Readonly<Record<string, Row>> = {
  BadDeviceToken: { means: "tokenDead", why: "neither environment knows it; the sender has tried both by now" },
  Unregistered: { means: "tokenDead", why: "app removed; holds only for tokens set before the answer's timestamp" },
  ExpiredToken: { means: "tokenDead", why: "token replaced; holds only for tokens set before the answer's timestamp" },
  DeviceTokenNotForTopic: { means: "ours", why: "configured topic is another app's" },
  TopicDisallowed: { means: "ours", why: "the key may not send to the configured topic" },
  BadTopic: { means: "ours", why: "configured topic is malformed" },
  MissingTopic: { means: "ours", why: "no topic configured" },
  ExpiredProviderToken: { means: "ours", why: "a token signed just now is too old: this machine's clock is wrong" },
  InvalidProviderToken: { means: "ours", why: "key, key id and team id do not belong together" },
  MissingProviderToken: { means: "ours", why: "no token was sent" },
  UnrelatedKeyIdInToken: { means: "ours", why: "key id is of another key" },
  BadEnvironmentKeyIdInToken: { means: "ours", why: "the key is limited to the other environment" },
  Forbidden: { means: "ours", why: "the key may not do this" },
  BadCertificate: { means: "ours", why: "credentials" },
  BadCertificateEnvironment: { means: "ours", why: "credentials of the other environment" },
  PayloadTooLarge: { means: "ours", why: "payloads are cut to size here" },
  PayloadEmpty: { means: "ours", why: "a payload is never empty" },
  TooManyProviderTokenUpdates: {
    means: "retry",
    afterMs: 1_000,
    why: "the present token is good enough, do not renew it",
  },
  TooManyRequests: { means: "retry", afterMs: 1_000, why: "too many to one device" },
  IdleTimeout: { means: "retry", afterMs: 0, why: "Apple closed an idle connection under the request" },
  InternalServerError: { means: "retry", afterMs: 250, why: "Apple's fault" },
  ServiceUnavailable: { means: "retry", afterMs: 250, why: "Apple's fault" },
  Shutdown: { means: "retry", afterMs: 0, why: "that server is going away; a new connection reaches another" },
};

/** For reasons not listed, and bodies that name none. */
export const apnsStatuses: Readonly<Record<number, Row>> = {
  200: accepted,
  400: { means: "ours", why: "a request that Apple does not accept is a fault of the program or the configuration" },
  403: { means: "ours", why: "credentials" },
  404: { means: "ours", why: "wrong endpoint" },
  405: { means: "ours", why: "wrong endpoint" },
  410: { means: "tokenDead", why: "gone; holds only for tokens set before the answer's timestamp" },
  413: { means: "ours", why: "payloads are cut to size here" },
  429: { means: "retry", afterMs: 1_000, why: "too many" },
};

/** FCM's own error codes (FcmError.errorCode; google.rpc status where there is none). */
export const fcmCodes: Readonly<Record<string, Row>> = {
  UNREGISTERED: { means: "tokenDead", why: "app removed, or token expired" },
  INVALID_REGISTRATION: { means: "tokenDead", why: "not a token of FCM at all; set here from the error's details" },
  INVALID_ARGUMENT: { means: "ours", why: "some other field is wrong: our message" },
  SENDER_ID_MISMATCH: {
    means: "ours",
    why: "tokens belong to another Firebase project; deleting them would lose every phone",
  },
  THIRD_PARTY_AUTH_ERROR: { means: "ours", why: "the project's own APNs or web push key is missing or expired" },
  PERMISSION_DENIED: { means: "ours", why: "service account lacks the right, or the API is off" },
  UNAUTHENTICATED: { means: "ours", why: "a fresh access token was refused too" },
  NOT_FOUND: { means: "ours", why: "no such project, and no word about the token" },
  QUOTA_EXCEEDED: { means: "retry", afterMs: 60_000, why: "Google asks for at least a minute" },
  RESOURCE_EXHAUSTED: { means: "retry", afterMs: 60_000, why: "Google asks for at least a minute" },
  UNAVAILABLE: { means: "retry", afterMs: 250, why: "overloaded" },
  INTERNAL: { means: "retry", afterMs: 250, why: "Google's fault" },
};

export const fcmStatuses: Readonly<Record<number, Row>> = {
  400: { means: "ours", why: "our message" },
  401: { means: "ours", why: "a fresh access token was refused too" },
  403: { means: "ours", why: "credentials" },
  404: { means: "ours", why: "wrong endpoint or project" },
  429: { means: "retry", afterMs: 60_000, why: "Google asks for at least a minute" },
};

/** Web Push services (RFC 8030 §5, RFC 8292 §4.2). */
export const webpushStatuses: Readonly<Record<number, Row>> = {
  200: accepted,
  201: accepted,
  202: accepted,
  204: accepted,
  400: { means: "ours", why: "TTL, Topic or encryption is not as the service wants it" },
  401: { means: "ours", why: "VAPID signature or subject refused" },
  403: { means: "ours", why: "subscription was made with another VAPID key" },
  404: { means: "tokenDead", why: "RFC 8030 §7.3: subscription expired" },
  410: { means: "tokenDead", why: "subscription removed" },
  413: { means: "ours", why: "payloads are cut to size here" },
  429: { means: "retry", afterMs: 1_000, why: "RFC 8030 §8.4: too many" },
};

/** The operator's own relay. */
export const webhookStatuses: Readonly<Record<number, Row>> = {
  408: { means: "retry", afterMs: 250, why: "the relay waited in vain for the request" },
  410: { means: "tokenDead", why: "the relay says so" },
  425: { means: "retry", afterMs: 250, why: "too early" },
  429: { means: "retry", afterMs: 1_000, why: "the relay is busy" },
  503: { means: "retry", afterMs: 250, why: "the relay is down for a moment" },
};

/** Any status: 2xx accepted, 5xx again, the rest our fault (a redirect included: nothing is sent where it was not addressed to). */
export function rowOfStatus(rows: Readonly<Record<number, Row>>, status: number): Row {
  const row = rows[status];
  if (row !== undefined) return row;
  if (status >= 200 && status < 300) return accepted;
  if (status >= 500) return { means: "retry", afterMs: 250, why: "the provider's fault" };
  return { means: "ours", why: "not what the provider's interface provides for" };
}

interface Answer {
  /** The provider's word for it, or "status 503". */
  readonly reason: string;
  readonly which: "token" | "alertToken";
  readonly providerId?: string | undefined;
  /** From Retry-After; wins over the row's when longer. */
  readonly retryAfterMs?: number | undefined;
}

export function deliveryOf(row: Row, answer: Answer): Delivery {
  const { reason, which, providerId, retryAfterMs } = answer;
  switch (row.means) {
    case "accepted":
      return providerId === undefined ? { kind: "accepted" } : { kind: "accepted", providerId };
    case "tokenDead":
      return { kind: "tokenDead", which, reason };
    case "retry":
      return { kind: "retry", afterMs: retryAfterMs ?? row.afterMs, reason };
    case "ours":
      return { kind: "refused", reason, ours: true };
    case "refused":
      return { kind: "refused", reason, ours: false };
    default:
      return row satisfies never;
  }
}

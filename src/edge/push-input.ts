import type { AppConfig } from "../config/config.ts";
import { isLoopbackHost } from "../push/endpoint.ts";
import type { PushProvider, PushTarget } from "../store/types.ts";
import type { EgressRule } from "./account-input.ts";
import { done, invalid, type FieldFault, type Result } from "./problem.ts";
import type { PushInput } from "./schemas.ts";
import { isIpv4, isIpv6 } from "../sip/host-port.ts";
import { urlPlace } from "./text-rules.ts";

/** APNs tokens stand in a path; FCM tokens and installation ids are of the same alphabet with a colon. */
const tokenPattern = /^[A-Za-z0-9_\-.:=+~]+$/;
const webhookPattern = /^[\x20-\x7e]+$/;

/** A push target that this app's providers can use; 422 naming what cannot be taken. */
export function readPush(app: AppConfig | undefined, input: PushInput, egress: EgressRule): Result<PushTarget> {
  const faults: FieldFault[] = [];
  if (app?.[input.provider] === undefined) {
    faults.push({ field: "push.provider", detail: `${input.provider} is not set up for this app` });
  }
  judgeToken(input.provider, "push.token", input.token, egress, faults);
  if (input.alertToken !== undefined) {
    if (input.provider === "apns") judgeToken("apns", "push.alertToken", input.alertToken, egress, faults);
    else faults.push({ field: "push.alertToken", detail: "is for apns only" });
  }
  if (faults.length > 0) return invalid(faults);
  return done({
    provider: input.provider,
    token: input.token,
    alertToken: input.alertToken,
    environment: input.environment ?? (input.provider === "apns" ? "production" : undefined),
  });
}

function judgeToken(
  provider: PushProvider,
  field: string,
  token: string,
  egress: EgressRule,
  faults: FieldFault[],
): void {
  const detail =
    provider === "webpush"
      ? webPushFault(token, egress)
      : (provider === "webhook" ? webhookPattern : tokenPattern).test(token)
        ? undefined
        : "must not be empty and holds characters that no such token has";
  if (detail !== undefined) faults.push({ field, detail });
}

/** A PushSubscription as JSON (Push API): its endpoint is an address that we will be made to call. */
function webPushFault(token: string, egress: EgressRule): string | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(token);
  } catch {
    return "must be the JSON of a PushSubscription";
  }
  const { endpoint, keys } = Object(parsed) as { endpoint?: unknown; keys?: unknown };
  const { p256dh, auth } = Object(keys) as { p256dh?: unknown; auth?: unknown };
  const url = typeof endpoint === "string" ? URL.parse(endpoint) : null;
  if (url === null || typeof p256dh !== "string" || typeof auth !== "string") {
    return "must be a PushSubscription with endpoint, keys.p256dh and keys.auth";
  }
  // RFC 8291 §3.1: an uncompressed point of P-256, and 16 bytes.
  if (Buffer.from(p256dh, "base64url").length !== 65 || Buffer.from(auth, "base64url").length !== 16) {
    return "keys.p256dh must be 65 bytes and keys.auth 16 bytes in base64url";
  }
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopbackHost(url.hostname)))
    return "endpoint must be https";
  if (url.username !== "" || url.password !== "") return "endpoint must not hold credentials";
  const { host, port } = urlPlace(url);
  const address = host === "localhost" ? "127.0.0.1" : host;
  return isIpv4(address) || isIpv6(address) ? egress(address, port) : undefined;
}

import type { CallState, PushPayload } from "./types.ts";

/** What to do with a push of kind `call`. */
export type CallVerdict =
  /** Report the call to the system and open the tunnel. */
  | { readonly kind: "ring"; readonly tunnel: string }
  /** It came late: ask `device.callState(call)` first (iOS: report the call at once all the same, and end it when it is over). */
  | { readonly kind: "ask"; readonly tunnel: string; readonly lateMs: number }
  | { readonly kind: "ignore"; readonly reason: "not a call" | "no tunnel" };

/** The same, once the server was asked where that was needed. `state` undefined: the server does not know, or could not be asked in time. */
export type CallDecision =
  | Exclude<CallVerdict, { readonly kind: "ask" }>
  | { readonly kind: "over"; readonly state: CallState | undefined };

/** A push older than this may be of a call that is gone. */
const freshMs = 5_000;

const kinds: ReadonlySet<unknown> = new Set([
  "call",
  "cancel",
  "message",
  "voicemail",
  "missed",
  "refused",
  "lease",
  "test",
]);
const optionalTexts = ["subscription", "call", "callId", "deadline", "text"] as const;

/**
 * The payload in what the platform delivered: the APNs dictionary, FCM's `data`, the text of a Web Push, or the payload itself. Undefined when
 * it is not Wakeline's, not whole, or of a version that this package does not know. Never throws.
 */
export function readPush(delivered: unknown): PushPayload | undefined {
  const found = unwrap(delivered);
  if (found === undefined || found["v"] !== 1 || !kinds.has(found["kind"])) return undefined;
  const isTime = (value: unknown): boolean => typeof value === "string" && !Number.isNaN(Date.parse(value));
  const { from, tunnel } = found;
  const isWhole =
    typeof found["id"] === "string" &&
    isTime(found["sentAt"]) &&
    (found["deadline"] === undefined || isTime(found["deadline"])) &&
    optionalTexts.every((name) => found[name] === undefined || typeof found[name] === "string") &&
    (tunnel === undefined || (typeof tunnel === "string" && /^wss?:\/\//.test(tunnel))) &&
    (from === undefined || typeof (Object(from) as { uri?: unknown }).uri === "string");
  return isWhole ? (found as unknown as PushPayload) : undefined;
}

function unwrap(delivered: unknown): Record<string, unknown> | undefined {
  let value = delivered;
  for (let depth = 0; depth < 3; depth++) {
    if (typeof value === "string") {
      try {
        value = JSON.parse(value);
      } catch {
        return undefined;
      }
    }
    if (typeof value !== "object" || value === null) return undefined;
    const record = value as Record<string, unknown>;
    if (!("wakeline" in record)) return record;
    value = record["wakeline"];
  }
  return undefined;
}

/** Whether to ring, by the age of the push. Clocks of phones may be wrong by seconds, so "late" means "ask", never "drop". */
export function judgeCall(payload: PushPayload, now: Date = new Date()): CallVerdict {
  if (payload.kind !== "call") return { kind: "ignore", reason: "not a call" };
  if (payload.tunnel === undefined) return { kind: "ignore", reason: "no tunnel" };
  const lateMs = now.getTime() - Date.parse(payload.sentAt);
  const isOver = payload.deadline !== undefined && now.getTime() > Date.parse(payload.deadline);
  return isOver || lateMs > freshMs
    ? { kind: "ask", tunnel: payload.tunnel, lateMs }
    : { kind: "ring", tunnel: payload.tunnel };
}

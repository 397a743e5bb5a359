import type { PushPayload } from "./types.ts";

/** What to do with a push of kind `call`. */
export type CallVerdict =
  /** Report the call to the system and open the tunnel. */
  | { readonly kind: "ring"; readonly tunnel: string }
  /** It came late: ask `device.callState(call)` first (iOS: report the call at once all the same, and end it when it is over). */
  | { readonly kind: "ask"; readonly tunnel: string; readonly lateMs: number }
  | { readonly kind: "ignore"; readonly reason: "not a call" | "no tunnel" };

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

/**
 * The payload in what the platform delivered: the APNs dictionary, FCM's `data`, the text of a Web Push, or the payload itself. Undefined when
 * it is not Wakeline's, or of a version that this package does not know.
 */
export function readPush(delivered: unknown): PushPayload | undefined {
  const found = unwrap(delivered);
  if (found === undefined || found["v"] !== 1 || !kinds.has(found["kind"])) return undefined;
  return typeof found["id"] === "string" && typeof found["sentAt"] === "string"
    ? (found as unknown as PushPayload)
    : undefined;
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

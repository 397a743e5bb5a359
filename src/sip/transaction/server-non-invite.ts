import { nonInviteExpiryMs, nonInviteTryingMs, type TimerEvent, timerJMs } from "./timers.ts";

/** Non-INVITE server transaction: RFC 3261 §17.2.2, figure 8, with RFC 4320. */
export const ServerNonInviteState = { trying: 1, proceeding: 2, completed: 3, terminated: 4 } as const;
export type ServerNonInviteStateId = (typeof ServerNonInviteState)[keyof typeof ServerNonInviteState];

export type ServerNonInviteTimer = "timerTrying" | "timerExpiry" | "timerJ";

export type ServerNonInviteEvent =
  /** The request again. */
  | { readonly kind: "request" }
  /** The transaction user has a response. */
  | { readonly kind: "respond"; readonly status: number }
  | TimerEvent<ServerNonInviteTimer>
  | { readonly kind: "transportError" };

/** What the machine has done. A timer that no longer matters is not stopped: the machine ignores it. */
export interface ServerNonInviteOut {
  readonly reliable: boolean;
  /** Keeps the response of the event and sends it. */
  answer(): void;
  /** Sends the kept response again. */
  resend(): void;
  /** Sends a 100 and keeps it. */
  sendTrying(): void;
  /** In place of what the same timer was armed for. */
  arm(timer: ServerNonInviteTimer, afterMs: number): void;
}

/** The request has come; returns the first state. */
export function start(out: ServerNonInviteOut): ServerNonInviteStateId {
  out.arm("timerTrying", nonInviteTryingMs);
  out.arm("timerExpiry", nonInviteExpiryMs);
  return ServerNonInviteState.trying;
}

/** Pure: returns the next state, reports actions to `out`. */
export function step(
  state: ServerNonInviteStateId,
  event: ServerNonInviteEvent,
  out: ServerNonInviteOut,
): ServerNonInviteStateId {
  switch (state) {
    case ServerNonInviteState.trying:
    case ServerNonInviteState.proceeding:
      return stepPending(state, event, out);
    case ServerNonInviteState.completed:
      if (event.kind === "request") out.resend();
      return event.kind === "timerJ" ? ServerNonInviteState.terminated : state;
    case ServerNonInviteState.terminated:
      return state;
    default:
      return state satisfies never;
  }
}

function stepPending(
  state: typeof ServerNonInviteState.trying | typeof ServerNonInviteState.proceeding,
  event: ServerNonInviteEvent,
  out: ServerNonInviteOut,
): ServerNonInviteStateId {
  switch (event.kind) {
    case "request":
      if (state === ServerNonInviteState.proceeding) out.resend();
      return state;
    case "respond":
      if (event.status < 200) {
        // RFC 4320 §4.1: no provisional but 100, and over an unreliable transport not before timerTrying, which sends one by itself.
        if (event.status !== 100 || (!out.reliable && state === ServerNonInviteState.trying)) return state;
        out.answer();
        return ServerNonInviteState.proceeding;
      }
      // RFC 4320 §4.2: the sender of a non-INVITE has timed out by itself; a 408 only adds to the storm.
      if (event.status === 408) return state;
      out.answer();
      out.arm("timerJ", out.reliable ? 0 : timerJMs);
      return ServerNonInviteState.completed;
    case "timerTrying":
      if (state === ServerNonInviteState.trying) out.sendTrying();
      return ServerNonInviteState.proceeding;
    case "timerExpiry":
      return ServerNonInviteState.terminated;
    case "transportError":
      // Figure 8 ends here. As RFC 6026 does for INVITE we stay: the sender may come back on another connection with the
      // same request, which must not be taken for a new one, and timerExpiry or timer J ends the wait.
      return state;
    case "timerJ": // armed only in Completed
      return state;
    default:
      return event satisfies never;
  }
}

import { t1Ms, t2Ms, t4Ms, type TimerEvent, timerFMs } from "./timers.ts";

/** Non-INVITE client transaction: RFC 3261 §17.1.2, figure 6. */
export const ClientNonInviteState = { trying: 1, proceeding: 2, completed: 3, terminated: 4 } as const;
export type ClientNonInviteStateId = (typeof ClientNonInviteState)[keyof typeof ClientNonInviteState];

export type ClientNonInviteTimer = "timerE" | "timerF" | "timerK";

export type ClientNonInviteEvent =
  | { readonly kind: "response"; readonly status: number }
  | TimerEvent<ClientNonInviteTimer>
  | { readonly kind: "transportError" }
  /** The transaction has a new hop, whose far end may not know the request. */
  | { readonly kind: "rebound" };

/** What the machine has done. A timer that no longer matters is not stopped: the machine ignores it. */
export interface ClientNonInviteOut {
  readonly reliable: boolean;
  /** Sends the request, the same bytes each time. */
  send(): void;
  /** Hands the response to the transaction user. */
  passUp(): void;
  timedOut(): void;
  transportFailed(): void;
  /** In place of what the same timer was armed for. */
  arm(timer: ClientNonInviteTimer, afterMs: number): void;
}

/** Sends the request; returns the first state. */
export function start(out: ClientNonInviteOut): ClientNonInviteStateId {
  out.send();
  if (!out.reliable) out.arm("timerE", t1Ms);
  out.arm("timerF", timerFMs);
  return ClientNonInviteState.trying;
}

/** Pure: returns the next state, reports actions to `out`. */
export function step(
  state: ClientNonInviteStateId,
  event: ClientNonInviteEvent,
  out: ClientNonInviteOut,
): ClientNonInviteStateId {
  switch (state) {
    case ClientNonInviteState.trying:
    case ClientNonInviteState.proceeding:
      return stepPending(state, event, out);
    case ClientNonInviteState.completed: // late retransmissions end here
      return event.kind === "timerK" ? ClientNonInviteState.terminated : state;
    case ClientNonInviteState.terminated:
      return state;
    default:
      return state satisfies never;
  }
}

function stepPending(
  state: typeof ClientNonInviteState.trying | typeof ClientNonInviteState.proceeding,
  event: ClientNonInviteEvent,
  out: ClientNonInviteOut,
): ClientNonInviteStateId {
  switch (event.kind) {
    case "response":
      out.passUp();
      if (event.status < 200) return ClientNonInviteState.proceeding;
      out.arm("timerK", out.reliable ? 0 : t4Ms);
      return ClientNonInviteState.completed;
    case "timerE":
      out.send();
      // §17.1.2.2: 1xx slows retransmission to T2; it does not stop it.
      out.arm("timerE", state === ClientNonInviteState.trying ? Math.min(event.afterMs * 2, t2Ms) : t2Ms);
      return state;
    case "timerF":
      out.timedOut();
      return ClientNonInviteState.terminated;
    case "transportError":
      out.transportFailed();
      return ClientNonInviteState.terminated;
    case "rebound":
      out.send();
      if (!out.reliable) out.arm("timerE", state === ClientNonInviteState.trying ? t1Ms : t2Ms);
      return state;
    case "timerK": // armed only in Completed
      return state;
    default:
      return event satisfies never;
  }
}

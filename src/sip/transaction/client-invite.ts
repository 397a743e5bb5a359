import { cancelledMs, t1Ms, type TimerEvent, timerBMs, timerDMs, timerMMs } from "./timers.ts";

/** INVITE client transaction: RFC 3261 §17.1.1 with figure 5 as RFC 6026 §8.4 replaced it. */
export const ClientInviteState = { calling: 1, proceeding: 2, completed: 3, accepted: 4, terminated: 5 } as const;
export type ClientInviteStateId = (typeof ClientInviteState)[keyof typeof ClientInviteState];

export type ClientInviteTimer = "timerA" | "timerB" | "timerD" | "timerM" | "timerCancelled";

export type ClientInviteEvent =
  | { readonly kind: "response"; readonly status: number }
  | TimerEvent<ClientInviteTimer>
  /** Our CANCEL for this INVITE was sent. */
  | { readonly kind: "cancelSent" }
  | { readonly kind: "transportError" }
  /** The transaction has a new hop, whose far end may not know the INVITE. */
  | { readonly kind: "rebound" };

/** What the machine has done. A timer that no longer matters is not stopped: the machine ignores it. */
export interface ClientInviteOut {
  readonly reliable: boolean;
  /** Sends the INVITE, the same bytes each time. */
  send(): void;
  /** Sends the ACK of a final response of 300 or more (§17.1.1.3). */
  acknowledge(): void;
  /** Hands the response to the transaction user. */
  passUp(): void;
  timedOut(): void;
  transportFailed(): void;
  /** In place of what the same timer was armed for. */
  arm(timer: ClientInviteTimer, afterMs: number): void;
}

/** Sends the INVITE; returns the first state. */
export function start(out: ClientInviteOut): ClientInviteStateId {
  sendAndArm(out);
  return ClientInviteState.calling;
}

function sendAndArm(out: ClientInviteOut): void {
  out.send();
  if (!out.reliable) out.arm("timerA", t1Ms);
  out.arm("timerB", timerBMs);
}

/** Pure: returns the next state, reports actions to `out`. */
export function step(state: ClientInviteStateId, event: ClientInviteEvent, out: ClientInviteOut): ClientInviteStateId {
  switch (state) {
    case ClientInviteState.calling:
      return stepCalling(event, out);
    case ClientInviteState.proceeding:
      return stepProceeding(event, out);
    case ClientInviteState.completed:
      return stepCompleted(event, out);
    case ClientInviteState.accepted:
      return stepAccepted(event, out);
    case ClientInviteState.terminated:
      return state;
    default:
      return state satisfies never;
  }
}

function stepCalling(event: ClientInviteEvent, out: ClientInviteOut): ClientInviteStateId {
  switch (event.kind) {
    case "response":
      return onResponse(event.status, out);
    case "timerA":
      out.send();
      // Doubling has no ceiling here: timer B ends it after seven sendings.
      out.arm("timerA", event.afterMs * 2);
      return ClientInviteState.calling;
    case "timerB":
      out.timedOut();
      return ClientInviteState.terminated;
    case "transportError":
      out.transportFailed();
      return ClientInviteState.terminated;
    case "rebound":
      sendAndArm(out);
      return ClientInviteState.calling;
    case "cancelSent": // §9.1: never before a 1xx
    case "timerCancelled":
    case "timerD":
    case "timerM":
      return ClientInviteState.calling;
    default:
      return event satisfies never;
  }
}

function stepProceeding(event: ClientInviteEvent, out: ClientInviteOut): ClientInviteStateId {
  switch (event.kind) {
    case "response":
      return onResponse(event.status, out);
    case "cancelSent":
      out.arm("timerCancelled", cancelledMs);
      return ClientInviteState.proceeding;
    case "timerCancelled":
      out.timedOut();
      return ClientInviteState.terminated;
    case "transportError":
      out.transportFailed();
      return ClientInviteState.terminated;
    case "rebound":
      // Once: the call may be ringing there already, and then this is a retransmission. Who waits too long is the user's matter.
      out.send();
      return ClientInviteState.proceeding;
    case "timerA": // §17.1.1.2: no retransmission after a 1xx
    case "timerB":
    case "timerD":
    case "timerM":
      return ClientInviteState.proceeding;
    default:
      return event satisfies never;
  }
}

function onResponse(status: number, out: ClientInviteOut): ClientInviteStateId {
  if (status >= 300) {
    out.acknowledge();
    out.passUp();
    out.arm("timerD", out.reliable ? 0 : timerDMs);
    return ClientInviteState.completed;
  }
  out.passUp();
  if (status < 200) return ClientInviteState.proceeding;
  out.arm("timerM", timerMMs);
  return ClientInviteState.accepted;
}

function stepCompleted(event: ClientInviteEvent, out: ClientInviteOut): ClientInviteStateId {
  switch (event.kind) {
    case "response":
      if (event.status >= 300) out.acknowledge();
      return ClientInviteState.completed;
    case "timerD":
      return ClientInviteState.terminated;
    case "transportError":
      out.transportFailed();
      return ClientInviteState.terminated;
    case "timerA":
    case "timerB":
    case "timerM":
    case "timerCancelled":
    case "cancelSent":
    case "rebound":
      return ClientInviteState.completed;
    default:
      return event satisfies never;
  }
}

function stepAccepted(event: ClientInviteEvent, out: ClientInviteOut): ClientInviteStateId {
  switch (event.kind) {
    case "response":
      // RFC 6026 §7.2: every 2xx goes up, repeated or of another fork; the transaction user sends the ACKs.
      if (event.status >= 200 && event.status < 300) out.passUp();
      return ClientInviteState.accepted;
    case "timerM":
      return ClientInviteState.terminated;
    case "timerA":
    case "timerB":
    case "timerD":
    case "timerCancelled":
    case "cancelSent":
    case "transportError":
    case "rebound":
      return ClientInviteState.accepted;
    default:
      return event satisfies never;
  }
}

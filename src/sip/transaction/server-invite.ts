import { inviteTryingMs, t1Ms, t2Ms, t4Ms, type TimerEvent, timerHMs, timerLMs } from "./timers.ts";

/** INVITE server transaction: RFC 3261 §17.2.1 with figure 7 as RFC 6026 §8.6 replaced it. */
export const ServerInviteState = { proceeding: 1, completed: 2, confirmed: 3, accepted: 4, terminated: 5 } as const;
export type ServerInviteStateId = (typeof ServerInviteState)[keyof typeof ServerInviteState];

export type ServerInviteTimer = "timerTrying" | "timerG" | "timerH" | "timerI" | "timerL";

export type ServerInviteEvent =
  /** The INVITE again. */
  | { readonly kind: "request" }
  /** An ACK that matches this transaction. */
  | { readonly kind: "ack" }
  /** The transaction user has a response. */
  | { readonly kind: "respond"; readonly status: number }
  | TimerEvent<ServerInviteTimer>
  | { readonly kind: "transportError" };

/** What the machine has done. A timer that no longer matters is not stopped: the machine ignores it. */
export interface ServerInviteOut {
  readonly reliable: boolean;
  /** Keeps the response of the event and sends it. */
  answer(): void;
  /** Sends the kept response again, if there is one. */
  resend(): void;
  /** Sends a 100, unless some response was sent already. */
  sendTrying(): void;
  /** Hands the ACK to the transaction user. */
  passAckUp(): void;
  /** Timer H: no ACK came. Timer L: an INVITE answered by 2xx is forgotten. */
  ackTimedOut(): void;
  /** In place of what the same timer was armed for. */
  arm(timer: ServerInviteTimer, afterMs: number): void;
}

/** The INVITE has come; returns the first state. */
export function start(out: ServerInviteOut): ServerInviteStateId {
  out.arm("timerTrying", inviteTryingMs);
  return ServerInviteState.proceeding;
}

/** Pure: returns the next state, reports actions to `out`. */
export function step(state: ServerInviteStateId, event: ServerInviteEvent, out: ServerInviteOut): ServerInviteStateId {
  // RFC 6026 §7.1: a transport error destroys nothing in any state, or a retransmission would pass for a new INVITE.
  if (event.kind === "transportError") return state;
  switch (state) {
    case ServerInviteState.proceeding:
      return stepProceeding(event, out);
    case ServerInviteState.completed:
      return stepCompleted(event, out);
    case ServerInviteState.confirmed: // absorbs repeated ACKs
      return event.kind === "timerI" ? ServerInviteState.terminated : state;
    case ServerInviteState.accepted:
      return stepAccepted(event, out);
    case ServerInviteState.terminated:
      return state;
    default:
      return state satisfies never;
  }
}

type LocalEvent = Exclude<ServerInviteEvent, { kind: "transportError" }>;

function stepProceeding(event: LocalEvent, out: ServerInviteOut): ServerInviteStateId {
  switch (event.kind) {
    case "request":
      out.resend();
      return ServerInviteState.proceeding;
    case "respond":
      out.answer();
      if (event.status < 200) return ServerInviteState.proceeding;
      if (event.status < 300) {
        out.arm("timerL", timerLMs);
        return ServerInviteState.accepted;
      }
      if (!out.reliable) out.arm("timerG", t1Ms);
      out.arm("timerH", timerHMs);
      return ServerInviteState.completed;
    case "ack":
      // Of no response of ours: a proxy that forked tells in this way that another branch has answered.
      out.passAckUp();
      return ServerInviteState.proceeding;
    case "timerTrying":
      out.sendTrying();
      return ServerInviteState.proceeding;
    case "timerG":
    case "timerH":
    case "timerI":
    case "timerL":
      return ServerInviteState.proceeding;
    default:
      return event satisfies never;
  }
}

function stepCompleted(event: LocalEvent, out: ServerInviteOut): ServerInviteStateId {
  switch (event.kind) {
    case "request":
      out.resend();
      return ServerInviteState.completed;
    case "ack":
      out.arm("timerI", out.reliable ? 0 : t4Ms);
      return ServerInviteState.confirmed;
    case "timerG":
      out.resend();
      out.arm("timerG", Math.min(event.afterMs * 2, t2Ms));
      return ServerInviteState.completed;
    case "timerH":
      out.ackTimedOut();
      return ServerInviteState.terminated;
    case "respond": // one final response only
    case "timerTrying":
    case "timerI":
    case "timerL":
      return ServerInviteState.completed;
    default:
      return event satisfies never;
  }
}

function stepAccepted(event: LocalEvent, out: ServerInviteOut): ServerInviteStateId {
  switch (event.kind) {
    case "respond":
      // RFC 6026 §7.1: 2xx are repeated end to end; each one that the user passes leaves.
      if (event.status >= 200 && event.status < 300) out.answer();
      return ServerInviteState.accepted;
    case "ack":
      out.passAckUp();
      return ServerInviteState.accepted;
    case "timerL":
      out.ackTimedOut();
      return ServerInviteState.terminated;
    case "request": // absorbed
    case "timerTrying":
    case "timerG":
    case "timerH":
    case "timerI":
      return ServerInviteState.accepted;
    default:
      return event satisfies never;
  }
}

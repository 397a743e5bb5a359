import { type RegistrationState, registrationStates } from "../base/records.ts";

/** States of a registration, as numbers for the column. The transaction of its REGISTER is a machine of its own, see register-transactions.ts. */
export const RegistrationStateId = {
  /** Not wanted, and no binding of ours that is to be removed. */
  idle: 0,
  /** Wanted, never registered since. */
  registering: 1,
  /** The registrar has our binding. */
  registered: 2,
  /** Wanted, without a binding, after a failure; tried again. */
  retrying: 3,
  /** The registrar said no. */
  refused: 4,
  /** Not wanted; our binding is being removed. */
  unregistering: 5,
} as const;
export type RegistrationStateNumber = (typeof RegistrationStateId)[keyof typeof RegistrationStateId];

export function stateName(state: number): RegistrationState {
  return registrationStates[state] ?? "idle";
}

/** What can happen to a registration. */
export const Happening = {
  /** The account is to be registered. */
  wanted: 1,
  /** It is not, and a binding of ours may be at the registrar. */
  unwanted: 2,
  /** It is not, and there is nothing to remove, or nothing that we may remove. */
  released: 3,
  /** The registrar confirmed our binding. */
  bound: 4,
  /** An attempt failed for now; `holdsBinding` tells whether an earlier binding still lives. */
  failed: 5,
  /** The registrar refused the account. */
  denied: 6,
  /** The binding's time is over. */
  lapsed: 7,
} as const;
export type HappeningId = (typeof Happening)[keyof typeof Happening];

/** One step of a registration. Pure: what to send is decided by who calls it, from the state that results. */
export function step(
  state: RegistrationStateNumber,
  happening: HappeningId,
  holdsBinding: boolean,
): RegistrationStateNumber {
  const S = RegistrationStateId;
  switch (happening) {
    case Happening.wanted:
      if (state === S.idle) return S.registering;
      // The un-REGISTER may not have reached anybody: while the binding lives, it is taken up again.
      return state === S.unregistering ? (holdsBinding ? S.registered : S.registering) : state;
    case Happening.unwanted:
      return S.unregistering;
    case Happening.released:
      return S.idle;
    case Happening.bound:
      return S.registered;
    case Happening.failed:
      if (state === S.registered) return holdsBinding ? S.registered : S.retrying;
      return state === S.registering ? S.retrying : state;
    case Happening.denied:
      return S.refused;
    case Happening.lapsed:
      return state === S.registered ? S.retrying : state;
    default:
      return happening satisfies never;
  }
}

/** What an answer to a REGISTER calls for. */
export type Verdict =
  | "accepted"
  | "challenged"
  | "redirected"
  /** 423: ask for a longer time. */
  | "tooBrief"
  /** Something in the request was not understood: once more with the least that RFC 3261 asks for. */
  | "simplify"
  /** Another binding holds the only place. */
  | "crowded"
  /** The account is refused. */
  | "denied"
  /** What was to be removed is not there. */
  | "gone"
  /** This server does not serve now; another one may. */
  | "busy"
  /** Try again later. */
  | "later";

export interface AnswerFacts {
  readonly status: number;
  readonly isUnbind: boolean;
  /** A request without extensions has been tried. */
  readonly isPlain: boolean;
  /** The answer lists a Contact that is not ours, or says in words or in P-Registrar-Error that there are too many. */
  readonly speaksOfOthers: boolean;
}

/** Final statuses by which a registrar refuses the account or the method: asking again would be the same question. */
const refusals = new Set([402, 403, 404, 405, 410, 484, 494, 501, 600, 603, 604, 606]);
/** Statuses of a request that was not understood. */
const misunderstandings = new Set([400, 406, 415, 420, 421, 439, 488, 513]);
/** Statuses of a server, not of the account. */
const serverTroubles = new Set([408, 430, 500, 502, 503, 504]);

/** Whether the status speaks of the server: another one may serve (RFC 3263 §4.3). */
export function isServerTrouble(status: number): boolean {
  return serverTroubles.has(status);
}

/** What a final answer calls for (RFC 3261 §10.2.8, §21). Pure. */
export function judge(facts: AnswerFacts): Verdict {
  const { status } = facts;
  if (status < 300) return "accepted";
  if (status === 401 || status === 407) return "challenged";
  if (status < 400) return "redirected";
  if (facts.isUnbind && (status === 404 || status === 410 || status === 481)) return "gone";
  if (status === 423) return facts.isUnbind ? "later" : "tooBrief";
  if (facts.speaksOfOthers && (status === 403 || status === 503 || status >= 600)) return "crowded";
  if (misunderstandings.has(status)) return facts.isPlain ? "later" : "simplify";
  if (refusals.has(status)) return "denied";
  return isServerTrouble(status) ? "busy" : "later";
}

/** An account's REGISTERs are so far apart, but for answers to challenges and what a person waits for. */
export const floorMs = 5000;
/** Shares of the granted time after which a binding is refreshed. */
const refreshLeast = 0.8;
const refreshMost = 0.9;
/** A refresh leaves this long before the end: a whole non-INVITE transaction (32 s) fits, and a little more. */
const spareSec = 35;
/** Where a crowd's next refreshes are spread from. */
const spreadLeast = 0.1;
/** Seconds granted that are believed: nothing good comes of a binding that nobody looks after for longer. */
export const grantedSecMax = 86_400;

/**
 * Seconds after which a binding is to be refreshed: 80 to 90 % of the granted time, never later than 35 s before its end, or half of it
 * when it is short. `share` in [0, 1) is the jitter. In a crowd: anywhere from a tenth of that on.
 */
export function refreshAfterSec(grantedSec: number, share: number, isCrowded: boolean): number {
  const latest = Math.max(grantedSec - spareSec, grantedSec / 2);
  if (isCrowded) {
    // What would come sooner than it may would come all at once when it may.
    const least = Math.max(latest * spreadLeast, Math.min(floorMs / 1000, latest / 2));
    return least + (latest - least) * share;
  }
  const most = Math.min(grantedSec * refreshMost, latest);
  // Where the latest moment comes first, the jitter lies before it.
  const least = Math.min(grantedSec * refreshLeast, latest * (refreshLeast / refreshMost));
  return least + (most - least) * share;
}

/** RFC 5626 §4.5: base and most of the wait after failures in a row. */
const retryBaseMs = 30_000;
const retryMsMax = 1_800_000;

/** Wait after the nth failure in a row, n from 1: between half and all of 60 s, 120 s … 30 min. */
export function backOffMs(failures: number, share: number): number {
  const bound = Math.min(retryMsMax, retryBaseMs * 2 ** Math.min(Math.max(failures, 1), 10));
  return bound * (0.5 + share / 2);
}

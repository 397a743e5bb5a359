import type { RegistrationIndex } from "../base/ids.ts";
import { RegistrationStateId, type RegistrationStateNumber } from "./machine.ts";

/** Requests of one account that may wait at once; more are told at once that it is pending. */
const waitingMax = 16;

interface Waiting {
  readonly requestId: number;
  readonly wanted: boolean;
  readonly untilMs: number;
}

/** Who waits for an account's registration to come where its presence wants it. */
export class PresenceRequests {
  readonly #answer: (requestId: number, row: RegistrationIndex, isPending: boolean) => void;
  readonly #byRow = new Map<RegistrationIndex, Waiting[]>();

  constructor(answer: (requestId: number, row: RegistrationIndex, isPending: boolean) => void) {
    this.#answer = answer;
  }

  /** Answers at once when the row is there already, or when nobody is to wait. */
  add(
    requestId: number,
    row: RegistrationIndex,
    wanted: boolean,
    state: RegistrationStateNumber,
    nowMs: number,
    waitMs: number,
  ): void {
    const waiting = this.#byRow.get(row) ?? [];
    if (isThere(wanted, state)) this.#answer(requestId, row, false);
    else if (waitMs <= 0 || waiting.length >= waitingMax) this.#answer(requestId, row, true);
    else {
      waiting.push({ requestId, wanted, untilMs: nowMs + waitMs });
      this.#byRow.set(row, waiting);
    }
  }

  /** The row came into another state. */
  onState(row: RegistrationIndex, state: RegistrationStateNumber): void {
    if (this.#byRow.size === 0) return;
    this.#sift(row, (one) => isThere(one.wanted, state), false);
  }

  /** Those who have waited long enough hear that it is pending. */
  tick(nowMs: number): void {
    for (const row of this.#byRow.keys()) this.#sift(row, (one) => nowMs >= one.untilMs, true);
  }

  /** The account is gone; nobody need wait. */
  drop(row: RegistrationIndex): void {
    this.#sift(row, () => true, true);
  }

  #sift(row: RegistrationIndex, isDone: (one: Waiting) => boolean, isPending: boolean): void {
    const waiting = this.#byRow.get(row);
    if (waiting === undefined) return;
    const done = waiting.filter(isDone);
    if (done.length === 0) return;
    const left = waiting.filter((one) => !done.includes(one));
    if (left.length === 0) this.#byRow.delete(row);
    else this.#byRow.set(row, left);
    for (const one of done) this.#answer(one.requestId, row, isPending);
  }
}

function isThere(wanted: boolean, state: RegistrationStateNumber): boolean {
  if (state === RegistrationStateId.refused) return true;
  return state === (wanted ? RegistrationStateId.registered : RegistrationStateId.idle);
}

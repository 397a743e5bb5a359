import type { RegistrationIndex } from "../base/ids.ts";
import type { Ledger } from "./ledger.ts";
import { floorMs } from "./machine.ts";
import type { Registrar } from "./registrar.ts";
import { Flag } from "./row-flags.ts";
import type { RowTimers } from "./row-timers.ts";
import { ChainFlag } from "./volatile-rows.ts";

/** Among those who wait, one without a binding stands as if it had one that ends this long after it came. */
const unboundRankMs = 30_000;
/** The local address of a route is being looked up: ask again. */
const routeRetryMs = 100;
/** Attempts at once while a registrar refuses more accounts than it takes. */
const waryInFlightMax = 8;
/** Accounts that a breaker holds back come again spread over this time. */
const heldSpreadMs = 30_000;

export interface LineUser {
  /** The row's turn has come. */
  onTurn(registrar: Registrar, row: RegistrationIndex): void;
  /** The row has come to a registrar of which no server can be found. */
  onNoServer(row: RegistrationIndex, reason: string): void;
}

/**
 * Who waits for a REGISTER and who goes: each registrar's queue, those whose binding ends first before the others, let out as its budget, its
 * breaker and its servers allow.
 */
export class WaitingLine {
  readonly #ledger: Ledger;
  readonly #timers: RowTimers;
  readonly #user: LineUser;
  /** Registrars with rows that wait. */
  readonly #active = new Set<Registrar>();
  #pumping = false;
  /** While true nothing begins: the shard is still being put together. */
  isHeld = false;
  #routeRetryAtMs = 0;

  constructor(ledger: Ledger, timers: RowTimers, user: LineUser) {
    this.#ledger = ledger;
    this.#timers = timers;
    this.#user = user;
  }

  /** Lets the row's next attempt begin as soon as its registrar's budget allows. `urgent`: somebody waits for it. */
  enqueue(row: RegistrationIndex, urgent: boolean): void {
    const ledger = this.#ledger;
    if (ledger.isBusy(row)) return;
    const now = this.#timers.nowMs;
    const { volatile, columns } = ledger;
    if (!urgent) {
      const ageMs = ledger.ageMs(row, now);
      if (ageMs < floorMs) {
        this.#timers.schedule(row, now + floorMs - ageMs);
        return;
      }
    }
    const registrar = ledger.registrar(row);
    // Nobody waits and the registrar has room: no need to stand in line.
    if (registrar.queue.size === 0 && !this.#pumping && this.#admits(registrar, row, urgent)) {
      volatile.setChain(row, ChainFlag.waited, false);
      this.#user.onTurn(registrar, row);
      return;
    }
    volatile.setChain(row, ChainFlag.urgent, urgent);
    volatile.setChain(row, ChainFlag.waited, true);
    registrar.queue.put(row, urgent ? now - unboundRankMs : this.#rank(row));
    columns.setActMs(row, 0);
    this.#watchOver(row);
    this.wake(registrar);
    if (volatile.queued(row) === 0) return;
    const isOut = registrar.isLost || (this.#isUnreached(registrar) && !ledger.isBound(row, now));
    if (isOut) this.#user.onNoServer(row, registrar.lastReason);
  }

  /** Whether the registrar is silent because no connection to it comes about. */
  #isUnreached({ reach, lastReason }: Registrar): boolean {
    const peer = reach.current;
    return reach.isSilent && lastReason !== "" && peer !== undefined && this.#ledger.peers.entry(peer).isStream;
  }

  /** An attempt that could not go on stands in line again, without hurry. What it has tried stays known: a late answer may still take it up. */
  putBack(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const registrar = ledger.registrar(row);
    ledger.volatile.setChain(row, ChainFlag.urgent, false);
    ledger.volatile.setChain(row, ChainFlag.waited, true);
    registrar.queue.put(row, this.#rank(row));
    this.#active.add(registrar);
    this.#watchOver(row);
  }

  /** The way to the row's server is not known yet: it stands in line until it is. */
  putBackForRoute(row: RegistrationIndex): void {
    this.#routeRetryAtMs = this.#timers.nowMs + routeRetryMs;
    this.putBack(row);
  }

  /** Something about the registrar is new: whoever waits may go. */
  wake(registrar: Registrar): void {
    this.#active.add(registrar);
    this.pump(registrar);
  }

  /** The same, at the next tick. */
  wakeSoon(registrar: Registrar): void {
    this.#active.add(registrar);
  }

  tick(): void {
    for (const registrar of this.#active) this.pump(registrar);
  }

  /** Begins what may begin at this registrar. */
  pump(registrar: Registrar): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (;;) {
        const row = registrar.queue.first();
        if (row === undefined) {
          this.#active.delete(registrar);
          return;
        }
        const urgent = this.#ledger.volatile.chain(row, ChainFlag.urgent);
        if (!this.#admits(registrar, row, urgent)) {
          // The breaker may have taken the row out; then the next one has its turn.
          if (registrar.queue.first() === row) return;
          continue;
        }
        registrar.queue.remove(row);
        this.#user.onTurn(registrar, row);
      }
    } finally {
      this.#pumping = false;
    }
  }

  /** Whether the row may begin now. Starts look-ups that are missing, and takes out of line what a breaker holds back. */
  #admits(registrar: Registrar, row: RegistrationIndex, urgent: boolean): boolean {
    const now = this.#timers.nowMs;
    const ledger = this.#ledger;
    const { reach, budget, breaker } = registrar;
    if (this.isHeld) return false;
    if (now >= registrar.locateAtMs) registrar.locate(now);
    if (!reach.isKnown || now < this.#routeRetryAtMs) return false;
    if (reach.isSilent) {
      if (!reach.mayProbe(now) || (!urgent && ledger.ageMs(row, now) < floorMs)) return false;
    } else if (!budget.mayStart(now)) return false;
    const isNew = !ledger.isBound(row, now) && ledger.columns.is(row, Flag.wanted);
    if (isNew && breaker.isWary && budget.inFlight >= waryInFlightMax) return false;
    if (isNew && !breaker.allows(now)) {
      registrar.queue.remove(row);
      this.#timers.schedule(row, breaker.nextTrialMs(now) + ledger.pool.between(0, heldSpreadMs));
      return false;
    }
    return true;
  }

  /** Where the row stands in line: by the end of its binding. */
  #rank(row: RegistrationIndex): number {
    const ledger = this.#ledger;
    const now = this.#timers.nowMs;
    return ledger.isBound(row, now) ? ledger.monotonicOf(ledger.columns.expiresMs(row)) : now + unboundRankMs;
  }

  /** While a row waits its timer watches over the end of its binding. */
  #watchOver(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { columns } = ledger;
    if (!columns.is(row, Flag.wanted)) this.#timers.arm(row, ledger.monotonicOf(columns.mayEndSec(row) * 1000));
    else if (columns.is(row, Flag.bound)) this.#timers.arm(row, ledger.monotonicOf(columns.expiresMs(row)));
    else this.#timers.disarm(row);
  }
}

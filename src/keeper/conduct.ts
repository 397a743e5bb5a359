import type { RegistrationIndex } from "../base/ids.ts";
import type { RegistrationMode } from "../base/records.ts";
import { Counter } from "../observe/lanes.ts";
import type { Log } from "../observe/log.ts";
import type { Attempts, AttemptUser } from "./attempts.ts";
import type { Ledger } from "./ledger.ts";
import { backOffMs, floorMs, Happening, RegistrationStateId } from "./machine.ts";
import type { Profile, ProfileKey } from "./profile.ts";
import { ChainFlag, Purpose, type PurposeId, TxState } from "./volatile-rows.ts";
import { Flag, ModeId, modeName } from "./row-flags.ts";

/** A refused account is tried again after about a day. */
const refusedRetryMs = 86_400_000;
/** Un-REGISTERs that fail are repeated from this on, doubling, until answered or the binding has run out. */
const unbindRetryMs = 5000;
const unbindRetryMsMax = 120_000;
const jitter = 0.1;

export interface ConductEvents {
  onModeLearned(row: RegistrationIndex, mode: Exclude<RegistrationMode, "auto">): void;
  onRefused(row: RegistrationIndex, status: number, reason: string): void;
  onServerKnown(row: RegistrationIndex): void;
  /** The row's credentials were taken for another realm than before. */
  onRealmChanged(row: RegistrationIndex, realm: string): void;
  /** A row whose account is gone has nothing left to do. */
  onForgotten(row: RegistrationIndex): void;
}

/**
 * What is to be done about each registration: whether it is wanted, what the registrar said, and when to ask again. Its decisions
 * are carried out by Attempts; what comes back is read by Answers.
 */
export class Conduct implements AttemptUser {
  readonly #ledger: Ledger;
  readonly #events: ConductEvents;
  readonly #log: Log;
  #attempts: Attempts | undefined;

  constructor(ledger: Ledger, events: ConductEvents, log: Log) {
    this.#ledger = ledger;
    this.#events = events;
    this.#log = log;
  }

  /** Attempts and conduct need each other; once, before anything happens. */
  connect(attempts: Attempts): void {
    this.#attempts = attempts;
  }

  get #doing(): Attempts {
    if (this.#attempts === undefined) throw new Error("conduct is not connected");
    return this.#attempts;
  }

  // ---- what is wanted

  /** Makes the row go where it should be. `urgent`: somebody waits for it. */
  settle(row: RegistrationIndex, urgent: boolean): void {
    const ledger = this.#ledger;
    const { columns } = ledger;
    if (ledger.isBusy(row)) return;
    const now = this.#doing.nowMs;
    if (!columns.is(row, Flag.wanted)) {
      this.#settleUnwanted(row, urgent, now);
      return;
    }
    if (columns.is(row, Flag.denied)) {
      ledger.happen(row, Happening.denied, now);
      this.#scheduleSlowRetry(row, now);
      return;
    }
    ledger.happen(row, Happening.wanted, now);
    if (ledger.state(row) === RegistrationStateId.registered && ledger.isBound(row, now)) {
      if (ledger.volatile.queued(row) === 0 && columns.actMs(row) === 0) this.#doing.enqueue(row);
      return;
    }
    this.#doing.enqueue(row, urgent);
  }

  #settleUnwanted(row: RegistrationIndex, urgent: boolean, now: number): void {
    const ledger = this.#ledger;
    const { columns } = ledger;
    const isRemoval = columns.is(row, Flag.removing);
    // One device that moves: the phone's REGISTER overwrites ours, and to remove ours might remove the phone's.
    const mayUnbind = isRemoval || !ledger.leavesBinding(row);
    // A refused password is not tried again, not even to leave.
    if (mayUnbind && ledger.mayBeBound(row, now) && !columns.is(row, Flag.denied)) {
      ledger.happen(row, Happening.unwanted, now);
      this.#doing.enqueue(row, urgent);
      return;
    }
    this.removed(row);
  }

  purposeOf(row: RegistrationIndex): PurposeId {
    const ledger = this.#ledger;
    const { columns } = ledger;
    if (columns.is(row, Flag.wanted)) return columns.is(row, Flag.denied) ? Purpose.none : Purpose.bind;
    if (!ledger.mayBeBound(row, this.#doing.nowMs)) return Purpose.none;
    if (columns.is(row, Flag.removing)) return Purpose.unbind;
    if (ledger.leavesBinding(row)) return Purpose.none;
    // A registrar with room for one binding would take our un-REGISTER for the phone's: look first, until we know it.
    const hasRoom = !ledger.isUndecided(row) && ledger.mode(row) !== ModeId.singleDevice;
    return hasRoom ? Purpose.unbind : Purpose.query;
  }

  // ---- what happened

  /** No binding of ours is at the registrar any more, or none that is our business; the attempt ends. */
  removed(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { columns } = ledger;
    columns.set(row, Flag.bound, false);
    columns.setExpiresMs(row, 0);
    columns.setMayEndSec(row, 0);
    columns.setFailures(row, 0);
    ledger.removals.delete(row);
    this.#doing.abandon(row);
    if (columns.is(row, Flag.removing)) {
      this.#events.onForgotten(row);
      return;
    }
    ledger.happen(row, Happening.released, this.#doing.nowMs);
    columns.seal(row);
    this.boundOrRemoved(row);
  }

  /** The end of an attempt: is it where it should be? It may have been told otherwise meanwhile. */
  boundOrRemoved(row: RegistrationIndex): void {
    const { columns } = this.#ledger;
    const isIdle = this.#ledger.state(row) === RegistrationStateId.idle;
    if (columns.is(row, Flag.wanted) === isIdle) this.settle(row, true);
  }

  /** An attempt failed for now and ends. `waitMs` 0: wait as usual, longer each time. */
  failed(row: RegistrationIndex, waitMs: number): void {
    const ledger = this.#ledger;
    this.#doing.endChain(row);
    const { columns, pool } = ledger;
    const now = this.#doing.nowMs;
    this.#comeBack(row);
    if (columns.is(row, Flag.wanted) && this.#wasLeaving(row)) {
      // It was to go, and is wanted again: what failed says nothing about a registration.
      this.settle(row, true);
      return;
    }
    columns.setFailures(row, columns.failures(row) + 1);
    if (!columns.is(row, Flag.wanted)) {
      this.#unbindFailed(row, waitMs, now);
      return;
    }
    let delayMs =
      waitMs > 0
        ? Math.max(waitMs, floorMs) * (1 + pool.between(0, jitter))
        : backOffMs(columns.failures(row), pool.between(0, 1));
    const isBound = ledger.isBound(row, now);
    if (isBound && waitMs === 0) {
      // A binding that lives is worth more than one try.
      const leftMs = columns.expiresMs(row) - ledger.wallOf(now);
      delayMs = Math.max(Math.min(delayMs, leftMs / 2), floorMs);
    }
    this.#doing.schedule(row, now + delayMs);
    ledger.happen(row, Happening.failed, now);
    columns.seal(row);
  }

  /** Whether the attempt that has ended was one to remove our binding. */
  #wasLeaving(row: RegistrationIndex): boolean {
    const { volatile } = this.#ledger;
    const purpose = volatile.purpose(row);
    return purpose === Purpose.unbind || (purpose === Purpose.query && !volatile.chain(row, ChainFlag.queried));
  }

  #unbindFailed(row: RegistrationIndex, waitMs: number, now: number): void {
    const ledger = this.#ledger;
    const { columns, pool } = ledger;
    if (!ledger.mayBeBound(row, now)) {
      this.removed(row);
      return;
    }
    const usualMs = Math.min(unbindRetryMs * 2 ** Math.min(columns.failures(row) - 1, 10), unbindRetryMsMax);
    const endMs = ledger.monotonicOf(columns.mayEndSec(row) * 1000);
    this.#doing.schedule(row, Math.min(now + Math.max(waitMs, usualMs) * (1 + pool.between(0, jitter)), endMs));
    ledger.happen(row, Happening.unwanted, now);
    columns.seal(row);
  }

  /** The registrar refused the account; the attempt ends. */
  denied(row: RegistrationIndex, status: number, reason: string): void {
    const ledger = this.#ledger;
    this.#doing.endChain(row);
    const { columns } = ledger;
    const now = this.#doing.nowMs;
    this.#comeBack(row);
    const isPassword = status === 401 || status === 407;
    if (!isPassword && columns.is(row, Flag.wanted) && this.#wasLeaving(row)) {
      // Not to be let go is not to be refused.
      this.settle(row, true);
      return;
    }
    ledger.setReason(row, reason);
    columns.setFailures(row, columns.failures(row) + 1);
    if (!columns.is(row, Flag.wanted)) {
      // We cannot remove it; it will run out.
      this.removed(row);
      return;
    }
    const isNew = !ledger.isBound(row, now);
    columns.set(row, Flag.denied, true);
    columns.set(row, Flag.bound, false);
    const registrar = ledger.registrar(row);
    if (isNew && registrar.breaker.refused(now)) {
      this.#log.warn("registrar.breakerOpen", { registrar: registrar.target.host, status });
    }
    this.#scheduleSlowRetry(row, now);
    ledger.happen(row, Happening.denied, now);
    columns.seal(row);
    this.#events.onRefused(row, status, reason);
  }

  /** `auto` has found out what the registrar wants. */
  learnMode(row: RegistrationIndex, mode: 1 | 2 | 3): void {
    const ledger = this.#ledger;
    if (!ledger.isUndecided(row)) return;
    ledger.columns.setLearnedMode(row, mode);
    this.#events.onModeLearned(row, modeName(mode) as Exclude<RegistrationMode, "auto">);
  }

  /** The registrar is not quite the one it was, or not at all. */
  realmChanged(row: RegistrationIndex, realm: string): void {
    if (!this.#ledger.columns.is(row, Flag.removing)) this.#events.onRealmChanged(row, realm);
  }

  /** The row's REGISTERs go elsewhere from now on. */
  moveTo(row: RegistrationIndex, key: ProfileKey, base: Profile | undefined): void {
    this.#ledger.reprofile(row, key, base);
  }

  /** A server that a 3xx named did not serve: back to the one that named it. */
  #comeBack(row: RegistrationIndex): void {
    const { base } = this.#ledger.profile(row);
    if (base === undefined) return;
    this.#ledger.credentials.forgetNonce(row);
    this.#ledger.reprofile(row, base.key, undefined);
  }

  // ---- AttemptUser

  onIdle(row: RegistrationIndex): void {
    this.settle(row, false);
  }

  onDue(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { columns } = ledger;
    const actMs = ledger.monotonicOf(columns.actMs(row));
    if (columns.actMs(row) !== 0 && actMs > this.#doing.nowMs) {
      this.#doing.schedule(row, actMs);
      return;
    }
    columns.setActMs(row, 0);
    if (columns.is(row, Flag.wanted)) {
      // A day has passed since it was refused.
      columns.set(row, Flag.denied, false);
      if (columns.is(row, Flag.bound) && !ledger.isBound(row, this.#doing.nowMs)) this.onLapsed(row);
      this.#doing.enqueue(row);
      return;
    }
    if (ledger.mayBeBound(row, this.#doing.nowMs) && ledger.state(row) === RegistrationStateId.unregistering) {
      this.#doing.enqueue(row);
    } else this.removed(row);
  }

  onTimeout(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { columns } = ledger;
    ledger.setReason(row, "no answer");
    columns.setLastStatus(row, 408);
    if (!ledger.registrar(row).reach.isSilent || ledger.profile(row).base !== undefined) {
      this.failed(row, 0);
      return;
    }
    if (!columns.is(row, Flag.wanted) && !ledger.mayBeBound(row, this.#doing.nowMs)) {
      this.removed(row);
      return;
    }
    // Nobody is answered: no fault of this account's. It waits until the registrar is back.
    if (columns.is(row, Flag.wanted)) ledger.happen(row, Happening.failed, this.#doing.nowMs);
    columns.seal(row);
    this.#doing.enqueue(row);
  }

  onLapsed(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { columns } = ledger;
    columns.set(row, Flag.bound, false);
    if (!columns.is(row, Flag.wanted)) return;
    ledger.lane.add(Counter.registerLapsed, 1);
    ledger.happen(row, Happening.lapsed, this.#doing.nowMs);
    columns.seal(row);
  }

  onNoServer(row: RegistrationIndex, reason: string): void {
    const ledger = this.#ledger;
    ledger.setReason(row, reason);
    if (ledger.profile(row).base !== undefined) {
      this.failed(row, 0);
      return;
    }
    if (!ledger.columns.is(row, Flag.wanted)) return;
    // What policy forbids is a refusal, and the device hears why; the row waits on for a name that leads elsewhere.
    const happening = ledger.registrar(row).isForbidden ? Happening.denied : Happening.failed;
    ledger.happen(row, happening, this.#doing.nowMs);
  }

  onServerKnown(row: RegistrationIndex): void {
    this.#events.onServerKnown(row);
  }

  #scheduleSlowRetry(row: RegistrationIndex, now: number): void {
    if (this.#ledger.volatile.txState(row) !== TxState.none) return;
    this.#ledger.registrar(row).queue.remove(row);
    this.#ledger.volatile.setChain(row, ChainFlag.waited, false);
    this.#doing.schedule(row, now + refusedRetryMs * this.#ledger.pool.between(1 - jitter, 1 + jitter));
  }
}

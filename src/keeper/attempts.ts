import type { RegistrationIndex } from "../base/ids.ts";
import type { PeerId } from "../net/network.ts";
import type { Log } from "../observe/log.ts";
import type { Ledger } from "./ledger.ts";
import { RegisterTransactions, type TransactionUser } from "./register-transactions.ts";
import type { Registrar, RegistrarOwner } from "./registrar.ts";
import { Flag } from "./row-flags.ts";
import { RowTimers } from "./row-timers.ts";
import { ServerWatch, type WatchUser } from "./server-watch.ts";
import { ChainFlag, Purpose, type PurposeId } from "./volatile-rows.ts";
import { WaitingLine } from "./waiting-line.ts";

/** Who decides what is to be done; attempts only do it. */
export interface AttemptUser extends TransactionUser, WatchUser {
  /** What the row's next attempt is for; `Purpose.none`: nothing. */
  purposeOf(row: RegistrationIndex): PurposeId;
  /** The row's turn has come and there is nothing to do for it any more. */
  onIdle(row: RegistrationIndex): void;
  /** The row's own timer rang: time to refresh, to retry, to give up waiting. */
  onDue(row: RegistrationIndex): void;
}

/**
 * An attempt is what a row does from its turn in line to the answer that ends it: one REGISTER transaction or several, with challenges answered
 * and corrections made. Here it begins and ends; the line (waiting-line.ts), the transactions (register-transactions.ts) and the servers
 * (server-watch.ts) are each in a file of their own.
 */
export class Attempts implements RegistrarOwner {
  readonly #ledger: Ledger;
  readonly #user: AttemptUser;
  readonly #timers: RowTimers;
  readonly #line: WaitingLine;
  readonly #watch: ServerWatch;
  readonly #transactions: RegisterTransactions;

  constructor(ledger: Ledger, user: AttemptUser, log: Log) {
    this.#ledger = ledger;
    this.#user = user;
    this.#timers = new RowTimers(ledger, (row) => this.#onDue(row));
    this.#line = new WaitingLine(ledger, this.#timers, {
      onTurn: (registrar, row) => this.#begin(registrar, row),
      onNoServer: (row, reason) => user.onNoServer(row, reason),
    });
    this.#watch = new ServerWatch(ledger, this.#timers, this.#line, user, log);
    this.#transactions = new RegisterTransactions(ledger, this.#timers, this.#line, this.#watch, user);
  }

  /** The time of what is going on: one reading a datagram, command or tick. */
  get nowMs(): number {
    return this.#timers.nowMs;
  }
  setNow(nowMs: number): void {
    this.#timers.setNow(nowMs);
  }

  /** While true nothing begins: the shard is still being put together. */
  set isHeld(isHeld: boolean) {
    this.#line.isHeld = isHeld;
  }

  /** The row's next look, at a monotonic time; persisted as wall time. */
  schedule(row: RegistrationIndex, atMs: number): void {
    this.#timers.schedule(row, atMs);
  }

  /** Advances time: timers, waiting rows, look-ups, keep-alives. */
  tick(nowMs: number): void {
    this.#timers.advance(nowMs);
    this.#line.tick();
    this.#watch.tick(nowMs);
  }

  /** Sends what is queued. */
  flush(): void {
    this.#transactions.flush();
  }

  // ---- beginning and ending

  /** Lets the row's next attempt begin as soon as its registrar's budget allows. `urgent`: somebody waits for it. */
  enqueue(row: RegistrationIndex, urgent = false): void {
    this.#line.enqueue(row, urgent);
  }

  /** Begins what may begin at this registrar. */
  pump(registrar: Registrar): void {
    this.#line.pump(registrar);
  }

  #begin(registrar: Registrar, row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { volatile } = ledger;
    const purpose = this.#user.purposeOf(row);
    if (purpose === Purpose.none) {
      this.#user.onIdle(row);
      return;
    }
    const waited = volatile.chain(row, ChainFlag.waited);
    volatile.clearChain(row);
    volatile.setChain(row, ChainFlag.inFlight, true);
    volatile.setChain(row, ChainFlag.waited, waited);
    if (purpose === Purpose.bind && ledger.isBound(row, this.nowMs)) volatile.setChain(row, ChainFlag.refresh, true);
    registrar.budget.started();
    if (registrar.reach.isSilent) {
      registrar.reach.probing(this.nowMs);
      registrar.probe = row;
    }
    this.#transactions.transmit(row, purpose);
  }

  /** Ends the row's attempt: its place in the budget is free. */
  endChain(row: RegistrationIndex): void {
    this.#transactions.end(row);
  }

  /** Takes the row out of line and gives its transaction up, if it has one. */
  abandon(row: RegistrationIndex): void {
    this.#ledger.registrar(row).queue.remove(row);
    this.#transactions.end(row);
    this.#timers.unschedule(row);
  }

  // ---- within an attempt

  /** HOT. A new REGISTER transaction within the row's attempt. */
  transmit(row: RegistrationIndex, purpose: PurposeId): void {
    this.#transactions.transmit(row, purpose);
  }
  /** A provisional answer. */
  proceed(row: RegistrationIndex): void {
    this.#transactions.proceed(row);
  }
  /** HOT. Any final answer; call before it is acted on. */
  heardFinal(row: RegistrationIndex): void {
    this.#transactions.heardFinal(row);
  }
  /** Round trip of the row's answered REGISTER; -1 when it was sent more than once. */
  roundTripMs(row: RegistrationIndex): number {
    return this.#transactions.roundTripMs(row);
  }

  #onDue(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    if (!ledger.columns.isUsed(row) || ledger.volatile.profile(row) === 0) return;
    if (ledger.isBusy(row)) this.#transactions.onDue(row);
    else if (ledger.volatile.queued(row) !== 0 && ledger.columns.is(row, Flag.wanted)) {
      this.#transactions.checkLapse(row);
    } else this.#user.onDue(row);
  }

  // ---- servers

  onLocated(registrar: Registrar): void {
    this.#watch.onLocated(registrar);
  }
  onLost(registrar: Registrar, reason: string): void {
    this.#watch.onLost(registrar, reason);
  }

  /** A flow broke, or ICMP said that nobody is there. */
  onPeerDown(peer: PeerId, reason: string): void {
    const isFlow = this.#ledger.network.endpoint(peer).transport !== "udp";
    for (const registrar of this.#ledger.registrars) {
      if (!registrar.reach.peers.includes(peer)) continue;
      registrar.lastReason = reason;
      const wasInUse = registrar.registered > 0;
      this.#watch.changed(registrar, registrar.reach.down(peer, this.nowMs, isFlow, wasInUse));
      if (!isFlow) continue;
      this.#flowLost(registrar, peer);
      if (registrar.reach.isSilent) this.#watch.unreached(registrar);
    }
  }

  /** RFC 5626 §4.5: every registration that used the flow moves to a new one, through the budget. */
  #flowLost(registrar: Registrar, peer: PeerId): void {
    const ledger = this.#ledger;
    const lost: RegistrationIndex[] = [];
    registrar.eachRow((row) => {
      if (ledger.volatile.peer(row) === peer) lost.push(row);
    });
    for (const row of lost) {
      // Who waits for a time that the server named, or after failures, goes on waiting.
      const isServed = ledger.volatile.queued(row) === 0 && ledger.isBound(row, this.nowMs);
      if (ledger.isBusy(row)) this.#transactions.serverLost(row);
      else if (isServed) this.#transactions.putBack(row);
    }
    this.#line.pump(registrar);
  }
}

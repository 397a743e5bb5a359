import type { RegistrationIndex } from "../base/ids.ts";
import type { PeerId } from "../net/network.ts";
import { Counter } from "../observe/lanes.ts";
import { t1Ms, t2Ms, timerFMs } from "../sip/transaction/timers.ts";
import type { Ledger } from "./ledger.ts";
import { Flag } from "./row-flags.ts";
import { patienceMs } from "./reach.ts";
import type { RowTimers } from "./row-timers.ts";
import type { ServerWatch } from "./server-watch.ts";
import { Transmission } from "./transmission.ts";
import { ChainFlag, Purpose, type PurposeId, serversTriedMax, TxState } from "./volatile-rows.ts";
import type { WaitingLine } from "./waiting-line.ts";

/** A binding that was asked for may live this much longer than asked: the request was under way. */
const mayLiveSparesSec = 35;
const retransmissionsMax = 255;

export interface TransactionUser {
  /** Timer F: no answer in 32 s (RFC 3261 §17.1.2.2), or the last of several servers was lost. The attempt has ended. */
  onTimeout(row: RegistrationIndex): void;
  /** The binding's time is over and nothing has renewed it. */
  onLapsed(row: RegistrationIndex): void;
}

/** The client transactions of REGISTER (non-INVITE, RFC 3261 §17.1.2), one for each row at most, in the rows' columns. */
export class RegisterTransactions {
  readonly #ledger: Ledger;
  readonly #timers: RowTimers;
  readonly #line: WaitingLine;
  readonly #watch: ServerWatch;
  readonly #user: TransactionUser;
  readonly #wire: Transmission;

  constructor(ledger: Ledger, timers: RowTimers, line: WaitingLine, watch: ServerWatch, user: TransactionUser) {
    this.#ledger = ledger;
    this.#timers = timers;
    this.#line = line;
    this.#watch = watch;
    this.#user = user;
    this.#wire = new Transmission(ledger);
  }

  /** Sends what is queued. */
  flush(): void {
    this.#wire.flush();
    this.#ledger.credentials.prepare();
  }

  // ---- sending

  /** HOT. A new REGISTER transaction within the row's attempt. */
  transmit(row: RegistrationIndex, purpose: PurposeId): void {
    const ledger = this.#ledger;
    const { columns, volatile, network } = ledger;
    const now = this.#timers.nowMs;
    const { registrar, key } = ledger.profile(row);
    const peer = registrar.reach.peerAfter(volatile.passedOver(row)) ?? registrar.reach.current;
    if (peer === undefined) {
      this.putBack(row);
      return;
    }
    const entry = ledger.peers.entry(peer);
    const local = network.localAddress(peer, key.natEmulation);
    if (local === undefined) {
      this.end(row);
      this.#line.putBackForRoute(row);
      return;
    }
    if (volatile.peer(row) !== peer || !columns.hasServer(row)) {
      // A nonce is its server's own: another one would call it unknown, which is not to be taken for a wrong password.
      volatile.setChain(row, ChainFlag.fresh, false);
      volatile.setPeer(row, peer);
      columns.setServer(row, entry.endpoint.transport, entry.addressBytes, entry.endpoint.port);
    }
    if (purpose === Purpose.bind) {
      this.#wire.prepareBinding(row, entry, local, now);
      this.#noteAsked(row);
    } else if (purpose === Purpose.unbind) {
      // From here on nobody can tell whether the binding is there.
      columns.set(row, Flag.bound, false);
      columns.setExpiresMs(row, 0);
    }
    columns.setCSeq(row, columns.cseq(row) + 1);
    volatile.beginTransaction(row, purpose);
    volatile.setBranch(row, ledger.pool.word(), ledger.pool.word());
    volatile.setStartedMs(row, ledger.sinceStart(now));
    volatile.setChain(row, ChainFlag.ambiguous, false);
    const withCredentials =
      volatile.chain(row, ChainFlag.fresh) || (volatile.answers(row) === 0 && ledger.credentials.isReady(row));
    volatile.setChain(row, ChainFlag.credentials, withCredentials);
    if (withCredentials) ledger.credentials.use(row);
    else if (registrar.challenges) ledger.credentials.expect(row);
    columns.setActMs(row, 0);
    columns.seal(row);
    ledger.lane.add(Counter.registerSent, 1);
    if (this.#wire.send(row, entry, local)) this.#armNext(row, entry.isStream);
    else this.#sendFailed(row, peer);
  }

  /** What is asked for, and until when a binding may be there although nobody says so. */
  #noteAsked(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { columns } = ledger;
    const askedSec = ledger.profile(row).expiresSec;
    ledger.volatile.setAskedSec(row, askedSec);
    const mayEndSec = Math.ceil(ledger.wallOf(this.#timers.nowMs) / 1000) + askedSec + mayLiveSparesSec;
    if (mayEndSec > columns.mayEndSec(row)) columns.setMayEndSec(row, mayEndSec);
  }

  #sendFailed(row: RegistrationIndex, peer: PeerId): void {
    const registrar = this.#ledger.registrar(row);
    this.serverLost(row);
    this.#watch.changed(registrar, registrar.reach.down(peer, this.#timers.nowMs, true, false));
  }

  /** The way to the server of a running transaction is gone. Back in line, or, where the attempt had gone on to that server, on to the next. */
  serverLost(row: RegistrationIndex): void {
    if (this.#ledger.volatile.passedOver(row) === 0) this.putBack(row);
    else if (!this.#goesOn(row)) {
      this.end(row);
      this.#user.onTimeout(row);
    }
  }

  /** The server after the one that this attempt has gone on to; false when there is none. */
  #goesOn(row: RegistrationIndex): boolean {
    const { volatile } = this.#ledger;
    const passedOver = volatile.passedOver(row) + 1;
    if (passedOver >= Math.min(this.#ledger.registrar(row).reach.count, serversTriedMax)) return false;
    volatile.setPassedOver(row, passedOver);
    this.transmit(row, volatile.purpose(row));
    return true;
  }

  // ---- hearing

  /** A provisional answer: T2 from now on (RFC 3261 §17.1.2.2). */
  proceed(row: RegistrationIndex): void {
    const { volatile } = this.#ledger;
    if (volatile.txState(row) === TxState.trying) volatile.setTxState(row, TxState.proceeding);
    this.#watch.heard(row);
  }

  /** HOT. Any answer: the server is there. Call before the answer is acted on. A transaction that was given up is taken up again. */
  heardFinal(row: RegistrationIndex): void {
    const { volatile } = this.#ledger;
    if (volatile.txState(row) === TxState.parked) {
      const registrar = this.#ledger.registrar(row);
      registrar.queue.remove(row);
      volatile.setChain(row, ChainFlag.inFlight, true);
      registrar.budget.started();
    }
    // Its timer stays: whatever the answer calls for arms it anew, and `onDue` knows a ring that nobody ordered.
    volatile.setTxState(row, TxState.none);
    this.#watch.heard(row);
  }

  /** Round trip of the row's answered REGISTER; -1 when it was sent more than once. */
  roundTripMs(row: RegistrationIndex): number {
    const { volatile } = this.#ledger;
    return volatile.chain(row, ChainFlag.ambiguous) ? -1 : this.#ledger.ageMs(row, this.#timers.nowMs);
  }

  // ---- ending

  /** Ends the row's attempt: its place in the budget is free. */
  end(row: RegistrationIndex): void {
    const { volatile } = this.#ledger;
    volatile.setTxState(row, TxState.none);
    if (!volatile.chain(row, ChainFlag.inFlight)) return;
    volatile.setChain(row, ChainFlag.inFlight, false);
    const registrar = this.#ledger.registrar(row);
    registrar.budget.ended();
    if (registrar.probe === row) registrar.probe = -1;
  }

  /** The attempt cannot go on now and was nobody's fault: back in line. */
  putBack(row: RegistrationIndex): void {
    this.end(row);
    this.#line.putBack(row);
  }

  /** A silent server is spared: nothing is sent again, but an answer that comes late is taken. */
  #park(row: RegistrationIndex): void {
    this.putBack(row);
    this.#ledger.volatile.setTxState(row, TxState.parked);
  }

  // ---- the transaction's timer

  /** Nothing final has come so far: give up, go to the next server, or send again. */
  onDue(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { volatile } = ledger;
    const now = this.#timers.nowMs;
    const ageMs = ledger.ageMs(row, now);
    const registrar = ledger.registrar(row);
    this.checkLapse(row);
    // The lapse was news to somebody who ended the transaction.
    if (!ledger.isBusy(row)) return;
    if (volatile.txState(row) === TxState.trying) {
      if (volatile.retransmissions(row) === 0) registrar.budget.lost(now, now - ageMs);
      this.#watch.changed(registrar, registrar.reach.unanswered(volatile.peer(row), now - ageMs, now));
      if (!ledger.isBusy(row)) return;
    }
    if (ageMs >= timerFMs) {
      ledger.lane.add(Counter.registerTimeouts, 1);
      if (registrar.probe === row) registrar.reach.probeTimedOut(now);
      this.end(row);
      this.#user.onTimeout(row);
      return;
    }
    if (volatile.txState(row) === TxState.trying && this.#goesElsewhere(row)) return;
    this.#retransmit(row);
  }

  /** Whether the server's silence, which others have noticed too, ends this transaction: parked, or begun anew at the next server. */
  #goesElsewhere(row: RegistrationIndex): boolean {
    const { volatile } = this.#ledger;
    const registrar = this.#ledger.registrar(row);
    const { reach } = registrar;
    if (reach.isSilent) {
      if (registrar.probe < 0) {
        // The one that found out goes on asking.
        registrar.probe = row;
        reach.probing(this.#timers.nowMs);
      }
      if (registrar.probe === row) return false;
      this.#park(row);
      return true;
    }
    if (
      volatile.passedOver(row) > 0 &&
      this.#ledger.ageMs(row, this.#timers.nowMs) >= patienceMs &&
      this.#goesOn(row)
    ) {
      return true;
    }
    if (reach.current === undefined || volatile.peer(row) === reach.peerAfter(volatile.passedOver(row))) return false;
    // RFC 3263 §4.3: the next server, inside the time of this attempt.
    volatile.setPassedOver(row, 0);
    this.transmit(row, volatile.purpose(row));
    return true;
  }

  /** Timer E: the same bytes again, written anew from the columns. */
  #retransmit(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { volatile, lane } = ledger;
    const entry = ledger.peers.entry(volatile.peer(row));
    const local = entry.isStream
      ? undefined
      : ledger.network.localAddress(entry.peer, ledger.profile(row).key.natEmulation);
    if (local !== undefined) {
      volatile.setRetransmissions(row, Math.min(volatile.retransmissions(row) + 1, retransmissionsMax));
      volatile.setChain(row, ChainFlag.ambiguous, true);
      if (this.#wire.send(row, entry, local)) {
        lane.add(Counter.registerSent, 1);
        lane.add(Counter.registerRetransmitted, 1);
      }
    }
    this.#armNext(row, entry.isStream);
  }

  #armNext(row: RegistrationIndex, isStream: boolean): void {
    const { volatile } = this.#ledger;
    const now = this.#timers.nowMs;
    const endMs = now - this.#ledger.ageMs(row, now) + timerFMs;
    if (isStream) {
      this.#timers.arm(row, endMs);
      return;
    }
    const intervalMs =
      volatile.txState(row) === TxState.proceeding ? t2Ms : Math.min(t1Ms * 2 ** volatile.retransmissions(row), t2Ms);
    this.#timers.arm(row, Math.min(now + intervalMs, endMs));
  }

  /** Whether the binding has run out while its row was busy or waiting. */
  checkLapse(row: RegistrationIndex): void {
    const { columns } = this.#ledger;
    if (!columns.is(row, Flag.bound) || this.#ledger.isBound(row, this.#timers.nowMs)) return;
    this.#user.onLapsed(row);
  }
}

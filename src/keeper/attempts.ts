import type { RegistrationIndex } from "../base/ids.ts";
import type { Network, PeerId } from "../net/network.ts";
import { Counter, type Lane } from "../observe/lanes.ts";
import type { Log } from "../observe/log.ts";
import { TimerWheel } from "../time/timer-wheel.ts";
import type { Ledger } from "./ledger.ts";
import type { ReachChange } from "./reach.ts";
import type { Registrar, RegistrarOwner } from "./registrar.ts";
import { Transmission } from "./transmission.ts";
import { ChainFlag, Purpose, type PurposeId, TxState } from "./volatile-rows.ts";
import { Flag } from "./row-flags.ts";

/** RFC 3261 §17.1.1.1, §17.1.2.2: T1, T2 and timer F of a non-INVITE client transaction. */
const t1Ms = 500;
const t2Ms = 4000;
const timerFMs = 64 * t1Ms;
/** An account's REGISTERs are so far apart, but for answers to challenges and what a person waits for. */
export const floorMs = 5000;
/** Among those who wait, one without a binding stands as if it had one that ends this long after it came. */
const unboundRankMs = 30_000;
/** The local address of a route is being looked up: ask again. */
const routeRetryMs = 100;
const sweepEveryMs = 1000;
/** Attempts at once while a registrar refuses more accounts than it takes. */
const waryInFlightMax = 8;
/** Accounts that a breaker holds back come again spread over this time. */
const heldSpreadMs = 30_000;
/** A binding that was asked for may live this much longer than asked: the request was under way. */
const mayLiveSparesSec = 35;

/** Who decides what is to be done; attempts only do it. */
export interface AttemptUser {
  /** What the row's next attempt is for; `Purpose.none`: nothing. */
  purposeOf(row: RegistrationIndex): PurposeId;
  /** The row's turn has come and there is nothing to do for it any more. */
  onIdle(row: RegistrationIndex): void;
  /** The row's own timer rang: time to refresh, to retry, to give up waiting. */
  onDue(row: RegistrationIndex): void;
  /** Timer F: no answer in 32 s (RFC 3261 §17.1.2.2). */
  onTimeout(row: RegistrationIndex): void;
  /** The binding's time is over and nothing has renewed it. */
  onLapsed(row: RegistrationIndex): void;
  /** No server of the row's registrar can be found. */
  onNoServer(row: RegistrationIndex, reason: string): void;
  /** The row's server is known. */
  onServerKnown(row: RegistrationIndex): void;
}

/**
 * The client transactions of REGISTER (non-INVITE, RFC 3261 §17.1.2), one for each row at most, in the rows' columns, under the budgets of
 * their registrars: who waits, who goes, what is sent again and when it is given up.
 */
export class Attempts implements RegistrarOwner {
  readonly #ledger: Ledger;
  readonly #network: Network;
  readonly #lane: Lane;
  readonly #log: Log;
  readonly #user: AttemptUser;
  readonly #wire: Transmission;
  readonly #wheel: TimerWheel;
  readonly #fire = (id: number): void => this.#fired(id as RegistrationIndex);
  /** Registrars with rows that wait. */
  readonly #active = new Set<Registrar>();
  #pumping = false;
  /** While true nothing begins: the shard is still being put together. */
  isHeld = false;
  #sweepAtMs = 0;
  #routeRetryAtMs = 0;
  #nowMs: number;

  constructor(ledger: Ledger, user: AttemptUser, log: Log) {
    this.#ledger = ledger;
    this.#network = ledger.network;
    this.#lane = ledger.lane;
    this.#log = log;
    this.#user = user;
    this.#nowMs = ledger.clock.nowMs();
    this.#wire = new Transmission(ledger);
    this.#wheel = new TimerWheel({ nowMs: this.#nowMs, capacity: Math.max(ledger.columns.used, 1) });
  }

  /** The time of what is going on: one reading a datagram, command or tick. */
  get nowMs(): number {
    return this.#nowMs;
  }
  setNow(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  // ---- timers of rows

  /** The row's next look, at a monotonic time; persisted as wall time. */
  schedule(row: RegistrationIndex, atMs: number): void {
    this.#ledger.columns.setActMs(row, this.#ledger.wallOf(atMs));
    this.#arm(row, atMs);
  }
  unschedule(row: RegistrationIndex): void {
    this.#ledger.columns.setActMs(row, 0);
    this.#wheel.ensure(row + 1);
    this.#wheel.cancel(row);
  }

  /** Sends what is queued. */
  flush(): void {
    this.#wire.flush();
  }

  /** Advances time: timers, waiting rows, look-ups, keep-alives. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#wheel.advance(nowMs, this.#fire);
    for (const registrar of this.#active) this.pump(registrar);
    if (nowMs >= this.#sweepAtMs) {
      this.#sweepAtMs = nowMs + sweepEveryMs;
      this.#sweep(nowMs);
    }
  }

  // ---- waiting and going

  /** Lets the row's next attempt begin as soon as its registrar's budget allows. `urgent`: somebody waits for it. */
  enqueue(row: RegistrationIndex, urgent = false): void {
    const ledger = this.#ledger;
    if (ledger.isBusy(row)) return;
    const now = this.#nowMs;
    const { volatile, columns } = ledger;
    if (!urgent) {
      const ageMs = ledger.ageMs(row, now);
      if (ageMs < floorMs) {
        this.schedule(row, now + floorMs - ageMs);
        return;
      }
    }
    const registrar = ledger.registrar(row);
    const isBound = ledger.isBound(row, now);
    const key = urgent
      ? now - unboundRankMs
      : isBound
        ? ledger.monotonicOf(columns.expiresMs(row))
        : now + unboundRankMs;
    // Nobody waits and the registrar has room: no need to stand in line.
    if (registrar.queue.size === 0 && !this.#pumping && this.#admits(registrar, row, urgent)) {
      volatile.setChain(row, ChainFlag.waited, false);
      this.#begin(registrar, row);
      return;
    }
    volatile.setChain(row, ChainFlag.urgent, urgent);
    volatile.setChain(row, ChainFlag.waited, true);
    registrar.queue.put(row, key);
    this.#active.add(registrar);
    columns.setActMs(row, 0);
    this.#armWaiting(row);
    this.pump(registrar);
    if (registrar.isLost && volatile.queued(row) !== 0) this.#user.onNoServer(row, registrar.lastReason);
  }

  /** Takes the row out of line and gives its transaction up, if it has one. */
  abandon(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    ledger.registrar(row).queue.remove(row);
    this.endChain(row);
    this.unschedule(row);
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
        this.#begin(registrar, row);
      }
    } finally {
      this.#pumping = false;
    }
  }

  /** Whether the row may begin now. Starts look-ups that are missing, and takes out of line what a breaker holds back. */
  #admits(registrar: Registrar, row: RegistrationIndex, urgent: boolean): boolean {
    const now = this.#nowMs;
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
      this.schedule(row, breaker.nextTrialMs(now) + ledger.pool.between(0, heldSpreadMs));
      return false;
    }
    return true;
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
    if (purpose === Purpose.bind && ledger.isBound(row, this.#nowMs)) volatile.setChain(row, ChainFlag.refresh, true);
    registrar.budget.started();
    if (registrar.reach.isSilent) {
      registrar.reach.probing(this.#nowMs);
      registrar.probe = row;
    }
    this.transmit(row, purpose);
  }

  /** Ends the row's attempt: its place in the budget is free. */
  endChain(row: RegistrationIndex): void {
    const { volatile } = this.#ledger;
    volatile.setTxState(row, TxState.none);
    if (!volatile.chain(row, ChainFlag.inFlight)) return;
    volatile.setChain(row, ChainFlag.inFlight, false);
    const registrar = this.#ledger.registrar(row);
    registrar.budget.ended();
    if (registrar.probe === row) registrar.probe = -1;
  }

  // ---- one transaction

  /** HOT. A new REGISTER transaction within the row's attempt. */
  transmit(row: RegistrationIndex, purpose: PurposeId): void {
    const ledger = this.#ledger;
    const { columns, volatile } = ledger;
    const profile = ledger.profile(row);
    const peer = profile.registrar.reach.peerAfter(volatile.passedOver(row)) ?? profile.registrar.reach.current;
    if (peer === undefined) {
      this.#putBack(row);
      return;
    }
    const entry = ledger.peers.entry(peer);
    const local = this.#network.localAddress(peer, profile.key.natEmulation);
    if (local === undefined) {
      this.#routeRetryAtMs = this.#nowMs + routeRetryMs;
      this.#putBack(row);
      return;
    }
    if (volatile.peer(row) !== peer || !columns.hasServer(row)) {
      // A nonce is its server's own: another one would call it unknown, which is not to be taken for a wrong password.
      volatile.setChain(row, ChainFlag.fresh, false);
      volatile.setPeer(row, peer);
      columns.setServer(row, entry.endpoint.transport, entry.addressBytes, entry.endpoint.port);
    }
    const sinceStart = ledger.sinceStart(this.#nowMs);
    if (purpose === Purpose.bind) {
      this.#wire.prepareBinding(row, entry, local, this.#nowMs);
      const asked = profile.expiresSec;
      volatile.setAskedSec(row, asked);
      const mayEndSec = Math.ceil(ledger.wallOf(this.#nowMs) / 1000) + asked + mayLiveSparesSec;
      if (mayEndSec > columns.mayEndSec(row)) columns.setMayEndSec(row, mayEndSec);
    } else if (purpose === Purpose.unbind) {
      // From here on nobody can tell whether the binding is there.
      columns.set(row, Flag.bound, false);
      columns.setExpiresMs(row, 0);
    }
    columns.setCSeq(row, columns.cseq(row) + 1);
    volatile.beginTransaction(row, purpose);
    volatile.setBranch(row, ledger.pool.word(), ledger.pool.word());
    volatile.setStartedMs(row, sinceStart);
    volatile.setChain(row, ChainFlag.ambiguous, false);
    const withCredentials =
      volatile.chain(row, ChainFlag.fresh) || (volatile.answers(row) === 0 && ledger.credentials.isReady(row));
    volatile.setChain(row, ChainFlag.credentials, withCredentials);
    if (withCredentials) ledger.credentials.use(row);
    columns.setActMs(row, 0);
    columns.seal(row);
    this.#lane.add(Counter.registerSent, 1);
    if (!this.#wire.send(row, entry, local)) {
      this.#sendFailed(row, peer);
      return;
    }
    this.#armTransaction(row, entry.isStream);
  }

  /** A provisional answer: T2 from now on (RFC 3261 §17.1.2.2). */
  proceed(row: RegistrationIndex): void {
    const { volatile } = this.#ledger;
    if (volatile.txState(row) === TxState.trying) volatile.setTxState(row, TxState.proceeding);
    this.#heard(row);
  }

  /** HOT. Any answer: the server is there. Call before the answer is acted on. A transaction that was given up is taken up again. */
  heardFinal(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { volatile } = ledger;
    const registrar = ledger.registrar(row);
    if (volatile.txState(row) === TxState.parked) {
      registrar.queue.remove(row);
      volatile.setChain(row, ChainFlag.inFlight, true);
      registrar.budget.started();
    }
    // Its timer stays: whatever the answer calls for arms it anew, and `onDue` knows a ring that nobody ordered.
    volatile.setTxState(row, TxState.none);
    this.#heard(row);
  }

  /** Round trip of the row's answered REGISTER; -1 when it was sent more than once. */
  roundTripMs(row: RegistrationIndex): number {
    return this.#ledger.volatile.chain(row, ChainFlag.ambiguous) ? -1 : this.#ledger.ageMs(row, this.#nowMs);
  }

  /** A flow broke, or ICMP said that nobody is there. */
  onPeerDown(peer: PeerId, reason: string): void {
    const isFlow = this.#network.endpoint(peer).transport !== "udp";
    for (const registrar of this.#ledger.registrars) {
      if (!registrar.reach.peers.includes(peer)) continue;
      registrar.lastReason = reason;
      const wasInUse = registrar.registered > 0;
      this.#changed(registrar, registrar.reach.down(peer, this.#nowMs, isFlow, wasInUse));
      if (isFlow) this.#flowLost(registrar, peer);
    }
  }

  // ---- RegistrarOwner

  onLocated(registrar: Registrar): void {
    if (registrar.askedFor.size > 0) {
      const rows = [...registrar.askedFor];
      registrar.askedFor.clear();
      for (const row of rows) this.#user.onServerKnown(row);
    }
    this.#active.add(registrar);
    this.pump(registrar);
  }

  onLost(registrar: Registrar, reason: string): void {
    this.#log.warn("registrar.notLocated", { registrar: registrar.target.host, reason });
    registrar.eachRow((row) => {
      if (this.#ledger.volatile.queued(row) !== 0) this.#user.onNoServer(row, reason);
    });
  }

  // ---- inside

  #fired(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    if (!ledger.columns.isUsed(row) || ledger.volatile.profile(row) === 0) return;
    if (ledger.isBusy(row)) this.#transactionDue(row);
    else if (ledger.volatile.queued(row) !== 0 && ledger.columns.is(row, Flag.wanted)) this.#checkLapse(row);
    else this.#user.onDue(row);
  }

  #transactionDue(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { volatile } = ledger;
    const now = this.#nowMs;
    const ageMs = ledger.ageMs(row, now);
    const registrar = ledger.registrar(row);
    const peer = volatile.peer(row);
    const { reach } = registrar;
    this.#checkLapse(row);
    // The lapse was news to somebody who ended the transaction.
    if (!ledger.isBusy(row)) return;
    if (volatile.txState(row) === TxState.trying) {
      if (volatile.retransmissions(row) === 0) registrar.budget.lost(now, now - ageMs);
      this.#changed(registrar, reach.unanswered(peer, now - ageMs, now));
      if (!ledger.isBusy(row)) return;
    }
    if (ageMs >= timerFMs) {
      this.#lane.add(Counter.registerTimeouts, 1);
      if (registrar.probe === row) reach.probeTimedOut(now);
      this.endChain(row);
      this.#user.onTimeout(row);
      return;
    }
    if (volatile.txState(row) === TxState.trying) {
      if (reach.isSilent && registrar.probe < 0) {
        // The one that found out goes on asking.
        registrar.probe = row;
        reach.probing(now);
      }
      if (reach.isSilent && registrar.probe !== row) {
        this.#park(row);
        return;
      }
      // RFC 3263 §4.3: the next server, inside the time of this attempt.
      if (!reach.isSilent && peer !== reach.peerAfter(volatile.passedOver(row)) && reach.current !== undefined) {
        volatile.setPassedOver(row, 0);
        this.transmit(row, volatile.purpose(row));
        return;
      }
    }
    this.#retransmit(row);
  }

  /** Timer E: the same bytes again, written anew from the columns. */
  #retransmit(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { volatile } = ledger;
    const entry = ledger.peers.entry(volatile.peer(row));
    const local = entry.isStream
      ? undefined
      : this.#network.localAddress(entry.peer, ledger.profile(row).key.natEmulation);
    if (local !== undefined) {
      volatile.setRetransmissions(row, Math.min(volatile.retransmissions(row) + 1, 255));
      volatile.setChain(row, ChainFlag.ambiguous, true);
      if (this.#wire.send(row, entry, local)) {
        this.#lane.add(Counter.registerSent, 1);
        this.#lane.add(Counter.registerRetransmitted, 1);
      }
    }
    this.#armTransaction(row, entry.isStream);
  }

  #sendFailed(row: RegistrationIndex, peer: PeerId): void {
    this.#putBack(row);
    const registrar = this.#ledger.registrar(row);
    this.#changed(registrar, registrar.reach.down(peer, this.#nowMs, true, false));
  }

  /** The attempt cannot go on now and was nobody's fault: back in line. */
  #putBack(row: RegistrationIndex): void {
    this.endChain(row);
    const ledger = this.#ledger;
    const { columns, volatile } = ledger;
    const registrar = ledger.registrar(row);
    const isBound = ledger.isBound(row, this.#nowMs);
    // What the chain has tried stays known: a late answer may still take it up.
    volatile.setChain(row, ChainFlag.urgent, false);
    volatile.setChain(row, ChainFlag.waited, true);
    registrar.queue.put(row, isBound ? ledger.monotonicOf(columns.expiresMs(row)) : this.#nowMs + unboundRankMs);
    this.#active.add(registrar);
    this.#armWaiting(row);
  }

  /** While a row waits its timer watches over the end of its binding. */
  #armWaiting(row: RegistrationIndex): void {
    const ledger = this.#ledger;
    const { columns } = ledger;
    if (!columns.is(row, Flag.wanted)) this.#arm(row, ledger.monotonicOf(columns.mayEndSec(row) * 1000));
    else if (columns.is(row, Flag.bound)) this.#arm(row, ledger.monotonicOf(columns.expiresMs(row)));
    else this.#disarm(row);
  }

  /** A silent server is spared: nothing is sent again, but an answer that comes late is taken. */
  #park(row: RegistrationIndex): void {
    this.#putBack(row);
    this.#ledger.volatile.setTxState(row, TxState.parked);
  }

  #armTransaction(row: RegistrationIndex, isStream: boolean): void {
    const { volatile } = this.#ledger;
    const now = this.#nowMs;
    const endMs = now - this.#ledger.ageMs(row, now) + timerFMs;
    if (isStream) {
      this.#arm(row, endMs);
      return;
    }
    const intervalMs =
      volatile.txState(row) === TxState.proceeding ? t2Ms : Math.min(t1Ms * 2 ** volatile.retransmissions(row), t2Ms);
    this.#arm(row, Math.min(now + intervalMs, endMs));
  }

  #heard(row: RegistrationIndex): void {
    const registrar = this.#ledger.registrar(row);
    if (!registrar.reach.answered(this.#ledger.volatile.peer(row), this.#nowMs)) return;
    registrar.probe = -1;
    registrar.budget.restart(this.#nowMs);
    this.#log.info("registrar.back", { registrar: registrar.target.host, waiting: registrar.queue.size });
    this.#active.add(registrar);
  }

  #checkLapse(row: RegistrationIndex): void {
    const { columns } = this.#ledger;
    if (!columns.is(row, Flag.bound) || this.#ledger.isBound(row, this.#nowMs)) return;
    this.#user.onLapsed(row);
  }

  #changed(registrar: Registrar, change: ReachChange): void {
    if (change === "none") return;
    if (change === "switched") {
      registrar.budget.restart(this.#nowMs);
      registrar.probe = -1;
      this.#log.warn("registrar.switched", { registrar: registrar.target.host, reason: registrar.lastReason });
    } else {
      this.#log.warn("registrar.silent", { registrar: registrar.target.host, accounts: registrar.accounts });
      // Who was redirected here does not wait with those whose server this is.
      registrar.eachRow((row) => {
        if (this.#ledger.profile(row).base !== undefined) this.#user.onNoServer(row, "redirected to a silent server");
      });
    }
    this.#active.add(registrar);
  }

  /** RFC 5626 §4.5: every registration that used the flow moves to a new one, through the budget. */
  #flowLost(registrar: Registrar, peer: PeerId): void {
    const { volatile } = this.#ledger;
    const lost: RegistrationIndex[] = [];
    registrar.eachRow((row) => {
      if (volatile.peer(row) === peer) lost.push(row);
    });
    for (const row of lost) {
      // Who waits for a time that the server named, or after failures, goes on waiting.
      const isServed = volatile.queued(row) === 0 && this.#ledger.isBound(row, this.#nowMs);
      if (this.#ledger.isBusy(row) || isServed) this.#putBack(row);
    }
    this.pump(registrar);
  }

  #sweep(nowMs: number): void {
    for (const registrar of this.#ledger.registrars) {
      if (registrar.accounts > 0 && nowMs >= registrar.locateAtMs) registrar.locate(nowMs);
      const peer = registrar.reach.current;
      if (peer === undefined || registrar.registered === 0 || registrar.reach.isSilent) continue;
      const needsKeepAlive = this.#ledger.peers.entry(peer).isStream || registrar.natEmulated > 0;
      if (!needsKeepAlive || nowMs < registrar.keepAliveAtMs) continue;
      // The first one waits: the REGISTER has just kept the flow alive.
      if (registrar.keepAliveAtMs !== 0) this.#network.keepAlive(peer);
      registrar.keepAliveAtMs = registrar.nextKeepAliveMs(nowMs);
    }
  }

  #arm(row: RegistrationIndex, atMs: number): void {
    this.#wheel.ensure(row + 1);
    this.#wheel.arm(row, atMs);
  }
  #disarm(row: RegistrationIndex): void {
    this.#wheel.ensure(row + 1);
    this.#wheel.cancel(row);
  }
}

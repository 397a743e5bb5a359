import type { RegistrationIndex } from "../base/ids.ts";
import type { Log } from "../observe/log.ts";
import type { Ledger } from "./ledger.ts";
import { RegistrationStateId } from "./machine.ts";
import type { ReachChange } from "./reach.ts";
import type { Registrar, RegistrarOwner } from "./registrar.ts";
import type { RowTimers } from "./row-timers.ts";
import type { WaitingLine } from "./waiting-line.ts";

const sweepEveryMs = 1000;

export interface WatchUser {
  /** No server of the row's registrar can be found or connected to, or the one it was redirected to says nothing. */
  onNoServer(row: RegistrationIndex, reason: string): void;
  /** The row's server is known. */
  onServerKnown(row: RegistrationIndex): void;
}

/** What becomes of the registrars' servers: found or not, silent, back again, replaced by the next; their look-ups and keep-alives. */
export class ServerWatch implements RegistrarOwner {
  readonly #ledger: Ledger;
  readonly #timers: RowTimers;
  readonly #line: WaitingLine;
  readonly #user: WatchUser;
  readonly #log: Log;
  #sweepAtMs = 0;

  constructor(ledger: Ledger, timers: RowTimers, line: WaitingLine, user: WatchUser, log: Log) {
    this.#ledger = ledger;
    this.#timers = timers;
    this.#line = line;
    this.#user = user;
    this.#log = log;
  }

  onLocated(registrar: Registrar): void {
    if (registrar.askedFor.size > 0) {
      const rows = [...registrar.askedFor];
      registrar.askedFor.clear();
      for (const row of rows) this.#user.onServerKnown(row);
    }
    this.#line.wake(registrar);
  }

  onLost(registrar: Registrar, reason: string): void {
    this.#log.warn("registrar.notLocated", { registrar: registrar.target.host, reason });
    registrar.eachRow((row) => {
      if (this.#ledger.volatile.queued(row) !== 0) this.#user.onNoServer(row, reason);
    });
  }

  /** HOT. Something came from the row's server. */
  heard(row: RegistrationIndex): void {
    const now = this.#timers.nowMs;
    const registrar = this.#ledger.registrar(row);
    if (!registrar.reach.answered(this.#ledger.volatile.peer(row), now)) return;
    registrar.probe = -1;
    registrar.budget.restart(now);
    this.#log.info("registrar.back", { registrar: registrar.target.host, waiting: registrar.queue.size });
    this.#line.wakeSoon(registrar);
  }

  /** What something that happened means for the registrar's servers. */
  changed(registrar: Registrar, change: ReachChange): void {
    if (change === "none") return;
    if (change === "switched") {
      registrar.budget.restart(this.#timers.nowMs);
      registrar.probe = -1;
      this.#log.warn("registrar.switched", { registrar: registrar.target.host, reason: registrar.lastReason });
    } else {
      this.#log.warn("registrar.silent", { registrar: registrar.target.host, accounts: registrar.accounts });
      // Who was redirected here does not wait with those whose server this is.
      registrar.eachRow((row) => {
        if (this.#ledger.profile(row).base !== undefined) this.#user.onNoServer(row, "redirected to a silent server");
      });
    }
    this.#line.wakeSoon(registrar);
  }

  /** No connection to a silent registrar comes about: who waits without a binding hears why, and waits on. */
  unreached(registrar: Registrar): void {
    const { volatile } = this.#ledger;
    registrar.eachRow((row) => {
      const isWaiting = volatile.queued(row) !== 0 && this.#ledger.state(row) === RegistrationStateId.registering;
      if (isWaiting && this.#ledger.profile(row).base === undefined) this.#user.onNoServer(row, registrar.lastReason);
    });
  }

  /** Look-ups and keep-alives that are due. */
  tick(nowMs: number): void {
    if (nowMs < this.#sweepAtMs) return;
    this.#sweepAtMs = nowMs + sweepEveryMs;
    for (const registrar of this.#ledger.registrars) {
      if (registrar.accounts > 0 && nowMs >= registrar.locateAtMs) registrar.locate(nowMs);
      this.#keepAlive(registrar, nowMs);
    }
  }

  /** RFC 5626 §4.4.1 on a flow; by UDP for accounts that play a phone behind NAT. */
  #keepAlive(registrar: Registrar, nowMs: number): void {
    const peer = registrar.reach.current;
    if (peer === undefined || registrar.registered === 0 || registrar.reach.isSilent) return;
    const isNeeded = this.#ledger.peers.entry(peer).isStream || registrar.natEmulated > 0;
    if (!isNeeded || nowMs < registrar.keepAliveAtMs) return;
    // The first one waits: the REGISTER has just kept the flow alive.
    if (registrar.keepAliveAtMs !== 0) this.#ledger.network.keepAlive(peer);
    registrar.keepAliveAtMs = registrar.nextKeepAliveMs(nowMs);
  }
}

import type { RegistrationIndex } from "../base/ids.ts";
import type { Endpoint, Locator, Network, PeerId, SipTarget } from "../net/network.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";
import type { RegistrarStatus } from "../workers/protocol.ts";
import { Breaker } from "./breaker.ts";
import { Budget } from "./budget.ts";
import { refreshAfterSec } from "./machine.ts";
import { Reach } from "./reach.ts";
import type { VolatileRows } from "./volatile-rows.ts";
import { WaitingQueue } from "./waiting-queue.ts";

const ttlMsMin = 5000;
const ttlMsMax = 3_600_000;
const retryMsMin = 5000;
const retryMsMax = 300_000;
/** Servers of one registrar that are tried. */
const peersMax = 16;
/** Keep-alives of a flow (RFC 5626 §4.4.1; NAT bindings of 30 s are common). */
const keepAliveMsMin = 25_000;
const keepAliveMsMax = 29_000;
/** Shares of Flow-Timer that a keep-alive may come at (RFC 5626 §4.4). */
const flowTimerLeast = 0.8;
const flowTimerMost = 0.95;
const flowTimerSecMin = 10;
/** More successes in a second than this many times the steady rate are a crowd. Over 1.8: who is spread comes so much sooner on average. */
const crowdFactor = 2;
const crowdMin = 50;
/** The stragglers of a crowd belong to it. */
const crowdLingerMs = 2_000;
/** Final answers that are remembered. */
const latestStatusesMax = 16;

export interface RegistrarOwner {
  /** Servers are known (again): what waits may go. */
  onLocated(registrar: Registrar): void;
  /** No server is known and none can be found now. */
  onLost(registrar: Registrar, reason: string): void;
}

/** One place that accounts register at: its servers, its budget, and the accounts themselves. */
export class Registrar {
  readonly id: number;
  readonly target: SipTarget;
  readonly secure: boolean;
  readonly budget: Budget;
  readonly reach: Reach;
  readonly breaker = new Breaker();
  readonly queue: WaitingQueue;
  accounts = 0;
  registered = 0;
  refused = 0;
  /** Final answers, a ring; 0: none yet. */
  readonly #statuses = new Uint16Array(latestStatusesMax);
  #answers = 0;
  /** Profiles that point here. */
  uses = 0;
  /** The row that asks for a silent registrar; -1: none. */
  probe = -1;
  /** Accounts here that play a phone behind NAT: UDP needs keep-alives too. */
  natEmulated = 0;
  /** Rows whose server somebody asked for before it was known. */
  readonly askedFor = new Set<RegistrationIndex>();
  keepAliveAtMs = 0;
  lastReason = "";
  /** It has asked for credentials: it will again. */
  challenges = false;
  readonly #clock: Clock;
  readonly #volatile: VolatileRows;
  readonly #random: Random;
  readonly #network: Network;
  readonly #locator: Locator;
  readonly #owner: RegistrarOwner;
  #first = 0;
  #locateAtMs = 0;
  #locating = false;
  #failures = 0;
  #isForbidden = false;
  #flowTimerSec = 0;
  /** Servers of before the restart. */
  #former: PeerId[] = [];
  #successes = 0;
  #successesSinceMs = 0;
  #crowdedUntilMs = 0;

  constructor(options: {
    readonly id: number;
    readonly target: SipTarget;
    readonly secure: boolean;
    readonly clock: Clock;
    readonly volatile: VolatileRows;
    readonly random: Random;
    readonly network: Network;
    readonly locator: Locator;
    readonly owner: RegistrarOwner;
  }) {
    this.id = options.id;
    this.target = options.target;
    this.secure = options.secure;
    this.#clock = options.clock;
    this.#volatile = options.volatile;
    this.#random = options.random;
    this.#network = options.network;
    this.#locator = options.locator;
    this.#owner = options.owner;
    this.budget = new Budget(options.clock.nowMs());
    this.reach = new Reach(options.random);
    this.queue = new WaitingQueue(options.volatile);
  }

  add(row: RegistrationIndex): void {
    this.#volatile.setPrevious(row, 0);
    this.#volatile.setNext(row, this.#first);
    if (this.#first !== 0) this.#volatile.setPrevious((this.#first - 1) as RegistrationIndex, row + 1);
    this.#first = row + 1;
    this.accounts++;
  }

  remove(row: RegistrationIndex): void {
    const next = this.#volatile.next(row);
    const previous = this.#volatile.previous(row);
    if (next !== 0) this.#volatile.setPrevious((next - 1) as RegistrationIndex, previous);
    if (previous !== 0) this.#volatile.setNext((previous - 1) as RegistrationIndex, next);
    else this.#first = next;
    this.accounts--;
    if (this.probe === row) this.probe = -1;
    this.askedFor.delete(row);
  }

  /** Every row of this registrar; `visit` may remove the one it is given. */
  eachRow(visit: (row: RegistrationIndex) => void): void {
    for (let link = this.#first; link !== 0;) {
      const row = (link - 1) as RegistrationIndex;
      link = this.#volatile.next(row);
      visit(row);
    }
  }

  /** Looks the servers up when that is due; answers may come at once. What is known stays in use meanwhile. */
  locate(nowMs: number): void {
    if (this.#locating || nowMs < this.#locateAtMs) return;
    this.#locating = true;
    this.#locator.locate(this.target, (result) => {
      this.#locating = false;
      if (result.ok) this.#found(result.endpoints, result.ttlSec);
      else this.#notFound(result.reason, result.text);
    });
  }

  /** Its name was looked up, and policy forbids every address that it leads to. */
  get isForbidden(): boolean {
    return this.#isForbidden;
  }

  /** No server is known, and the last look-up found none: who comes now need not wait for the next one to hear it. */
  get isLost(): boolean {
    return !this.reach.isKnown && this.#failures > 0 && !this.#locating;
  }

  get locateAtMs(): number {
    return this.#locateAtMs;
  }

  /** A server that served an account before this process began: preferred while the name leads to it, and used when no look-up succeeds. */
  rememberFormer(peer: PeerId): void {
    if (this.#former.length < peersMax && !this.#former.includes(peer)) this.#former.push(peer);
  }

  /** HOT: one final answer came. */
  answered(status: number): void {
    this.#statuses[this.#answers++ % latestStatusesMax] = status;
  }

  #latestStatuses(): readonly number[] {
    const known = Math.min(this.#answers, latestStatusesMax);
    return Array.from({ length: known }, (_, n) => this.#statuses[(this.#answers - 1 - n) % latestStatusesMax]!);
  }

  /** The registrar wants keep-alives this often (RFC 5626 §4.4, Flow-Timer). */
  setFlowTimer(sec: number): void {
    this.#flowTimerSec = sec >= flowTimerSecMin && sec * 1000 <= ttlMsMax ? sec : 0;
  }

  /** When the next keep-alive is due that follows one at `nowMs`. */
  nextKeepAliveMs(nowMs: number): number {
    const share = this.#random.next();
    if (this.#flowTimerSec === 0) return nowMs + keepAliveMsMin + share * (keepAliveMsMax - keepAliveMsMin);
    return nowMs + this.#flowTimerSec * 1000 * (flowTimerLeast + share * (flowTimerMost - flowTimerLeast));
  }

  /**
   * Counts a success; returns whether it is one of a crowd, whose next refreshes are to be spread over their whole time lest
   * they come as a crowd for ever. `grantedSec`: what was granted; `isNew`: there was no binding before.
   */
  isCrowded(nowMs: number, grantedSec: number, isNew: boolean): boolean {
    if (nowMs - this.#successesSinceMs >= 1000) {
      this.#successes = 0;
      this.#successesSinceMs = nowMs;
    }
    this.#successes++;
    const limit = Math.max(crowdMin, (crowdFactor * this.accounts) / refreshAfterSec(grantedSec, 0.5, false));
    if (this.#successes > limit) this.#crowdedUntilMs = nowMs + crowdLingerMs;
    // Who still waits tells it from the first one on. Not for refreshes: a line at a slow registrar would feed itself, for who is spread comes sooner.
    return nowMs < this.#crowdedUntilMs || (isNew && this.queue.size > limit);
  }

  status(nowMs: number): RegistrarStatus {
    const latestStatuses = this.#latestStatuses();
    const { host, port, transport } = this.target;
    const peer = this.reach.current;
    const place = host.includes(":") ? `[${host}]` : host;
    return {
      registrar: port === undefined ? place : `${place}:${port}`,
      transport: peer === undefined ? transport : this.#network.endpoint(peer).transport,
      accounts: this.accounts,
      registered: this.registered,
      refused: this.refused,
      window: this.budget.window,
      inFlight: this.budget.inFlight,
      ratePerSec: Math.round(this.budget.ratePerSec),
      waiting: this.queue.size,
      lossRatio: Math.round(this.budget.lossRatio * 1e4) / 1e4,
      breaker: this.breaker.state(nowMs),
      lastStatus: latestStatuses[0] ?? 0,
      latestStatuses,
    };
  }

  #found(endpoints: readonly Endpoint[], ttlSec: number): void {
    const nowMs = this.#clock.nowMs();
    // A TLS account never leaves TLS, whatever a resolver says.
    const usable = endpoints.filter((endpoint) => !this.secure || endpoint.transport === "tls").slice(0, peersMax);
    if (usable.length === 0) {
      this.#notFound("notFound", `${this.target.host}: no server by TLS`);
      return;
    }
    this.#failures = 0;
    this.#isForbidden = false;
    this.#locateAtMs = nowMs + Math.min(Math.max(ttlSec * 1000, ttlMsMin), ttlMsMax);
    const replaced = this.reach.setPeers(
      usable.map((endpoint) => this.#network.peer(endpoint)),
      this.#former,
    );
    if (replaced) this.budget.restart(nowMs);
    this.#owner.onLocated(this);
  }

  #notFound(reason: "egress" | "notFound" | "unavailable", text: string): void {
    const nowMs = this.#clock.nowMs();
    if (reason !== "unavailable") this.#isForbidden = reason === "egress";
    this.#locateAtMs = nowMs + Math.min(retryMsMin * 2 ** Math.min(this.#failures++, 10), retryMsMax);
    this.lastReason = text;
    if (reason === "egress") {
      // What policy forbids is not used any longer, however well it worked.
      this.reach.setPeers([]);
    } else if (!this.reach.isKnown && reason === "unavailable" && this.#former.length > 0) {
      this.reach.setPeers(this.#former);
      this.#owner.onLocated(this);
      return;
    }
    // A resolver that is dead or has lost the name stops nobody whose server is known.
    if (!this.reach.isKnown) this.#owner.onLost(this, text);
  }
}

/** All registrars of a shard, by target. */
export class Registrars {
  readonly #make: (id: number, target: SipTarget, secure: boolean) => Registrar;
  readonly #byKey = new Map<string, Registrar>();
  readonly #byId: (Registrar | undefined)[] = [];
  readonly #free: number[] = [];

  constructor(make: (id: number, target: SipTarget, secure: boolean) => Registrar) {
    this.#make = make;
  }

  [Symbol.iterator](): IterableIterator<Registrar> {
    return this.#byKey.values();
  }

  get(id: number): Registrar | undefined {
    return this.#byId[id];
  }

  acquire(target: SipTarget, secure: boolean): Registrar {
    const key = keyOf(target, secure);
    let registrar = this.#byKey.get(key);
    if (registrar === undefined) {
      const id = this.#free.pop() ?? this.#byId.length;
      registrar = this.#make(id, target, secure);
      this.#byId[id] = registrar;
      this.#byKey.set(key, registrar);
    }
    registrar.uses++;
    return registrar;
  }

  /** One use less; returns whether it was the last and the registrar is forgotten. */
  release(registrar: Registrar): boolean {
    if (--registrar.uses > 0) return false;
    this.#byKey.delete(keyOf(registrar.target, registrar.secure));
    this.#byId[registrar.id] = undefined;
    this.#free.push(registrar.id);
    return true;
  }
}

function keyOf(target: SipTarget, secure: boolean): string {
  return `${target.host} ${target.port ?? 0} ${target.transport} ${secure}`;
}

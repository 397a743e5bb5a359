import type { PeerId } from "../net/network.ts";
import type { Random } from "../time/random.ts";

/** Requests without any answer that make us think the server is gone… */
const unansweredMax = 8;
/** …when nothing at all has come from it for this long. */
const quietMs = 1000;
/** One request alone convinces us after its fourth sending (RFC 3261 §17.1.2.2: 0, 0.5, 1.5, 3.5 s). */
export const patienceMs = 3500;
/** While a server is silent it is asked this often, then less: the end of a silence is noticed within a thirtieth of it. */
const probeMsMin = 1000;
const probeMsMax = 300_000;
const probeShare = 1 / 30;
/** A server that failed is left alone for this long while another one serves. */
const avoidMs = 60_000;
/** RFC 5626 §4.5. */
const flowBaseMs = 30_000;
const flowMsMax = 1_800_000;
/** A flow that breaks sooner than this after the one before it was no success. */
const flowProvenMs = 120_000;

export type ReachChange = "none" | "switched" | "silent";

/**
 * Which of a registrar's servers is used, and whether it answers at all (RFC 3263 §4.3): the first in the order given, kept while it works,
 * then the next. When none answers the registrar is silent: it is probed and otherwise left in peace. Pure.
 */
export class Reach {
  readonly #random: Random;
  #peers: readonly PeerId[] = [];
  #avoidUntilMs: number[] = [];
  #current = 0;
  #unanswered = 0;
  #answeredAtMs = -Infinity;
  #silentSinceMs: number | undefined;
  #nextProbeMs = 0;
  #flowFailures = 0;
  #flowDownAtMs = -Infinity;

  constructor(random: Random) {
    this.#random = random;
  }

  get isKnown(): boolean {
    return this.#peers.length > 0;
  }
  get isSilent(): boolean {
    return this.#silentSinceMs !== undefined;
  }
  get count(): number {
    return this.#peers.length;
  }
  get peers(): readonly PeerId[] {
    return this.#peers;
  }
  /** The server in use; undefined before any is known. */
  get current(): PeerId | undefined {
    return this.#peers[this.#current];
  }
  /** When a silent registrar is asked next. */
  get nextProbeMs(): number {
    return this.#nextProbeMs;
  }

  /** The server to use after passing over so many in one attempt; undefined when there is none left. */
  peerAfter(passedOver: number): PeerId | undefined {
    if (passedOver >= this.#peers.length) return undefined;
    return this.#peers[(this.#current + passedOver) % this.#peers.length];
  }

  /**
   * A new look-up. The server in use stays in use as long as the name still leads to it; at first one of `former`, which hold bindings from before
   * a restart. Returns whether another one took its place.
   */
  setPeers(peers: readonly PeerId[], former: readonly PeerId[] = []): boolean {
    const used = this.current;
    const kept = used === undefined ? peers.findIndex((peer) => former.includes(peer)) : peers.indexOf(used);
    this.#avoidUntilMs = peers.map((peer) => this.#avoidUntilMs[this.#peers.indexOf(peer)] ?? 0);
    this.#peers = peers;
    this.#current = Math.max(kept, 0);
    return used !== undefined && kept < 0;
  }

  /** An answer from `peer`. Returns true when it ends a silence. */
  answered(peer: PeerId, nowMs: number): boolean {
    const at = this.#peers.indexOf(peer);
    if (at < 0) return false;
    if (at !== this.#current) {
      // A server passed over speaks: heard, but used only when the one in use does not.
      if (!this.isSilent) return false;
      this.#current = at;
    }
    this.#unanswered = 0;
    this.#answeredAtMs = nowMs;
    this.#avoidUntilMs[at] = 0;
    if (nowMs - this.#flowDownAtMs > flowProvenMs) this.#flowFailures = 0;
    if (!this.isSilent) return false;
    this.#silentSinceMs = undefined;
    return true;
  }

  /** A request to `peer`, first sent at `startedMs`, is still without any answer when it is time to send it again. */
  unanswered(peer: PeerId, startedMs: number, nowMs: number): ReachChange {
    if (peer !== this.current || this.isSilent || startedMs <= this.#answeredAtMs) return "none";
    this.#unanswered++;
    const many = this.#unanswered >= unansweredMax && nowMs - this.#answeredAtMs >= quietMs;
    return many || nowMs - startedMs >= patienceMs ? this.#fail(nowMs) : "none";
  }

  /** The way to `peer` is known to be gone: ICMP, or a connection that broke or was refused. */
  down(peer: PeerId, nowMs: number, isFlow: boolean, wasInUse: boolean): ReachChange {
    if (peer !== this.current) return "none";
    if (isFlow) this.#flowDownAtMs = nowMs;
    if (isFlow && wasInUse && this.#flowFailures === 0) {
      // §4.5: a flow that has served is replaced at once; only when that fails there is a wait.
      this.#flowFailures = 1;
      return "none";
    }
    if (isFlow) {
      this.#flowFailures = Math.min(this.#flowFailures + 1, 10);
      const change = this.isSilent ? "none" : this.#fail(nowMs);
      const failures = Math.max(this.#flowFailures - 1, 1);
      const waitMs = Math.min(flowMsMax, flowBaseMs * 2 ** failures) * (0.5 + this.#random.next() / 2);
      if (this.isSilent) this.#nextProbeMs = nowMs + waitMs;
      return change;
    }
    if (this.isSilent) return "none";
    return this.#fail(nowMs);
  }

  /** The server in use said that it does not serve now: the next one, if there is one that is not avoided. */
  passOver(peer: PeerId, nowMs: number, forMs: number): boolean {
    if (peer !== this.current) return false;
    this.#avoidUntilMs[this.#current] = nowMs + Math.max(forMs, avoidMs);
    return this.#advance(nowMs);
  }

  mayProbe(nowMs: number): boolean {
    return nowMs >= this.#nextProbeMs;
  }

  /** A probe leaves. With several servers each is tried in turn. */
  probing(nowMs: number): void {
    const silentMs = nowMs - (this.#silentSinceMs ?? nowMs);
    this.#nextProbeMs = nowMs + Math.min(Math.max(probeMsMin, silentMs * probeShare), probeMsMax);
    if (this.#peers.length > 1) this.#current = (this.#current + 1) % this.#peers.length;
  }

  /** A probe has had its 32 s: no answer, no hurry. */
  probeTimedOut(nowMs: number): void {
    const waitMs = 5000 * (1 + this.#random.next());
    this.#nextProbeMs = Math.max(this.#nextProbeMs, nowMs + waitMs);
  }

  /** Somebody insists. */
  probeNow(nowMs: number): void {
    if (this.isSilent) this.#nextProbeMs = nowMs;
  }

  #fail(nowMs: number): ReachChange {
    this.#avoidUntilMs[this.#current] = nowMs + avoidMs;
    if (this.#advance(nowMs)) return "switched";
    if (this.isSilent) return "none";
    this.#silentSinceMs = nowMs;
    this.#nextProbeMs = nowMs;
    return "silent";
  }

  #advance(nowMs: number): boolean {
    for (let n = 1; n < this.#peers.length; n++) {
      const at = (this.#current + n) % this.#peers.length;
      if (this.#avoidUntilMs[at]! > nowMs) continue;
      this.#current = at;
      this.#unanswered = 0;
      // The newcomer has a chance before anything is held against it.
      this.#answeredAtMs = nowMs;
      return true;
    }
    return false;
  }
}

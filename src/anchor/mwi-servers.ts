import type { PeerId } from "../net/network.ts";
import { mwiRefusalsMax, mwiServerPauseMs } from "./limits.ts";

/** Answers that speak for the whole server: it does not know the package, the method, or us, or leads back to ourselves (482). */
const serverRefusals: ReadonlySet<number> = new Set([405, 420, 482, 489, 501]);

interface Manners {
  accepted: boolean;
  /** The first SUBSCRIBE is under way: another one would not be better. */
  probing: boolean;
  refusals: number;
  pausedUntilMs: number;
}

/** What servers have shown when asked for voicemail: one that has not accepted yet is asked once at a time, one that refuses not for hours. */
export class MwiServers {
  readonly #nowMs: () => number;
  readonly #servers = new Map<PeerId, Manners>();

  /** `nowMs`: monotonic. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Whether it has refused lately, and will still be spared `afterMs` from now. */
  isPaused(peer: PeerId, afterMs: number): boolean {
    return this.#nowMs() + afterMs < (this.#servers.get(peer)?.pausedUntilMs ?? 0);
  }

  /** Whether a SUBSCRIBE may go now; then it goes. */
  begin(peer: PeerId): boolean {
    const manners = this.#of(peer);
    if (!manners.accepted && manners.probing) return false;
    manners.probing = !manners.accepted;
    return true;
  }

  /** What was begun came to nothing that tells of the server. */
  letGo(peer: PeerId): void {
    this.#of(peer).probing = false;
  }

  accepted(peer: PeerId): void {
    const manners = this.#of(peer);
    manners.accepted = true;
    manners.probing = false;
    manners.refusals = 0;
  }

  /** It said no, to this account or, by what it said, to all. */
  refused(peer: PeerId, status: number): void {
    this.#count(peer, serverRefusals.has(status));
  }

  /** It did not answer at all. */
  failed(peer: PeerId): void {
    this.#count(peer, true);
  }

  #count(peer: PeerId, isForAll: boolean): void {
    const manners = this.#of(peer);
    manners.probing = false;
    if (manners.accepted && !isForAll) return;
    manners.refusals++;
    if (!isForAll && manners.refusals < mwiRefusalsMax) return;
    manners.refusals = 0;
    manners.accepted = false;
    manners.pausedUntilMs = this.#nowMs() + mwiServerPauseMs;
  }

  #of(peer: PeerId): Manners {
    let manners = this.#servers.get(peer);
    if (manners === undefined) {
      manners = { accepted: false, probing: false, refusals: 0, pausedUntilMs: 0 };
      this.#servers.set(peer, manners);
    }
    return manners;
  }
}

import { Counter, type Lane } from "./lanes.ts";

/** How much more a thread is asked than it can do, and what is refused then: see `Strain`. */
export const StrainLevel = {
  none: 0,
  /** New devices and subscriptions are refused. */
  strained: 1,
  /** New calls too. Refreshes, running calls, wakes under way and tunnels go on. */
  severe: 2,
} as const;
export type StrainLevelId = (typeof StrainLevel)[keyof typeof StrainLevel];

/** Mean lateness of the thread's timer at which each level begins, and at which it ends. */
const beginsMs = [0, 100, 250] as const;
const endsMs = [0, 30, 100] as const;
/** The mean is over about so long, weighed by time: what other programs take from us in passing is no strain of ours. */
const meanOverMs = 2_000;
/** More counts as this, so that one pause, however long (garbage, a start, a machine that stood still), stays below the first level. */
const lateMsMax = 400;
/** The longest lateness stands in the lane for so long at least, and twice that at most: who reads once a second misses none. */
const peakStandsMs = 1_000;

/** Tells from how late a thread's timer runs whether it keeps up. Level and lateness are kept in its lane, for all threads to read. */
export class Strain {
  readonly #lane: Lane;
  readonly #everyMs: number;
  /** Longest lateness of the last whole `peakStandsMs`, and of those that run. */
  #peakBeforeMs = 0;
  #peakMs = 0;
  #peakSinceMs = 0;
  #meanMs = 0;
  #level: StrainLevelId = StrainLevel.none;

  /** `everyMs`: how often the timer is set to run. */
  constructor(lane: Lane, everyMs: number) {
    this.#lane = lane;
    this.#everyMs = everyMs;
  }

  get level(): StrainLevelId {
    return this.#level;
  }

  /** The timer came so late. Call it at each of its ticks. */
  note(lateMs: number): void {
    const countedMs = Math.min(Math.max(lateMs, 0), lateMsMax);
    this.#meanMs += (countedMs - this.#meanMs) * (1 - Math.exp(-(this.#everyMs + countedMs) / meanOverMs));
    while (this.#meanMs >= (beginsMs[this.#level + 1] ?? Infinity)) this.#level = (this.#level + 1) as StrainLevelId;
    while (this.#meanMs < (endsMs[this.#level] ?? 0)) this.#level = (this.#level - 1) as StrainLevelId;
    this.#lane.set(Counter.strain, this.#level);
    this.#keepPeak(Math.max(lateMs, 0));
  }

  #keepPeak(lateMs: number): void {
    this.#peakMs = Math.max(this.#peakMs, lateMs);
    this.#lane.set(Counter.loopDelayMs, Math.max(this.#peakBeforeMs, this.#peakMs));
    this.#peakSinceMs += this.#everyMs + lateMs;
    if (this.#peakSinceMs < peakStandsMs) return;
    this.#peakBeforeMs = this.#peakMs;
    this.#peakMs = 0;
    this.#peakSinceMs = 0;
  }
}

/** The level of the thread that is worst off. */
export function worstStrain(lanes: readonly Lane[]): number {
  return Math.max(StrainLevel.none, ...lanes.map((lane) => lane.get(Counter.strain)));
}

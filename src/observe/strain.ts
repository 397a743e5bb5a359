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

/** Mean lateness of the thread's timer at which each level begins, and at which it ends: one long collection of garbage is no strain. */
const beginsMs = [0, 50, 250] as const;
const endsMs = [0, 15, 75] as const;
/** A tenth a note: seconds under strain, when notes are far apart, and a fraction of one to recover. */
const gain = 0.1;
const lateMaxMs = 2_000;

/** Tells from how late a thread's timer runs whether it keeps up. The level is kept in its lane, for all threads to read. */
export class Strain {
  readonly #lane: Lane;
  #meanMs = 0;
  #level: StrainLevelId = StrainLevel.none;

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  get level(): StrainLevelId {
    return this.#level;
  }

  /** The timer came so late. Call it at each of its ticks. */
  note(lateMs: number): void {
    this.#meanMs += (Math.min(Math.max(lateMs, 0), lateMaxMs) - this.#meanMs) * gain;
    while (this.#meanMs >= (beginsMs[this.#level + 1] ?? Infinity)) this.#level = (this.#level + 1) as StrainLevelId;
    while (this.#meanMs < (endsMs[this.#level] ?? 0)) this.#level = (this.#level - 1) as StrainLevelId;
    this.#lane.set(Counter.strain, this.#level);
  }
}

/** The level of the thread that is worst off. */
export function worstStrain(lanes: readonly Lane[]): number {
  return Math.max(StrainLevel.none, ...lanes.map((lane) => lane.get(Counter.strain)));
}

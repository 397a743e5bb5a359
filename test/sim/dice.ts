import { SeededRandom } from "../fakes/virtual-clock.ts";

/** Choices that a seed replays; each actor has its own, so that one more throw here moves nothing there. */
export class Dice {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  /** A fresh one for another actor. */
  split(): Dice {
    return new Dice(Math.floor(this.#random.next() * 2 ** 31));
  }
  chance(ratio: number): boolean {
    return this.#random.next() < ratio;
  }
  between(from: number, to: number): number {
    return from + this.#random.next() * (to - from);
  }
  whole(from: number, to: number): number {
    return Math.floor(this.between(from, to + 1));
  }
  pick<T>(from: readonly T[]): T {
    const one = from[Math.floor(this.#random.next() * from.length)];
    if (one === undefined) throw new Error("nothing to choose from");
    return one;
  }
  token(): string {
    return Math.floor(this.#random.next() * 2 ** 52).toString(36);
  }
}

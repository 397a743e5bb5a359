import type { Random } from "../time/random.ts";

const poolWords = 1024;

/** Unpredictable words by the thousand: asking the system for each branch would cost more than writing its REGISTER. */
export class RandomPool {
  readonly #random: Random;
  readonly #words = new Int32Array(poolWords);
  #next = poolWords;

  constructor(random: Random) {
    this.#random = random;
  }

  /** HOT. 32 unpredictable bits, as a signed number; each is handed out once. */
  word(): number {
    if (this.#next === poolWords) {
      this.#random.bytes(new Uint8Array(this.#words.buffer));
      this.#next = 0;
    }
    const word = this.#words[this.#next]!;
    this.#words[this.#next++] = 0;
    return word;
  }

  /** A float in [least, most): jitter. */
  between(least: number, most: number): number {
    return least + this.#random.next() * (most - least);
  }
}

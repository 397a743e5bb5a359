/** Work on the same key one after the other, on different keys at once: what a request reads of an account stays true until it writes. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` when all work given earlier for `key` has ended, well or badly; resolves or rejects as it does. */
  take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#last.set(key, mine);
    const forget = (): void => {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    };
    mine.then(forget, forget);
    return mine;
  }

  /** Keys with work waiting or under way. */
  get size(): number {
    return this.#last.size;
  }
}

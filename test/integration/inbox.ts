/** What came to someone, in order, each to be taken once. */
export class Inbox<T> {
  readonly #who: string;
  readonly #label: (item: T) => string;
  readonly #items: T[] = [];
  readonly #waiting: { readonly matches: (item: T) => boolean; readonly resolve: (item: T) => void }[] = [];

  constructor(who: string, label: (item: T) => string) {
    this.#who = who;
    this.#label = label;
  }

  push(item: T): void {
    const at = this.#waiting.findIndex(({ matches }) => matches(item));
    if (at < 0) this.#items.push(item);
    else this.#waiting.splice(at, 1)[0]?.resolve(item);
  }

  /** What has come and nobody has taken, as labels. */
  get left(): string[] {
    return this.#items.map(this.#label);
  }

  /** The first that matches, past or to come within `withinMs`. */
  async next(what: string, matches: (item: T) => boolean, withinMs = 4_000): Promise<T> {
    const at = this.#items.findIndex(matches);
    const past = at < 0 ? undefined : this.#items.splice(at, 1)[0];
    if (past !== undefined) return past;
    const waiting = Promise.withResolvers<T>();
    this.#waiting.push({ matches, resolve: waiting.resolve });
    const late = setTimeout(() => {
      waiting.reject(new Error(`${this.#who} got no ${what} in ${withinMs} ms, but: ${this.left.join(", ")}`));
    }, withinMs);
    try {
      return await waiting.promise;
    } finally {
      clearTimeout(late);
    }
  }
}

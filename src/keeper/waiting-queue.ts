import type { RegistrationIndex } from "../base/ids.ts";
import type { VolatileRows } from "./volatile-rows.ts";

const roomMin = 64;

/**
 * Rows that wait for their registrar's budget, the most urgent first: a binary heap over typed arrays that knows where each
 * row stands, so that any can be taken out. A row waits in one queue at most.
 */
export class WaitingQueue {
  readonly #volatile: VolatileRows;
  #rows = new Uint32Array(roomMin);
  #keys = new Float64Array(roomMin);
  #size = 0;

  constructor(volatile: VolatileRows) {
    this.#volatile = volatile;
  }

  get size(): number {
    return this.#size;
  }

  /** The most urgent row; undefined when none waits. */
  first(): RegistrationIndex | undefined {
    return this.#size === 0 ? undefined : (this.#rows[0] as RegistrationIndex);
  }

  /** Adds a row, or moves it when it waits already. Smaller keys go first. */
  put(row: RegistrationIndex, key: number): void {
    let at = this.#volatile.queued(row) - 1;
    if (at < 0) {
      if (this.#size === this.#rows.length) this.#grow();
      at = this.#size++;
    }
    this.#rows[at] = row;
    this.#keys[at] = key;
    this.#down(this.#up(at));
  }

  /** Takes a row out; whether it was in. */
  remove(row: RegistrationIndex): boolean {
    const at = this.#volatile.queued(row) - 1;
    if (at < 0) return false;
    this.#volatile.setQueued(row, 0);
    this.#size--;
    if (at !== this.#size) {
      this.#rows[at] = this.#rows[this.#size]!;
      this.#keys[at] = this.#keys[this.#size]!;
      this.#down(this.#up(at));
    } else if (this.#size === 0 && this.#rows.length > roomMin * 16) {
      // Half a million rows wait once, at the start.
      this.#rows = new Uint32Array(roomMin);
      this.#keys = new Float64Array(roomMin);
    }
    return true;
  }

  #up(from: number): number {
    const row = this.#rows[from]!;
    const key = this.#keys[from]!;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#keys[parent]! <= key) break;
      this.#place(at, this.#rows[parent]!, this.#keys[parent]!);
      at = parent;
    }
    this.#place(at, row, key);
    return at;
  }

  #down(from: number): void {
    const row = this.#rows[from]!;
    const key = this.#keys[from]!;
    let at = from;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#keys[child + 1]! < this.#keys[child]!) child++;
      if (this.#keys[child]! >= key) break;
      this.#place(at, this.#rows[child]!, this.#keys[child]!);
      at = child;
    }
    this.#place(at, row, key);
  }

  #place(at: number, row: number, key: number): void {
    this.#rows[at] = row;
    this.#keys[at] = key;
    this.#volatile.setQueued(row as RegistrationIndex, at + 1);
  }

  #grow(): void {
    const rows = new Uint32Array(this.#rows.length * 2);
    rows.set(this.#rows);
    this.#rows = rows;
    const keys = new Float64Array(rows.length);
    keys.set(this.#keys);
    this.#keys = keys;
  }
}

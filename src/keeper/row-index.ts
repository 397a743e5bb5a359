import type { RegistrationIndex } from "../base/ids.ts";

const slotsMin = 64;

/**
 * From a hash to the rows that have it: open addressing with linear probing in one typed array, 4 bytes a slot, at most
 * three quarters full. Keeps no keys: the hash of a row is asked for, and must not change while the row is in.
 */
export class RowIndex {
  readonly #hashOf: (row: RegistrationIndex) => number;
  /** Row plus one; 0 is empty. */
  #slots = new Uint32Array(slotsMin);
  #size = 0;

  constructor(hashOf: (row: RegistrationIndex) => number) {
    this.#hashOf = hashOf;
  }

  get size(): number {
    return this.#size;
  }

  /** Makes room for so many rows at once, so that a restart does not move them again and again. */
  reserve(rows: number): void {
    while (rows * 4 > this.#slots.length * 3) this.#grow();
  }

  add(row: RegistrationIndex): void {
    if ((this.#size + 1) * 4 > this.#slots.length * 3) this.#grow();
    this.#put(row);
    this.#size++;
  }

  /** Takes the row out; nothing when it is not in. */
  remove(row: RegistrationIndex): void {
    const mask = this.#slots.length - 1;
    let at = this.#hashOf(row) & mask;
    while (this.#slots[at] !== row + 1) {
      if (this.#slots[at] === 0) return;
      at = (at + 1) & mask;
    }
    this.#size--;
    // Rows behind move up, so that no probe ends at the hole before it has seen them.
    let hole = at;
    for (let next = (at + 1) & mask; this.#slots[next] !== 0; next = (next + 1) & mask) {
      const home = this.#hashOf((this.#slots[next]! - 1) as RegistrationIndex) & mask;
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      this.#slots[hole] = this.#slots[next]!;
      hole = next;
    }
    this.#slots[hole] = 0;
  }

  /** The first row under `hash` that `matches`, in no order. Rows of other hashes are asked too: `matches` decides. */
  find(hash: number, matches: (row: RegistrationIndex) => boolean): RegistrationIndex | undefined {
    const mask = this.#slots.length - 1;
    for (let at = hash & mask; this.#slots[at] !== 0; at = (at + 1) & mask) {
      const row = (this.#slots[at]! - 1) as RegistrationIndex;
      if (matches(row)) return row;
    }
    return undefined;
  }

  #put(row: RegistrationIndex): void {
    const mask = this.#slots.length - 1;
    let at = this.#hashOf(row) & mask;
    while (this.#slots[at] !== 0) at = (at + 1) & mask;
    this.#slots[at] = row + 1;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at++) if (old[at] !== 0) this.#put((old[at]! - 1) as RegistrationIndex);
  }
}

import type { PeerId } from "./network.ts";

/** One burst holds at most so much; what comes beyond makes it leave early. */
export const batchBytesMax = 1_048_576;
export const batchCountMax = 2_048;

/** `Buffer`'s own, which takes any bytes: a `set` would need a view of each range, and takes twice as long. */
const copyBytes = Buffer.prototype.copy as (
  this: Uint8Array,
  target: Uint8Array,
  at: number,
  from: number,
  to: number,
) => number;

const hashSlots = batchCountMax * 2;
const hashMask = hashSlots - 1;

/**
 * HOT: 0 allocations. Datagrams of one burst, copied into one buffer that never moves, and their order by peer and length,
 * which is what UDP_SEGMENT wants together. Within a group they keep the order in which they came.
 */
export class DatagramBatch {
  readonly buffer = new ArrayBuffer(batchBytesMax);
  readonly bytes = new Uint8Array(this.buffer);
  /** Entries in group order, after `group`. */
  readonly order = new Uint32Array(batchCountMax);
  /** Where each group begins in `order`; one more closes the last. */
  readonly groupFrom = new Uint32Array(batchCountMax + 1);
  readonly #offset = new Uint32Array(batchCountMax);
  readonly #length = new Uint32Array(batchCountMax);
  readonly #peer = new Uint32Array(batchCountMax);
  readonly #groupOf = new Uint32Array(batchCountMax);
  /** First entry of each group: what the hash compares with. */
  readonly #groupHead = new Uint32Array(batchCountMax);
  /** Open addressing over (peer, length): group + 1, 0 is free. */
  readonly #table = new Uint32Array(hashSlots);
  readonly #slotOf = new Uint32Array(batchCountMax);
  #count = 0;
  #end = 0;

  get count(): number {
    return this.#count;
  }

  offset(entry: number): number {
    return this.#offset[entry]!;
  }

  length(entry: number): number {
    return this.#length[entry]!;
  }

  peer(entry: number): PeerId {
    return this.#peer[entry] as PeerId;
  }

  /** Copies bytes[from, to). False when the batch has no room left. */
  add(peer: PeerId, bytes: Uint8Array, from: number, to: number): boolean {
    const length = to - from;
    if (this.#count === batchCountMax || this.#end + length > batchBytesMax) return false;
    const entry = this.#count++;
    copyBytes.call(bytes, this.bytes, this.#end, from, to);
    this.#offset[entry] = this.#end;
    this.#length[entry] = length;
    this.#peer[entry] = peer;
    this.#end += length;
    return true;
  }

  /** Fills `order` and `groupFrom`; returns how many groups there are. */
  group(): number {
    let groups = 0;
    for (let entry = 0; entry < this.#count; entry++) {
      const peer = this.#peer[entry]!;
      const length = this.#length[entry]!;
      let slot = ((Math.imul(peer, 0x9e3779b1) ^ Math.imul(length, 0x85ebca6b)) >>> 7) & hashMask;
      let group = this.#table[slot]!;
      while (group !== 0) {
        const head = this.#groupHead[group - 1]!;
        if (this.#peer[head] === peer && this.#length[head] === length) break;
        slot = (slot + 1) & hashMask;
        group = this.#table[slot]!;
      }
      if (group === 0) {
        this.#groupHead[groups] = entry;
        this.#slotOf[groups] = slot;
        this.groupFrom[groups] = 0;
        group = ++groups;
        this.#table[slot] = group;
      }
      this.#groupOf[entry] = group - 1;
      this.groupFrom[group - 1]!++;
    }
    this.#place(groups);
    return groups;
  }

  /** Counting sort: the counts in `groupFrom` become starts, and the table is emptied for the next burst. */
  #place(groups: number): void {
    let start = 0;
    for (let group = 0; group < groups; group++) {
      const count = this.groupFrom[group]!;
      this.groupFrom[group] = start;
      start += count;
      this.#table[this.#slotOf[group]!] = 0;
    }
    this.groupFrom[groups] = start;
    for (let entry = 0; entry < this.#count; entry++) {
      const group = this.#groupOf[entry]!;
      this.order[this.groupFrom[group]!++] = entry;
    }
    for (let group = groups; group > 0; group--) this.groupFrom[group] = this.groupFrom[group - 1]!;
    this.groupFrom[0] = 0;
  }

  clear(): void {
    this.#count = 0;
    this.#end = 0;
  }
}

const chunkBytesMin = 1 << 16;
/** Lengths take one byte, or two with the high bit set. */
const shortMax = 0x7f;
const partBytesMax = 0x7fff;

/**
 * Short byte strings packed one behind the other: an entry is a fixed number of parts, each its length and its bytes.
 * Entries are never changed; dropped ones are waste until the owner compacts.
 */
export class Arena {
  readonly #parts: number;
  /** Public for hot writers: part bytes lie in here at the offsets that `partAt` gives. Replaced when the arena grows. */
  bytes = new Uint8Array(chunkBytesMin);
  #used = 1; // 0 is "no entry"
  #wasted = 0;

  constructor(parts: number) {
    this.#parts = parts;
  }

  /** Whether more than half of a good deal of memory is waste. */
  get isWasteful(): boolean {
    return this.#wasted > chunkBytesMin && this.#wasted * 2 > this.#used;
  }

  /** Stores an entry and returns its offset. @throws RangeError when a part is over 32,767 bytes or their number is wrong. */
  add(parts: readonly Uint8Array[]): number {
    if (parts.length !== this.#parts) throw new RangeError(`an entry has ${this.#parts} parts`);
    let need = 0;
    for (const part of parts) {
      if (part.length > partBytesMax) throw new RangeError("a part of an arena entry is too long");
      need += part.length + 2;
    }
    this.#makeRoom(need);
    const entry = this.#used;
    let at = entry;
    for (const part of parts) {
      if (part.length <= shortMax) this.bytes[at++] = part.length;
      else {
        this.bytes[at++] = 0x80 | (part.length >> 8);
        this.bytes[at++] = part.length & 0xff;
      }
      this.bytes.set(part, at);
      at += part.length;
    }
    this.#used = at;
    return entry;
  }

  /**
   * Stores an entry whose first part is an ASCII text of at most 127 characters and whose others are empty; returns 0 for any other
   * text. What most names are, without arrays between.
   */
  addText(text: string): number {
    const { length } = text;
    if (length > shortMax) return 0;
    this.#makeRoom(length + this.#parts);
    const entry = this.#used;
    const { bytes } = this;
    bytes[entry] = length;
    for (let n = 0; n < length; n++) {
      const code = text.charCodeAt(n);
      if (code > 0x7f) return 0;
      bytes[entry + 1 + n] = code;
    }
    let at = entry + 1 + length;
    for (let n = 1; n < this.#parts; n++) bytes[at++] = 0;
    this.#used = at;
    return entry;
  }

  /** Declares an entry unused. */
  drop(entry: number): void {
    if (entry === 0) return;
    let at = entry;
    for (let n = 0; n < this.#parts; n++) at = this.partAt(at) + this.lengthAt(at);
    this.#wasted += at - entry;
  }

  /** HOT. Length of the part whose length field is at `at`. */
  lengthAt(at: number): number {
    const first = this.bytes[at]!;
    return first <= shortMax ? first : ((first & shortMax) << 8) | this.bytes[at + 1]!;
  }

  /** HOT. Where the bytes of the part at `at` begin; the next part's length field stands behind them. */
  partAt(at: number): number {
    return at + (this.bytes[at]! <= shortMax ? 1 : 2);
  }

  /** A copy of the entry's nth part. */
  part(entry: number, nth: number): Uint8Array {
    let at = entry;
    for (let n = 0; n < nth; n++) at = this.partAt(at) + this.lengthAt(at);
    const from = this.partAt(at);
    return this.bytes.slice(from, from + this.lengthAt(at));
  }

  #makeRoom(need: number): void {
    if (this.#used + need <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.#used + need));
    grown.set(this.bytes.subarray(0, this.#used));
    this.bytes = grown;
  }

  /** Keeps the entries that `rows` names and forgets the rest: each one's offset changes and is handed back by `moved`. */
  compact(
    entries: Iterable<readonly [owner: number, entry: number]>,
    moved: (owner: number, entry: number) => void,
  ): void {
    const kept = new Arena(this.#parts);
    for (const [owner, entry] of entries) {
      const parts: Uint8Array[] = [];
      for (let n = 0; n < this.#parts; n++) parts.push(this.part(entry, n));
      moved(owner, kept.add(parts));
    }
    this.bytes = kept.bytes;
    this.#used = kept.#used;
    this.#wasted = 0;
  }
}

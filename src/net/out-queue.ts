const joinedBytesMax = 65_536;

/** Messages that wait to be written to a stream. They are written joined, and a partial write goes on where it stopped. */
export class OutQueue {
  #messages: Uint8Array[] = [];
  #head = 0;
  /** Bytes of the first message that are written already. */
  #written = 0;
  #bytes = 0;
  /** What `next` has joined and is not written yet: a peer that takes a byte at a time costs one copy, not one a byte. */
  #joined: Uint8Array | undefined;

  /** Bytes yet to write. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Messages not wholly written. */
  get count(): number {
    return this.#messages.length - this.#head;
  }

  /** Keeps `bytes` as given: the caller hands them over. */
  push(bytes: Uint8Array): void {
    this.#messages.push(bytes);
    this.#bytes += bytes.length;
  }

  /** What to write next: at least one message's rest, more when they are small. Undefined when nothing waits. */
  next(): Uint8Array | undefined {
    if (this.#joined !== undefined) return this.#joined;
    const first = this.#messages[this.#head];
    if (first === undefined) return undefined;
    const rest = first.subarray(this.#written);
    if (this.count === 1 || rest.length >= joinedBytesMax) return rest;
    const joined = new Uint8Array(Math.min(this.#bytes, joinedBytesMax));
    joined.set(rest);
    let at = rest.length;
    for (let i = this.#head + 1; i < this.#messages.length && at < joined.length; i++) {
      const message = this.#messages[i] ?? rest;
      joined.set(message.subarray(0, joined.length - at), at);
      at += message.length;
    }
    this.#joined = joined;
    return joined;
  }

  /** `bytes` of what `next` gave are written. */
  consume(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#joined !== undefined)
      this.#joined = bytes < this.#joined.length ? this.#joined.subarray(bytes) : undefined;
    let left = this.#written + bytes;
    for (let first = this.#messages[this.#head]; first !== undefined && left >= first.length;) {
      left -= first.length;
      this.#head++;
      first = this.#messages[this.#head];
    }
    this.#written = left;
    if (this.#head * 2 >= this.#messages.length) {
      this.#messages = this.#messages.slice(this.#head);
      this.#head = 0;
    }
  }
}

const joinedBytesMax = 65_536;

/** Messages that wait to be written to a stream. They are written joined, and a partial write goes on where it stopped. */
export class OutQueue {
  #messages: Uint8Array[] = [];
  #head = 0;
  /** Bytes of the first message that are written already. */
  #written = 0;
  #bytes = 0;

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
    return joined;
  }

  /** `bytes` of what `next` gave are written. */
  consume(bytes: number): void {
    this.#bytes -= bytes;
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

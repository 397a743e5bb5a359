import { writtenBytesMax } from "./limits.ts";

const firstRoom = 2_048;
const CR = 13;
const LF = 10;

/**
 * Builds one message at a time in a buffer that is used again. Text is latin1: one byte a character, characters over U+00FF
 * become `?`. Past `bytesMax` nothing more is written, `overflowed` is true and `bytes()` is empty: too long a message is not sent at all.
 */
export class MessageWriter {
  readonly #bytesMax: number;
  #buffer = new Uint8Array(firstRoom);
  #length = 0;
  #overflowed = false;

  constructor(bytesMax: number = writtenBytesMax) {
    this.#bytesMax = bytesMax;
  }

  get length(): number {
    return this.#length;
  }
  get overflowed(): boolean {
    return this.#overflowed;
  }

  reset(): void {
    this.#length = 0;
    this.#overflowed = false;
  }

  /** As it is: the caller vouches that no stranger's CR LF is in it. `line` and `field` do not trust. */
  text(text: string): void {
    const at = this.#reserve(text.length);
    if (at < 0) return;
    const buffer = this.#buffer;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      buffer[at + i] = code > 0xff ? 0x3f : code;
    }
  }

  /** Text inside a line: CR, LF and NUL become spaces, so that no value can make a header of its own. */
  field(text: string): void {
    const at = this.#reserve(text.length);
    if (at < 0) return;
    const buffer = this.#buffer;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      buffer[at + i] = code === CR || code === LF || code === 0 ? 0x20 : code > 0xff ? 0x3f : code;
    }
  }

  /** `field` and CR LF. */
  line(text: string): void {
    this.field(text);
    this.crlf();
  }

  slice(bytes: Uint8Array, from: number, to: number): void {
    if (to <= from) return;
    const at = this.#reserve(to - from);
    if (at < 0) return;
    // A loop beats `set` with its subarray below some hundred bytes.
    if (to - from > 256) this.#buffer.set(bytes.subarray(from, to), at);
    else for (let i = from, j = at; i < to; i++, j++) this.#buffer[j] = bytes[i]!;
  }

  /** A whole number of 0 or more, in decimal. */
  number(value: number): void {
    this.text(String(value));
  }

  crlf(): void {
    const at = this.#reserve(2);
    if (at < 0) return;
    this.#buffer[at] = CR;
    this.#buffer[at + 1] = LF;
  }

  /** The message: a part of the inner buffer, valid until `reset`. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#overflowed ? 0 : this.#length);
  }

  /** The message as a copy of its own. */
  copy(): Uint8Array {
    return this.#buffer.slice(0, this.#overflowed ? 0 : this.#length);
  }

  /** Offset where `count` bytes may be written, or -1 when they do not fit. */
  #reserve(count: number): number {
    const at = this.#length;
    const needed = at + count;
    if (this.#overflowed || needed > this.#bytesMax) {
      this.#overflowed = true;
      return -1;
    }
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(Math.max(this.#buffer.length * 2, needed), this.#bytesMax));
      grown.set(this.#buffer.subarray(0, at));
      this.#buffer = grown;
    }
    this.#length = needed;
    return at;
  }
}

import { hexDigits, hexHigh, hexLow } from "../../base/hex.ts";
import { Algorithm, hashInto, hexChars, type KnownAlgorithmId } from "./algorithm.ts";
import { cnonceBytesMax, nonceBytesMax } from "./limits.ts";

const COLON = 0x3a;

/** HA1, nonce, nc, cnonce, qop and HA2 with their colons. */
const scratchBytes = 64 + nonceBytesMax + 8 + cnonceBytesMax + 8 + 64 + 5;

/**
 * HOT: one digest answer at a time, from bytes to bytes, nothing allocated once warm; bench/sip/auth/digest.bench.ts:
 * ≤ 350 ns an answer with kept HA1 and HA2, ≤ 700 ns for all three hashes.
 *
 * Call in this order: `ha1Hex` or `ha1Raw`; for `-sess` `sess`; `nonce`; with a qop `auth`; `write`.
 */
export class DigestWriter {
  readonly #scratch = new Uint8Array(scratchBytes);
  /** Views of the scratch by length: the lengths of a registrar's nonces are few, and a view costs more than its hash's set-up. */
  readonly #views: Uint8Array<ArrayBuffer>[] = [];
  readonly #hash = new Uint8Array(32);
  #algorithm: KnownAlgorithmId = Algorithm.md5;
  #length = 0;
  /** False once a part was beyond its bound. */
  #fits = true;

  /** Begins an answer with HA1 in lower-case hex at bytes[at, at + hexChars). */
  ha1Hex(algorithm: KnownAlgorithmId, bytes: Uint8Array, at: number): void {
    this.#algorithm = algorithm;
    this.#fits = true;
    this.#length = hexChars(algorithm);
    for (let i = 0; i < this.#length; i++) this.#scratch[i] = bytes[at + i]!;
  }

  /** Begins an answer with HA1 as hash bytes at bytes[at, at + hexChars / 2). */
  ha1Raw(algorithm: KnownAlgorithmId, bytes: Uint8Array, at: number): void {
    this.#algorithm = algorithm;
    this.#fits = true;
    this.#length = writeHex(bytes, at, hexChars(algorithm) / 2, this.#scratch, 0);
  }

  /** Makes HA1 that of a `-sess` algorithm, H(HA1:nonce:cnonce) (RFC 7616 §3.4.2); call it just after HA1. */
  sess(
    nonce: Uint8Array,
    nonceFrom: number,
    nonceTo: number,
    cnonce: Uint8Array,
    cnonceFrom: number,
    cnonceTo: number,
  ): void {
    this.#part(nonce, nonceFrom, nonceTo);
    this.#part(cnonce, cnonceFrom, cnonceTo);
    this.#hashScratch();
    this.#length = writeHex(this.#hash, 0, hexChars(this.#algorithm) / 2, this.#scratch, 0);
  }

  /** bytes[from, to): the nonce as it stood between its quotes, at most `nonceBytesMax`. */
  nonce(bytes: Uint8Array, from: number, to: number): void {
    this.#part(bytes, from, to);
  }

  /** The parts that qop=auth adds: `count` (nc) of this nonce, from 1, and the cnonce, at most `cnonceBytesMax`. */
  auth(count: number, cnonce: Uint8Array, from: number, to: number): void {
    const scratch = this.#scratch;
    this.#fits &&= this.#length + 9 + 1 + to - from + 5 <= scratchBytes;
    if (!this.#fits) return;
    scratch[this.#length] = COLON;
    this.#length = writeHex8(count, scratch, this.#length + 1);
    this.#part(cnonce, from, to);
    let at = this.#length;
    scratch[at++] = COLON;
    scratch[at++] = 0x61;
    scratch[at++] = 0x75;
    scratch[at++] = 0x74;
    scratch[at++] = 0x68;
    this.#length = at;
  }

  /**
   * Ends the answer with HA2 in hex at ha2[ha2At, …) and writes the response in hex at out[at, …). Returns the offset after it,
   * or -1 when a part was beyond its bound; nothing is written then.
   */
  write(ha2: Uint8Array, ha2At: number, out: Uint8Array, at: number): number {
    const chars = hexChars(this.#algorithm);
    this.#part(ha2, ha2At, ha2At + chars);
    if (!this.#fits) return -1;
    this.#hashScratch();
    return writeHex(this.#hash, 0, chars / 2, out, at);
  }

  /** H(bytes[from, to)) in hex at out[at, …): HA1 of `username:realm:password`, HA2 of `METHOD:uri`. Returns the offset after it. */
  hash(algorithm: KnownAlgorithmId, bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
    this.#algorithm = algorithm;
    this.#length = 0;
    if (to - from > scratchBytes) return -1;
    this.#copy(bytes, from, to);
    this.#hashScratch();
    return writeHex(this.#hash, 0, hexChars(algorithm) / 2, out, at);
  }

  #part(bytes: Uint8Array, from: number, to: number): void {
    this.#fits &&= this.#length + 1 + to - from <= scratchBytes;
    if (!this.#fits) return;
    this.#scratch[this.#length++] = COLON;
    this.#copy(bytes, from, to);
  }

  #copy(bytes: Uint8Array, from: number, to: number): void {
    const scratch = this.#scratch;
    let length = this.#length;
    for (let i = from; i < to; i++) scratch[length++] = bytes[i]!;
    this.#length = length;
  }

  #hashScratch(): void {
    const length = this.#length;
    const view = (this.#views[length] ??= this.#scratch.subarray(0, length));
    hashInto(this.#algorithm, view, this.#hash);
  }
}

/** bytes[from, from + count) as 2 * count lower-case hex characters at out[at, …); returns the offset after them. */
function writeHex(bytes: Uint8Array, from: number, count: number, out: Uint8Array, at: number): number {
  let to = at;
  for (let i = 0; i < count; i++) {
    const byte = bytes[from + i]!;
    out[to] = hexHigh[byte]!;
    out[to + 1] = hexLow[byte]!;
    to += 2;
  }
  return to;
}

/** A nonce count as `8LHEX` at out[at, …); returns the offset after it. */
export function writeHex8(value: number, out: Uint8Array, at: number): number {
  for (let i = 0; i < 8; i++) out[at + i] = hexDigits[(value >>> (28 - 4 * i)) & 15]!;
  return at + 8;
}

import { addressOf, Errno, type Libc } from "./libc.ts";
import { SourceNames } from "./source-names.ts";

const dontWait = 0x40;
/** Datagrams a call. */
const slots = 64;
/** What one `drain` takes at most: then the loop has its turn again. */
const drainMax = 4_096;
/** Any datagram fits. Not a power of two, lest all slots begin in the same sets of the caches. */
const slotBytes = 65_536 + 1_088;

const multiHeaderBytes = 64;
const vectorBytes = 16;
const nameBytes = 32;

/** Layout of the one buffer in which the calls' structures lie (Linux, 64-bit, little-endian). */
const headersAt = 0;
const vectorsAt = headersAt + slots * multiHeaderBytes;
const namesAt = vectorsAt + slots * vectorBytes;
const structBytes = namesAt + slots * nameBytes;
/** Words of `struct mmsghdr`. */
const nameLengthWord = 2;
const lengthWord = 14;
const lowRange = 4_294_967_296;

/** Takes a datagram out of bytes[from, to), which are used again after the call. `address` is canonical. */
export type TakeDatagram = (bytes: Uint8Array, from: number, to: number, port: number, address: string) => void;

/**
 * HOT: 0 allocations. Empties a socket with `recvmmsg`: where many datagrams wait, that is two thirds cheaper than a buffer, an address
 * text and a callback of Bun's for each. Who the datagrams are from is told as text by `SourceNames`.
 */
export class DatagramDrain {
  readonly #libc: Libc;
  readonly #fd: number;
  /** Only touched pages are resident: some of each slot's first. */
  readonly #buffer = new ArrayBuffer(slots * slotBytes);
  readonly #bytes = new Uint8Array(this.#buffer);
  readonly #structs = new ArrayBuffer(structBytes);
  readonly #words = new Uint32Array(this.#structs);
  readonly #base = addressOf(this.#structs);
  readonly #names = new SourceNames(this.#structs);
  #isOpen = true;

  constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
    const bytes = addressOf(this.#buffer);
    const words = this.#words;
    for (let n = 0; n < slots; n++) {
      const vector = (vectorsAt + n * vectorBytes) >> 2;
      const slot = bytes + n * slotBytes;
      words[vector] = slot;
      words[vector + 1] = slot / lowRange;
      words[vector + 2] = slotBytes;
      const header = (headersAt + n * multiHeaderBytes) >> 2;
      const name = this.#base + namesAt + n * nameBytes;
      const vectorPlace = this.#base + vectorsAt + n * vectorBytes;
      words[header] = name;
      words[header + 1] = name / lowRange;
      words[header + nameLengthWord] = nameBytes;
      words[header + 4] = vectorPlace;
      words[header + 5] = vectorPlace / lowRange;
      words[header + 6] = 1;
    }
  }

  /** Hands over what waits, in order, until the socket is empty. What `take` throws ends the turn; the rest of the call's datagrams are lost. */
  drain(take: TakeDatagram, onIcmpError: () => void): void {
    const words = this.#words;
    let taken = 0;
    while (this.#isOpen && taken < drainMax) {
      const count = this.#libc.recvmmsg(this.#fd, this.#base + headersAt, slots, dontWait);
      if (count <= 0) {
        if (count === 0 || this.#libc.errno() !== Errno.connectionRefused) return;
        // An earlier datagram's ICMP error takes the place of one call.
        onIcmpError();
        taken += slots;
        continue;
      }
      for (let n = 0; n < count; n++) {
        const header = n * (multiHeaderBytes >> 2);
        words[header + nameLengthWord] = nameBytes;
        const nameAt = namesAt + n * nameBytes;
        const from = n * slotBytes;
        const address = this.#names.addressAt(nameAt);
        take(this.#bytes, from, from + words[header + lengthWord]!, this.#names.portAt(nameAt), address);
      }
      taken += count;
      if (count < slots) return;
    }
  }

  /** The descriptor may be another's from now on. */
  close(): void {
    this.#isOpen = false;
  }
}

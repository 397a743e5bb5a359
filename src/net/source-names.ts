import ipaddr from "ipaddr.js";
import { canonicalAddress } from "./address.ts";
import { addressFamilyIpv6 } from "./socket-addresses.ts";

/** Addresses whose text is kept; then all are forgotten. A shard hears from few. */
const textsMax = 4_096;

/** Canonical texts of the addresses in `struct sockaddr_in` and `sockaddr_in6`, made once each (Linux layout). */
export class SourceNames {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #ipv4 = new Map<number, string>();
  readonly #ipv6 = new Map<string, string>();
  #last = 0;
  #lastText = "0.0.0.0";

  constructor(structs: ArrayBuffer) {
    this.#bytes = new Uint8Array(structs);
    this.#words = new Uint32Array(structs);
  }

  /** HOT. */
  portAt(at: number): number {
    return (this.#bytes[at + 2]! << 8) | this.#bytes[at + 3]!;
  }

  /** HOT: mostly the address that was asked last. An IPv4-mapped address is told as IPv4. */
  addressAt(at: number): string {
    if (this.#bytes[at] === addressFamilyIpv6) return this.#ipv6At(at + 8);
    const word = this.#words[(at + 4) >> 2]!;
    if (word === this.#last) return this.#lastText;
    let text = this.#ipv4.get(word);
    if (text === undefined) {
      if (this.#ipv4.size >= textsMax) this.#ipv4.clear();
      text = this.#bytes.subarray(at + 4, at + 8).join(".");
      this.#ipv4.set(word, text);
    }
    this.#last = word;
    this.#lastText = text;
    return text;
  }

  #ipv6At(at: number): string {
    const key = String.fromCharCode(...this.#bytes.subarray(at, at + 16));
    let text = this.#ipv6.get(key);
    if (text === undefined) {
      if (this.#ipv6.size >= textsMax) this.#ipv6.clear();
      const plain = ipaddr.fromByteArray([...this.#bytes.subarray(at, at + 16)]).toString();
      text = canonicalAddress(plain) ?? plain;
      this.#ipv6.set(key, text);
    }
    return text;
  }
}

import { addressBytes, isIpv6Text } from "./address.ts";
import { addressOf } from "./libc.ts";
import type { PeerId } from "./network.ts";

const stride = 32;
const firstPeers = 64;
const addressFamilyIpv4 = 2;
export const addressFamilyIpv6 = 10;
const ipv4AddressBytes = 16;
const ipv6AddressBytes = 28;

/** `struct sockaddr_in` and `sockaddr_in6` of the UDP peers, one row a peer, for calls of the C library (Linux layout). */
export class SocketAddresses {
  #bytes = new Uint8Array(new ArrayBuffer(firstPeers * stride));
  #base: number | undefined;

  /** Fills the row of `peer`. `address` is canonical. */
  set(peer: PeerId, address: string, port: number): void {
    const at = peer * stride;
    this.#reserve(at + stride);
    const row = new DataView(this.#bytes.buffer, at, stride);
    const ipv6 = isIpv6Text(address);
    row.setUint16(0, ipv6 ? addressFamilyIpv6 : addressFamilyIpv4, true);
    row.setUint16(2, port, false);
    this.#bytes.set(addressBytes(address), at + (ipv6 ? 8 : 4));
  }

  /** Where the row lies in memory; valid until the next `set`. */
  rowAt(peer: PeerId): number {
    this.#base ??= addressOf(this.#bytes.buffer);
    return this.#base + peer * stride;
  }

  rowBytes(peer: PeerId): number {
    return this.#bytes[peer * stride] === addressFamilyIpv6 ? ipv6AddressBytes : ipv4AddressBytes;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(new ArrayBuffer(Math.max(bytes, this.#bytes.length * 2)));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#base = undefined;
  }
}

import { BlockList, isIP } from "node:net";

/** `::ffff:192.0.2.1` is 192.0.2.1. */
function plainAddress(address: string): string {
  return address.toLowerCase().startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

/** Tells who sent a request: the peer of the socket, or behind a trusted proxy the last address that none of them is. */
export class PeerAddresses {
  readonly #trusted = new BlockList();
  readonly #hasTrusted: boolean;

  /** `trustedProxies`: addresses or networks (`10.0.0.0/8`). What is neither is ignored; `wakeline check` names it. */
  constructor(trustedProxies: readonly string[]) {
    this.#hasTrusted = trustedProxies.length > 0;
    for (const entry of trustedProxies) {
      const [address = "", bits] = entry.split("/", 2);
      const family = isIP(address);
      if (family === 0) continue;
      this.#trusted.addSubnet(
        address,
        bits === undefined ? (family === 4 ? 32 : 128) : Number(bits),
        family === 4 ? "ipv4" : "ipv6",
      );
    }
  }

  /** X-Forwarded-For counts from the right and only through trusted proxies: everything further left is what the peer claims. */
  of(request: Request, socketAddress: string | undefined): string {
    let address = plainAddress(socketAddress ?? "unknown");
    if (!this.#hasTrusted) return address;
    const hops = (request.headers.get("x-forwarded-for") ?? "").split(",");
    while (this.isTrusted(address)) {
      const hop = plainAddress((hops.pop() ?? "").trim().replace(/^\[(.*)\]$/, "$1"));
      if (isIP(hop) === 0) return address;
      address = hop;
    }
    return address;
  }

  isTrusted(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#trusted.check(address, family === 4 ? "ipv4" : "ipv6");
  }
}

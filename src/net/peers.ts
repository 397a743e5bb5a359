import { canonicalAddress } from "./address.ts";
import type { Endpoint, PeerId, Transport } from "./network.ts";

/** Endpoints that one shard may ever talk to; a registrar each, and what dialogs teach. Beyond it `intern` gives `noPeer`. */
const peersMax = 262_144;

/** The peer that nothing can be sent to. */
export const noPeer = 0 as PeerId;
const nowhere: Endpoint = { transport: "udp", address: "0.0.0.0", port: 0 };

/** Endpoints interned as small numbers: same tuple, same id. */
export class Peers {
  readonly #endpoints: Endpoint[] = [nowhere];
  readonly #ids = new Map<string, PeerId>();
  readonly #addresses = new Set<string>();
  readonly #max: number;

  constructor(max = peersMax) {
    this.#max = max;
  }

  get count(): number {
    return this.#endpoints.length - 1;
  }

  /** `noPeer` when the address is not numeric or the table is full. */
  intern(endpoint: Endpoint): PeerId {
    const address = canonicalAddress(endpoint.address);
    if (address === undefined) return noPeer;
    const serverName = endpoint.serverName?.toLowerCase();
    const key = keyOf(endpoint.transport, address, endpoint.port, serverName);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    if (this.#endpoints.length > this.#max) return noPeer;
    const peer = this.#endpoints.length as PeerId;
    const place = { transport: endpoint.transport, address, port: endpoint.port };
    this.#endpoints.push(serverName === undefined ? place : { ...place, serverName });
    this.#ids.set(key, peer);
    this.#addresses.add(address);
    return peer;
  }

  endpoint(peer: PeerId): Endpoint {
    return this.#endpoints[peer] ?? nowhere;
  }

  /** Whether any peer lives at this address. */
  hasAddress(address: string): boolean {
    return this.#addresses.has(address);
  }
}

function keyOf(transport: Transport, address: string, port: number, serverName: string | undefined): string {
  return `${transport} ${address} ${port} ${serverName ?? ""}`;
}

import { parse } from "ipaddr.js";
import type { Endpoint, LocalAddress, Network, PeerId } from "../net/network.ts";

/** What a REGISTER to a peer needs, looked up once: the hot path asks by number. */
export interface PeerEntry {
  readonly peer: PeerId;
  readonly endpoint: Endpoint;
  /** 4 or 16. */
  readonly addressBytes: Uint8Array;
  readonly isStream: boolean;
}

/** FNV-1a of a host as it stands in a Contact. */
function hostHash(host: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < host.length; at++) hash = Math.imul(hash ^ host.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

const hashesMax = 64;

export class PeerTable {
  readonly #network: Network;
  readonly #entries: (PeerEntry | undefined)[] = [];
  readonly #hashes = new Map<string, number>();

  constructor(network: Network) {
    this.#network = network;
  }

  /** HOT. */
  entry(peer: PeerId): PeerEntry {
    return (this.#entries[peer] ??= this.#make(peer));
  }

  /** Hash of a local host; there are few. */
  hostHash(local: LocalAddress): number {
    let hash = this.#hashes.get(local.host);
    if (hash === undefined) {
      if (this.#hashes.size >= hashesMax) this.#hashes.clear();
      hash = hostHash(local.host);
      this.#hashes.set(local.host, hash);
    }
    return hash;
  }

  #make(peer: PeerId): PeerEntry {
    const endpoint = this.#network.endpoint(peer);
    return {
      peer,
      endpoint,
      addressBytes: new Uint8Array(parse(endpoint.address).toByteArray()),
      isStream: endpoint.transport !== "udp",
    };
  }
}

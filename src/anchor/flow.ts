import { keepSource, type LocalAddress, type Network, type PeerId, type Source } from "../net/network.ts";
import type { ClientTransaction, Hop } from "../sip/transaction/transactions.ts";

/** A hop that knows which of its requests have no final answer yet. */
export interface TrackedHop extends Hop {
  readonly pending: Set<ClientTransaction>;
}

/** RFC 3261 §18.1.1: a request larger than this goes by a transport with congestion control, where there is one. */
const datagramBytesMax = 1300;

/** A server, by its own address: requests and, when its connection is gone, responses. */
export class PeerHop implements TrackedHop {
  readonly peer: PeerId;
  readonly reliable: boolean;
  readonly pending = new Set<ClientTransaction>();
  /** When it was unreachable last, monotonic ms. */
  downAtMs = Number.NEGATIVE_INFINITY;
  /** Of the TCP side of a UDP server: where its requests go when TCP is refused. */
  refuge: DatagramHop | undefined;
  readonly #network: Network;
  readonly #onFailed: (hop: PeerHop) => void;

  constructor(network: Network, peer: PeerId, onFailed: (hop: PeerHop) => void) {
    this.#network = network;
    this.#onFailed = onFailed;
    this.peer = peer;
    this.reliable = network.endpoint(peer).transport !== "udp";
  }

  send(bytes: Uint8Array): void {
    if (this.#network.send(this.peer, bytes) === "failed") this.#onFailed(this);
  }
}

/** A UDP server for requests that were written for its TCP side: their Via says UDP again (RFC 3261 §18.1.1). */
export class DatagramHop implements TrackedHop {
  readonly reliable = false;
  readonly pending = new Set<ClientTransaction>();
  readonly #hop: PeerHop;

  constructor(hop: PeerHop) {
    this.#hop = hop;
  }

  send(bytes: Uint8Array): void {
    this.#hop.send(viaBy(bytes, "UDP"));
  }
}

/** Back to where a message came from: the same connection, or the address and port (RFC 3261 §18.2.2, RFC 3581 §4). */
export class ReplyHop implements TrackedHop {
  readonly source: Source;
  readonly reliable: boolean;
  readonly pending = new Set<ClientTransaction>();
  readonly #network: Network;
  readonly #fallback: PeerHop | undefined;
  readonly #onFailed: (hop: ReplyHop) => void;

  constructor(network: Network, source: Source, fallback: PeerHop | undefined, onFailed: (hop: ReplyHop) => void) {
    this.#network = network;
    this.source = keepSource(source);
    this.reliable = source.transport !== "udp";
    this.#fallback = fallback;
    this.#onFailed = onFailed;
  }

  send(bytes: Uint8Array): void {
    if (this.#network.reply(this.source, bytes) !== "failed") return;
    // §18.2.2: when the connection is gone the response goes over a new one, to the account's server and nobody else.
    if (this.#fallback === undefined) this.#onFailed(this);
    else this.#fallback.send(bytes);
  }
}

/** How a dialog reaches its server (design rule 2): not by Route, but the way its first message went. */
export interface Flow {
  readonly hop: PeerHop | ReplyHop;
  /** The server, or one that is reached by the same route: gives the address that Via names. */
  readonly peer: PeerId;
}

/** Interns the hops to servers. */
export class Flows {
  readonly #network: Network;
  readonly #peers = new Map<PeerId, PeerHop>();
  readonly #failed = new Set<PeerHop | ReplyHop>();
  readonly #onFailed = (hop: PeerHop | ReplyHop): void => {
    this.#failed.add(hop);
  };

  constructor(network: Network) {
    this.#network = network;
  }

  toPeer(peer: PeerId): Flow {
    return { hop: this.hop(peer), peer };
  }

  hop(peer: PeerId): PeerHop {
    let hop = this.#peers.get(peer);
    if (hop === undefined) {
      hop = new PeerHop(this.#network, peer, this.#onFailed);
      this.#peers.set(peer, hop);
    }
    return hop;
  }

  /** The hop for a request of so many bytes: the server's TCP side when it is too large for a datagram (RFC 3261 §18.1.1). */
  hopFor(hop: TrackedHop, bytes: number): TrackedHop {
    if (bytes <= datagramBytesMax || hop.reliable || !(hop instanceof PeerHop)) return hop;
    const network = this.#network;
    const twin = network.largeTransport?.(hop.peer);
    // Via names where answers come to (§18.2.2): only the transport's name may change under the same host and port.
    if (twin === undefined || network.localAddress(twin, false)?.port !== network.localAddress(hop.peer, false)?.port)
      return hop;
    const large = this.hop(twin);
    large.refuge ??= new DatagramHop(hop);
    return large;
  }

  /** Whether TCP to that UDP server is still worth a try. */
  isLargeStill(large: PeerHop): boolean {
    const { transport, address, port } = this.#network.endpoint(large.peer);
    if (transport !== "tcp") return false;
    return this.#network.largeTransport?.(this.#network.peer({ transport: "udp", address, port })) === large.peer;
  }

  /** Where the answers to a request go. `server` is tried when the connection that it came by is gone. */
  reply(source: Source, server: PeerId | undefined): ReplyHop {
    const isServer = source.transport !== "udp" && server !== undefined && this.#network.isFrom(server, source);
    return new ReplyHop(this.#network, source, isServer ? this.hop(server) : undefined, this.#onFailed);
  }

  /**
   * How to send requests to where `source` is. A stream's source port is not one that takes connections, so there the account's own
   * server stands for its flow, and any other plausible peer is spoken to on the connection that it opened.
   */
  toSource(source: Source, server: PeerId | undefined): Flow {
    if (source.transport === "udp") {
      const { transport, address, port } = source;
      return this.toPeer(this.#network.peer({ transport, address, port }));
    }
    if (server !== undefined && this.#network.isFrom(server, source)) return this.toPeer(server);
    const serverName = server === undefined ? undefined : this.#network.endpoint(server).serverName;
    const peer =
      server !== undefined && this.#network.endpoint(server).transport === source.transport
        ? server
        : this.#network.peer({
            transport: source.transport,
            address: source.address,
            port: source.port,
            ...(serverName === undefined ? {} : { serverName }),
          });
    return { hop: new ReplyHop(this.#network, source, undefined, this.#onFailed), peer };
  }

  /** The flow, moved to the connection that the server speaks on now when its own was one that the server had opened. */
  renewed(flow: Flow, source: Source, server: PeerId | undefined): Flow {
    const { hop } = flow;
    if (!(hop instanceof ReplyHop) || hop.source.connection === source.connection) return flow;
    return source.transport === hop.source.transport ? this.toSource(source, server) : flow;
  }

  /** Whether a message of `source` comes the dialog's own way. */
  isOn(flow: Flow, source: Source): boolean {
    const { hop } = flow;
    if (this.#network.isFrom(flow.peer, source)) return true;
    return (
      hop instanceof ReplyHop && hop.source.transport === source.transport && hop.source.address === source.address
    );
  }

  /** Our Via value; undefined while the route's local address is not known. */
  via(flow: Flow, branch: string, natEmulation: boolean): string | undefined {
    const local = this.#network.localAddress(flow.peer, natEmulation);
    return local === undefined ? undefined : viaText(this.#network.endpoint(flow.peer).transport, local, branch);
  }

  /** Hops whose last send failed, once. */
  takeFailed(): readonly (PeerHop | ReplyHop)[] {
    if (this.#failed.size === 0) return [];
    const failed = [...this.#failed];
    this.#failed.clear();
    return failed;
  }
}

function viaText(transport: "udp" | "tcp" | "tls", local: LocalAddress, branch: string): string {
  return `SIP/2.0/${transport.toUpperCase()} ${local.host}:${local.port};rport;branch=${branch}`;
}

const viaStart = "Via: SIP/2.0/";

/** A copy of a message that we wrote, with another transport of three letters in its top Via. */
export function viaBy(bytes: Uint8Array, transport: "UDP" | "TCP"): Uint8Array {
  const copy = Buffer.from(bytes);
  const at = copy.indexOf(`\r\n${viaStart}`, 0, "latin1");
  if (at >= 0) copy.write(transport, at + 2 + viaStart.length, "latin1");
  return copy;
}

import { Counter, type Lane } from "../observe/lanes.ts";
import type { Clock } from "../time/clock.ts";
import type { BunSender, SendPath } from "./datagram-wire.ts";
import type { EgressPolicy } from "./egress.ts";
import { type Libc, openLibc } from "./libc.ts";
import { type FindRoute, LocalAddresses } from "./local-address.ts";
import type {
  Endpoint,
  LocalAddress,
  Network,
  NetworkReceiver,
  PeerId,
  SendOutcome,
  Source,
  Transport,
} from "./network.ts";
import { noPeer, Peers } from "./peers.ts";
import { PortProbe } from "./port-probe.ts";
import { trySendPaths } from "./send-path.ts";
import type { ServerCertificate } from "./server-certificate.ts";
import { type StreamReceiver, Streams } from "./stream.ts";
import { type TlsMaterial, trustedAuthorities } from "./trust.ts";
import { UdpSockets } from "./udp.ts";
import type { SocketBuffers } from "./udp-bind.ts";

/** How often time limits of connections are looked at. */
const sweepEveryMs = 1_000;
/** After TCP to a UDP peer failed, large requests go by UDP for so long (RFC 3261 §18.1.1). */
const noLargeTransportMs = 600_000;

const doubleCrlf = Uint8Array.of(13, 10, 13, 10);
const anyPortTries = 10;

export interface NetworkOptions {
  /** Local addresses to listen on, numeric without brackets. */
  readonly listen: readonly string[];
  /** Undefined: off. 0: any free port. */
  readonly udpPort?: number | undefined;
  readonly tcpPort?: number | undefined;
  readonly tlsPort?: number | undefined;
  /** Needed with `tlsPort`. */
  readonly tls?: TlsMaterial | undefined;
  /** Authorities beside the system's (`sip.ca_file`). */
  readonly caFile?: string | undefined;
  readonly advertise?: string | undefined;
  readonly natAddress?: string | undefined;
  readonly egress: EgressPolicy;
  readonly lane: Lane;
  readonly clock: Clock;
  readonly receiver: NetworkReceiver;
  /** How bursts leave; found by trial when absent. */
  readonly sendPath?: SendPath | undefined;
  /** For tests: the C library (null: none), Bun's sockets, and routes. */
  readonly libc?: Libc | null | undefined;
  readonly senderOf?: ((socket: BunSender, drain: () => void) => BunSender) | undefined;
  readonly findRoute?: FindRoute | undefined;
  /** 0: nobody looks at time limits but who calls `sweep`. */
  readonly sweepMs?: number | undefined;
}

/** What a moment's connections are, for metrics and tests. */
interface ConnectionCounts {
  readonly accepted: number;
  /** Turned away because no connection could make room. */
  readonly refused: number;
  /** Cut to make room for a newer one. */
  readonly evicted: number;
}

export interface LiveNetwork extends Network {
  /** 0 when off. */
  readonly udpPort: number;
  readonly tcpPort: number;
  readonly tlsPort: number;
  readonly sendPath: SendPath;
  /** Of the UDP sockets; undefined when UDP is off. */
  readonly udpBuffers: SocketBuffers | undefined;
  /** Whether something waits for `flush`. */
  readonly isPending: boolean;
  /** Where a request too large for UDP goes: the same host by TCP (RFC 3261 §18.1.1). Undefined when the peer is none of UDP, or TCP was tried and refused. */
  largeTransport(peer: PeerId): PeerId | undefined;
  /** For new connections; open ones go on. Throws when it is no certificate and key. */
  reloadTls(material: TlsMaterial): void;
  connections(): ConnectionCounts;
  /** Looks at the time limits now. */
  sweep(): void;
}

/**
 * Opens every socket of a shard. Rejects with an Error of one readable line when a port cannot be bound, the CA file cannot
 * be read or TLS lacks its certificate.
 */
export async function openNetwork(options: NetworkOptions): Promise<LiveNetwork> {
  const libc = options.libc === null ? undefined : (options.libc ?? openLibc());
  const sendPath = options.sendPath ?? (await trySendPaths(libc));
  const authorities = trustedAuthorities(options.caFile);
  const anyPort = options.udpPort === 0 && options.tcpPort === 0;
  for (let tries = 1; ; tries++) {
    const network = new SocketNetwork(options, authorities);
    try {
      await network.open(libc, sendPath);
      return network;
    } catch (cause) {
      network.close();
      // TCP takes the port that UDP was given, and somebody else may have it.
      if (anyPort && tries < anyPortTries) continue;
      throw cause;
    }
  }
}

class SocketNetwork implements LiveNetwork, StreamReceiver {
  readonly #options: NetworkOptions;
  readonly #peers = new Peers();
  readonly #streams: Streams;
  readonly #local: LocalAddresses;
  readonly #probe: PortProbe;
  /** Peers that wait for their route, by address. */
  readonly #asking = new Map<string, Set<PeerId>>();
  /** What `localAddress` said last, by peer: mostly it is that again. */
  readonly #shown: LocalAddress[] = [];
  readonly #shownBehindNat: LocalAddress[] = [];
  /** Verdict on each UDP peer, asked at its first send: 1 allowed, 2 not. */
  readonly #verdict: number[] = [];
  /** TCP twins of UDP peers, and when they last failed. */
  readonly #twins = new Set<PeerId>();
  readonly #twinFailedAtMs = new Map<PeerId, number>();
  #udp: UdpSockets | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #tcpPort = 0;
  #tlsPort = 0;
  #sendPath: SendPath = "sendMany";
  #closed = false;

  constructor(options: NetworkOptions, authorities: readonly string[]) {
    this.#options = options;
    const { egress, clock, lane } = options;
    const isTrial = (peer: PeerId): boolean => this.#twins.has(peer);
    this.#streams = new Streams({ peers: this.#peers, egress, clock, lane, receiver: this, authorities, isTrial });
    this.#local = new LocalAddresses({
      clock,
      listen: options.listen,
      advertise: options.advertise,
      natAddress: options.natAddress,
      onNoRoute: (destination) => this.#onNoRoute(destination),
      ...(options.findRoute === undefined ? {} : { findRoute: options.findRoute }),
    });
    this.#probe = new PortProbe({
      clock,
      endpoint: (peer) => this.#peers.endpoint(peer),
      onDown: (peer, reason) => this.onPeerDown(peer, reason),
    });
  }

  async open(libc: Libc | undefined, sendPath: SendPath): Promise<void> {
    const { listen, udpPort, tcpPort, tlsPort, tls, lane, senderOf, egress } = this.#options;
    if (udpPort !== undefined) {
      this.#udp = await UdpSockets.open({
        listen,
        port: udpPort,
        peers: this.#peers,
        lane,
        libc,
        sendPath,
        routeOf: (address) => this.#local.route(address),
        receiver: {
          onDatagram: (bytes, from, to, source) => this.onMessage(bytes, from, to, source),
          onUnreachable: (peer, reason) => this.onPeerDown(peer, reason),
          onIcmpError: () => this.#probe.onError(),
        },
        ...(senderOf === undefined ? {} : { senderOf }),
      });
      this.#sendPath = this.#udp.sendPath;
    }
    if (tcpPort !== undefined) {
      const port = tcpPort === 0 && udpPort === 0 ? this.udpPort : tcpPort;
      this.#tcpPort = this.#streams.listen("tcp", listen, port, undefined);
    }
    if (tlsPort !== undefined) this.#tlsPort = this.#streams.listen("tls", listen, tlsPort, tls);
    for (const port of [this.udpPort, this.#tcpPort, this.#tlsPort]) {
      if (port > 0) for (const address of listen) egress.addListening(address, port);
    }
    const { sweepMs = sweepEveryMs } = this.#options;
    if (sweepMs > 0) this.#timer = setInterval(() => this.sweep(), sweepMs);
  }

  get udpPort(): number {
    return this.#udp?.port ?? 0;
  }

  get tcpPort(): number {
    return this.#tcpPort;
  }

  get tlsPort(): number {
    return this.#tlsPort;
  }

  get sendPath(): SendPath {
    return this.#sendPath;
  }

  get udpBuffers(): SocketBuffers | undefined {
    return this.#udp?.buffers;
  }

  peer(endpoint: Endpoint): PeerId {
    return this.#peers.intern(endpoint);
  }

  endpoint(peer: PeerId): Endpoint {
    return this.#peers.endpoint(peer);
  }

  localAddress(peer: PeerId, natEmulation: boolean): LocalAddress | undefined {
    const { transport, address } = this.#peers.endpoint(peer);
    const port = this.#localPort(peer, transport);
    const host = this.#local.host(address, natEmulation);
    if (host === undefined) this.#noteAsking(address, peer);
    else if (this.#asking.size > 0) this.#asking.delete(address);
    if (host === undefined || port === undefined) return undefined;
    const shown = natEmulation ? this.#shownBehindNat : this.#shown;
    const known = shown[peer];
    return known?.host === host && known.port === port ? known : (shown[peer] = { host, port });
  }

  send(peer: PeerId, bytes: Uint8Array): SendOutcome {
    if (this.#peers.endpoint(peer).transport !== "udp") return this.#streams.send(peer, bytes);
    if (this.#udp === undefined || !this.#maySend(peer)) return this.#refuse();
    this.#probe.sentTo(peer);
    return this.#udp.send(peer, bytes);
  }

  /** HOT. */
  queue(peer: PeerId, bytes: Uint8Array, from: number, to: number): void {
    if (this.#peers.endpoint(peer).transport !== "udp") {
      this.#streams.queue(peer, bytes.subarray(from, to));
    } else if (this.#udp === undefined || !this.#maySend(peer)) {
      this.#refuse();
    } else {
      this.#probe.sentTo(peer);
      this.#udp.queue(peer, bytes, from, to);
    }
  }

  get isPending(): boolean {
    return this.#udp?.isPending === true || this.#streams.isPending;
  }

  flush(): void {
    this.#udp?.flush();
    this.#streams.flush();
  }

  reply(source: Source, bytes: Uint8Array): SendOutcome {
    if (source.transport !== "udp") return this.#streams.reply(source, bytes);
    return this.#udp === undefined ? this.#refuse() : this.#udp.reply(source, bytes);
  }

  isFrom(peer: PeerId, source: Source): boolean {
    const { transport, address } = this.#peers.endpoint(peer);
    if (peer === noPeer) return false;
    if (source.connection !== 0 && this.#streams.isConnectionOf(peer, source.connection)) return true;
    // What came by a weaker transport than the peer's may be anybody: a UDP source is easily forged, a TCP one read on the way.
    if (!atLeast(source.transport, transport) || source.address !== address) return false;
    if (source.connection !== 0) this.#streams.prove(source.connection);
    return true;
  }

  keepAlive(peer: PeerId): void {
    if (this.#peers.endpoint(peer).transport !== "udp") this.#streams.keepAlive(peer);
    else if (this.#udp !== undefined && this.#maySend(peer)) this.#udp.send(peer, doubleCrlf);
  }

  largeTransport(peer: PeerId): PeerId | undefined {
    const { transport, address, port } = this.#peers.endpoint(peer);
    if (transport !== "udp" || peer === noPeer) return undefined;
    const twin = this.#peers.intern({ transport: "tcp", address, port });
    if (twin === noPeer) return undefined;
    this.#twins.add(twin);
    const failedAtMs = this.#twinFailedAtMs.get(twin);
    return failedAtMs !== undefined && this.#options.clock.nowMs() - failedAtMs < noLargeTransportMs ? undefined : twin;
  }

  reloadTls(material: TlsMaterial): void {
    this.#streams.replaceTls(material);
  }

  connections(): ConnectionCounts {
    const { count, refused, evicted } = this.#streams.accepted;
    return { accepted: count, refused, evicted };
  }

  sweep(): void {
    this.#streams.sweep();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#udp?.close();
    this.#streams.close();
    this.#probe.close();
  }

  // What the sockets report.

  /** The receiver is a boundary itself; what it throws all the same is counted and costs this message only. */
  onMessage(bytes: Uint8Array, from: number, to: number, source: Source): void {
    if (this.#closed) return;
    try {
      this.#options.receiver.onMessage(bytes, from, to, source);
    } catch {
      this.#options.lane.add(Counter.faultsDatagram, 1);
    }
  }

  onPeerDown(peer: PeerId, reason: string): void {
    if (this.#closed) return;
    this.#options.receiver.onPeerDown(peer, reason);
  }

  onServerCertificate(certificate: ServerCertificate): void {
    this.#options.receiver.onServerCertificate?.(certificate);
  }

  onDialFailed(peer: PeerId): void {
    if (this.#twins.has(peer)) this.#twinFailedAtMs.set(peer, this.#options.clock.nowMs());
  }

  #onNoRoute(destination: string): void {
    const asking = this.#asking.get(destination);
    this.#asking.delete(destination);
    for (const peer of asking ?? []) this.onPeerDown(peer, "no route");
  }

  #noteAsking(address: string, peer: PeerId): void {
    const asking = this.#asking.get(address);
    if (asking === undefined) this.#asking.set(address, new Set([peer]));
    else asking.add(peer);
  }

  /** Where we listen for that transport; else the connection's own port, which opening it will tell. */
  #localPort(peer: PeerId, transport: Transport): number | undefined {
    if (transport === "udp") return this.udpPort === 0 ? undefined : this.udpPort;
    const listening = transport === "tcp" ? this.#tcpPort : this.#tlsPort;
    if (listening > 0) return listening;
    this.#streams.open(peer);
    return this.#streams.localPort(peer);
  }

  #maySend(peer: PeerId): boolean {
    const known = this.#verdict[peer];
    if (known !== undefined) return known === 1;
    const { address, port } = this.#peers.endpoint(peer);
    const { allowed } = this.#options.egress.verdict(address, port);
    this.#verdict[peer] = allowed ? 1 : 2;
    return allowed;
  }

  #refuse(): SendOutcome {
    this.#options.lane.add(Counter.sendsDropped, 1);
    return "failed";
  }
}

const strength: Readonly<Record<Transport, number>> = { udp: 0, tcp: 1, tls: 2 };

function atLeast(transport: Transport, wanted: Transport): boolean {
  return strength[transport] >= strength[wanted];
}

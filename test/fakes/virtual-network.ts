import type {
  ConnectionId,
  Endpoint,
  LocalAddress,
  LocateResult,
  Locator,
  Network,
  NetworkReceiver,
  PeerId,
  SendOutcome,
  SipTarget,
  Source,
  Transport,
} from "../../src/net/network.ts";
import { keepSource } from "../../src/net/network.ts";
import type { Random } from "../../src/time/random.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** How a wire treats datagrams. Streams are never lost or reordered, only delayed. */
export interface Weather {
  /** One way, least and most. */
  readonly delayMs: readonly [number, number];
  readonly lossRatio: number;
  readonly duplicateRatio: number;
}

export const fairWeather: Weather = { delayMs: [1, 1], lossRatio: 0, duplicateRatio: 0 };

/** One message as it left its sender, before the wire did anything to it. */
export interface Passage {
  readonly atMs: number;
  readonly transport: Transport;
  /** address:port */
  readonly from: string;
  readonly to: string;
  readonly bytes: Uint8Array;
  /** What became of it. */
  readonly fate: "delivered" | "lost" | "silenced" | "unreachable";
}

interface Due {
  readonly atMs: number;
  readonly turn: number;
  readonly action: () => void;
}

interface Connection {
  readonly id: ConnectionId;
  readonly transport: "tcp" | "tls";
  readonly host: VirtualHost;
  readonly server: VirtualServer;
  readonly hostPort: number;
  readonly serverPort: number;
  readonly peer: PeerId | undefined;
  open: boolean;
  /** In-order delivery: nothing arrives before what was sent earlier. */
  lastToHostMs: number;
  lastToServerMs: number;
}

const keyOf = (transport: Transport, address: string, port: number): string => `${transport} ${address} ${port}`;

/**
 * A discrete-event network: nothing happens between two events, and the clock stands still while one is handled.
 * Hosts are what runs Wakeline; servers and callers are plain endpoints.
 */
export class VirtualWire {
  readonly clock: VirtualClock;
  readonly #random: Random;
  weather: Weather;
  /** Sees every message at the moment it is sent. */
  onPassage: ((passage: Passage) => void) | undefined;
  readonly #heap: Due[] = [];
  #turn = 0;
  readonly #servers = new Map<string, VirtualServer>();
  readonly #hosts: VirtualHost[] = [];
  readonly #silenced = new Set<string>();
  readonly #tickers: ((nowMs: number) => void)[] = [];
  #connections = 0;
  #nextTickMs: number;

  constructor(clock: VirtualClock, random: Random, weather: Weather = fairWeather) {
    this.clock = clock;
    this.#random = random;
    this.weather = weather;
    this.#nextTickMs = clock.nowMs();
  }

  /** A host with these listening ports (0: does not listen); `advertise` is what it shows instead of its address. */
  host(options: {
    readonly address: string;
    readonly port: number;
    readonly tlsPort?: number;
    readonly advertise?: string;
    readonly natAddress?: string;
  }): VirtualHost {
    const host = new VirtualHost(this, options);
    this.#hosts.push(host);
    return host;
  }

  /** Takes a host off the wire (a crash): its connections close, nothing reaches it any more. */
  removeHost(host: VirtualHost): void {
    host.close();
    const at = this.#hosts.indexOf(host);
    if (at >= 0) this.#hosts.splice(at, 1);
  }

  server(endpoint: Endpoint, onMessage: (bytes: Uint8Array, source: Source) => void): VirtualServer {
    const server = new VirtualServer(this, endpoint, onMessage);
    this.#servers.set(keyOf(endpoint.transport, endpoint.address, endpoint.port), server);
    return server;
  }

  removeServer(server: VirtualServer): void {
    const { transport, address, port } = server.endpoint;
    this.#servers.delete(keyOf(transport, address, port));
    server.dropConnections("closed by the server");
  }

  /** Everything to and from this address disappears without a trace until `restore`. */
  silence(address: string): void {
    this.#silenced.add(address);
  }
  restore(address: string): void {
    this.#silenced.delete(address);
  }
  isSilenced(address: string): boolean {
    return this.#silenced.has(address);
  }

  /** Called at every tick of `runFor`. */
  addTicker(ticker: (nowMs: number) => void): void {
    this.#tickers.push(ticker);
  }
  removeTicker(ticker: (nowMs: number) => void): void {
    const at = this.#tickers.indexOf(ticker);
    if (at >= 0) this.#tickers.splice(at, 1);
  }

  schedule(atMs: number, action: () => void): void {
    const heap = this.#heap;
    const due: Due = { atMs: Math.max(atMs, this.clock.nowMs()), turn: this.#turn++, action };
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(due, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = due;
  }

  after(ms: number, action: () => void): void {
    this.schedule(this.clock.nowMs() + ms, action);
  }

  /** Runs events and ticks, in the order of their times, for `ms`. */
  runFor(ms: number, tickMs = 10): void {
    const endMs = this.clock.nowMs() + ms;
    if (this.#nextTickMs < this.clock.nowMs()) this.#nextTickMs = this.clock.nowMs();
    for (;;) {
      const eventMs = this.#heap[0]?.atMs ?? Infinity;
      if (Math.min(eventMs, this.#nextTickMs) > endMs) break;
      if (eventMs <= this.#nextTickMs) {
        const due = this.#pop();
        this.clock.moveTo(due.atMs);
        due.action();
      } else {
        this.clock.moveTo(this.#nextTickMs);
        for (const ticker of this.#tickers.slice()) ticker(this.clock.nowMs());
        this.#nextTickMs += tickMs;
      }
      for (const host of this.#hosts) host.flush();
    }
    this.clock.moveTo(endMs);
  }

  /** Runs until `done` holds, `mostMs` at most; whether it did. */
  runUntil(done: () => boolean, mostMs: number, tickMs = 10): boolean {
    const endMs = this.clock.nowMs() + mostMs;
    while (!done()) {
      if (this.clock.nowMs() >= endMs) return false;
      this.runFor(tickMs, tickMs);
    }
    return true;
  }

  #pop(): Due {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  /** Used by hosts and servers. */
  nextConnection(): ConnectionId {
    return ++this.#connections as ConnectionId;
  }
  findServer(transport: Transport, address: string, port: number): VirtualServer | undefined {
    return this.#servers.get(keyOf(transport, address, port));
  }
  findHost(transport: Transport, address: string, port: number): VirtualHost | undefined {
    return this.#hosts.find((host) => host.listensOn(transport, address, port));
  }
  delayMs(): number {
    const [least, most] = this.weather.delayMs;
    return least === most ? least : least + this.#random.next() * (most - least);
  }

  note(transport: Transport, from: string, to: string, bytes: Uint8Array, fate: Passage["fate"]): void {
    this.onPassage?.({ atMs: this.clock.nowMs(), transport, from, to, bytes: bytes.slice(), fate });
  }

  /** One datagram; `unreachable` is told when nobody listens there (ICMP). */
  datagram(
    from: { readonly address: string; readonly port: number },
    to: { readonly address: string; readonly port: number },
    bytes: Uint8Array,
    unreachable: () => void,
  ): void {
    const names = [`${from.address}:${from.port}`, `${to.address}:${to.port}`] as const;
    const silent = this.isSilenced(from.address) || this.isSilenced(to.address);
    const lost = !silent && this.weather.lossRatio > 0 && this.#random.next() < this.weather.lossRatio;
    const server = this.findServer("udp", to.address, to.port);
    const host = server === undefined ? this.findHost("udp", to.address, to.port) : undefined;
    const fate = silent
      ? "silenced"
      : lost
        ? "lost"
        : server === undefined && host === undefined
          ? "unreachable"
          : "delivered";
    this.note("udp", names[0], names[1], bytes, fate);
    if (fate === "unreachable") this.after(this.delayMs(), unreachable);
    if (fate !== "delivered") return;
    const copies = this.weather.duplicateRatio > 0 && this.#random.next() < this.weather.duplicateRatio ? 2 : 1;
    const copy = bytes.slice();
    const source: Source = { transport: "udp", address: from.address, port: from.port, connection: 0 as ConnectionId };
    for (let n = 0; n < copies; n++) {
      this.after(this.delayMs(), () => {
        if (this.isSilenced(from.address) || this.isSilenced(to.address)) return;
        if (server !== undefined) server.receive(copy, source);
        else host?.receive(copy, source);
      });
    }
  }
}

function before(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.turn < b.turn);
}

const crlfCrlf = new TextEncoder().encode("\r\n\r\n");
/** RFC 5626 §4.4.1. */
const pongWithinMs = 10_000;

/** The Network of one virtual machine. Set `receiver` before time runs. */
export class VirtualHost implements Network {
  receiver: NetworkReceiver | undefined;
  readonly address: string;
  readonly port: number;
  readonly tlsPort: number;
  readonly advertise: string | undefined;
  readonly natAddress: string | undefined;
  /** While false, `localAddress` knows nothing yet, as at the start of a real host. */
  knowsRoute = true;
  sent = 0;
  keepAlives = 0;
  readonly #wire: VirtualWire;
  readonly #endpoints: Endpoint[] = [];
  readonly #peers = new Map<string, PeerId>();
  readonly #flows = new Map<PeerId, Connection>();
  readonly #refusesTcp = new Set<PeerId>();
  readonly #connections = new Map<ConnectionId, Connection>();
  #queued: { readonly peer: PeerId; readonly bytes: Uint8Array }[] = [];
  #nextPort = 40_000;

  constructor(
    wire: VirtualWire,
    options: { address: string; port: number; tlsPort?: number; advertise?: string; natAddress?: string },
  ) {
    this.#wire = wire;
    this.address = options.address;
    this.port = options.port;
    this.tlsPort = options.tlsPort ?? 0;
    this.advertise = options.advertise;
    this.natAddress = options.natAddress;
  }

  listensOn(transport: Transport, address: string, port: number): boolean {
    if (address !== this.address && address !== this.advertise && address !== this.natAddress) return false;
    return port !== 0 && port === (transport === "tls" ? this.tlsPort : this.port);
  }

  peer(endpoint: Endpoint): PeerId {
    const key = `${keyOf(endpoint.transport, endpoint.address, endpoint.port)} ${endpoint.serverName ?? ""}`;
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      this.#endpoints.push(endpoint);
      peer = this.#endpoints.length as PeerId;
      this.#peers.set(key, peer);
    }
    return peer;
  }

  endpoint(peer: PeerId): Endpoint {
    const endpoint = this.#endpoints[peer - 1];
    if (endpoint === undefined) throw new Error(`no peer ${peer}`);
    return endpoint;
  }

  localAddress(peer: PeerId, natEmulation: boolean): LocalAddress | undefined {
    if (!this.knowsRoute) return undefined;
    const { transport, address } = this.endpoint(peer);
    const plain = (natEmulation ? this.natAddress : undefined) ?? this.advertise ?? this.address;
    const host = plain.includes(":") && address.includes(":") ? `[${plain}]` : plain;
    if (transport !== "tls") return { host, port: this.port };
    if (this.tlsPort !== 0) return { host, port: this.tlsPort };
    // No listener: the flow's own port, so there must be a flow.
    const flow = this.#flows.get(peer) ?? this.#open(peer);
    return { host, port: flow.hostPort };
  }

  send(peer: PeerId, bytes: Uint8Array): SendOutcome {
    this.sent++;
    const endpoint = this.endpoint(peer);
    if (endpoint.transport === "udp") {
      this.#wire.datagram(this, endpoint, bytes, () => this.receiver?.onPeerDown(peer, "unreachable"));
      return "sent";
    }
    const flow = this.#flows.get(peer) ?? this.#open(peer);
    this.#toServer(flow, bytes);
    return "sent";
  }

  queue(peer: PeerId, bytes: Uint8Array, from: number, to: number): void {
    if (this.endpoint(peer).transport !== "udp") this.send(peer, bytes.subarray(from, to));
    else this.#queued.push({ peer, bytes: bytes.slice(from, to) });
  }

  flush(): void {
    if (this.#queued.length === 0) return;
    const queued = this.#queued;
    this.#queued = [];
    for (const { peer, bytes } of queued) this.send(peer, bytes);
  }

  reply(source: Source, bytes: Uint8Array): SendOutcome {
    this.sent++;
    if (source.transport === "udp") {
      this.#wire.datagram(this, source, bytes, () => undefined);
      return "sent";
    }
    const connection = this.#connections.get(source.connection);
    if (connection === undefined || !connection.open) return "failed";
    this.#toServer(connection, bytes);
    return "sent";
  }

  isFrom(peer: PeerId, source: Source): boolean {
    const endpoint = this.endpoint(peer);
    // What came by a weaker transport than the peer's may be anybody.
    if (strength[endpoint.transport] > strength[source.transport]) return false;
    return endpoint.address === source.address || this.#flows.get(peer)?.id === source.connection;
  }

  /** As `LiveNetwork` has it; TCP beside a UDP server is there when a virtual server listens. */
  largeTransport(peer: PeerId): PeerId | undefined {
    const { transport, address, port } = this.endpoint(peer);
    if (transport !== "udp") return undefined;
    const twin = this.peer({ transport: "tcp", address, port });
    return this.#refusesTcp.has(twin) ? undefined : twin;
  }

  keepAlive(peer: PeerId): void {
    this.keepAlives++;
    const endpoint = this.endpoint(peer);
    if (endpoint.transport === "udp") {
      this.#wire.datagram(this, endpoint, crlfCrlf, () => this.receiver?.onPeerDown(peer, "unreachable"));
      return;
    }
    const flow = this.#flows.get(peer);
    if (flow === undefined) return;
    if (!flow.server.answersPings || this.#wire.isSilenced(endpoint.address)) {
      this.#wire.after(pongWithinMs, () => this.#down(flow, "no pong"));
    }
  }

  close(): void {
    for (const connection of Array.from(this.#connections.values())) this.#forget(connection);
  }

  receive(bytes: Uint8Array, source: Source): void {
    // Keep-alives and other white space are the transport's.
    if (bytes.length < 8) return;
    this.receiver?.onMessage(bytes, 0, bytes.length, source);
  }

  /** A server opens a connection to one of our listeners. */
  accept(server: VirtualServer, transport: "tcp" | "tls", port: number): Connection {
    return this.#connect(server, transport, port, 50_000 + (this.#nextPort++ % 10_000), undefined);
  }

  connectionOf(id: ConnectionId): Connection | undefined {
    return this.#connections.get(id);
  }

  /** The connection broke; the far side has noticed already or never will. */
  closeConnection(connection: Connection, reason: string): void {
    this.#down(connection, reason);
  }

  #open(peer: PeerId): Connection {
    const { transport, address, port } = this.endpoint(peer);
    if (transport === "udp") throw new Error("a datagram has no connection");
    const server = this.#wire.findServer(transport, address, port);
    const flow = this.#connect(
      server ?? nobody(this.#wire, address, port, transport),
      transport,
      this.#nextPort++,
      port,
      peer,
    );
    this.#flows.set(peer, flow);
    if (server === undefined) {
      this.#wire.after(this.#wire.delayMs(), () => {
        this.#refusesTcp.add(peer);
        this.#down(flow, "connection refused");
      });
    }
    if (server !== undefined && this.#wire.isSilenced(address))
      this.#wire.after(pongWithinMs, () => this.#down(flow, "connect timed out"));
    return flow;
  }

  #connect(
    server: VirtualServer,
    transport: "tcp" | "tls",
    hostPort: number,
    serverPort: number,
    peer: PeerId | undefined,
  ): Connection {
    const id = this.#wire.nextConnection();
    const connection: Connection = {
      id,
      transport,
      host: this,
      server,
      hostPort,
      serverPort,
      peer,
      open: true,
      lastToHostMs: 0,
      lastToServerMs: 0,
    };
    this.#connections.set(id, connection);
    server.connections.set(id, connection);
    return connection;
  }

  #forget(connection: Connection): void {
    connection.open = false;
    this.#connections.delete(connection.id);
    connection.server.connections.delete(connection.id);
    if (connection.peer !== undefined && this.#flows.get(connection.peer) === connection)
      this.#flows.delete(connection.peer);
  }

  #down(connection: Connection, reason: string): void {
    if (!connection.open) return;
    this.#forget(connection);
    if (connection.peer !== undefined) this.receiver?.onPeerDown(connection.peer, reason);
  }

  #toServer(connection: Connection, bytes: Uint8Array): void {
    const { server } = connection;
    const { address } = server.endpoint;
    const silent = this.#wire.isSilenced(address);
    this.#wire.note(
      connection.transport,
      `${this.address}:${connection.hostPort}`,
      `${address}:${connection.serverPort}`,
      bytes,
      silent ? "silenced" : "delivered",
    );
    if (silent) return;
    const copy = bytes.slice();
    const source: Source = {
      transport: connection.transport,
      address: this.address,
      port: connection.hostPort,
      connection: connection.id,
    };
    connection.lastToServerMs = Math.max(this.#wire.clock.nowMs() + this.#wire.delayMs(), connection.lastToServerMs);
    this.#wire.schedule(connection.lastToServerMs, () => {
      if (connection.open) server.receive(copy, source);
    });
  }
}

const strength: Readonly<Record<Transport, number>> = { udp: 0, tcp: 1, tls: 2 };

function nobody(wire: VirtualWire, address: string, port: number, transport: Transport): VirtualServer {
  return new VirtualServer(wire, { transport, address, port }, () => undefined);
}

/** A plain endpoint: a registrar, a proxy, a caller, an attacker. */
export class VirtualServer {
  readonly endpoint: Endpoint;
  answersPings = true;
  /** Open connections with hosts; managed by the host. */
  readonly connections = new Map<ConnectionId, Connection>();
  readonly #wire: VirtualWire;
  readonly #onMessage: (bytes: Uint8Array, source: Source) => void;

  constructor(wire: VirtualWire, endpoint: Endpoint, onMessage: (bytes: Uint8Array, source: Source) => void) {
    this.#wire = wire;
    this.endpoint = endpoint;
    this.#onMessage = onMessage;
  }

  receive(bytes: Uint8Array, source: Source): void {
    if (bytes.length < 8) return;
    this.#onMessage(bytes, keepSource(source));
  }

  /** Answers where a message came from. */
  reply(source: Source, bytes: Uint8Array): void {
    if (source.transport === "udp") {
      this.#wire.datagram(this.endpoint, source, bytes, () => undefined);
      return;
    }
    const connection = this.connections.get(source.connection);
    if (connection !== undefined) this.#toHost(connection, bytes);
  }

  /** Sends to a host's listener: a datagram, or on a connection of its own for streams. */
  send(address: string, port: number, bytes: Uint8Array): void {
    const { transport } = this.endpoint;
    if (transport === "udp") {
      this.#wire.datagram(this.endpoint, { address, port }, bytes, () => undefined);
      return;
    }
    const host = this.#wire.findHost(transport, address, port);
    if (host === undefined) return;
    const known = [...this.connections.values()].find((one) => one.host === host && one.hostPort === port);
    this.#toHost(known ?? host.accept(this, transport, port), bytes);
  }

  dropConnections(reason: string): void {
    for (const connection of Array.from(this.connections.values())) connection.host.closeConnection(connection, reason);
  }

  #toHost(connection: Connection, bytes: Uint8Array): void {
    const { address, transport } = this.endpoint;
    const silent = this.#wire.isSilenced(address);
    this.#wire.note(
      transport,
      `${address}:${connection.serverPort}`,
      `${connection.host.address}:${connection.hostPort}`,
      bytes,
      silent ? "silenced" : "delivered",
    );
    if (silent) return;
    const copy = bytes.slice();
    const source: Source = { transport, address, port: connection.serverPort, connection: connection.id };
    connection.lastToHostMs = Math.max(this.#wire.clock.nowMs() + this.#wire.delayMs(), connection.lastToHostMs);
    this.#wire.schedule(connection.lastToHostMs, () => {
      if (connection.open) connection.host.receive(copy, source);
    });
  }
}

/** A resolver that knows what it is told. Names it does not know are `notFound`; numeric hosts resolve to themselves. */
export class VirtualLocator implements Locator {
  readonly #known = new Map<string, LocateResult>();
  /** While set, every look-up gives this. */
  failing: LocateResult | undefined;
  /** While true, look-ups are held until `release`. */
  holding = false;
  lookups = 0;
  #held: (() => void)[] = [];

  /** What a host name resolves to, in the order to try. */
  set(host: string, endpoints: readonly Endpoint[], ttlSec = 300): void {
    this.#known.set(host, { ok: true, endpoints, ttlSec });
  }

  refuse(host: string, reason: "egress" | "notFound" | "unavailable"): void {
    this.#known.set(host, { ok: false, reason, text: `${host}: ${reason}` });
  }

  release(): void {
    const held = this.#held;
    this.#held = [];
    this.holding = false;
    for (const answer of held) answer();
  }

  locate(target: SipTarget, done: (result: LocateResult) => void): void {
    this.lookups++;
    const answer = (): void => done(this.failing ?? this.#find(target));
    if (this.holding) this.#held.push(answer);
    else answer();
  }

  #find(target: SipTarget): LocateResult {
    const known = this.#known.get(target.host);
    if (known !== undefined) {
      if (!known.ok || target.transport === "auto") return known;
      const endpoints = known.endpoints.filter((endpoint) => endpoint.transport === target.transport);
      return endpoints.length > 0
        ? { ...known, endpoints }
        : { ok: false, reason: "notFound", text: `${target.host}: no ${target.transport}` };
    }
    if (!/^[\d.]+$|:/.test(target.host)) return { ok: false, reason: "notFound", text: `${target.host}: not found` };
    const transport = target.transport === "auto" ? "udp" : target.transport;
    const endpoint: Endpoint = {
      transport,
      address: target.host,
      port: target.port ?? (transport === "tls" ? 5061 : 5060),
      ...(transport === "tls" ? { serverName: target.host } : {}),
    };
    return { ok: true, endpoints: [endpoint], ttlSec: 86_400 };
  }
}

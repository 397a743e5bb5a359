import { LRUCache } from "lru-cache";
import { Counter, type Lane } from "../observe/lanes.ts";
import { isIpv6Text, isWildcard, sourceAddress } from "./address.ts";
import { DatagramBatch } from "./datagram-batch.ts";
import { DatagramDrain, type TakeDatagram } from "./datagram-drain.ts";
import { type BunSender, type DatagramWire, type SendPath, WireResult } from "./datagram-wire.ts";
import type { Libc } from "./libc.ts";
import type { PeerId, SendOutcome, Source } from "./network.ts";
import type { Peers } from "./peers.ts";
import { SocketAddresses } from "./socket-addresses.ts";
import {
  bindAll,
  type BoundSocket,
  type BunUdpSocket,
  type DatagramHandlers,
  fdOf,
  growBuffers,
  type SocketBuffers,
} from "./udp-bind.ts";
import { BunWire, sendOne } from "./wire-bun.ts";
import { LibcWire } from "./wire-libc.ts";

/** What waits for a full socket, each socket: beyond it datagrams are dropped and counted. */
export const waitingCountMax = 8_192;
const waitingBytesMax = 8 * 1_048_576;
/** Sources whose socket is remembered, where it matters. */
const sourcesMax = 16_384;
/** Datagrams that Bun reads with one call: so many in one turn of the loop tell that more wait. */
const bunReadMax = 8;
/** Nothing so short is a SIP message: CRLF keep-alives (RFC 5626 §4.4.1), single NULs and empty datagrams of NAT keepers. */
const keepAliveBytesMax = 4;

export interface UdpReceiver {
  /** bytes[from, to) is one datagram; valid only during the call. */
  onDatagram(bytes: Uint8Array, from: number, to: number, source: Source): void;
  /** A burst's datagram could not leave: there is no way to the peer. */
  onUnreachable(peer: PeerId, reason: string): void;
  /** The socket reported an ICMP error of some datagram sent before. */
  onIcmpError(): void;
}

export interface UdpOptions {
  /** Local addresses, numeric without brackets. */
  readonly listen: readonly string[];
  /** 0: any that is free at all of them. */
  readonly port: number;
  readonly peers: Peers;
  readonly lane: Lane;
  readonly receiver: UdpReceiver;
  readonly libc: Libc | undefined;
  readonly sendPath: SendPath;
  /** The local address of the way to a destination; undefined while it is not known. */
  readonly routeOf: (address: string) => string | undefined;
  /** Stands between us and Bun's socket; tests make it refuse. `drain` is what Bun calls when there is room again. */
  readonly senderOf?: (socket: BunSender, drain: () => void) => BunSender;
}

interface Waiting {
  readonly bytes: Uint8Array;
  readonly port: number;
  readonly address: string;
}

/** One bound socket: its way out and what waits for room. */
class UdpSocket {
  readonly address: string;
  readonly ipv6: boolean;
  readonly bun: BunUdpSocket;
  readonly sender: BunSender;
  readonly wire: DatagramWire;
  readonly #lane: Lane;
  readonly #handlers: DatagramHandlers;
  #waiting: Waiting[] = [];
  #head = 0;
  #waitingBytes = 0;

  constructor(
    options: UdpOptions,
    address: string,
    bun: BunUdpSocket,
    addresses: SocketAddresses,
    handlers: DatagramHandlers,
  ) {
    this.address = address;
    this.#handlers = handlers;
    handlers.drain = () => this.release();
    if (options.libc !== undefined) handlers.waiting = new DatagramDrain(options.libc, fdOf(bun));
    this.ipv6 = isIpv6Text(address);
    this.bun = bun;
    this.#lane = options.lane;
    const plain: BunSender = bun;
    this.sender = options.senderOf?.(plain, () => this.release()) ?? plain;
    const { libc, sendPath } = options;
    this.wire =
      libc === undefined || sendPath === "sendMany"
        ? new BunWire(this.sender, options.peers)
        : new LibcWire(libc, fdOf(bun), addresses, sendPath);
  }

  get isWaiting(): boolean {
    return this.#head < this.#waiting.length;
  }

  /** One datagram after those that wait. */
  send(bytes: Uint8Array, port: number, address: string): SendOutcome {
    if (this.isWaiting) this.release();
    if (!this.isWaiting) {
      const result = sendOne(this.sender, bytes, port, address);
      if (result === WireResult.sent) return this.#count();
      if (result !== WireResult.again) return this.drop();
    }
    return this.hold(bytes, port, address);
  }

  /** Copies `bytes` to the end of what waits. */
  hold(bytes: Uint8Array, port: number, address: string): SendOutcome {
    const count = this.#waiting.length - this.#head;
    if (count >= waitingCountMax || this.#waitingBytes + bytes.length > waitingBytesMax) return this.drop();
    this.#waiting.push({ bytes: Uint8Array.from(bytes), port, address });
    this.#waitingBytes += bytes.length;
    return "queued";
  }

  drop(): SendOutcome {
    this.#lane.add(Counter.sendsDropped, 1);
    return "failed";
  }

  /** Sends what waits until the socket is full again: on Bun's `drain`, and before each burst. */
  release(): void {
    for (let next = this.#waiting[this.#head]; next !== undefined; next = this.#waiting[this.#head]) {
      const result = sendOne(this.sender, next.bytes, next.port, next.address);
      if (result === WireResult.again) return this.#compact();
      if (result === WireResult.sent) this.#count();
      else this.drop();
      this.#head++;
      this.#waitingBytes -= next.bytes.length;
    }
    this.#compact();
  }

  close(): void {
    this.#handlers.waiting?.close();
    this.bun.close();
  }

  #compact(): void {
    this.#waiting = this.#waiting.slice(this.#head);
    this.#head = 0;
  }

  #count(): SendOutcome {
    this.#lane.add(Counter.datagramsOut, 1);
    return "sent";
  }
}

/**
 * All UDP sockets of a shard. A single message leaves at once; a burst (`queue`, then `flush`) leaves by the fastest path that the
 * trial at start found. What a full socket does not take waits in order, bounded; what cannot be sent is counted.
 */
export class UdpSockets {
  readonly port: number;
  readonly sendPath: SendPath;
  /** Of the socket that got least. */
  readonly buffers: SocketBuffers;
  readonly #peers: Peers;
  readonly #lane: Lane;
  readonly #receiver: UdpReceiver;
  readonly #sockets: readonly UdpSocket[];
  readonly #addresses: SocketAddresses;
  readonly #batch = new DatagramBatch();
  /** Socket of each peer, by peer id; undefined until the first send, null when no socket is of its family. */
  readonly #socketOf: (UdpSocket | null | undefined)[] = [];
  readonly #unreachable = new Map<PeerId, string>();
  readonly #routeOf: UdpOptions["routeOf"];
  /** Where the last message of each source came to; only where a family has several sockets. */
  readonly #cameTo: LRUCache<string, UdpSocket> | undefined;

  private constructor(
    options: UdpOptions,
    bound: readonly BoundSocket[],
    addresses: SocketAddresses,
    port: number,
    buffers: readonly SocketBuffers[],
  ) {
    this.port = port;
    this.buffers = {
      receiveBytes: Math.min(...buffers.map(({ receiveBytes }) => receiveBytes)),
      sendBytes: Math.min(...buffers.map(({ sendBytes }) => sendBytes)),
    };
    this.sendPath = options.libc === undefined ? "sendMany" : options.sendPath;
    this.#peers = options.peers;
    this.#lane = options.lane;
    this.#receiver = options.receiver;
    this.#addresses = addresses;
    this.#routeOf = options.routeOf;
    const ipv6Count = bound.filter(({ address }) => isIpv6Text(address)).length;
    const cameTo =
      Math.max(ipv6Count, bound.length - ipv6Count) < 2
        ? undefined
        : new LRUCache<string, UdpSocket>({ max: sourcesMax });
    this.#cameTo = cameTo;
    this.#sockets = bound.map(({ address, bun, handlers }) => {
      const socket = new UdpSocket(options, address, bun, addresses, handlers);
      if (cameTo !== undefined) handlers.note = (source) => cameTo.set(`${source.address} ${source.port}`, socket);
      return socket;
    });
  }

  /** Rejects with an Error that names the address and port when one cannot be bound. */
  static async open(options: UdpOptions): Promise<UdpSockets> {
    const handlers = () => handlersOf(options);
    const bound = await bindAll(options.listen, options.port, handlers);
    const buffers = bound.map(({ bun }) => growBuffers(options.libc, fdOf(bun)));
    return new UdpSockets(options, bound, new SocketAddresses(), bound[0]?.bun.port ?? options.port, buffers);
  }

  send(peer: PeerId, bytes: Uint8Array): SendOutcome {
    const socket = this.#socket(peer);
    if (socket === null) return this.#refuse();
    const { address, port } = this.#peers.endpoint(peer);
    if (socket.isWaiting) return socket.send(bytes, port, address);
    const result = socket.wire.one(peer, bytes, 0, bytes.length);
    if (result === WireResult.sent) {
      this.#lane.add(Counter.datagramsOut, 1);
      return "sent";
    }
    // By Bun's own send once more: when the socket is full that arms `drain`.
    return result === WireResult.again ? socket.send(bytes, port, address) : socket.drop();
  }

  /** HOT. */
  queue(peer: PeerId, bytes: Uint8Array, from: number, to: number): void {
    if (this.#socket(peer) === null) {
      this.#refuse();
      return;
    }
    if (this.#batch.add(peer, bytes, from, to)) return;
    this.flush();
    if (!this.#batch.add(peer, bytes, from, to)) this.#refuse();
  }

  /** Whether something waits for `flush`. */
  get isPending(): boolean {
    return this.#batch.count > 0;
  }

  flush(): void {
    for (const socket of this.#sockets) if (socket.isWaiting) socket.release();
    if (this.#batch.count === 0) return;
    const { groupFrom } = this.#batch;
    const groups = this.#batch.group();
    let mixedFrom = 0;
    let mixedSocket: UdpSocket | undefined;
    for (let group = 0; group < groups; group++) {
      const from = groupFrom[group]!;
      const to = groupFrom[group + 1]!;
      const socket = this.#socket(this.#batch.peer(this.#batch.order[from]!))!;
      const alone = socket.wire.path !== "gso" || to - from === 1;
      // Neighbours that are not to be cut from one send leave together, whoever they are for.
      if (mixedSocket !== undefined && (!alone || mixedSocket !== socket)) {
        this.#burst(mixedSocket, mixedFrom, from, false);
        mixedSocket = undefined;
      }
      if (!alone) this.#burst(socket, from, to, true);
      else if (mixedSocket === undefined) {
        mixedSocket = socket;
        mixedFrom = from;
      }
    }
    if (mixedSocket !== undefined) this.#burst(mixedSocket, mixedFrom, this.#batch.count, false);
    this.#batch.clear();
    if (this.#unreachable.size > 0) this.#tellUnreachable();
  }

  /** To a source that need not be a peer, from the socket that its message came to (RFC 3581 §4). */
  reply(source: Source, bytes: Uint8Array): SendOutcome {
    const socket = this.#cameTo?.get(`${source.address} ${source.port}`) ?? this.#choose(source.address);
    return socket === undefined ? this.#refuse() : socket.send(bytes, source.port, source.address);
  }

  close(): void {
    this.flush();
    for (const socket of this.#sockets) socket.close();
  }

  #burst(socket: UdpSocket, from: number, to: number, equal: boolean): void {
    let at = from;
    while (at < to) {
      if (socket.isWaiting) return this.#holdAll(socket, at, to);
      const taken = socket.wire.burst(this.#batch, at, to, equal);
      at += taken;
      this.#lane.add(Counter.datagramsOut, taken);
      if (at === to) return;
      const { result } = socket.wire;
      const entry = this.#batch.order[at]!;
      const peer = this.#batch.peer(entry);
      if (result === WireResult.again) {
        const { address, port } = this.#peers.endpoint(peer);
        const offset = this.#batch.offset(entry);
        socket.send(this.#batch.bytes.subarray(offset, offset + this.#batch.length(entry)), port, address);
      } else {
        socket.drop();
        this.#unreachable.set(peer, result === WireResult.unreachable ? "no route" : "send refused");
      }
      at++;
    }
  }

  #holdAll(socket: UdpSocket, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const entry = this.#batch.order[at]!;
      const { address, port } = this.#peers.endpoint(this.#batch.peer(entry));
      const offset = this.#batch.offset(entry);
      socket.hold(this.#batch.bytes.subarray(offset, offset + this.#batch.length(entry)), port, address);
    }
  }

  /** After the turn: the receiver may be in the middle of making the burst. */
  #tellUnreachable(): void {
    const told = [...this.#unreachable];
    this.#unreachable.clear();
    queueMicrotask(() => {
      for (const [peer, reason] of told) this.#receiver.onUnreachable(peer, reason);
    });
  }

  #refuse(): SendOutcome {
    this.#lane.add(Counter.sendsDropped, 1);
    return "failed";
  }

  #socket(peer: PeerId): UdpSocket | null {
    const known = this.#socketOf[peer];
    if (known !== undefined) return known;
    const { address, port } = this.#peers.endpoint(peer);
    const socket = port === 0 ? null : (this.#choose(address) ?? null);
    if (socket !== null) this.#addresses.set(peer, address, port);
    this.#socketOf[peer] = socket;
    return socket;
  }

  /** Where several sockets are of a family: the one bound to the address that the route leaves from, then one of all addresses. */
  #choose(address: string): UdpSocket | undefined {
    const family = this.#sockets.filter((socket) => socket.ipv6 === isIpv6Text(address));
    if (family.length < 2) return family[0];
    const route = this.#routeOf(address);
    return (
      family.find((socket) => socket.address === route) ??
      family.find((socket) => isWildcard(socket.address)) ??
      family[0]
    );
  }
}

function handlersOf({ lane, receiver }: UdpOptions): DatagramHandlers {
  const source: Source = { transport: "udp", address: "", port: 0, connection: 0 as Source["connection"] };
  /** HOT. */
  const take: TakeDatagram = (bytes, from, to, port, address) => {
    lane.add(Counter.datagramsIn, 1);
    if (to - from <= keepAliveBytesMax) return;
    source.address = address;
    source.port = port;
    handlers.note?.(source);
    receiver.onDatagram(bytes, from, to, source);
  };
  const onIcmpError = (): void => receiver.onIcmpError();
  let inTurn = 0;
  const endTurn = (): void => {
    inTurn = 0;
  };
  const handlers: DatagramHandlers = {
    drain: () => {},
    note: undefined,
    waiting: undefined,
    /** HOT. */
    onData(bytes, port, address) {
      take(bytes, 0, bytes.length, port, sourceAddress(address));
      if (handlers.waiting === undefined) return;
      // Only behind the last of Bun's batch: before it, what waits would overtake the rest of the batch.
      if (++inTurn === 1) setImmediate(endTurn);
      else if (inTurn === bunReadMax) handlers.waiting.drain(take, onIcmpError);
    },
    onError: onIcmpError,
  };
  return handlers;
}

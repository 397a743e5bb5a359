import type { DatagramBatch } from "./datagram-batch.ts";
import {
  burstCallMax,
  type DatagramWire,
  type SendPath,
  staleErrorRetriesMax,
  WireResult,
  type WireResultId,
} from "./datagram-wire.ts";
import { addressOf, Errno, type Libc } from "./libc.ts";
import type { PeerId } from "./network.ts";
import type { SocketAddresses } from "./socket-addresses.ts";

const dontWait = 0x40;
const solUdp = 17;
const udpSegment = 103;
/** A segmented send is one datagram to the kernel until it is cut: 65,535 less headers. */
const segmentedBytesMax = 65_000;
/** Segments must fit the route's MTU with their headers (Ethernet, IPv6: 1,500 - 48); longer ones go by sendmmsg. */
const segmentBytesMax = 1_452;

const headerBytes = 56;
const multiHeaderBytes = 64;
const vectorBytes = 16;
const controlBytes = 24;
const controlLength = 18;
const scratchBytes = 65_536;

/** Layout of the one buffer in which the calls' structures lie (Linux, 64-bit, little-endian). */
const headersAt = 0;
const vectorsAt = headersAt + burstCallMax * multiHeaderBytes;
const controlAt = vectorsAt + burstCallMax * vectorBytes;
const scratchAt = controlAt + controlBytes + 8;
const lowRange = 4_294_967_296;

/** HOT: 0 allocations. Sends through the C library: `sendmsg` with UDP_SEGMENT for equal datagrams to one peer, `sendmmsg` for the rest. */
export class LibcWire implements DatagramWire {
  result: WireResultId = WireResult.sent;
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #addresses: SocketAddresses;
  readonly #buffer = new ArrayBuffer(scratchAt + scratchBytes);
  readonly #words = new Uint32Array(this.#buffer);
  readonly #scratch = new Uint8Array(this.#buffer, scratchAt);
  readonly #base = addressOf(this.#buffer);
  #segments: boolean;
  #batchBuffer: ArrayBuffer | undefined;
  #batchBase = 0;

  constructor(libc: Libc, fd: number, addresses: SocketAddresses, path: "gso" | "sendmmsg") {
    this.#libc = libc;
    this.#fd = fd;
    this.#addresses = addresses;
    this.#segments = path === "gso";
    const control = new DataView(this.#buffer, controlAt, controlBytes);
    control.setBigUint64(0, BigInt(controlLength), true);
    control.setInt32(8, solUdp, true);
    control.setInt32(12, udpSegment, true);
  }

  get path(): SendPath {
    return this.#segments ? "gso" : "sendmmsg";
  }

  one(peer: PeerId, bytes: Uint8Array, from: number, to: number): WireResultId {
    if (to - from > scratchBytes) return WireResult.refused;
    this.#scratch.set(bytes.subarray(from, to));
    this.#vector(0, this.#base + scratchAt, to - from);
    this.#header(0, peer, 1, false);
    for (let stale = 0; this.#libc.sendmsg(this.#fd, this.#base + headersAt, dontWait) < 0; stale++) {
      const errno = this.#libc.errno();
      if (errno !== Errno.connectionRefused || stale >= staleErrorRetriesMax) return resultOfErrno(errno);
    }
    return WireResult.sent;
  }

  burst(batch: DatagramBatch, from: number, to: number, equal: boolean): number {
    this.result = WireResult.sent;
    if (this.#batchBuffer !== batch.buffer) {
      this.#batchBuffer = batch.buffer;
      this.#batchBase = addressOf(batch.buffer);
    }
    const length = batch.length(batch.order[from]!);
    return equal && this.#segments && length > 0 && length <= segmentBytesMax
      ? this.#segmented(batch, from, to, length)
      : this.#separate(batch, from, to);
  }

  #segmented(batch: DatagramBatch, from: number, to: number, length: number): number {
    const callMax = Math.min(burstCallMax, Math.floor(segmentedBytesMax / length));
    const peer = batch.peer(batch.order[from]!);
    let at = from;
    let stale = 0;
    while (at < to) {
      const count = Math.min(callMax, to - at);
      // One alone needs no cutting, and some drivers refuse a single segment.
      if (count === 1) return at - from + this.#separate(batch, at, to);
      for (let n = 0; n < count; n++) {
        this.#vector(n, this.#batchBase + batch.offset(batch.order[at + n]!), length);
      }
      this.#header(0, peer, count, true);
      this.#words[(controlAt + 16) >> 2] = length;
      if (this.#libc.sendmsg(this.#fd, this.#base + headersAt, dontWait) >= 0) {
        at += count;
        stale = 0;
        continue;
      }
      const errno = this.#libc.errno();
      if (errno === Errno.connectionRefused && stale++ < staleErrorRetriesMax) continue;
      if (errno === Errno.again || errno === Errno.noBuffers) {
        this.result = WireResult.again;
        return at - from;
      }
      // The device cannot cut: never again. Another error may be the segment's (a route of a smaller MTU) or the peer's; sent one by one it shows.
      if (errno === Errno.io) this.#segments = false;
      return at - from + this.#separate(batch, at, to);
    }
    return at - from;
  }

  #separate(batch: DatagramBatch, from: number, to: number): number {
    let at = from;
    let stale = 0;
    while (at < to) {
      const count = Math.min(burstCallMax, to - at);
      for (let n = 0; n < count; n++) {
        const entry = batch.order[at + n]!;
        this.#vector(n, this.#batchBase + batch.offset(entry), batch.length(entry));
        this.#header(n, batch.peer(entry), 1, false);
      }
      const taken = this.#libc.sendmmsg(this.#fd, this.#base + headersAt, count, dontWait);
      if (taken > 0) {
        at += taken;
        stale = 0;
        continue;
      }
      const errno = this.#libc.errno();
      if (errno === Errno.connectionRefused && stale++ < staleErrorRetriesMax) continue;
      this.result = resultOfErrno(errno);
      break;
    }
    return at - from;
  }

  /** `struct iovec` number n. */
  #vector(n: number, address: number, length: number): void {
    const word = (vectorsAt + n * vectorBytes) >> 2;
    const words = this.#words;
    words[word] = address;
    words[word + 1] = address / lowRange;
    words[word + 2] = length;
    words[word + 3] = 0;
  }

  /** `struct msghdr` at the head of `struct mmsghdr` number n; its vectors begin at number n. */
  #header(n: number, peer: PeerId, vectors: number, segmented: boolean): void {
    const word = (headersAt + n * multiHeaderBytes) >> 2;
    const words = this.#words;
    const name = this.#addresses.rowAt(peer);
    const vector = this.#base + vectorsAt + n * vectorBytes;
    const control = segmented ? this.#base + controlAt : 0;
    words[word] = name;
    words[word + 1] = name / lowRange;
    words[word + 2] = this.#addresses.rowBytes(peer);
    words[word + 3] = 0;
    words[word + 4] = vector;
    words[word + 5] = vector / lowRange;
    words[word + 6] = vectors;
    words[word + 7] = 0;
    words[word + 8] = control;
    words[word + 9] = control / lowRange;
    words[word + 10] = segmented ? controlBytes : 0;
    words[word + 11] = 0;
    words[word + 12] = 0;
    words[word + (headerBytes >> 2)] = 0;
  }
}

function resultOfErrno(errno: number): WireResultId {
  if (errno === Errno.again || errno === Errno.noBuffers) return WireResult.again;
  return errno === Errno.networkUnreachable || errno === Errno.hostUnreachable
    ? WireResult.unreachable
    : WireResult.refused;
}

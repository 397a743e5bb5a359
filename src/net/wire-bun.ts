import type { DatagramBatch } from "./datagram-batch.ts";
import {
  type BunSender,
  burstCallMax,
  type DatagramWire,
  isStaleError,
  resultOfError,
  staleErrorRetriesMax,
  WireResult,
  type WireResultId,
} from "./datagram-wire.ts";
import type { PeerId } from "./network.ts";
import type { Peers } from "./peers.ts";

/** The path that is always there: `send` and `sendMany` of Bun. */
export class BunWire implements DatagramWire {
  readonly path = "sendMany";
  result: WireResultId = WireResult.sent;
  readonly #socket: BunSender;
  readonly #peers: Peers;
  readonly #packets: (Uint8Array | number | string)[] = [];

  constructor(socket: BunSender, peers: Peers) {
    this.#socket = socket;
    this.#peers = peers;
  }

  one(peer: PeerId, bytes: Uint8Array, from: number, to: number): WireResultId {
    const { address, port } = this.#peers.endpoint(peer);
    return sendOne(this.#socket, bytes.subarray(from, to), port, address);
  }

  burst(batch: DatagramBatch, from: number, to: number): number {
    this.result = WireResult.sent;
    let at = from;
    let stale = 0;
    while (at < to) {
      const end = Math.min(at + burstCallMax, to);
      this.#pack(batch, at, end);
      try {
        const taken = this.#socket.sendMany(this.#packets);
        at += taken;
        stale = 0;
        // Fewer than given: the next one failed or the socket is full. The next call tells which: it throws or takes none.
        if (taken === 0) {
          this.result = WireResult.again;
          break;
        }
      } catch (cause) {
        if (isStaleError(cause) && stale++ < staleErrorRetriesMax) continue;
        this.result = resultOfError(cause);
        break;
      }
    }
    return at - from;
  }

  #pack(batch: DatagramBatch, from: number, to: number): void {
    this.#packets.length = 0;
    for (let at = from; at < to; at++) {
      const entry = batch.order[at] ?? 0;
      const { address, port } = this.#peers.endpoint(batch.peer(entry));
      const offset = batch.offset(entry);
      this.#packets.push(batch.bytes.subarray(offset, offset + batch.length(entry)), port, address);
    }
  }
}

/** One datagram by Bun's `send`. A full socket arms Bun's `drain`. */
export function sendOne(socket: BunSender, bytes: Uint8Array, port: number, address: string): WireResultId {
  for (let stale = 0; ; stale++) {
    try {
      return socket.send(bytes, port, address) ? WireResult.sent : WireResult.again;
    } catch (cause) {
      if (isStaleError(cause) && stale < staleErrorRetriesMax) continue;
      return resultOfError(cause);
    }
  }
}

import type { DatagramBatch } from "./datagram-batch.ts";
import type { PeerId } from "./network.ts";

/** How bursts leave: segmented by the kernel, one call for many, or Bun's own. */
export type SendPath = "gso" | "sendmmsg" | "sendMany";

/** How a send ended. `again`: the socket is full for now; `unreachable` and `refused` concern that one datagram. */
export const WireResult = { sent: 0, again: 1, unreachable: 2, refused: 3 } as const;
export type WireResultId = (typeof WireResult)[keyof typeof WireResult];

/**
 * One UDP socket's way out. All three paths end alike: a burst returns how many of order[from, to) were taken from the
 * front, and `result` says why it stopped there.
 */
export interface DatagramWire {
  readonly path: SendPath;
  /** Why the last `burst` took no more than it did; `sent` when it took all. */
  readonly result: WireResultId;
  one(peer: PeerId, bytes: Uint8Array, from: number, to: number): WireResultId;
  /** `equal`: all to one peer and of one length. */
  burst(batch: DatagramBatch, from: number, to: number, equal: boolean): number;
}

/** What a socket of Bun's offers for sending. */
export interface BunSender {
  send(bytes: Uint8Array, port: number, address: string): boolean;
  sendMany(packets: readonly (Uint8Array | number | string)[]): number;
}

/** Datagrams a call: where more stops paying (facts measured at 16 to 64). */
export const burstCallMax = 64;

/** An earlier datagram's ICMP error is told by the next send, which then sent nothing: try again, so often. */
export const staleErrorRetriesMax = 4;

/** The error names of a send in Bun. ECONNREFUSED is not among them: it is an earlier datagram's. */
export function resultOfError(cause: unknown): WireResultId {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (code === "EAGAIN" || code === "ENOBUFS") return WireResult.again;
  return code === "ENETUNREACH" || code === "EHOSTUNREACH" ? WireResult.unreachable : WireResult.refused;
}

export function isStaleError(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}

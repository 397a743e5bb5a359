import type { Id } from "../../base/id.ts";

/** Where a transaction's messages go: a peer, the place a request came from, a tunnel. */
export interface Hop {
  /** TCP, TLS, WebSocket: no retransmission, and no waiting for late ones (RFC 3261 §17). */
  readonly reliable: boolean;
  /** Copies or writes the bytes before it returns. Tells of a failure by `Transactions.hopFailed`, perhaps at once. */
  send(bytes: Uint8Array): void;
}

/** Where a request came from; what `net` calls Source, whose object is reused. */
export interface Source {
  transport: "udp" | "tcp" | "tls";
  address: string;
  port: number;
  connection: Id<"connection", number>;
}

export function keepSource(source: Source): Source {
  const { transport, address, port, connection } = source;
  return { transport, address, port, connection };
}

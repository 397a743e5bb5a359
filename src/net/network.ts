import type { Id } from "../base/id.ts";
import type { ServerCertificate } from "./server-certificate.ts";

export type Transport = "udp" | "tcp" | "tls";

/** A resolved place to send to. `address` is numeric, IPv6 without brackets. */
export interface Endpoint {
  readonly transport: Transport;
  readonly address: string;
  readonly port: number;
  /** Name the TLS certificate must carry (RFC 5922 §7.2); required for "tls". */
  readonly serverName?: string;
}

/** An interned Endpoint: small, dense, stable while the process lives. 0 is never used. */
export type PeerId = Id<"peer", number>;
/** One TCP or TLS connection; 0 for UDP. */
export type ConnectionId = Id<"connection", number>;

/** Where a message came from. The object handed to a receiver is reused: copy with `keepSource` to hold it. */
export interface Source {
  transport: Transport;
  address: string;
  port: number;
  connection: ConnectionId;
}

export function keepSource(source: Source): Source {
  return { transport: source.transport, address: source.address, port: source.port, connection: source.connection };
}

/** How we appear on the way to a peer: what goes into Via and Contact. */
export interface LocalAddress {
  /** `advertise`, `nat_address` or the route's own address; IPv6 in brackets. */
  readonly host: string;
  /** A port where we listen for that transport, or the flow's local port when we do not. */
  readonly port: number;
}

export type SendOutcome = "sent" | "queued" | "failed";

/**
 * The wire, as the keeper and the anchor see it. Bytes given are copied or written before the call returns.
 * One connection per TCP/TLS peer, opened on the first send, shared by all accounts (RFC 5923).
 */
export interface Network {
  /** Interns an endpoint (same tuple, same id). Callers take endpoints from a Locator, which applies the egress policy. */
  peer(endpoint: Endpoint): PeerId;
  endpoint(peer: PeerId): Endpoint;
  /** The local address for this peer's route, synchronously; undefined while it is not known yet (a lookup is started; retry). */
  localAddress(peer: PeerId, natEmulation: boolean): LocalAddress | undefined;
  send(peer: PeerId, bytes: Uint8Array): SendOutcome;
  /** HOT. Queues bytes[from, to) for a burst; `flush` sends what is queued, grouped by peer and length. UDP only; streams send at once. */
  queue(peer: PeerId, bytes: Uint8Array, from: number, to: number): void;
  flush(): void;
  /** Answers where a message came from: the same connection, or the source address and port from our listening socket. */
  reply(source: Source, bytes: Uint8Array): SendOutcome;
  /** True when `source` is this peer: same address (any port) for UDP, the same connection or address for streams. */
  isFrom(peer: PeerId, source: Source): boolean;
  /** Sends CRLF CRLF on the peer's flow (RFC 5626 §4.4.1); `onPeerDown` when no pong comes within 10 s on a stream. */
  keepAlive(peer: PeerId): void;
  /**
   * Where a request too large for UDP (over 1,300 bytes) goes: the same host by TCP (RFC 3261 §18.1.1). Undefined for other
   * peers, and when TCP was tried and refused: then UDP it is. Absent where there is no TCP.
   */
  largeTransport?(peer: PeerId): PeerId | undefined;
  close(): void;
}

/** What the wire reports upward. */
export interface NetworkReceiver {
  /** bytes[from, to) is one whole SIP message; valid only during the call. */
  onMessage(bytes: Uint8Array, from: number, to: number, source: Source): void;
  /** The connection of a peer failed or closed, or a UDP peer answered ICMP unreachable. */
  onPeerDown(peer: PeerId, reason: string): void;
  /** A TLS server showed a certificate that was accepted: the first time, and again when it is another. */
  onServerCertificate?(certificate: ServerCertificate): void;
}

/** What RFC 3263 resolves. */
export interface SipTarget {
  /** Host name or numeric address without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  readonly transport: "auto" | Transport;
}

export type LocateResult =
  | {
      readonly ok: true;
      /** In the order to try (RFC 3263 §4.3, RFC 2782 weights already drawn); never empty. */
      readonly endpoints: readonly Endpoint[];
      readonly ttlSec: number;
    }
  | {
      readonly ok: false;
      /** "egress": every address is forbidden by policy. "notFound": the name has no address. "unavailable": the resolver failed; try later. */
      readonly reason: "egress" | "notFound" | "unavailable";
      readonly text: string;
    };

/** RFC 3263 look-up with the egress policy applied to each resolved address. `done` may be called synchronously. */
export interface Locator {
  locate(target: SipTarget, done: (result: LocateResult) => void): void;
}

import { Counter, type Lane } from "../observe/lanes.ts";
import { type FrameFault, FrameFaultReason } from "../sip/message/framing.ts";
import { Header } from "../sip/message/header.ts";
import { scan } from "../sip/message/scan.ts";
import { MessageKind, SipView } from "../sip/message/view.ts";
import { writeResponse } from "../sip/message/write-response.ts";
import { MessageWriter } from "../sip/message/writer.ts";
import type { Clock } from "../time/clock.ts";
import { AcceptedFlows } from "./accepted-flows.ts";
import { canonicalAddress } from "./address.ts";
import type { EgressPolicy } from "./egress.ts";
import { flowHandlers, type FlowOwner, StreamFlow } from "./flow.ts";
import type { ConnectionId, PeerId, SendOutcome, Source } from "./network.ts";
import type { Peers } from "./peers.ts";
import {
  inboundQueueBytesMax,
  outboundIdleMs,
  outboundMax,
  outboundQueueBytesMax,
  redialFloorMs,
  trialConnectMs,
} from "./stream-limits.ts";
import { CertificateWatch, type ServerCertificate } from "./server-certificate.ts";
import { StreamListener } from "./stream-listener.ts";
import type { TlsMaterial } from "./trust.ts";

const tls12 = 0x0303;
const refusalBytesMax = 8_192;

const faultReason: Readonly<Record<FrameFault["reason"], readonly [status: number, reason: string]>> = {
  [FrameFaultReason.tooLarge]: [513, "Message Too Large"],
  [FrameFaultReason.badContentLength]: [400, "Bad Content-Length"],
  [FrameFaultReason.missingContentLength]: [400, "Missing Content-Length"],
};

export interface StreamReceiver {
  onMessage(bytes: Uint8Array, from: number, to: number, source: Source): void;
  onPeerDown(peer: PeerId, reason: string): void;
  /** A server showed a certificate, the first time or another than before. */
  onServerCertificate(certificate: ServerCertificate): void;
  /** Told before `onPeerDown` when the connection never opened. */
  onDialFailed(peer: PeerId): void;
}

export interface StreamsOptions {
  readonly peers: Peers;
  readonly egress: EgressPolicy;
  readonly clock: Clock;
  readonly lane: Lane;
  readonly receiver: StreamReceiver;
  /** Whether TCP to that peer is only tried, because UDP would do as well. */
  readonly isTrial?: (peer: PeerId) => boolean;
  /** PEM of the authorities that may vouch for a server. */
  readonly authorities: readonly string[];
}

/**
 * TCP and TLS: one connection a peer, opened on the first send and shared by all accounts (RFC 5923's spirit), and the
 * connections that others open to us. `reply` answers on the connection a message came by.
 */
export class Streams implements FlowOwner {
  readonly #options: StreamsOptions;
  readonly #flows = new Map<ConnectionId, StreamFlow>();
  readonly #byPeer = new Map<PeerId, StreamFlow>();
  readonly #accepted = new AcceptedFlows();
  readonly #listeners: StreamListener[] = [];
  readonly #queued = new Set<StreamFlow>();
  readonly #failedAtMs = new Map<PeerId, number>();
  readonly #source: Source = { transport: "tcp", address: "", port: 0, connection: 0 as ConnectionId };
  readonly #certificates: CertificateWatch;
  readonly #view = new SipView();
  readonly #writer = new MessageWriter(refusalBytesMax);
  #lastId = 0;
  #closing = false;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#certificates = new CertificateWatch((one) => options.receiver.onServerCertificate(one));
  }

  get accepted(): AcceptedFlows {
    return this.#accepted;
  }

  /** Listens on each address; returns the port. Throws an Error that names what cannot be bound. */
  listen(transport: "tcp" | "tls", addresses: readonly string[], port: number, tls: TlsMaterial | undefined): number {
    const accept = (kind: "tcp" | "tls", address: string, from: number) => this.#accept(kind, address, from);
    const listener = new StreamListener({ transport, addresses, port, tls, accept });
    this.#listeners.push(listener);
    return listener.port;
  }

  replaceTls(tls: TlsMaterial): void {
    for (const listener of this.#listeners) if (listener.transport === "tls") listener.replaceTls(tls);
  }

  send(peer: PeerId, bytes: Uint8Array): SendOutcome {
    const flow = this.open(peer);
    return flow === undefined ? this.#dropped() : this.#counted(flow.send(bytes));
  }

  /** Written with the next `flush`, joined with what else goes to the peer. */
  queue(peer: PeerId, bytes: Uint8Array): void {
    const flow = this.open(peer);
    if (flow === undefined) {
      this.#dropped();
      // After the turn: the receiver is making its burst.
      queueMicrotask(() => this.#options.receiver.onPeerDown(peer, "cannot be dialled now"));
      return;
    }
    if (this.#counted(flow.queue(bytes)) !== "failed") this.#queued.add(flow);
  }

  /** Whether something waits for `flush`. */
  get isPending(): boolean {
    return this.#queued.size > 0;
  }

  flush(): void {
    if (this.#queued.size === 0) return;
    for (const flow of this.#queued) flow.flush();
    this.#queued.clear();
  }

  reply(source: Source, bytes: Uint8Array): SendOutcome {
    const flow = this.#flows.get(source.connection);
    return flow === undefined ? this.#dropped() : this.#counted(flow.send(bytes));
  }

  keepAlive(peer: PeerId): void {
    this.#byPeer.get(peer)?.ping();
  }

  /** Our port of the peer's connection; undefined until it is open. */
  localPort(peer: PeerId): number | undefined {
    return this.#byPeer.get(peer)?.localPort;
  }

  isConnectionOf(peer: PeerId, connection: ConnectionId): boolean {
    const flow = this.#byPeer.get(peer);
    return flow !== undefined && flow.id === connection;
  }

  /** An account's message came by this connection: it may stay. */
  prove(connection: ConnectionId): void {
    const flow = this.#flows.get(connection);
    if (flow !== undefined && flow.peer === undefined) this.#accepted.prove(flow, this.nowMs());
  }

  /** The peer's connection, dialled when there is none. Undefined when policy, a cap, or a failure a moment ago forbids it. */
  open(peer: PeerId): StreamFlow | undefined {
    const known = this.#byPeer.get(peer);
    if (known?.isUsable === true) return known;
    const { peers, egress } = this.#options;
    const endpoint = peers.endpoint(peer);
    if (this.#closing || endpoint.transport === "udp" || this.#byPeer.size >= outboundMax) return undefined;
    const nowMs = this.nowMs();
    if (nowMs - (this.#failedAtMs.get(peer) ?? Number.NEGATIVE_INFINITY) < redialFloorMs) return undefined;
    if (!egress.verdict(endpoint.address, endpoint.port).allowed) return undefined;
    const flow = new StreamFlow({
      id: this.#nextId(),
      transport: endpoint.transport,
      peer,
      address: endpoint.address,
      port: endpoint.port,
      serverName: endpoint.serverName ?? endpoint.address,
      queueBytesMax: outboundQueueBytesMax,
      owner: this,
    });
    this.#flows.set(flow.id, flow);
    this.#byPeer.set(peer, flow);
    dial(flow, endpoint.serverName, this.#options.authorities);
    return flow;
  }

  /** Ends what has passed its time: call it about once a second. */
  sweep(): void {
    const nowMs = this.nowMs();
    for (const flow of this.#byPeer.values()) {
      if (flow.isOpen && nowMs - flow.lastActiveAtMs >= outboundIdleMs) flow.cut("idle");
      else if (!flow.wasOpen && nowMs - flow.openedAtMs >= trialConnectMs && this.#isTrial(flow))
        flow.cut("no connection in time");
      else flow.checkTime(nowMs);
    }
    this.#accepted.checkTime(nowMs);
    for (const [peer, atMs] of this.#failedAtMs) if (nowMs - atMs >= redialFloorMs) this.#failedAtMs.delete(peer);
  }

  #isTrial(flow: StreamFlow): boolean {
    return flow.peer !== undefined && this.#options.isTrial?.(flow.peer) === true;
  }

  close(): void {
    this.#closing = true;
    for (const listener of this.#listeners) listener.stop();
    this.flush();
    for (const flow of this.#byPeer.values()) flow.cut("closing");
    this.#accepted.cutAll();
  }

  // What flows report.

  nowMs(): number {
    return this.#options.clock.nowMs();
  }

  onFlowCertified(server: string, der: Uint8Array): void {
    this.#certificates.onAccepted(server, der);
  }

  onFlowMessage(flow: StreamFlow, bytes: Uint8Array, from: number, to: number): void {
    const { lane, receiver } = this.#options;
    lane.add(Counter.streamMessagesIn, 1);
    this.#proveByAddress(flow);
    const source = this.#source;
    source.transport = flow.transport;
    source.address = flow.address;
    source.port = flow.port;
    source.connection = flow.id;
    receiver.onMessage(bytes, from, to, source);
  }

  onFlowPing(flow: StreamFlow): void {
    if (flow.provenAtMs !== undefined) this.#accepted.prove(flow, this.nowMs());
  }

  /** Best effort: a request that can be read so far is told why the connection ends. */
  onFlowFault(flow: StreamFlow, fault: FrameFault): void {
    this.#options.lane.add(Counter.malformedDropped, 1);
    const view = this.#view;
    scan(fault.head, 0, fault.head.length, view);
    if (view.kind !== MessageKind.request || view.find(Header.via) < 0 || view.find(Header.cseq) < 0) return;
    const [status, reason] = faultReason[fault.reason];
    this.#counted(flow.send(writeResponse(this.#writer, view, status, reason)));
  }

  onFlowHeld(flow: StreamFlow, bytes: number): void {
    if (flow.peer === undefined) this.#accepted.held(flow, bytes);
  }

  onFlowClosed(flow: StreamFlow, reason: string, unsent: number): void {
    const { lane, receiver } = this.#options;
    this.#flows.delete(flow.id);
    this.#queued.delete(flow);
    if (unsent > 0) lane.add(Counter.sendsDropped, unsent);
    if (flow.peer === undefined) {
      this.#accepted.remove(flow);
      return;
    }
    // A newer connection may have taken its place already.
    if (this.#byPeer.get(flow.peer) === flow) this.#byPeer.delete(flow.peer);
    if (this.#closing) return;
    const nowMs = this.nowMs();
    // RFC 5626 §4.5: one that has served may be replaced at once; how often is the keeper's to say.
    if (!flow.hasServed && nowMs - flow.openedAtMs < redialFloorMs) this.#failedAtMs.set(flow.peer, nowMs);
    if (!flow.wasOpen) receiver.onDialFailed(flow.peer);
    receiver.onPeerDown(flow.peer, reason);
  }

  #accept(transport: "tcp" | "tls", reported: string, port: number): StreamFlow | undefined {
    const address = canonicalAddress(reported) ?? reported;
    if (this.#closing || !this.#accepted.admit(address)) return undefined;
    const flow = new StreamFlow({
      id: this.#nextId(),
      transport,
      peer: undefined,
      address,
      port,
      serverName: undefined,
      queueBytesMax: inboundQueueBytesMax,
      owner: this,
    });
    this.#flows.set(flow.id, flow);
    this.#accepted.add(flow);
    return flow;
  }

  /** A whole message from where one of our peers lives counts as an account's. */
  #proveByAddress(flow: StreamFlow): void {
    if (flow.peer === undefined && this.#options.peers.hasAddress(flow.address))
      this.#accepted.prove(flow, this.nowMs());
  }

  #nextId(): ConnectionId {
    return ++this.#lastId as ConnectionId;
  }

  #counted(outcome: SendOutcome): SendOutcome {
    this.#options.lane.add(outcome === "failed" ? Counter.sendsDropped : Counter.streamMessagesOut, 1);
    return outcome;
  }

  #dropped(): SendOutcome {
    this.#options.lane.add(Counter.sendsDropped, 1);
    return "failed";
  }
}

function dial(flow: StreamFlow, serverName: string | undefined, authorities: readonly string[]): void {
  const place = { hostname: flow.address, port: flow.port, data: flow, socket: flowHandlers };
  // Bun judges the chain; the name is ours to judge, by SIP's rules. Without a name there is no SNI (RFC 6066 §3).
  const named = serverName !== undefined && canonicalAddress(serverName) === undefined ? { serverName } : {};
  const tls = { ca: [...authorities], rejectUnauthorized: false, minVersion: tls12, ...named };
  const options = flow.transport === "tls" ? { ...place, tls } : place;
  // The refusal comes by `connectError` too, whichever is first.
  Bun.connect<StreamFlow>(options).catch((cause: unknown) => {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    flow.cut(`cannot connect: ${code}`);
  });
}

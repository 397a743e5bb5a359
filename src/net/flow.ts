import type { Socket, SocketHandler } from "bun";
import { defaultFrameLimits, type FrameFault, type FrameReceiver, StreamFramer } from "../sip/message/framing.ts";
import { certifies, readCertificateNames } from "./certificate.ts";
import type { ConnectionId, PeerId, SendOutcome, Transport } from "./network.ts";
import { OutQueue } from "./out-queue.ts";
import {
  connectMs,
  endingMs,
  handshakeMs,
  headMs,
  messageMs,
  pongMs,
  readBudgetBytes,
  stalledMs,
} from "./stream-limits.ts";

export type FlowSocket = Socket<StreamFlow>;

/** What a connection tells those who keep it. */
export interface FlowOwner {
  nowMs(): number;
  /** A server's certificate was judged good: our TLS connections, before anything is written. */
  onFlowCertified(server: string, der: Uint8Array): void;
  /** bytes[from, to) is one message; valid only during the call. */
  onFlowMessage(flow: StreamFlow, bytes: Uint8Array, from: number, to: number): void;
  /** A ping came, which has been answered. */
  onFlowPing(flow: StreamFlow): void;
  /** The stream cannot be read on; the flow is ended after the call, which may write a last message. */
  onFlowFault(flow: StreamFlow, fault: FrameFault): void;
  /** Bytes of unfinished messages held here changed by so much. */
  onFlowHeld(flow: StreamFlow, bytes: number): void;
  /** Once, after the turn in which the connection ended. `unsent`: messages that it takes with it. */
  onFlowClosed(flow: StreamFlow, reason: string, unsent: number): void;
}

export interface FlowOptions {
  readonly id: ConnectionId;
  readonly transport: Exclude<Transport, "udp">;
  /** The peer whose connection this is; undefined when the other side opened it. */
  readonly peer: PeerId | undefined;
  /** The remote end. */
  readonly address: string;
  readonly port: number;
  /** Name that the certificate must carry: TLS connections of ours only. */
  readonly serverName: string | undefined;
  readonly queueBytesMax: number;
  readonly owner: FlowOwner;
}

const crlf = Uint8Array.of(13, 10);
const doubleCrlf = Uint8Array.of(13, 10, 13, 10);
/** The chain is good and only the host name, which is ours to judge (RFC 5922 §7.2), differs. */
const nameDiffers = "ERR_TLS_CERT_ALTNAME_INVALID";
const noBytes = new Uint8Array(0);

type FlowState = "opening" | "open" | "ending" | "closed";

/** One TCP or TLS connection, opened by us or accepted: framing, what waits to be written, and its time limits. */
export class StreamFlow implements FrameReceiver {
  readonly id: ConnectionId;
  readonly transport: Exclude<Transport, "udp">;
  readonly peer: PeerId | undefined;
  readonly address: string;
  readonly port: number;
  /** When a whole message of an account, or what the owner takes for one, last came. */
  provenAtMs: number | undefined;
  readonly openedAtMs: number;
  readonly #owner: FlowOwner;
  readonly #serverName: string | undefined;
  readonly #queueBytesMax: number;
  readonly #out = new OutQueue();
  #socket: FlowSocket | undefined;
  #framer: StreamFramer | undefined;
  #state: FlowState = "opening";
  #wasOpen = false;
  /** What one turn's read budget left over; the socket is paused meanwhile. */
  #backlog: Uint8Array = noBytes;
  #held = 0;
  #lastSentAtMs: number;
  #lastHeardAtMs: number;
  #lastWrittenAtMs = 0;
  #endingAtMs = 0;
  /** First byte of the unfinished message; undefined when none is. */
  #messageAtMs: number | undefined;
  /** Messages since the start: tells one unfinished message from the next. */
  #messages = 0;
  #pingedAtMs: number | undefined;
  #ponged = false;

  constructor(options: FlowOptions) {
    this.id = options.id;
    this.transport = options.transport;
    this.peer = options.peer;
    this.address = options.address;
    this.port = options.port;
    this.#serverName = options.serverName;
    this.#queueBytesMax = options.queueBytesMax;
    this.#owner = options.owner;
    this.openedAtMs = this.#lastSentAtMs = this.#lastHeardAtMs = options.owner.nowMs();
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Whether it has ever been open. */
  get wasOpen(): boolean {
    return this.#wasOpen;
  }

  /** Whether a whole message has come by it. */
  get hasServed(): boolean {
    return this.#messages > 0;
  }

  /** Whether something can still be sent, now or once it is open. */
  get isUsable(): boolean {
    return this.#state === "open" || this.#state === "opening";
  }

  /** Our own port; undefined until the connection is open. */
  get localPort(): number | undefined {
    return this.isOpen ? this.#socket?.localPort : undefined;
  }

  get lastActiveAtMs(): number {
    return Math.max(this.#lastSentAtMs, this.#lastHeardAtMs);
  }

  /** Writes one message, or keeps a copy until it can be written. */
  send(bytes: Uint8Array): SendOutcome {
    if (!this.isUsable) return "failed";
    this.#lastSentAtMs = this.#owner.nowMs();
    if (this.#state === "opening" || this.#out.count > 0) return this.#keep(bytes);
    const written = this.#socket?.write(bytes) ?? -1;
    if (written === bytes.length) return "sent";
    if (written < 0) {
      this.cut("connection lost");
      return "failed";
    }
    // A message begun must be finished, whatever the limit says.
    this.#lastWrittenAtMs = this.#lastSentAtMs;
    this.#out.push(bytes.slice(written));
    return "queued";
  }

  /** For bursts: keeps a copy; `flush` writes. */
  queue(bytes: Uint8Array): SendOutcome {
    if (!this.isUsable) return "failed";
    this.#lastSentAtMs = this.#owner.nowMs();
    return this.#keep(bytes);
  }

  flush(): void {
    if (this.#state !== "open" && this.#state !== "ending") return;
    for (let next = this.#out.next(); next !== undefined; next = this.#out.next()) {
      const written = this.#socket?.write(next) ?? -1;
      if (written < 0) return this.cut("connection lost");
      if (written > 0) this.#lastWrittenAtMs = this.#owner.nowMs();
      this.#out.consume(written);
      if (written < next.length) return;
    }
    if (this.#state === "ending") this.#socket?.end();
  }

  /**
   * RFC 5626 §4.4.1. A pong is demanded only of a peer that has answered a ping on this connection before: many servers
   * take CRLFs and say nothing, and those must not lose their connection for it.
   */
  ping(): void {
    if (!this.isOpen || this.#out.count > 0) return;
    const nowMs = this.#owner.nowMs();
    this.#lastSentAtMs = nowMs;
    if (this.#pingedAtMs === undefined) {
      this.#pingedAtMs = nowMs;
      this.#framerOf().expectPong();
    }
    this.#raw(doubleCrlf);
  }

  /** No more is read; what waits is written, then the connection is closed. */
  end(): void {
    if (this.#state !== "open") return this.cut("ended");
    this.#state = "ending";
    this.#endingAtMs = this.#owner.nowMs();
    this.flush();
  }

  /** Closes now. The owner is told after the turn. */
  cut(reason: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#socket?.terminate();
    this.#hold(-this.#held);
    this.#framer = undefined;
    this.#backlog = noBytes;
    const unsent = this.#out.count;
    queueMicrotask(() => this.#owner.onFlowClosed(this, reason, unsent));
  }

  /** Cuts the connection when one of its own time limits has passed; whether it did. */
  checkTime(nowMs: number): boolean {
    const reason = this.#state === "closed" ? undefined : this.#overdue(nowMs);
    if (reason !== undefined) this.cut(reason);
    return reason !== undefined;
  }

  #overdue(nowMs: number): string | undefined {
    if (this.#state === "ending") return nowMs - this.#endingAtMs >= endingMs ? "not closed by the peer" : undefined;
    if (this.#state === "opening") {
      const limitMs = this.peer === undefined ? handshakeMs : connectMs;
      return nowMs - this.openedAtMs >= limitMs ? "no connection in time" : undefined;
    }
    const unfinishedMs = this.#messageAtMs === undefined ? -1 : nowMs - this.#messageAtMs;
    if (unfinishedMs >= messageMs) return "message not finished in time";
    if (unfinishedMs >= headMs && this.#framer?.headEnded === false) return "head not finished in time";
    if (this.#out.count > 0 && nowMs - this.#lastWrittenAtMs >= stalledMs) return "peer takes nothing";
    if (this.#ponged && this.#pingedAtMs !== undefined && nowMs - this.#pingedAtMs >= pongMs) return "no pong in time";
    return undefined;
  }

  // What Bun reports.

  onSocketOpen(socket: FlowSocket): void {
    if (this.#state === "closed") {
      socket.terminate();
      return;
    }
    this.#socket = socket;
    socket.setNoDelay(true);
    if (this.transport === "tcp") this.#opened();
  }

  /** TLS only. Nothing is written before the certificate of a server has been judged. */
  onHandshake(socket: FlowSocket, success: boolean, error: Error | null): void {
    if (this.#state !== "opening") return;
    if (this.peer === undefined) {
      if (success) this.#opened();
      else this.cut("TLS handshake failed");
      return;
    }
    const verdict = judgeCertificate(socket, success, error, this.#serverName);
    if (!verdict.ok) return this.cut(verdict.fault);
    this.#owner.onFlowCertified(verdict.server, verdict.der);
    this.#opened();
  }

  onData(bytes: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#lastHeardAtMs = this.#owner.nowMs();
    if (this.#backlog.length > 0) {
      // Came although paused: what the loop had read already.
      this.#setBacklog(Buffer.concat([this.#backlog, bytes]));
      return;
    }
    if (bytes.length <= readBudgetBytes) return this.#read(bytes);
    this.#read(bytes.subarray(0, readBudgetBytes));
    if (!this.isOpen) return;
    this.#socket?.pause();
    this.#setBacklog(bytes.slice(readBudgetBytes));
    setImmediate(() => this.#readOn());
  }

  onDrain(): void {
    this.flush();
  }

  onSocketClosed(reason: string): void {
    this.cut(reason);
  }

  // What the framer reports.

  onMessage(bytes: Uint8Array, from: number, to: number): void {
    this.#messages++;
    if (this.isOpen) this.#owner.onFlowMessage(this, bytes, from, to);
  }

  onPing(): void {
    if (!this.isOpen) return;
    if (this.#out.count === 0) this.#raw(crlf);
    this.#owner.onFlowPing(this);
  }

  onPong(): void {
    if (this.#pingedAtMs === undefined) return;
    this.#ponged = true;
    this.#pingedAtMs = undefined;
  }

  #opened(): void {
    this.#state = "open";
    this.#wasOpen = true;
    this.flush();
  }

  #keep(bytes: Uint8Array): SendOutcome {
    if (this.#out.bytes + bytes.length > this.#queueBytesMax) {
      // An accepted connection whose peer sends and does not read serves nobody.
      if (this.peer === undefined) this.cut("peer takes nothing");
      return "failed";
    }
    if (this.#out.count === 0) this.#lastWrittenAtMs = this.#owner.nowMs();
    this.#out.push(bytes.slice());
    return "queued";
  }

  /** CRLFs between messages; what the socket does not take of them is kept like a message's rest. */
  #raw(bytes: Uint8Array): void {
    const written = this.#socket?.write(bytes) ?? -1;
    if (written < 0) this.cut("connection lost");
    else if (written < bytes.length) this.#out.push(bytes.slice(written));
  }

  #framerOf(): StreamFramer {
    this.#framer ??= new StreamFramer(defaultFrameLimits, this);
    return this.#framer;
  }

  #read(bytes: Uint8Array): void {
    const framer = this.#framerOf();
    const before = this.#messages;
    const fault = framer.push(bytes);
    if (this.#state !== "open") return;
    if (fault !== undefined) {
      this.#owner.onFlowFault(this, fault);
      this.end();
      return;
    }
    const held = framer.heldBytes;
    if (held === 0) this.#messageAtMs = undefined;
    else if (this.#messageAtMs === undefined || this.#messages !== before) this.#messageAtMs = this.#lastHeardAtMs;
    this.#hold(held + this.#backlog.length - this.#held);
  }

  #readOn(): void {
    if (this.#state !== "open") return;
    const backlog = this.#backlog;
    this.#backlog = backlog.subarray(readBudgetBytes);
    this.#read(backlog.subarray(0, readBudgetBytes));
    if (!this.isOpen) return;
    if (this.#backlog.length > 0) setImmediate(() => this.#readOn());
    else {
      this.#backlog = noBytes;
      this.#socket?.resume();
    }
  }

  #setBacklog(bytes: Uint8Array): void {
    this.#hold(bytes.length - this.#backlog.length);
    this.#backlog = bytes;
  }

  #hold(bytes: number): void {
    if (bytes === 0) return;
    this.#held += bytes;
    this.#owner.onFlowHeld(this, bytes);
  }
}

type CertificateVerdict =
  | { readonly ok: true; readonly server: string; readonly der: Uint8Array }
  | { readonly ok: false; readonly fault: string };

function judgeCertificate(
  socket: FlowSocket,
  success: boolean,
  error: Error | null,
  server: string | undefined,
): CertificateVerdict {
  const refused = (fault: string): CertificateVerdict => ({ ok: false, fault });
  const code = error !== null && "code" in error ? String(error.code) : undefined;
  if (error !== null && code !== nameDiffers) return refused(`certificate not trusted: ${code ?? error.message}`);
  if (error === null && !(success && socket.authorized)) return refused("TLS handshake failed");
  const certificate: unknown = socket.getPeerCertificate();
  const der =
    typeof certificate === "object" && certificate !== null && "raw" in certificate ? certificate.raw : undefined;
  if (!(der instanceof Uint8Array) || server === undefined) return refused("no certificate");
  const isTheirs = certifies(readCertificateNames(der), server);
  return isTheirs ? { ok: true, server, der } : refused(`certificate is not for ${server}`);
}

/** Handlers that hand everything to the flow in `socket.data`: ours, and accepted ones once they have one. */
export const flowHandlers: SocketHandler<StreamFlow> = {
  open: (socket) => socket.data.onSocketOpen(socket),
  handshake: (socket, success, error) => socket.data.onHandshake(socket, success, error),
  data: (socket, bytes) => socket.data.onData(plainBytes(bytes)),
  drain: (socket) => socket.data.onDrain(),
  close: (socket) => socket.data.onSocketClosed("closed by the peer"),
  error: (socket, error) => socket.data.onSocketClosed(`connection lost: ${codeOf(error)}`),
  connectError: (socket, error) => socket.data.onSocketClosed(`cannot connect: ${codeOf(error)}`),
};

/** The same memory as a Uint8Array: a Buffer's `slice` is a view, and everything behind takes it for a copy. */
export function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function codeOf(error: Error): string {
  return "code" in error ? String(error.code) : error.message;
}

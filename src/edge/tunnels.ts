import { isUtf8 } from "node:buffer";
import type { ServerWebSocket, WebSocketHandler } from "bun";
import type { AccountId, CallUuid, DeviceId, TunnelId } from "../base/ids.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import type { LiveCalls } from "./live-calls.ts";
import type { OperatorFeed } from "./operator-feed.ts";
import type { Shards, TunnelSink } from "./shards.ts";

/** RFC 7118 §5: one SIP message a frame. */
const frameBytesMax = 65_536;
const pingEveryMs = 25_000;
const silentMsMax = 60_000;
/** What a phone that does not read may hold back here; a call's whole set-up is under 20 kB. */
const bufferedBytesMax = 1_048_576;
/** Frames a phone may send: bursts of subscriptions when an app starts, then a few a call. */
const frameBurst = 1_000;
const framesPerSec = 200;
/** How often an open tunnel shows that its device is alive, for the lease. */
const touchEveryMs = 600_000;

/** WebSocket close codes of the interface. */
const takenOverCode = 4001;
const silentCode = 4002;
const tooFastCode = 1008;
const overloadedCode = 1013;
const goingAwayCode = 1001;

const crlf = "\r\n";
const pureAscii = /^\p{ASCII}*$/u;

/** State of one open tunnel; the `data` of its WebSocket. */
export interface TunnelData {
  readonly tunnelId: TunnelId;
  readonly deviceId: DeviceId;
  /** From the ticket that opened it. */
  readonly ticketCall: CallUuid | undefined;
  isClosed: boolean;
  openedAtMs: number;
  lastHeardMs: number;
  nextPingMs: number;
  nextTouchMs: number;
  frames: number;
  framesAtMs: number;
}

type Socket = ServerWebSocket<TunnelData>;

/**
 * The open tunnels (RFC 7118): SIP messages as latin1 strings to and from the shards, one tunnel a device. Times here are of the
 * monotonic clock.
 */
export class Tunnels implements TunnelSink {
  readonly #store: Store;
  readonly #shards: Shards;
  readonly #calls: LiveCalls;
  readonly #feed: OperatorFeed;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #byId = new Map<TunnelId, Socket>();
  readonly #byDevice = new Map<DeviceId, Socket>();
  #nextId = 1;

  constructor(options: {
    readonly store: Store;
    readonly shards: Shards;
    readonly calls: LiveCalls;
    readonly feed: OperatorFeed;
    readonly metrics: Metrics;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#store = options.store;
    this.#shards = options.shards;
    this.#calls = options.calls;
    this.#feed = options.feed;
    this.#metrics = options.metrics;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** `data` for an upgrade. */
  admit(deviceId: DeviceId, ticketCall: CallUuid | undefined): TunnelData {
    const nowMs = this.#clock.nowMs();
    return {
      tunnelId: this.#nextId++ as TunnelId,
      deviceId,
      ticketCall,
      isClosed: false,
      openedAtMs: nowMs,
      lastHeardMs: nowMs,
      nextPingMs: nowMs + pingEveryMs,
      nextTouchMs: nowMs + touchEveryMs,
      frames: frameBurst,
      framesAtMs: nowMs,
    };
  }

  /** For Bun.serve. Frames over 64 KiB are closed with 1009, unmasked or malformed ones with 1002, by Bun itself. */
  readonly handler: WebSocketHandler<TunnelData> = {
    maxPayloadLength: frameBytesMax,
    // Pings and silence are kept by `tick`, to the second; this drops what was closed and does not even read the close frame.
    idleTimeout: 70,
    sendPings: false,
    backpressureLimit: bufferedBytesMax,
    closeOnBackpressureLimit: false,
    open: (socket) => this.#guard(() => this.#onOpen(socket)),
    message: (socket, message) => this.#guard(() => this.#onMessage(socket, message)),
    ping: (socket) => this.#guard(() => this.#onPing(socket)),
    pong: (socket) => this.#heard(socket),
    close: (socket) => this.#guard(() => void this.#forget(socket)),
  };

  frame(tunnelId: TunnelId, text: string): void {
    const socket = this.#byId.get(tunnelId);
    if (socket === undefined) return;
    this.#calls.frameSent(socket.data.deviceId, text);
    this.#send(socket, text);
  }

  close(tunnelId: TunnelId, code: number, reason: string): void {
    const socket = this.#byId.get(tunnelId);
    if (socket !== undefined) this.#close(socket, code, reason);
  }

  closeDevice(deviceId: DeviceId, code: number, reason: string): void {
    const socket = this.#byDevice.get(deviceId);
    if (socket !== undefined) this.#close(socket, code, reason);
  }

  /** The device's accounts are others now: its open tunnel serves those. */
  accountsChanged(deviceId: DeviceId): void {
    const socket = this.#byDevice.get(deviceId);
    if (socket !== undefined) this.#shards.tunnelAccounts(socket.data.tunnelId, this.#accountsOf(deviceId));
  }

  closeAll(): void {
    for (const socket of this.#byId.values()) this.#close(socket, goingAwayCode, "server is stopping");
  }

  /** Pings, and closes what has been silent too long. Called about once a second. */
  tick(): void {
    const nowMs = this.#clock.nowMs();
    for (const socket of this.#byId.values()) {
      const { data } = socket;
      if (nowMs - data.lastHeardMs >= silentMsMax) {
        this.#close(socket, silentCode, "silent for 60 s");
        continue;
      }
      if (nowMs >= data.nextPingMs) {
        data.nextPingMs = nowMs + pingEveryMs;
        socket.ping();
      }
      if (nowMs >= data.nextTouchMs) {
        data.nextTouchMs = nowMs + touchEveryMs;
        this.#store.touchDevice(data.deviceId, this.#clock.wallMs());
      }
    }
  }

  #onOpen(socket: Socket): void {
    const { tunnelId, deviceId, ticketCall } = socket.data;
    const before = this.#byDevice.get(deviceId);
    if (before !== undefined) this.#close(before, takenOverCode, "taken over by a newer tunnel of this device");
    this.#byId.set(tunnelId, socket);
    this.#byDevice.set(deviceId, socket);
    this.#heard(socket);
    const announced = this.#calls.tunnelOpened(deviceId);
    const device = this.#store.device(deviceId);
    const isVoip = device?.push.provider === "apns" && (ticketCall !== undefined || announced !== undefined);
    this.#shards.tunnelOpened(tunnelId, deviceId, this.#accountsOf(deviceId), ticketCall ?? announced, isVoip);
    this.#store.touchDevice(deviceId, this.#clock.wallMs());
    this.#feed.publish("tunnel", { device: deviceId, tunnel: tunnelId, open: true });
  }

  #onMessage(socket: Socket, message: string | Buffer): void {
    const { data } = socket;
    if (data.isClosed) return;
    this.#heard(socket);
    if (!this.#mayFrame(socket)) return;
    const text = latin1Of(message);
    // RFC 5626 §3.5.1 keep-alive: ping and pong; an empty frame is one that a library sends to keep a proxy awake.
    if (text === "\r\n\r\n") {
      socket.send(crlf);
      return;
    }
    if (text === crlf || text === "") return;
    this.#calls.frameCame(data.deviceId, text);
    this.#shards.frame(data.tunnelId, text);
  }

  /** Bun has answered it. */
  #onPing(socket: Socket): void {
    if (socket.data.isClosed) return;
    this.#heard(socket);
    this.#mayFrame(socket);
  }

  /** Takes one from what the phone may send, keep-alives and pings too, for each is answered. False: it has been closed for it. */
  #mayFrame(socket: Socket): boolean {
    const { data } = socket;
    const nowMs = this.#clock.nowMs();
    data.frames = Math.min(frameBurst, data.frames + ((nowMs - data.framesAtMs) / 1_000) * framesPerSec);
    data.framesAtMs = nowMs;
    if (data.frames < 1) {
      this.#close(socket, tooFastCode, "too many frames");
      return false;
    }
    data.frames--;
    return true;
  }

  /** Text where the bytes are UTF-8, else binary (RFC 7118 §5): the phone gets the very bytes either way. */
  #send(socket: Socket, text: string): void {
    let outcome: number;
    if (pureAscii.test(text)) outcome = socket.sendText(text);
    else {
      const bytes = Buffer.from(text, "latin1");
      outcome = isUtf8(bytes) ? socket.sendText(bytes.toString("utf8")) : socket.sendBinary(bytes);
    }
    // Dropped, because more than `bufferedBytesMax` waits already.
    if (outcome === 0) this.#close(socket, overloadedCode, "reads too slowly");
  }

  #heard(socket: Socket): void {
    socket.data.lastHeardMs = this.#clock.nowMs();
  }

  /** We close: the shards hear of it now, not when the phone answers. */
  #close(socket: Socket, code: number, reason: string): void {
    if (this.#forget(socket)) socket.close(code, reason);
  }

  /** False when it was forgotten before. */
  #forget(socket: Socket): boolean {
    const { data } = socket;
    if (data.isClosed) return false;
    data.isClosed = true;
    this.#byId.delete(data.tunnelId);
    if (this.#byDevice.get(data.deviceId) === socket) this.#byDevice.delete(data.deviceId);
    this.#shards.tunnelClosed(data.tunnelId);
    this.#feed.publish("tunnel", { device: data.deviceId, tunnel: data.tunnelId, open: false });
    return true;
  }

  #accountsOf(deviceId: DeviceId): readonly AccountId[] {
    return this.#store.accountsOfDevice(deviceId);
  }

  /** A fault in one frame costs that frame. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (cause) {
      this.#metrics.fault("tunnel");
      this.#log.error("tunnel.fault", { cause });
    }
  }
}

/** Bytes of a frame, one a character. Bun has checked that text is UTF-8. */
function latin1Of(message: string | Buffer): string {
  if (typeof message !== "string") return message.toString("latin1");
  return pureAscii.test(message) ? message : Buffer.from(message, "utf8").toString("latin1");
}

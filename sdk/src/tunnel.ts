import { tunnelPlace, textOfFrame, type TunnelSocket, type TunnelSocketClass } from "./web-socket.ts";

/** Why a tunnel is closed. */
export type TunnelEnd =
  /** It was never opened. */
  | "new"
  /** You closed it. */
  | "asked"
  /** A newer tunnel of this device has taken over (4001). */
  | "takenOver"
  /** The device was removed (4003). */
  | "deviceRemoved"
  /** It sent frames faster than a phone does (1008). */
  | "tooManyFrames"
  /** It could not be opened: no network, or the ticket is not good any more. `curl` on the URL (https) says which. */
  | "notOpened"
  /** It was lost and did not come back in time. */
  | "lost";

export type TunnelState =
  | { readonly kind: "closed"; readonly why: TunnelEnd; readonly code?: number }
  | { readonly kind: "opening" }
  /** `resumed`: the network has changed since the state was last `open`. Media goes its own way: renew it (an ICE restart) now. */
  | { readonly kind: "open"; readonly resumed: boolean }
  /** Lost; it is tried again. What the stack sends meanwhile waits. */
  | { readonly kind: "resuming"; readonly attempt: number };

export interface TunnelOptions {
  /** `tunnel` of a push, or `device.tunnelUrl()`. */
  readonly url: string;
  /** Tried in turn with `url` after a loss: a ticket ends with its call, `device.tunnelUrl()` does not. */
  readonly fallbackUrl?: string;
  /** Where the platform has none of its own, or another is wanted. */
  readonly webSocket?: TunnelSocketClass;
  /** For tests. */
  readonly timers?: { set(run: () => void, ms: number): unknown; clear(timer: unknown): void };
  /** For tests: 0 to 1. */
  readonly random?: () => number;
}

/** One attempt; networks of phones take longer than desks'. */
const openMsMax = 10_000;
/** Attempts to open it for the first time. A phone that was woken has no network in its first moments. */
const openAttemptsMax = 3;
/** How long a lost tunnel is tried again: as long as Wakeline keeps a call for a phone that is away. */
const resumeMsMax = 60_000;
const backoffMs = { first: 250, most: 8_000 } as const;
/** A tunnel that lives this long was a good one: the next loss begins with short waits again. */
const steadyMs = 5_000;
/** RFC 5626 §3.5.1: a double CRLF, answered by a single one. It finds a dead path, and keeps NATs and proxies awake. */
const keepAliveMs = 25_000;
const keepAliveAnswerMs = 5_000;
/** The same when the network is known to have changed. */
const checkAnswerMs = 1_500;
/** Messages that wait for a tunnel; a call's whole set-up is under twenty. */
const waitingMax = 64;

const closeEnds: Readonly<Record<number, TunnelEnd>> = {
  1008: "tooManyFrames",
  4001: "takenOver",
  4003: "deviceRemoved",
};
const ping = "\r\n\r\n";
const pong = "\r\n";

const platformTimers: NonNullable<TunnelOptions["timers"]> = {
  set: (run, ms) => setTimeout(run, ms),
  clear: (timer) => clearTimeout(timer as Parameters<typeof clearTimeout>[0]),
};

/**
 * The tunnel to Wakeline (RFC 7118: SIP over WebSocket) that comes back by itself: when the phone goes from Wi-Fi to mobile it is opened again,
 * with the same URL, and the SIP stack above does not notice. An INVITE that rings comes again under the same branch, so a stack takes it for a
 * retransmission; what arrived in between is delivered, what the stack sent in between goes out.
 */
export class Tunnel {
  readonly url: string;
  readonly #options: TunnelOptions;
  readonly #timers: NonNullable<TunnelOptions["timers"]>;
  readonly #listeners = new Set<(state: TunnelState) => void>();
  readonly #waiting: string[] = [];
  /** Called with each SIP message; keep-alives are not among them. Set by the adapter of the stack. */
  onMessage: (text: string) => void = () => {};
  #state: TunnelState = { kind: "closed", why: "new" };
  #socket: TunnelSocket | undefined;
  /** Since it was last steady: what the waits grow by. */
  #attempt = 0;
  /** Since it was last open: which URL's turn it is. */
  #turn = 0;
  #hasBeenOpen = false;
  /** For the attempt under way, or the wait for the next one. */
  #openTimer: unknown;
  #giveUpTimer: unknown;
  #steadyTimer: unknown;
  #keepAliveTimer: unknown;
  #answerTimer: unknown;

  /** Throws on what is no WebSocket URL. */
  constructor(options: TunnelOptions) {
    tunnelPlace(options.url);
    if (options.fallbackUrl !== undefined) tunnelPlace(options.fallbackUrl);
    this.url = options.url;
    this.#options = options;
    this.#timers = options.timers ?? platformTimers;
  }

  get state(): TunnelState {
    return this.#state;
  }

  /** Closed in favour of another tunnel, or with its device. Who opens it again by itself takes it from the other, who takes it back. */
  get isTaken(): boolean {
    return this.#state.kind === "closed" && (this.#state.why === "takenOver" || this.#state.why === "deviceRemoved");
  }

  /** Calls `listener` after each change; what it returns takes it off again. */
  onState(listener: (state: TunnelState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Opens a closed tunnel; does nothing when it is open or on its way. */
  open(): void {
    if (this.#state.kind !== "closed") return;
    this.#attempt = 0;
    this.#turn = 0;
    this.#hasBeenOpen = false;
    this.#become({ kind: "opening" });
    this.#try();
  }

  /** Closes it for good, until `open`. */
  close(): void {
    this.#end("asked");
    this.#state = { kind: "closed", why: "asked" };
  }

  /** False when it is closed, or too much waits already. While it is opened or resumed the message waits. */
  send(text: string): boolean {
    if (this.#state.kind === "open") {
      this.#socket?.send(text);
      return true;
    }
    if (this.#state.kind === "closed" || this.#waiting.length >= waitingMax) return false;
    this.#waiting.push(text);
    return true;
  }

  /**
   * Call it when the system says that the network has changed (`online`, NWPathMonitor, ConnectivityManager) or the app was resumed: the path is
   * tried, and left for a new one when nothing comes back. Without it a dead path shows after half a minute.
   */
  networkChanged(): void {
    if (this.#state.kind === "open") this.#ping(checkAnswerMs);
    else if (this.#state.kind === "resuming" && this.#socket === undefined) this.#try();
  }

  #try(): void {
    this.#timers.clear(this.#openTimer);
    const { url, fallbackUrl } = this.#options;
    const target = fallbackUrl !== undefined && this.#turn % 2 === 1 ? fallbackUrl : url;
    this.#attempt++;
    this.#turn++;
    const SocketClass = this.#options.webSocket ?? WebSocket;
    const socket = new SocketClass(target, "sip");
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#isCurrent(socket) && this.#opened();
    socket.onmessage = (event: { readonly data?: unknown }) => this.#isCurrent(socket) && this.#heard(event.data);
    socket.onclose = (event: { readonly code?: number }) => this.#isCurrent(socket) && this.#closed(event.code);
    // `close` follows every error.
    socket.onerror = () => {};
    this.#openTimer = this.#timers.set(() => this.#closed(undefined), openMsMax);
  }

  #isCurrent(socket: TunnelSocket): boolean {
    return this.#socket === socket;
  }

  #opened(): void {
    this.#timers.clear(this.#openTimer);
    this.#timers.clear(this.#giveUpTimer);
    this.#steadyTimer = this.#timers.set(() => {
      this.#attempt = 0;
    }, steadyMs);
    this.#keepAliveSoon();
    this.#turn = 0;
    const resumed = this.#hasBeenOpen;
    this.#hasBeenOpen = true;
    this.#become({ kind: "open", resumed });
    for (const text of this.#waiting.splice(0)) this.send(text);
  }

  #heard(data: unknown): void {
    this.#timers.clear(this.#answerTimer);
    this.#answerTimer = undefined;
    const text = textOfFrame(data);
    if (text === ping) this.#socket?.send(pong);
    else if (text.trim() !== "") this.onMessage(text);
  }

  /** The socket is gone, or as good as gone. */
  #closed(code: number | undefined): void {
    const wasOpen = this.#state.kind === "open";
    this.#dropSocket();
    const end = code === undefined ? undefined : closeEnds[code];
    if (end !== undefined) return this.#end(end, code);
    if (!this.#hasBeenOpen && this.#attempt >= openAttemptsMax) return this.#end("notOpened", code);
    if (wasOpen) this.#giveUpTimer = this.#timers.set(() => this.#end("lost"), resumeMsMax);
    const waitMs = Math.min(backoffMs.most, backoffMs.first * 2 ** Math.max(0, this.#attempt - 1));
    // Half of it by chance: the phones of a server that restarts must not come as one.
    const random = this.#options.random ?? Math.random;
    this.#openTimer = this.#timers.set(() => this.#try(), waitMs * (0.5 + random() / 2));
    if (this.#hasBeenOpen) this.#become({ kind: "resuming", attempt: this.#attempt });
  }

  #keepAliveSoon(): void {
    this.#timers.clear(this.#keepAliveTimer);
    this.#keepAliveTimer = this.#timers.set(() => {
      this.#ping(keepAliveAnswerMs);
      this.#keepAliveSoon();
    }, keepAliveMs);
  }

  #ping(answerMs: number): void {
    this.#socket?.send(ping);
    this.#timers.clear(this.#answerTimer);
    this.#answerTimer = this.#timers.set(() => this.#closed(undefined), answerMs);
  }

  #dropSocket(): void {
    for (const timer of [this.#openTimer, this.#steadyTimer, this.#keepAliveTimer, this.#answerTimer])
      this.#timers.clear(timer);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }

  #end(why: TunnelEnd, code?: number): void {
    if (this.#state.kind === "closed") return;
    this.#dropSocket();
    this.#timers.clear(this.#giveUpTimer);
    this.#waiting.length = 0;
    this.#become({ kind: "closed", why, ...(code === undefined ? {} : { code }) });
  }

  #become(state: TunnelState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}

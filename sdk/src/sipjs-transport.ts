import { Tunnel, type TunnelState } from "./tunnel.ts";
import { tunnelPlace } from "./web-socket.ts";

/** The shape of SIP.js' `TransportState`, which is given by you: this package does not depend on SIP.js. */
export type SipJsStates<State extends string> = Readonly<
  Record<"Connecting" | "Connected" | "Disconnecting" | "Disconnected", State>
>;

/** The shape of SIP.js' `Emitter`. */
export interface SipJsEmitter<T> {
  addListener(listener: (data: T) => void, options?: { once?: boolean }): void;
  removeListener(listener: (data: T) => void): void;
  on(listener: (data: T) => void): void;
  off(listener: (data: T) => void): void;
  once(listener: (data: T) => void): void;
}

/** The shape of SIP.js' `Transport`. */
export interface SipJsTransport<State extends string> {
  readonly protocol: string;
  readonly state: State;
  readonly stateChange: SipJsEmitter<State>;
  onConnect: (() => void) | undefined;
  onDisconnect: ((error?: Error) => void) | undefined;
  onMessage: ((message: string) => void) | undefined;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  dispose(): Promise<void>;
  isConnected(): boolean;
  send(message: string): Promise<void>;
}

class Emitter<T> implements SipJsEmitter<T> {
  readonly #listeners = new Map<(data: T) => void, boolean>();

  addListener(listener: (data: T) => void, options?: { once?: boolean }): void {
    this.#listeners.set(listener, options?.once === true);
  }

  removeListener(listener: (data: T) => void): void {
    this.#listeners.delete(listener);
  }

  on(listener: (data: T) => void): void {
    this.addListener(listener);
  }

  off(listener: (data: T) => void): void {
    this.removeListener(listener);
  }

  once(listener: (data: T) => void): void {
    this.addListener(listener, { once: true });
  }

  emit(data: T): void {
    for (const [listener, isOnce] of this.#listeners) {
      if (isOnce) this.#listeners.delete(listener);
      listener(data);
    }
  }
}

interface Waiting {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (cause: Error) => void;
}

function newWaiting(): Waiting {
  let resolve: () => void = () => {};
  let reject: (cause: Error) => void = () => {};
  const promise = new Promise<void>((onDone, onFailed) => {
    resolve = onDone;
    reject = onFailed;
  });
  return { promise, resolve, reject };
}

/**
 * A tunnel as SIP.js' Transport: `new UserAgent({ transportConstructor: sipJsTransport(TransportState, payload.tunnel), … })` with SIP.js' own
 * `TransportState`. Give a `Tunnel` to watch its state or to tell it that the network has changed. SIP.js hears of a loss only when the tunnel
 * does not come back; then `reconnectionAttempts` counts, as with any transport. When another tunnel of the device has taken over, `connect`
 * rejects until `disconnect` (or `UserAgent.stop`): the two would take it from each other for ever.
 */
export function sipJsTransport<State extends string>(
  states: SipJsStates<State>,
  target: string | Tunnel,
): new () => SipJsTransport<State> {
  const tunnel = typeof target === "string" ? new Tunnel({ url: target }) : target;

  return class implements SipJsTransport<State> {
    readonly protocol = tunnelPlace(tunnel.url).isSecure ? "WSS" : "WS";
    readonly stateChange = new Emitter<State>();
    onConnect: (() => void) | undefined;
    onDisconnect: ((error?: Error) => void) | undefined;
    onMessage: ((message: string) => void) | undefined;
    #state: State = states.Disconnected;
    #connecting: Waiting | undefined;
    #disconnecting: Waiting | undefined;

    constructor() {
      tunnel.onState((state) => this.#onTunnel(state));
    }

    get state(): State {
      return this.#state;
    }

    isConnected(): boolean {
      return this.#state === states.Connected;
    }

    connect(): Promise<void> {
      if (this.isConnected()) return Promise.resolve();
      if (this.#connecting !== undefined) return this.#connecting.promise;
      if (tunnel.isTaken) return Promise.reject(new Error("another tunnel of this device has taken over"));
      const waiting = newWaiting();
      this.#connecting = waiting;
      this.#disconnecting?.reject(new Error("connected again"));
      this.#disconnecting = undefined;
      this.#become(states.Connecting);
      tunnel.onMessage = (text) => this.onMessage?.(text);
      tunnel.open();
      return waiting.promise;
    }

    disconnect(): Promise<void> {
      if (this.#state === states.Disconnected) {
        tunnel.close();
        return Promise.resolve();
      }
      if (this.#disconnecting !== undefined) return this.#disconnecting.promise;
      const waiting = newWaiting();
      this.#disconnecting = waiting;
      this.#become(states.Disconnecting);
      this.#connecting?.reject(new Error("disconnected before it was connected"));
      this.#connecting = undefined;
      tunnel.close();
      void this.#disconnectedSoon(waiting);
      return waiting.promise;
    }

    dispose(): Promise<void> {
      return this.disconnect();
    }

    send(message: string): Promise<void> {
      return this.isConnected() && tunnel.send(message)
        ? Promise.resolve()
        : Promise.reject(new Error("the tunnel is not open"));
    }

    /** SIP.js wants to see Disconnecting first. */
    async #disconnectedSoon(waiting: Waiting): Promise<void> {
      await Promise.resolve();
      if (this.#disconnecting !== waiting) return;
      this.#disconnecting = undefined;
      this.#become(states.Disconnected);
      waiting.resolve();
    }

    #onTunnel(state: TunnelState): void {
      if (state.kind === "open" && !state.resumed && this.#connecting !== undefined) {
        const { resolve } = this.#connecting;
        this.#connecting = undefined;
        this.#become(states.Connected);
        resolve();
      }
      if (state.kind !== "closed" || this.#disconnecting !== undefined || this.#state === states.Disconnected) return;
      const cause = new Error(`the tunnel is closed: ${state.why}`);
      const connecting = this.#connecting;
      this.#connecting = undefined;
      this.#become(states.Disconnected, cause);
      connecting?.reject(cause);
    }

    /** SIP.js' order: the state, the emitter, then the callbacks. */
    #become(state: State, cause?: Error): void {
      const before = this.#state;
      this.#state = state;
      this.stateChange.emit(state);
      if (state === states.Connected) this.onConnect?.();
      if (before === states.Connected) this.onDisconnect?.(cause);
    }
  };
}

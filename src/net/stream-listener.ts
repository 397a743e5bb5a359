import type { Socket, SocketHandler, TCPSocketListener } from "bun";
import { isIpv6Text, sourceAddress } from "./address.ts";
import { flowHandlers, plainBytes, type StreamFlow } from "./flow.ts";
import type { TlsMaterial } from "./trust.ts";

const tls12 = 0x0303;
const anyPortTries = 10;

/** Makes the flow of an accepted connection; undefined turns it away. */
type Accept = (transport: "tcp" | "tls", address: string, port: number) => StreamFlow | undefined;

export interface ListenOptions {
  readonly transport: "tcp" | "tls";
  /** Numeric, without brackets. */
  readonly addresses: readonly string[];
  /** 0: any that is free at all of them. */
  readonly port: number;
  /** Needed for "tls". */
  readonly tls: TlsMaterial | undefined;
  readonly accept: Accept;
}

/** Listening sockets of one transport, one an address, all on one port. */
export class StreamListener {
  readonly transport: "tcp" | "tls";
  readonly port: number;
  readonly #options: ListenOptions;
  #listeners: TCPSocketListener<StreamFlow>[];

  /** Throws an Error that names the address and port when one cannot be bound. */
  constructor(options: ListenOptions) {
    this.transport = options.transport;
    this.#options = options;
    this.#listeners = bindAll(options);
    this.port = this.#listeners[0]?.port ?? options.port;
  }

  /**
   * Further connections get this certificate; open ones go on. Bun's own reload keeps the old certificate, so new listeners share
   * the ports until the old ones stop. Throws, and changes nothing, when the material is no certificate and key.
   */
  replaceTls(tls: TlsMaterial): void {
    const fresh: TCPSocketListener<StreamFlow>[] = [];
    try {
      for (const address of this.#options.addresses)
        fresh.push(bind({ ...this.#options, tls }, address, this.port, true));
    } catch (cause) {
      for (const listener of fresh) listener.stop(true);
      throw cause;
    }
    for (const listener of this.#listeners) listener.stop(false);
    this.#listeners = fresh;
  }

  stop(): void {
    for (const listener of this.#listeners) listener.stop(false);
  }
}

function bindAll(options: ListenOptions): TCPSocketListener<StreamFlow>[] {
  const shared = options.transport === "tls";
  for (let tries = 1; ; tries++) {
    const bound: TCPSocketListener<StreamFlow>[] = [];
    try {
      for (const address of options.addresses) {
        const port = bound[0]?.port ?? options.port;
        // A shared port hides that somebody else has it: asked without sharing first.
        if (shared && port !== 0) bind(options, address, port, false).stop(true);
        bound.push(bind(options, address, port, shared));
      }
      return bound;
    } catch (cause) {
      for (const listener of bound) listener.stop(true);
      if (options.port === 0 && bound.length > 0 && tries < anyPortTries) continue;
      throw cause;
    }
  }
}

function bind(options: ListenOptions, address: string, port: number, shared: boolean): TCPSocketListener<StreamFlow> {
  const { transport, tls } = options;
  const place = {
    hostname: address,
    port,
    ipv6Only: isIpv6Text(address),
    reusePort: shared,
    socket: acceptingHandlers(transport, options.accept),
  };
  try {
    if (transport === "tcp") return Bun.listen<StreamFlow>(place);
    if (tls === undefined) throw new Error("no certificate");
    // `minVersion` works as a number only, and Bun's types do not know it.
    const material = { cert: tls.cert, key: tls.key, minVersion: tls12 };
    return Bun.listen<StreamFlow>({ ...place, tls: material });
  } catch (cause) {
    const code = cause instanceof Error ? ("code" in cause ? String(cause.code) : cause.message) : String(cause);
    throw new Error(`cannot listen on ${transport} ${address} port ${port}: ${code}`, { cause });
  }
}

/** `socket.data` is the flow, but until `open` has made one, and for those turned away, it is absent. */
function acceptingHandlers(transport: "tcp" | "tls", accept: Accept): SocketHandler<StreamFlow> {
  const flowOf = (socket: Socket<StreamFlow>): StreamFlow | undefined => socket.data;
  return {
    open: (socket) => {
      const flow = accept(transport, sourceAddress(socket.remoteAddress), socket.remotePort);
      if (flow === undefined) {
        socket.terminate();
        return;
      }
      socket.data = flow;
      flow.onSocketOpen(socket);
    },
    handshake: (socket, success, error) => flowOf(socket)?.onHandshake(socket, success, error),
    data: (socket, bytes) => flowOf(socket)?.onData(plainBytes(bytes)),
    drain: (socket) => flowOf(socket)?.onDrain(),
    close: (socket) => flowOf(socket)?.onSocketClosed("closed by the peer"),
    error: (socket, error) => {
      if (flowOf(socket) !== undefined) return flowHandlers.error?.(socket, error);
    },
  };
}

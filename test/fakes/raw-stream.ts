import type { Socket, TCPSocketListener } from "bun";
import type { Certificate } from "./certificates.ts";

/** One end of a TCP or TLS connection that does just what a test says. */
export class RawStream {
  received = "";
  isClosed = false;
  socket: Socket<RawStream> | undefined;
  /** Answers at once; given what has just come. */
  onText: ((text: string) => void) | undefined;
  readonly #changed: () => void;

  constructor(changed: () => void = () => {}) {
    this.#changed = changed;
  }

  write(text: string): void {
    this.socket?.write(Buffer.from(text, "latin1"));
  }

  end(): void {
    this.socket?.end();
  }

  take(bytes: Buffer): void {
    const text = bytes.toString("latin1");
    this.received += text;
    this.onText?.(text);
    this.#changed();
  }

  closed(): void {
    this.isClosed = true;
    this.#changed();
  }
}

const handlers = {
  data: (socket: Socket<RawStream>, bytes: Buffer) => socket.data.take(bytes),
  close: (socket: Socket<RawStream>) => socket.data.closed(),
  // Also told of connections that never came to be, which have no data.
  error: (socket: { readonly data: RawStream | undefined }) => socket.data?.closed(),
};

/** Connects to a loopback port. `tls` trusts nobody in particular and checks nothing: it is the other side that is tested. */
export async function connectRaw(
  port: number,
  options: { readonly tls?: boolean; readonly changed?: () => void } = {},
): Promise<RawStream> {
  const stream = new RawStream(options.changed);
  const ready = Promise.withResolvers<void>();
  const tls = options.tls === true ? { tls: { rejectUnauthorized: false } } : {};
  stream.socket = await Bun.connect<RawStream>({
    hostname: "127.0.0.1",
    port,
    data: stream,
    ...tls,
    socket: {
      ...handlers,
      open: () => {
        if (options.tls !== true) ready.resolve();
      },
      handshake: () => ready.resolve(),
      close: (socket) => {
        ready.resolve();
        socket.data.closed();
      },
    },
  });
  await ready.promise;
  return stream;
}

/** A server on a loopback port; `streams` are the connections it has accepted. */
export class RawServer {
  readonly streams: RawStream[] = [];
  readonly port: number;
  /** Called with each new connection. */
  onOpen: ((stream: RawStream) => void) | undefined;
  readonly #listener: TCPSocketListener<RawStream>;
  #waiting: { readonly holds: () => boolean; readonly resolve: () => void }[] = [];

  constructor(options: { readonly tls?: Certificate; readonly port?: number; readonly paused?: boolean } = {}) {
    const changed = () => this.#look();
    this.#listener = Bun.listen<RawStream>({
      hostname: "127.0.0.1",
      port: options.port ?? 0,
      ...(options.tls === undefined ? {} : { tls: { cert: options.tls.cert, key: options.tls.key } }),
      socket: {
        ...handlers,
        open: (socket) => {
          const stream = new RawStream(changed);
          stream.socket = socket;
          socket.data = stream;
          if (options.paused === true) socket.pause();
          this.streams.push(stream);
          this.onOpen?.(stream);
          changed();
        },
      },
    });
    this.port = this.#listener.port;
  }

  /** All that has come, of all connections. */
  get received(): string {
    return this.streams.map(({ received }) => received).join("");
  }

  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ holds, resolve });
    return promise;
  }

  close(): void {
    this.#listener.stop(true);
  }

  #look(): void {
    const ready = this.#waiting.filter(({ holds }) => holds());
    this.#waiting = this.#waiting.filter((one) => !ready.includes(one));
    for (const { resolve } of ready) resolve();
  }
}

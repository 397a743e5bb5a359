import { isIpv6Text } from "./address.ts";
import type { DatagramDrain } from "./datagram-drain.ts";
import type { Libc } from "./libc.ts";
import type { Source } from "./network.ts";

/** Socket buffers: Linux' default loses a third and more of a burst. */
export const socketBufferBytes = 8 * 1_048_576;
/** Tries to find one port that is free at every address when any will do. */
const anyPortTries = 10;

const solSocket = 1;
const soSendBuffer = 7;
const soReceiveBuffer = 8;
const soSendBufferForce = 32;
const soReceiveBufferForce = 33;
/** LIBUS_SOCKET_IPV6_ONLY: `[::]` and `0.0.0.0` are separate sockets, so an IPv4 source is never spelled as IPv6. */
const ipv6OnlyFlag = 8;

export type BunUdpSocket = Awaited<ReturnType<typeof bind>>;

/** What a socket of Bun's calls. */
export interface DatagramHandlers {
  drain: () => void;
  /** Told of each source before its message is. */
  note: ((source: Source) => void) | undefined;
  /** Reads what waits behind what Bun has read; undefined without a C library. */
  waiting: DatagramDrain | undefined;
  onData(bytes: Uint8Array, port: number, address: string): void;
  onError(cause: unknown): void;
}

export interface BoundSocket {
  readonly address: string;
  readonly bun: BunUdpSocket;
  readonly handlers: DatagramHandlers;
}

/** Binds each address on one port; 0 finds one that is free at all. Rejects with an Error that names what cannot be bound. */
export async function bindAll(
  listen: readonly string[],
  port: number,
  handlers: () => DatagramHandlers,
): Promise<readonly BoundSocket[]> {
  for (let tries = 1; ; tries++) {
    const bound: BoundSocket[] = [];
    try {
      for (const address of listen) {
        const own = handlers();
        bound.push({ address, bun: await bind(address, bound[0]?.bun.port ?? port, own), handlers: own });
      }
      return bound;
    } catch (cause) {
      for (const { bun } of bound) bun.close();
      if (port === 0 && bound.length > 0 && tries < anyPortTries) continue;
      throw cause;
    }
  }
}

async function bind(address: string, port: number, handlers: DatagramHandlers) {
  const options = {
    hostname: address,
    port,
    binaryType: "uint8array" as const,
    flags: isIpv6Text(address) ? ipv6OnlyFlag : 0,
    socket: {
      data: (_socket: unknown, bytes: Uint8Array, from: number, source: string) => handlers.onData(bytes, from, source),
      drain: () => handlers.drain(),
      error: (...told: readonly unknown[]) => handlers.onError(told.at(-1)),
    },
  };
  try {
    return await Bun.udpSocket(options);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new Error(`cannot listen on udp ${address} port ${port}: ${code}`, { cause });
  }
}

/** The descriptor, which Bun has and its types do not mention. */
export function fdOf(socket: object): number {
  return "fd" in socket && typeof socket.fd === "number" ? socket.fd : -1;
}

/** What a socket's buffers hold, in bytes; 0 where nobody can tell. */
export interface SocketBuffers {
  readonly receiveBytes: number;
  readonly sendBytes: number;
}

/** Makes the socket's buffers large enough for bursts, as far as the system lets us; what they are then. */
export function growBuffers(libc: Libc | undefined, fd: number): SocketBuffers {
  if (libc === undefined || fd < 0) return { receiveBytes: 0, sendBytes: 0 };
  // FORCE goes beyond the system's limit where we may; else as far as the limit lets us.
  if (!libc.setOption(fd, solSocket, soReceiveBufferForce, socketBufferBytes)) {
    libc.setOption(fd, solSocket, soReceiveBuffer, socketBufferBytes);
  }
  if (!libc.setOption(fd, solSocket, soSendBufferForce, socketBufferBytes)) {
    libc.setOption(fd, solSocket, soSendBuffer, socketBufferBytes);
  }
  // Linux tells twice what was set: its own book-keeping takes the other half.
  const bytes = (option: number): number => Math.max(libc.option(fd, solSocket, option), 0) / 2;
  return { receiveBytes: bytes(soReceiveBuffer), sendBytes: bytes(soSendBuffer) };
}

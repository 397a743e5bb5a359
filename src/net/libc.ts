import { dlopen, ptr, read } from "bun:ffi";

/** Linux error numbers that a send can end with and that we tell apart. */
export const Errno = {
  io: 5,
  again: 11,
  networkUnreachable: 101,
  noBuffers: 105,
  connectionRefused: 111,
  hostUnreachable: 113,
} as const;

/** The few calls of the C library that Bun has no API for. Addresses are plain numbers, see `addressOf`. */
export interface Libc {
  /** Sets an int option; false when refused. */
  setOption(fd: number, level: number, name: number, value: number): boolean;
  /** Reads an int option; -1 when refused. */
  option(fd: number, level: number, name: number): number;
  /** -1 with `errno()` set, or the bytes taken. */
  sendmsg(fd: number, header: number, flags: number): number;
  /** -1 with `errno()` set, or how many of `count` messages were taken. */
  sendmmsg(fd: number, headers: number, count: number, flags: number): number;
  /** -1 with `errno()` set, or how many messages came, at most `count`. Waits for none beyond what `flags` say. */
  recvmmsg(fd: number, headers: number, count: number, flags: number): number;
  /** Of the last call above that returned -1, on this thread. */
  errno(): number;
}

/** Where a buffer lies in memory: stable while the buffer is referenced, since an ArrayBuffer of its own is never moved. */
export function addressOf(buffer: ArrayBuffer): number {
  return ptr(new Uint8Array(buffer));
}

const names = ["libc.so.6", "libc.so", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

/** Opens the C library for this thread. Undefined where there is none to open: not Linux, or no bun:ffi. */
export function openLibc(): Libc | undefined {
  if (process.platform !== "linux") return undefined;
  for (const name of names) {
    try {
      return bind(name);
    } catch {
      // Another C library, or none: the next name, and at last the path without it.
    }
  }
  return undefined;
}

function bind(name: string): Libc {
  const { symbols } = dlopen(name, {
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
    sendmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
    sendmmsg: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
    recvmmsg: { args: ["i32", "ptr", "u32", "i32", "ptr"], returns: "i32" },
    __errno_location: { args: [], returns: "ptr" },
  });
  // One errno a thread; its place does not change.
  const errnoAt = symbols.__errno_location();
  if (errnoAt === null) throw new Error("no errno");
  const value = new Int32Array(new ArrayBuffer(4));
  const length = new Uint32Array(new ArrayBuffer(4));
  return {
    setOption: (fd, level, option, setting) => {
      value[0] = setting;
      return symbols.setsockopt(fd, level, option, ptr(value), 4) === 0;
    },
    option: (fd, level, option) => {
      length[0] = 4;
      return symbols.getsockopt(fd, level, option, ptr(value), ptr(length)) === 0 ? value[0]! : -1;
    },
    sendmsg: (fd, header, flags) => symbols.sendmsg(fd, header, flags),
    sendmmsg: (fd, headers, count, flags) => symbols.sendmmsg(fd, headers, count, flags),
    recvmmsg: (fd, headers, count, flags) => symbols.recvmmsg(fd, headers, count, flags, null),
    errno: () => read.i32(errnoAt, 0),
  };
}

import { dlopen, FFIType, ptr } from "bun:ffi";

const familyUnix = 1;
const datagram = 2;
const pathBytesMax = 107;

/**
 * Tells systemd the state of a `Type=notify` unit (sd_notify(3)): one datagram to the socket that NOTIFY_SOCKET names, by libc, since
 * Bun has no datagram socket of that family. `status`: a line for `systemctl status`. Nothing without NOTIFY_SOCKET; a failure is of
 * no consequence to the server.
 */
export function notifySystemd(state: "READY=1" | "STOPPING=1" | "WATCHDOG=1", status?: string): void {
  const path = process.env["NOTIFY_SOCKET"];
  if (path === undefined || path === "" || path.length > pathBytesMax) return;
  try {
    const libc = dlopen("libc.so.6", {
      socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
      sendto: {
        args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32, FFIType.ptr, FFIType.u32],
        returns: FFIType.i64,
      },
      close: { args: [FFIType.i32], returns: FFIType.i32 },
    });
    const file = libc.symbols.socket(familyUnix, datagram, 0);
    if (file >= 0) {
      const address = new Uint8Array(2 + path.length);
      address[0] = familyUnix;
      address.set(Buffer.from(path), 2);
      if (path.startsWith("@")) address[2] = 0; // the abstract name space
      const message = Buffer.from(status === undefined ? state : `${state}\nSTATUS=${status}`);
      libc.symbols.sendto(file, ptr(message), message.length, 0, ptr(address), address.length);
      libc.symbols.close(file);
    }
    libc.close();
  } catch {
    // No libc of this name (musl): the unit is then `Type=simple`.
  }
}

/** Milliseconds between two signs of life that the unit's WatchdogSec asks for; undefined when it asks for none. */
export function watchdogMs(): number | undefined {
  const asked = Number(process.env["WATCHDOG_USEC"]);
  return Number.isFinite(asked) && asked > 0 ? asked / 2_000 : undefined;
}

import { dlopen, FFIType, ptr } from "bun:ffi";
import { rmSync } from "node:fs";

const familyUnix = 1;
const datagram = 2;
const dontWait = 0x40;
const messageBytesMax = 4_096;
const pollMs = 10;
const waitMs = 10_000;

/** The socket on which systemd hears a `Type=notify` unit (sd_notify(3)): a path, or "@name" in the abstract name space. */
export class NotifySocket implements Disposable {
  readonly path: string;
  /** Every message that was taken, oldest first. */
  readonly heard: string[] = [];
  readonly #libc = dlopen("libc.so.6", {
    socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
    recv: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
    close: { args: [FFIType.i32], returns: FFIType.i32 },
  });
  readonly #file: number;

  constructor(path: string) {
    this.path = path;
    const address = new Uint8Array(2 + path.length);
    address[0] = familyUnix;
    address.set(Buffer.from(path), 2);
    if (path.startsWith("@")) address[2] = 0;
    this.#file = this.#libc.symbols.socket(familyUnix, datagram, 0);
    if (this.#libc.symbols.bind(this.#file, ptr(address), address.length) !== 0) throw new Error(`cannot bind ${path}`);
  }

  /** The next message that begins with `state`, past or to come. */
  async next(state: string): Promise<string> {
    const untilMs = performance.now() + waitMs;
    for (;;) {
      for (let message = this.#receive(); message !== undefined; message = this.#receive()) this.heard.push(message);
      const at = this.heard.findIndex((message) => message.startsWith(state));
      if (at >= 0) return this.heard.splice(at, 1)[0] ?? "";
      if (performance.now() > untilMs) throw new Error(`no ${state}, but: ${this.heard.join(" | ")}`);
      await Bun.sleep(pollMs);
    }
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#file);
    this.#libc.close();
    if (!this.path.startsWith("@")) rmSync(this.path, { force: true });
  }

  #receive(): string | undefined {
    const bytes = new Uint8Array(messageBytesMax);
    const length = Number(this.#libc.symbols.recv(this.#file, ptr(bytes), bytes.length, dontWait));
    return length < 0 ? undefined : Buffer.from(bytes.subarray(0, length)).toString();
  }
}

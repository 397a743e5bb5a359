import { dlopen, ptr } from "bun:ffi";

/** RLIMIT_CORE, on Linux and on macOS. */
const coreLimit = 4;
const names = process.platform === "darwin" ? ["libSystem.dylib"] : ["libc.so.6", "libc.so", "libc.musl-x86_64.so.1"];

/**
 * No core file from here on (setrlimit(2)): a crash would write passwords and keys that are in memory to a disk. Where there is no C
 * library to ask, the service's own limit is what there is (`LimitCORE=0`).
 */
export function forbidCoreFiles(): void {
  for (const name of names) {
    try {
      const libc = dlopen(name, { setrlimit: { args: ["i32", "ptr"], returns: "i32" } });
      // struct rlimit: soft and hard, 64 bits each.
      libc.symbols.setrlimit(coreLimit, ptr(new BigUint64Array(2)));
      libc.close();
      return;
    } catch {
      // Another C library, or none: the next name.
    }
  }
}

import { closeSync, fsyncSync, openSync } from "node:fs";

/** Puts a file's bytes, or the names in a folder, on the disk. Throws what the system says. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

import { closeSync, existsSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { Database } from "bun:sqlite";
import { databaseFile } from "./database.ts";
import { syncPath } from "./sync-path.ts";

/**
 * Writes a consistent copy of the database (secrets as ciphertext) to a new file of mode 0600, on the disk when this
 * returns. Blocks for as long as it copies: run it on a thread of its own; writers go on meanwhile. Throws, in words, when
 * `file` exists or cannot be written; then no file is left.
 */
export function backupTo(dataDir: string, file: string): void {
  if (existsSync(file)) throw new Error(`${file} exists; a backup never overwrites`);
  const draft = `${file}.partial`;
  try {
    // VACUUM INTO takes an empty file, and so the copy has our mode from its first byte.
    closeSync(openSync(draft, "wx", 0o600));
  } catch (cause) {
    throw new Error(`cannot write ${draft}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  try {
    const database = new Database(databaseFile(dataDir), { readonly: true });
    try {
      database.run("vacuum into ?", [draft]);
    } finally {
      database.close();
    }
    syncPath(draft);
    renameSync(draft, file);
    syncPath(dirname(file));
  } catch (cause) {
    rmSync(draft, { force: true });
    throw cause;
  }
}

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Database } from "bun:sqlite";
import { makeFile } from "./database.ts";
import { StoreFault } from "./faults.ts";

/**
 * Takes a data folder for this process; returns how to give it back. The lock is SQLite's own on an empty file: the system
 * drops it when the process dies, however it dies. Throws StoreFault when another process has it.
 */
export function lockDataDir(dataDir: string): () => void {
  const file = join(dataDir, "wakeline.lock");
  makeFile(file);
  const database = new Database(file);
  try {
    database.run("begin exclusive");
  } catch (cause) {
    database.close();
    throw new StoreFault(`another Wakeline is running on ${dataDir}`, false, cause);
  }
  return () => {
    database.close();
  };
}

/** True when a process serves from this data folder now. */
export function isDataDirLocked(dataDir: string): boolean {
  if (!existsSync(join(dataDir, "wakeline.lock"))) return false;
  try {
    lockDataDir(dataDir)();
    return false;
  } catch {
    return true;
  }
}

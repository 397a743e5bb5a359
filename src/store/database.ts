import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { Database } from "bun:sqlite";
import { migrate } from "./migrate.ts";

/** How long a statement waits for another thread's lock; only the moment of a checkpoint ever takes one. */
const busyTimeoutMs = 5_000;

/** The database in a data folder. */
export function databaseFile(dataDir: string): string {
  return join(dataDir, "wakeline.db");
}

/**
 * Makes an empty file of mode 0600 where there is none. One that exists is not so much as opened: closing it again would
 * drop the POSIX locks that SQLite holds on it in this process.
 */
export function makeFile(file: string): void {
  if (!existsSync(file)) closeSync(openSync(file, "ax", 0o600));
}

/**
 * Opens the database for the one thread that writes it, makes it when missing (mode 0600) and brings its schema up to date.
 * Throws when the file cannot be opened or was made by a newer Wakeline.
 */
export function openWriter(dataDir: string): Database {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = databaseFile(dataDir);
  makeFile(file); // -wal and -shm take their mode from it
  const database = new Database(file, { readwrite: true, create: true });
  database.run(`pragma busy_timeout = ${busyTimeoutMs}`);
  database.run("pragma auto_vacuum = none");
  database.run("pragma journal_mode = wal");
  // Each commit is on the disk before it is acknowledged: what a phone was told outlives kill -9 and a power cut. NORMAL would
  // lose the last commits at a power cut, an erasure among them. One fsync a batch, on a thread nobody's call waits for.
  database.run("pragma synchronous = full");
  // Freed bytes are zeroed in the file; what this leaves behind is scrub.ts's business, so checkpoints are ours alone.
  database.run("pragma secure_delete = on");
  database.run("pragma wal_autocheckpoint = 0");
  database.run("pragma temp_store = memory");
  database.run("pragma foreign_keys = on");
  database.run("pragma trusted_schema = off");
  migrate(database);
  return database;
}

/** Opens the database to read from any thread, while another one writes it. */
export function openReader(dataDir: string): Database {
  return openReadOnly(databaseFile(dataDir));
}

/** The same for a database file anywhere. */
export function openReadOnly(file: string): Database {
  const database = new Database(file, { readonly: true });
  database.run(`pragma busy_timeout = ${busyTimeoutMs}`);
  database.run("pragma trusted_schema = off");
  database.run("pragma query_only = on");
  return database;
}

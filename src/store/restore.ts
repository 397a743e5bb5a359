import { chmodSync, copyFileSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { databaseFile, openReadOnly } from "./database.ts";
import { StoreFault } from "./faults.ts";
import { refuseOthersFolder } from "./folder-owner.ts";
import { inspectFile } from "./inspect.ts";
import { lockDataDir } from "./lock.ts";
import { syncPath } from "./sync-path.ts";

export interface RestoreOptions {
  readonly dataDir: string;
  /** A file that `backup` wrote; it stays as it is. */
  readonly file: string;
  readonly masterKey: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Replace the database that is there. */
  readonly force: boolean;
}

export interface Restored {
  readonly accounts: number;
  readonly devices: number;
}

/**
 * Puts a backup in the place of the database of a data folder that nobody serves: a copy of mode 0600, found whole and opened by
 * the master key before anything is replaced, on the disk when this returns. Throws StoreFault, in words, when something is in
 * the way; then the folder is as it was.
 */
export function restoreFrom({ dataDir, file, masterKey, env, force }: RestoreOptions): Restored {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) throw new StoreFault(`${file} is no file`);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  refuseOthersFolder(dataDir);
  const unlock = lockDataDir(dataDir);
  const target = databaseFile(dataDir);
  const draft = join(dataDir, "wakeline.db.restoring");
  try {
    if (existsSync(target) && !force) {
      throw new StoreFault(`${dataDir} has a database; --force replaces it, and what is in it is lost`);
    }
    rmSync(draft, { force: true });
    copyFileSync(file, draft);
    chmodSync(draft, 0o600);
    const restored = judged(draft, file, masterKey, env);
    syncPath(draft);
    // The old log first: with another database beside it SQLite would lay it over that one.
    for (const suffix of ["-wal", "-shm"]) rmSync(`${target}${suffix}`, { force: true });
    renameSync(draft, target);
    syncPath(dataDir);
    return restored;
  } finally {
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${draft}${suffix}`, { force: true });
    unlock();
  }
}

/** What the copy holds; throws in words, by the name of the original, when it is not whole or the master key does not open it. */
function judged(draft: string, file: string, masterKey: string, env: RestoreOptions["env"]): Restored {
  try {
    const database = openReadOnly(draft);
    try {
      const verdict = database.query<{ integrity_check: string }, []>("pragma integrity_check(1)").get();
      if (verdict?.integrity_check !== "ok")
        throw new StoreFault(`${file} is damaged: ${verdict?.integrity_check ?? "?"}`);
      const made = database.query("select 1 from sqlite_schema where name = 'data_keys'").get() !== null;
      if (!made) throw new StoreFault(`${file} is no backup of Wakeline's`);
    } finally {
      database.close();
    }
    const [inTheWay] = inspectFile(draft, masterKey, env);
    if (inTheWay !== undefined) throw new StoreFault(inTheWay);
    return counted(draft);
  } catch (cause) {
    if (cause instanceof StoreFault) throw cause;
    throw new StoreFault(
      `${file} is no backup that can be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

function counted(draft: string): Restored {
  const database = openReadOnly(draft);
  try {
    const rows = (table: "accounts" | "devices"): number =>
      database.query<{ count: number }, []>(`select count(*) as count from ${table}`).get()?.count ?? 0;
    return { accounts: rows("accounts"), devices: rows("devices") };
  } finally {
    database.close();
  }
}

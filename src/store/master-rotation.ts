import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Database } from "bun:sqlite";
import { databaseFile, openWriter } from "./database.ts";
import { addDataKey, loadDataKeys, opensDataKeys, rewrapDataKeys } from "./data-keys.ts";
import { StoreFault } from "./faults.ts";
import { refuseOthersFolder } from "./folder-owner.ts";
import { lockDataDir } from "./lock.ts";
import { createMasterKeyFile, nextMasterKeyFile, previousMasterKeyFile, readMasterKey } from "./master-key.ts";
import { syncPath } from "./sync-path.ts";
import { KeyRing, newVaultKeys } from "./vault.ts";

/**
 * Makes a new master key for a data folder that nobody serves and wraps the data keys under it. Also adds a data key: the next
 * start finds it and seals every secret anew, so that whoever has the old master key and a copy of the old database cannot open
 * the new one. The old key stays beside the new one as `.previous`, for the backups of its time. Cut short at any moment, it
 * is finished by calling it again. Returns the name of the old key's file; throws StoreFault, in words, when something is in the way.
 */
export function rotateMasterKey(dataDir: string, masterKey: string): string {
  if (!masterKey.startsWith("file:")) {
    throw new StoreFault(
      `master_key is ${masterKey}, which cannot be changed from here: put the key into a file (master_key = "file:PATH"), rotate, ` +
        "then give the variable the new file's text",
    );
  }
  const file = masterKey.slice("file:".length);
  const [next, previous] = [nextMasterKeyFile(file), previousMasterKeyFile(file)];
  if (!existsSync(databaseFile(dataDir))) throw new StoreFault(`there is no database in ${dataDir}`);
  refuseOthersFolder(dataDir);
  const unlock = lockDataDir(dataDir);
  try {
    const database = openWriter(dataDir);
    try {
      if (!isRewrapped(database, next)) {
        if (existsSync(previous)) {
          throw new StoreFault(
            `${previous} is there from an earlier rotation: move it to where old backups' keys are kept`,
          );
        }
        const current = readMasterKey(masterKey, {});
        if (!current.ok) throw new StoreFault(`master key: ${current.text}`);
        if (!opensDataKeys(database, current.key)) {
          throw new StoreFault(
            "the master key is not the one that the database was sealed under; put the right one back",
          );
        }
        rmSync(next, { force: true });
        rewrap(database, current.key, createMasterKeyFile(next));
      }
    } finally {
      database.close();
    }
    // From here on the database needs the new key.
    if (existsSync(file) && !existsSync(previous)) renameSync(file, previous);
    renameSync(next, file);
    syncPath(dirname(file));
    return previous;
  } finally {
    unlock();
  }
}

/** True when an earlier call got as far as the database: only the files are left to be renamed. */
function isRewrapped(database: Database, next: string): boolean {
  const key = readMasterKey(`file:${next}`, {});
  return key.ok && opensDataKeys(database, key.key);
}

function rewrap(database: Database, from: Uint8Array, to: Uint8Array): void {
  database.transaction(() => {
    const ring = new KeyRing(newVaultKeys());
    loadDataKeys(database, from, ring);
    rewrapDataKeys(database, from, to);
    if (ring.ids().length < 3) addDataKey(database, to, ring);
  })();
  database.run("pragma wal_checkpoint(truncate)");
}

import { existsSync } from "node:fs";
import { databaseFile, openReadOnly } from "./database.ts";
import { opensDataKeys } from "./data-keys.ts";
import { nextMasterKeyFile, readMasterKey } from "./master-key.ts";
import { schemaVersion, schemaVersionOf } from "./migrate.ts";

/**
 * What stands in the way of opening a data folder, in words with what to do; empty when nothing does. Reads only, also
 * while a server runs on it. Needs the rights of the server's user.
 */
export function inspectData(
  dataDir: string,
  masterKey: string,
  env: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const master = readMasterKey(masterKey, env);
  if (!master.ok && master.reason === "invalid") return [`master key: ${master.text}; put the right file back`];
  if (!existsSync(databaseFile(dataDir))) {
    // A missing file is made at the first start; a missing variable is not.
    return master.ok || masterKey.startsWith("file:") ? [] : [`master key: ${master.text}`];
  }
  return inspectFile(databaseFile(dataDir), masterKey, env);
}

/** The same of one database file, which exists: is it of a version that this program knows, and does the master key open it? */
export function inspectFile(
  file: string,
  masterKey: string,
  env: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const master = readMasterKey(masterKey, env);
  const database = openReadOnly(file);
  try {
    const version = schemaVersionOf(database);
    if (version === 0) return [];
    if (version > schemaVersion) {
      return [
        `the database has schema ${version}, this program knows ${schemaVersion}: run the newer Wakeline that wrote it`,
      ];
    }
    if (master.ok && opensDataKeys(database, master.key)) return [];
    if (masterKey.startsWith("file:") && existsSync(nextMasterKeyFile(masterKey.slice("file:".length))))
      return ["a rotation of the master key was cut short: run `wakeline keys rotate --master` again"];
    return master.ok
      ? ["the master key is not the one that the database was sealed under; put the right one back"]
      : [`master key: ${master.text}, but the database is sealed under it; put it back from its backup`];
  } finally {
    database.close();
  }
}

/**
 * Where accounts register, as they say it (proxy, else domain), the most used first; empty without a database. Reads only, also
 * while a server runs on the folder.
 */
export function accountPlaces(
  dataDir: string,
  most: number,
): readonly { readonly place: string; readonly accounts: number }[] {
  if (!existsSync(databaseFile(dataDir))) return [];
  const database = openReadOnly(databaseFile(dataDir));
  try {
    if (schemaVersionOf(database) !== schemaVersion) return [];
    return database
      .query<{ place: string; accounts: number }, [number]>(
        "select coalesce(alternate_proxy, proxy, domain) as place, count(*) as accounts from accounts group by 1 order by 2 desc limit ?",
      )
      .all(most);
  } finally {
    database.close();
  }
}

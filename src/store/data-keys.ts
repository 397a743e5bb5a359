import type { Database } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import { keyBytes, openWith, sealWith, type KeyRing } from "./vault.ts";

/**
 * Data keys in the database, wrapped by the master key: a copy of the database and the master key are all that a restore
 * needs, and rotating a data key does not touch the master key, so older backups open too.
 */
const masterKeyId = 0x7fffffff; // stands where a sealed value names its key

function place(keyId: number): string {
  return `data_keys:wrapped:${keyId}`;
}

/** Unwraps all data keys into the ring and makes the newest current. Throws when the master key is another one. */
export function loadDataKeys(database: Database, master: Uint8Array, ring: KeyRing): void {
  let newest = 0;
  for (const row of wrappedKeys(database)) {
    const key = openWith(master, place(row.key_id), row.wrapped);
    if (key === undefined) throw new Error("the master key is not the one that this database was sealed under");
    ring.add(row.key_id, key);
    newest = row.key_id;
  }
  if (newest !== 0) ring.use(newest);
}

/** True when the master key opens every data key there is. */
export function opensDataKeys(database: Database, master: Uint8Array): boolean {
  return wrappedKeys(database).every((row) => openWith(master, place(row.key_id), row.wrapped) !== undefined);
}

export function hasDataKeys(database: Database): boolean {
  return database.query("select 1 from data_keys limit 1").get() !== null;
}

/** Makes a new data key; on the disk before anything is sealed under it. Returns its id. */
export function addDataKey(database: Database, master: Uint8Array, ring: KeyRing): number {
  const id = (wrappedKeys(database).at(-1)?.key_id ?? 0) + 1;
  const key = randomBytes(keyBytes);
  database.run("insert into data_keys (key_id, wrapped) values (?, ?)", [
    id,
    sealWith(master, masterKeyId, place(id), key),
  ]);
  ring.add(id, key);
  ring.use(id);
  return id;
}

/** Wraps every data key under another master key; inside the caller's transaction. Throws when `from` does not open one. */
export function rewrapDataKeys(database: Database, from: Uint8Array, to: Uint8Array): void {
  for (const { key_id: id, wrapped } of wrappedKeys(database)) {
    const key = openWith(from, place(id), wrapped);
    if (key === undefined) throw new Error("the master key is not the one that this database was sealed under");
    database.run("update data_keys set wrapped = ? where key_id = ?", [sealWith(to, masterKeyId, place(id), key), id]);
  }
}

/** Forgets every data key but the current one: in the database first, then in memory. */
export function dropOldDataKeys(database: Database, ring: KeyRing): void {
  database.run("delete from data_keys where key_id <> ?", [ring.current]);
  for (const id of ring.ids()) if (id !== ring.current) ring.drop(id);
}

function wrappedKeys(database: Database): { key_id: number; wrapped: Uint8Array }[] {
  return database
    .query<{ key_id: number; wrapped: Uint8Array }, []>("select key_id, wrapped from data_keys order by key_id")
    .all();
}

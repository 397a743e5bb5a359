import type { Database } from "bun:sqlite";
import tables from "./migrations/0001-tables.sql" with { type: "text" };
import answeredElsewhere from "./migrations/0002-answered-elsewhere.sql" with { type: "text" };
import accountSearch from "./migrations/0003-account-search.sql" with { type: "text" };

/** In order; never changed once released, only added to. `pragma user_version` counts those applied. */
const migrations: readonly string[] = [tables, answeredElsewhere, accountSearch];

export const schemaVersion = migrations.length;

export function schemaVersionOf(database: Database): number {
  return database.query<{ user_version: number }, []>("pragma user_version").get()?.user_version ?? 0;
}

/** Applies what is missing, each step whole or not at all. Throws when the database is from a newer Wakeline. */
export function migrate(database: Database): void {
  const version = schemaVersionOf(database);
  if (version > schemaVersion) {
    throw new Error(
      `the database has schema ${version}, this program knows ${schemaVersion}: it was written by a newer Wakeline`,
    );
  }
  for (const [at, sql] of migrations.entries()) {
    if (at < version) continue;
    database.transaction(() => {
      database.run(sql);
      database.run(`pragma user_version = ${at + 1}`);
    })();
  }
}

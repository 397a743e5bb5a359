import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { uuidBytes } from "../../src/base/uuid.ts";
import { openDirectory } from "../../src/store/directory.ts";
import { restoreFrom } from "../../src/store/restore.ts";
import { enrol, folder, open, password } from "./fixtures.ts";

/** A folder whose store held Anna's account, and a backup of it beside. */
async function backedUp(path: string) {
  const dataDir = join(path, "data");
  const store = await open(dataDir);
  const { accountId } = await enrol(store, "anna");
  const file = join(path, "copy.db");
  await store.backup(file);
  const masterKey = `file:${dataDir}/master.key`;
  return { store, dataDir, file, accountId, masterKey, options: { dataDir, file, masterKey, env: {}, force: false } };
}

describe("restore", () => {
  test("brings back what the backup holds, of mode 0600, and leaves nothing else", async () => {
    using place = folder();
    const { store, dataDir, accountId, options } = await backedUp(place.path);
    await store.close();
    const key = readFileSync(join(dataDir, "master.key"));
    rmSync(dataDir, { recursive: true });
    mkdirSync(dataDir, { mode: 0o700 });
    writeFileSync(join(dataDir, "master.key"), key, { mode: 0o600 });

    chmodSync(options.file, 0o644); // as it may come back from elsewhere
    expect(restoreFrom(options)).toEqual({ accounts: 1, devices: 1 });
    expect(readdirSync(dataDir).sort()).toEqual(["master.key", "wakeline.db", "wakeline.lock"]);
    expect(statSync(join(dataDir, "wakeline.db")).mode & 0o777).toBe(0o600);
    const again = await open(dataDir);
    const directory = openDirectory({ dataDir, vaultKeys: again.vaultKeys, shards: 1, shard: 0 });
    expect(directory.secret(accountId)).toEqual(password("pw-anna"));
    directory.close();
    await again.close();
  });

  test("is refused while a server runs on the folder", async () => {
    using place = folder();
    const { store, options } = await backedUp(place.path);
    expect(() => restoreFrom({ ...options, force: true })).toThrow("another Wakeline is running");
    await store.close();
  });

  test("replaces a database only when told to, its old log with it", async () => {
    using place = folder();
    const { store, dataDir, options } = await backedUp(place.path);
    await enrol(store, "berta");
    await store.close();
    writeFileSync(join(dataDir, "wakeline.db-wal"), "an old log");
    expect(() => restoreFrom(options)).toThrow("has a database; --force replaces it");
    expect(existsSync(join(dataDir, "wakeline.db-wal"))).toBe(true);
    expect(restoreFrom({ ...options, force: true })).toEqual({ accounts: 1, devices: 1 });
    expect(existsSync(join(dataDir, "wakeline.db-wal"))).toBe(false);
  });

  test("of a damaged file, a foreign one or under another master key changes nothing", async () => {
    using place = folder();
    const { store, dataDir, file, accountId, options } = await backedUp(place.path);
    await store.close();
    const before = readFileSync(join(dataDir, "wakeline.db"));
    const whole = readFileSync(file);
    // The account's id in an index no longer fits the one in its row: every page reads well.
    const flipped = Buffer.from(whole);
    const at = flipped.lastIndexOf(uuidBytes(accountId) ?? "");
    flipped.writeUInt8(flipped.readUInt8(at + 9) ^ 1, at + 9);
    const forced = { ...options, force: true };
    const tries: readonly (readonly [Buffer | string, string])[] = [
      [whole.subarray(0, whole.length - 4096), "copy.db is no backup that can be read"],
      [flipped, "copy.db is damaged: "],
      ["not a database at all, but text that is long enough to be looked at", "no backup that can be read"],
      ["", "no backup of Wakeline's"],
    ];
    for (const [content, words] of tries) {
      writeFileSync(file, content);
      expect(() => restoreFrom(forced)).toThrow(words);
    }
    writeFileSync(file, whole);
    const otherKey = join(place.path, "other.key");
    expect(() => restoreFrom({ ...forced, masterKey: `file:${otherKey}` })).toThrow("put it back from its backup");
    writeFileSync(otherKey, Buffer.alloc(32, 1).toString("base64"));
    expect(() => restoreFrom({ ...forced, masterKey: `file:${otherKey}` })).toThrow("not the one");
    expect(() => restoreFrom({ ...forced, file: join(place.path, "nowhere.db") })).toThrow("is no file");
    expect(readFileSync(join(dataDir, "wakeline.db")).equals(before)).toBe(true);
    expect(readdirSync(dataDir).filter((name) => name.includes("restoring"))).toEqual([]);
  });
});

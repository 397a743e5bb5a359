import { describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { join } from "node:path";
import type { AccountId } from "../../src/base/ids.ts";
import { databaseFile } from "../../src/store/database.ts";
import { openDirectory } from "../../src/store/directory.ts";
import { KeyRing, sealedUnder } from "../../src/store/vault.ts";
import { enrol, fields, folder, newAccountId, open, password, rawBytes, refusal, subscription } from "./fixtures.ts";

/** Key ids that stored values are under, and those of the stored keys. */
function keysInUse(dataDir: string) {
  const database = new Database(databaseFile(dataDir), { readonly: true });
  const sealed = database
    .query<{ value: Uint8Array }, []>("select secret as value from accounts union all select value from settings")
    .all();
  const stored = database.query<{ key_id: number }, []>("select key_id from data_keys").all();
  database.close();
  return { under: [...new Set(sealed.map((row) => sealedUnder(row.value)))], stored: stored.map((row) => row.key_id) };
}

describe("rotation of keys", () => {
  test("seals everything anew while writes and reads go on, drops the old key, and survives a restart", async () => {
    using data = folder();
    let store = await open(data.path);
    const { deviceId, accountId } = await enrol(store, "anna");
    await store.putSetting("jwt", "key");
    const work: Promise<unknown>[] = [];
    const accounts: AccountId[] = [];
    const add = (n: number): Promise<unknown> => {
      const next = newAccountId();
      accounts.push(next);
      return store.createAccount(next, fields(`u${n}`), password(`p${n}`), subscription(next, deviceId));
    };
    for (let n = 0; n < 1_000; n++) work.push(add(n));
    await Promise.all(work);
    const directory = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 1, shard: 0 });
    const oldKey = new KeyRing(store.vaultKeys).key(1);

    const rotated = store.rotateKeys();
    let reads = 0;
    for (let n = 1_000; n < 1_100; n++) {
      await add(n);
      for (let k = n - 1_000; k < accounts.length; k += 97) {
        expect(directory.secret(accounts[k]!)).toEqual(password(`p${k}`));
        reads++;
      }
    }
    expect(await rotated).toBeGreaterThanOrEqual(1_002);
    expect(reads).toBeGreaterThan(500);

    expect(keysInUse(data.path)).toEqual({ under: [2], stored: [2] });
    expect(new KeyRing(store.vaultKeys).ids()).toEqual([2]);
    expect(oldKey).toBeDefined();
    expect(Buffer.from(store.vaultKeys.ring).includes(oldKey!)).toBe(false);
    directory.close();
    await store.close();
    store = await open(data.path);
    const again = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 1, shard: 0 });
    for (const [n, one] of accounts.entries()) expect(again.secret(one)).toEqual(password(`p${n}`));
    expect(again.secret(accountId)).toEqual(password("pw-anna"));
    expect(store.setting("jwt")).toBe("key");
    again.close();
    await store.close();
  });

  test("leaves no ciphertext of the old key in any file", async () => {
    using data = folder();
    const store = await open(data.path);
    await enrol(store, "anna");
    const before = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 1, shard: 0 });
    before.close();
    const database = new Database(databaseFile(data.path), { readonly: true });
    const old = database.query<{ secret: Uint8Array }, []>("select secret from accounts").get()?.secret;
    database.close();
    expect(rawBytes(data.path).includes(old!)).toBe(true);
    expect(await store.rotateKeys()).toBe(1);
    expect(rawBytes(data.path).includes(old!)).toBe(false);
    await store.close();
  });

  test("two at once are done one after the other", async () => {
    using data = folder();
    const store = await open(data.path);
    await enrol(store, "anna");
    expect(await Promise.all([store.rotateKeys(), store.rotateKeys()])).toEqual([1, 1]);
    expect(keysInUse(data.path)).toEqual({ under: [3], stored: [3] });
    await store.close();
  });

  test("cut short by a stop goes on at the next start", async () => {
    using data = folder();
    let store = await open(data.path);
    const { deviceId } = await enrol(store, "anna");
    const work: Promise<unknown>[] = [];
    for (let n = 0; n < 2_000; n++) {
      const next = newAccountId();
      work.push(store.createAccount(next, fields(`u${n}`), password("p"), subscription(next, deviceId)));
    }
    await Promise.all(work);
    const refused = refusal(store.rotateKeys());
    await store.putSetting("barrier", "1");
    await store.close();
    expect(await refused).toMatchObject({ message: expect.stringContaining("goes on at the next start") });
    store = await open(data.path);
    // A request of its own waits for the one taken up again.
    await store.rotateKeys();
    const { under, stored } = keysInUse(data.path);
    expect(under).toEqual(stored);
    expect(stored).toHaveLength(1);
    await store.close();
  });
});

describe("backup", () => {
  test("is a whole database with ciphertext only, which opens under the same master key", async () => {
    using data = folder();
    using other = folder();
    const store = await open(data.path);
    const { accountId } = await enrol(store, "anna", password("MARKER-secret"));
    const file = join(other.path, "copy.db");
    await store.backup(file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(rawBytes(other.path).includes("MARKER-secret")).toBe(false);
    await store.rotateKeys(); // the copy keeps its own data key, wrapped by the master key
    await store.close();
    const restored = join(other.path, "restored");
    Bun.spawnSync(["mkdir", restored]);
    Bun.spawnSync(["cp", file, join(restored, "wakeline.db")]);
    const again = await open(restored, { masterKey: `file:${data.path}/master.key` });
    const directory = openDirectory({ dataDir: restored, vaultKeys: again.vaultKeys, shards: 1, shard: 0 });
    expect(directory.secret(accountId)).toEqual(password("MARKER-secret"));
    directory.close();
    await again.close();
  });

  test("never overwrites, and a place where none can be written is named", async () => {
    using data = folder();
    const store = await open(data.path);
    const file = join(data.path, "copy.db");
    await store.backup(file);
    const size = statSync(file).size;
    expect(await refusal(store.backup(file))).toMatchObject({ message: expect.stringContaining("never overwrites") });
    expect(statSync(file).size).toBe(size);
    expect(await refusal(store.backup("/nowhere/copy.db"))).toMatchObject({
      message: expect.stringContaining("/nowhere/copy.db"),
    });
    await store.close();
  });

  test("writes go on while it copies", async () => {
    using data = folder();
    const store = await open(data.path);
    const copied = store.backup(join(data.path, "copy.db"));
    await enrol(store, "anna");
    await copied;
    await store.close();
  });
});

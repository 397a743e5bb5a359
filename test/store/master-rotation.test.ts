import { describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDirectory } from "../../src/store/directory.ts";
import { inspectData } from "../../src/store/inspect.ts";
import { rotateMasterKey } from "../../src/store/master-rotation.ts";
import { KeyRing } from "../../src/store/vault.ts";
import { enrol, folder, open, password } from "./fixtures.ts";

async function closedStore(dataDir: string) {
  const store = await open(dataDir);
  const { accountId } = await enrol(store, "anna");
  await store.close();
  const key = join(dataDir, "master.key");
  return { accountId, key, masterKey: `file:${key}`, old: readFileSync(key, "utf8") };
}

async function secretOf(dataDir: string, accountId: Awaited<ReturnType<typeof closedStore>>["accountId"]) {
  const store = await open(dataDir);
  const directory = openDirectory({ dataDir, vaultKeys: store.vaultKeys, shards: 1, shard: 0 });
  try {
    return directory.secret(accountId);
  } finally {
    directory.close();
    await store.close();
  }
}

describe("rotation of the master key", () => {
  test("the new key opens the database, the old one does not and is kept; data keys are renewed at the next start", async () => {
    using data = folder();
    const { accountId, key, masterKey, old } = await closedStore(data.path);
    expect(rotateMasterKey(data.path, masterKey)).toBe(`${key}.previous`);
    expect(readFileSync(`${key}.previous`, "utf8")).toBe(old);
    expect(readFileSync(key, "utf8")).not.toBe(old);
    expect(statSync(key).mode & 0o777).toBe(0o600);
    expect(existsSync(`${key}.next`)).toBe(false);
    expect(inspectData(data.path, masterKey, {})).toEqual([]);
    expect(inspectData(data.path, `${masterKey}.previous`, {})).toEqual([expect.stringContaining("not the one")]);
    const store = await open(data.path);
    const ring = new KeyRing(store.vaultKeys);
    // The writer takes the rotation up between writes.
    for (let n = 0; ring.ids().length > 1 && n < 1_000; n++) await store.putSetting("n", String(n));
    expect(ring.ids()).toEqual([2]);
    await store.close();
    expect(await secretOf(data.path, accountId)).toEqual(password("pw-anna"));
  });

  test("cut short before the database was changed: the old key goes on, and the next call begins anew", async () => {
    using data = folder();
    const { accountId, key, masterKey, old } = await closedStore(data.path);
    writeFileSync(`${key}.next`, Buffer.alloc(32, 9).toString("base64"), { mode: 0o600 });
    expect(await secretOf(data.path, accountId)).toEqual(password("pw-anna"));
    rotateMasterKey(data.path, masterKey);
    expect(readFileSync(`${key}.previous`, "utf8")).toBe(old);
    expect(await secretOf(data.path, accountId)).toEqual(password("pw-anna"));
  });

  test("cut short after it: check says so, and the next call finishes", async () => {
    using data = folder();
    const { accountId, key, masterKey, old } = await closedStore(data.path);
    rotateMasterKey(data.path, masterKey);
    const fresh = readFileSync(key, "utf8");
    // As it was between the commit and the first renaming, then between the two.
    for (const isFirstDone of [false, true]) {
      renameSync(key, `${key}.next`);
      if (!isFirstDone) renameSync(`${key}.previous`, key);
      expect(inspectData(data.path, masterKey, {})).toEqual([expect.stringContaining("keys rotate --master` again")]);
      rotateMasterKey(data.path, masterKey);
      expect([readFileSync(key, "utf8"), readFileSync(`${key}.previous`, "utf8")]).toEqual([fresh, old]);
      expect(await secretOf(data.path, accountId)).toEqual(password("pw-anna"));
    }
  });

  test("is refused, with words, while a server runs, for a variable, over an old key, with a wrong key, without a database", async () => {
    using data = folder();
    const { key, masterKey } = await closedStore(data.path);
    const store = await open(data.path);
    expect(() => rotateMasterKey(data.path, masterKey)).toThrow("another Wakeline is running");
    await store.close();
    expect(() => rotateMasterKey(data.path, "env:KEY")).toThrow("put the key into a file");
    copyFileSync(key, `${key}.previous`);
    expect(() => rotateMasterKey(data.path, masterKey)).toThrow("from an earlier rotation");
    rmSync(`${key}.previous`);
    writeFileSync(`${key}.x`, Buffer.alloc(32, 1).toString("base64"));
    expect(() => rotateMasterKey(data.path, `${masterKey}.x`)).toThrow("not the one");
    using empty = folder();
    expect(() => rotateMasterKey(empty.path, masterKey)).toThrow("there is no database");
  });
});

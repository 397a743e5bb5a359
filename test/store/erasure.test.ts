import { describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { databaseFile, openReader } from "../../src/store/database.ts";
import { openDirectory } from "../../src/store/directory.ts";
import type { AccountId } from "../../src/base/ids.ts";
import { uuidBytes } from "../../src/base/uuid.ts";
import type { OpenStore } from "../../src/store/open.ts";
import { call, device, enrol, fields, folder, open, password, rawBytes, refusal, subscription } from "./fixtures.ts";

function ciphertext(dataDir: string, accountId: AccountId): Buffer {
  const database = openReader(dataDir);
  const row = database
    .query<{ secret: Uint8Array }, [Uint8Array]>("select secret from accounts where account_id = ?")
    .get(uuidBytes(accountId) ?? new Uint8Array());
  database.close();
  return Buffer.from(row?.secret ?? []);
}

describe("what is erased is in no file", () => {
  test("a password is never there in clear; its ciphertext, username and calls go with the account", async () => {
    using data = folder();
    const store = await open(data.path);
    const gone = await enrol(store, "MARKER-anna", password("MARKER-secret"));
    const kept = await enrol(store, "KEPT-bob");
    store.putJournal(call(gone.accountId, { fromUri: "sip:MARKER-caller@x" }), [gone.deviceId]);
    await store.putSetting("barrier", "");
    const sealed = ciphertext(data.path, gone.accountId);
    const before = rawBytes(data.path);
    expect(sealed.length).toBeGreaterThan(40);
    expect(before.includes(sealed)).toBe(true);
    expect(before.includes("MARKER-anna")).toBe(true);
    expect(before.includes("MARKER-caller")).toBe(true);
    expect(before.includes("MARKER-secret")).toBe(false);

    await store.removeAccount(gone.accountId);
    const after = rawBytes(data.path);
    expect(after.includes("MARKER")).toBe(false);
    expect(after.includes(sealed)).toBe(false);
    expect(after.includes(uuidBytes(gone.accountId) ?? "?")).toBe(false);
    expect(after.includes("KEPT-bob")).toBe(true);
    expect(store.account(kept.accountId)?.username).toBe("KEPT-bob");
    await store.close();
    expect(rawBytes(data.path).includes("MARKER")).toBe(false);
  });

  test("a device's push token goes with the device", async () => {
    using data = folder();
    const store = await open(data.path);
    const phone = device({
      name: "MARKER-name",
      push: { provider: "fcm", token: "MARKER-token", alertToken: undefined, environment: undefined },
    });
    await store.putDevice(phone);
    expect(rawBytes(data.path).includes("MARKER-token")).toBe(true);
    await store.removeDevice(phone.deviceId);
    expect(rawBytes(data.path).includes("MARKER")).toBe(false);
    await store.close();
  });

  // SQLite moves cells to other pages when it balances its trees and leaves their old bytes there, secure_delete or not.
  test("also not among many rows that were written, changed and deleted in any order", async () => {
    using data = folder();
    const store = await open(data.path);
    const phone = device();
    await store.putDevice(phone);
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    const live: { accountId: AccountId; name: string }[] = [];
    const gone: string[] = [];
    let n = 0;
    for (let round = 0; round < 40; round++) {
      const work: Promise<unknown>[] = [];
      for (let k = 0; k < 100; k++) {
        const accountId = Bun.randomUUIDv7() as AccountId;
        const name = `M${String(n++).padStart(5, "0")}M`;
        live.push({ accountId, name });
        const padded = fields(name, { domain: `${"d".repeat(random(60))}.example.com` });
        work.push(
          store.createAccount(
            accountId,
            padded,
            password("x".repeat(random(40))),
            subscription(accountId, phone.deviceId),
          ),
        );
      }
      for (let k = 0; k < 70; k++) {
        const [one] = live.splice(random(live.length), 1);
        if (one === undefined) continue;
        gone.push(one.name);
        work.push(store.removeAccount(one.accountId));
      }
      await Promise.all(work);
    }
    const bytes = rawBytes(data.path).toString("latin1");
    const found = new Set(bytes.match(/M\d{5}M/g));
    expect(live.filter(({ name }) => !found.has(name))).toEqual([]);
    expect(gone.filter((name) => found.has(name))).toEqual([]);
    await store.close();
    const database = new Database(databaseFile(data.path));
    expect(database.query("pragma integrity_check").values()).toEqual([["ok"]]);
    expect(database.query("pragma foreign_key_check").values()).toEqual([]);
    database.close();
  });

  test("an erasure waits for a reader that holds the log, and other writes do not wait for it", async () => {
    using data = folder();
    const store = await open(data.path);
    const { accountId } = await enrol(store, "MARKER-anna");
    const reader = openReader(data.path);
    reader.run("begin");
    reader.query("select count(*) from accounts").get();
    let erased = false;
    const erasing = store.removeAccount(accountId).then(() => (erased = true));
    for (let n = 0; n < 20; n++) await store.putSetting("other", String(n));
    expect(store.account(accountId)).toBeUndefined();
    expect(erased).toBe(false);
    reader.run("commit");
    reader.close();
    await erasing;
    expect(rawBytes(data.path).includes("MARKER")).toBe(false);
    await store.close();
  });

  test("copies that a killed process left are swept before the next erasure is acknowledged", async () => {
    using data = folder();
    let store: OpenStore = await open(data.path);
    const { accountId } = await enrol(store, "anna");
    await store.close();
    // As a process that died between a checkpoint and its scrub leaves it: stale bytes in a page's gap.
    const stale = Bun.spawnSync([
      "bun",
      "-e",
      `import { openSync, readSync, writeSync } from "node:fs";
       const file = openSync(${JSON.stringify(databaseFile(data.path))}, "r+");
       const page = Buffer.alloc(4096);
       for (let n = 1; readSync(file, page, 0, 4096, n * 4096) === 4096; n++) {
         if (page[0] !== 13 && page[0] !== 10) continue;
         const end = page.readUInt16BE(5);
         if (end > 2000) writeSync(file, "MARKER-stale", n * 4096 + end - 100);
       }`,
    ]);
    expect(stale.exitCode).toBe(0);
    expect(rawBytes(data.path).includes("MARKER-stale")).toBe(true);
    store = await open(data.path);
    await store.removeAccount(accountId);
    expect(rawBytes(data.path).includes("MARKER")).toBe(false);
    await store.close();
  });
});

describe("where a secret was moved", () => {
  test("it does not open", async () => {
    using data = folder();
    const store = await open(data.path);
    const one = await enrol(store, "anna");
    const two = await enrol(store, "bob");
    await store.putSetting("a", "secret of a");
    await store.close();
    const database = new Database(databaseFile(data.path));
    database.run("update accounts set secret = (select secret from accounts where username = 'anna')");
    database.run("insert into settings select 'b', value from settings where name = 'a'");
    database.close();
    const again = await open(data.path);

    const directory = openDirectory({ dataDir: data.path, vaultKeys: again.vaultKeys, shards: 1, shard: 0 });
    expect(directory.secret(one.accountId)).toEqual(password("pw-anna"));
    expect(() => directory.secret(two.accountId)).toThrow("refused");
    expect(again.setting("a")).toBe("secret of a");
    expect(() => again.setting("b")).toThrow("refused");
    directory.close();
    // A rotation says so too, and keeps the old key instead of losing what only it opens.
    expect(await refusal(again.rotateKeys())).toMatchObject({
      message: expect.stringContaining("2 secrets do not open"),
    });
    expect(again.setting("a")).toBe("secret of a");
    await again.close();
  });
});

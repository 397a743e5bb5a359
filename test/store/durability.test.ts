import { describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AccountId, DeviceId } from "../../src/base/ids.ts";
import { StoreFault } from "../../src/store/faults.ts";
import { openReader } from "../../src/store/database.ts";
import { isDataDirLocked } from "../../src/store/lock.ts";
import { spawnWriter } from "../../src/store/spawn-writer.ts";
import type { SpawnWriter, WriterThread } from "../../src/store/write-queue.ts";
import { device, enrol, folder, open, refusal } from "./fixtures.ts";

const killedWriter = Bun.fileURLToPath(import.meta.resolve("./killed-writer.ts"));

describe("kill -9", () => {
  test("loses nothing that was acknowledged, and what was not is whole or absent", async () => {
    using data = folder();
    const child = Bun.spawn(["bun", killedWriter, data.path], {
      stdout: "pipe",
      stderr: "inherit",
    });
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk);
      if (text.split("\n").length > 400) break;
    }
    child.kill(9);
    await child.exited;
    const acknowledged = text.split("\n").slice(0, -1);
    expect(acknowledged.length).toBeGreaterThan(399);
    const store = await open(data.path);
    for (const line of acknowledged) {
      const [kind, text] = line.split(" ");
      if (kind === "device") expect(store.device(text as DeviceId)?.deviceId).toBe(text as DeviceId);
      if (kind === "account") expect(store.account(text as AccountId)?.accountId).toBe(text as AccountId);
      if (kind === "removed") expect(store.account(text as AccountId)).toBeUndefined();
    }
    expect(store.orphans(10)).toEqual([]);
    await store.close();
  });
});

describe("the store worker's death", () => {
  /** Real worker threads, with a way to end the present one and to hold back what it says. */
  function mortal() {
    const threads: WriterThread[] = [];
    const deaths: (() => void)[] = [];
    const spawn: SpawnWriter = (events) => {
      const thread = spawnWriter(events);
      threads.push(thread);
      deaths.push(() => {
        thread.terminate();
        events.onGone("killed by the test");
      });
      return thread;
    };
    return { spawn, threads, kill: () => deaths.at(-1)?.() };
  }

  test("rejects what was on its way, says that the outcome is unknown, and serves again", async () => {
    using data = folder();
    const { spawn, threads, kill } = mortal();
    const store = await open(data.path, { spawn });
    const onItsWay = store.putDevice(device());
    await Promise.resolve(); // the batch leaves in a microtask
    const waiting = device();
    const queued = store.putDevice(waiting);
    kill();
    const refused = await refusal(onItsWay);
    expect(refused).toBeInstanceOf(StoreFault);
    expect(refused).toMatchObject({ outcomeUnknown: true, message: expect.stringContaining("killed by the test") });
    await queued;
    expect(store.device(waiting.deviceId)).toEqual(waiting);
    expect(threads).toHaveLength(2);
    await store.close();
  });

  test("by a bug of its own is noticed too", async () => {
    using data = folder();
    const { spawn, threads } = mortal();
    const store = await open(data.path, { spawn });
    threads[0]?.post({ kind: "batch", writes: [undefined as never] });
    const refused = await refusal(store.putDevice(device()));
    expect(refused).toMatchObject({ outcomeUnknown: true });
    await enrol(store, "anna");
    expect(threads).toHaveLength(2);
    await store.close();
  });

  test("in the middle of an erasure or a rotation rejects them too", async () => {
    using data = folder();
    const { spawn, kill } = mortal();
    const store = await open(data.path, { spawn });
    const { accountId } = await enrol(store, "anna");
    const [erasing, rotating] = [store.removeAccount(accountId), store.rotateKeys()];
    await Promise.resolve();
    kill();
    expect(await refusal(erasing)).toMatchObject({ outcomeUnknown: true });
    expect(await refusal(rotating)).toMatchObject({ outcomeUnknown: true });
    await store.removeAccount(accountId);
    expect(store.account(accountId)).toBeUndefined();
    await store.close();
  });
});

describe("closing", () => {
  test("brings the log home as soon as no reader is in the way", async () => {
    using data = folder();
    const store = await open(data.path);
    await enrol(store, "anna");
    const idle = openReader(data.path); // as of a thread that has not quite ended
    idle.query("select count(*) from accounts").get();
    idle.run("begin");
    idle.query("select count(*) from accounts").get();
    await store.putSetting("a", "b");
    const closed = store.close();
    setTimeout(() => idle.run("commit"), 50);
    await closed;
    expect(statSync(join(data.path, "wakeline.db-wal")).size).toBe(0);
    idle.close();
  });
});

describe("opening", () => {
  test("a folder that is served already is refused, a folder whose owner is gone is not", async () => {
    using data = folder();
    const store = await open(data.path);
    expect(isDataDirLocked(data.path)).toBe(true);
    const other = Bun.spawnSync(["bun", killedWriter, data.path]);
    expect(other.exitCode).not.toBe(0);
    expect(other.stderr.toString()).toContain("another Wakeline is running");
    await store.close();
    expect(isDataDirLocked(data.path)).toBe(false);
    await (await open(data.path)).close();
  });

  test("with a lost master key is refused, never answered by a new one", async () => {
    using data = folder();
    const store = await open(data.path);
    await enrol(store, "anna");
    await store.close();
    rmSync(join(data.path, "master.key"));
    expect(await refusal(open(data.path))).toMatchObject({
      message: expect.stringContaining("put it back from its backup"),
    });
    expect(await Bun.file(join(data.path, "master.key")).exists()).toBe(false);
    writeFileSync(join(data.path, "master.key"), Buffer.alloc(32, 1).toString("base64"));
    expect(await refusal(open(data.path))).toMatchObject({
      message: expect.stringContaining("master key is not the one"),
    });
    writeFileSync(join(data.path, "master.key"), "short");
    expect(await refusal(open(data.path))).toMatchObject({ message: expect.stringContaining("32 bytes in base64") });
    expect(isDataDirLocked(data.path)).toBe(false);
  });

  test("takes the master key from the environment, and nothing is written then", async () => {
    using data = folder();
    const masterKey = "env:WAKELINE_MASTER";
    expect(await refusal(open(data.path, { masterKey }))).toMatchObject({
      message: expect.stringContaining("WAKELINE_MASTER is not set"),
    });
    const env = { WAKELINE_MASTER: Buffer.alloc(32, 5).toString("base64") };
    let store = await open(data.path, { masterKey, env });
    await store.putSetting("a", "b");
    await store.close();
    expect(await Bun.file(join(data.path, "master.key")).exists()).toBe(false);
    store = await open(data.path, { masterKey, env });
    expect(store.setting("a")).toBe("b");
    await store.close();
  });

  test("a database of a newer program is refused", async () => {
    using data = folder();
    await (await open(data.path)).close();

    const database = new Database(join(data.path, "wakeline.db"));
    database.run("pragma user_version = 99");
    database.close();
    expect(await refusal(open(data.path))).toMatchObject({ message: expect.stringContaining("newer Wakeline") });
  });
});

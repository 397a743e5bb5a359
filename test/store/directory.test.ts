import { describe, expect, test } from "bun:test";
import type { AccountId } from "../../src/base/ids.ts";
import type { PushTarget } from "../../src/store/types.ts";
import { placement } from "../../src/base/placement.ts";
import { openDirectory } from "../../src/store/directory.ts";
import { device, enrol, fields, folder, newAccountId, open, password, subscription } from "./fixtures.ts";

describe("a shard's directory", () => {
  test("shows each account to the one shard that owns it", async () => {
    using data = folder();
    const store = await open(data.path);
    const { deviceId } = await enrol(store, "anna");
    const work: Promise<unknown>[] = [];
    const count = 5_000; // more than two pages a shard
    for (let n = 1; n < count; n++) {
      const next = newAccountId();
      work.push(store.createAccount(next, fields(`u${n}`), password("p"), subscription(next, deviceId)));
    }
    await Promise.all(work);
    const seen = new Set<AccountId>();
    for (const shard of [0, 1, 2]) {
      const directory = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 3, shard });
      for (const { record, wanted } of [...directory.accounts()].flat()) {
        expect(placement(record.accountId, 3)).toBe(shard);
        expect(wanted).toBe(true);
        expect(seen.has(record.accountId)).toBe(false);
        seen.add(record.accountId);
      }
      directory.close();
    }
    expect(seen.size).toBe(count);
    await store.close();
  });

  test("reads many secrets ahead; each serves once, and none after its account was read again", async () => {
    using data = folder();
    const store = await open(data.path);
    const { deviceId } = await enrol(store, "anna");
    const accountIds = await Promise.all(
      Array.from({ length: 70 }, async (_, n) => {
        const next = newAccountId();
        const named = fields(`u${n}`, n === 5 ? { authUsername: "digest-five" } : {});
        await store.createAccount(next, named, password(`p${n}`), subscription(next, deviceId));
        return next;
      }),
    );
    const directory = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 1, shard: 0 });
    directory.prepareProofs([...accountIds, newAccountId(), "no id" as AccountId]);
    const [first, second, third] = accountIds;
    if (first === undefined || second === undefined || third === undefined) throw new Error("no accounts");
    for (const [n, one] of [first, second, third].entries()) {
      await store.updateAccount(one, fields(`u${n}`), password("new"));
    }
    // What was read ahead is told once, as it was; then, or after the account, as it is.
    expect(directory.proof(first)).toEqual({ username: "u0", secret: password("p0") });
    expect(directory.proof(first)).toEqual({ username: "u0", secret: password("new") });
    directory.account(second);
    expect(directory.proof(second)).toEqual({ username: "u1", secret: password("new") });
    for (const [n, one] of accountIds.entries()) {
      if (n < 3) continue;
      const username = n === 5 ? "digest-five" : `u${n}`;
      expect(directory.proof(one)).toEqual({ username, secret: password(`p${n}`) });
    }
    // Sealed anew meanwhile: the old key is gone, and it is read once more.
    directory.prepareProofs([third]);
    await store.rotateKeys();
    expect(directory.proof(third)).toEqual({ username: "u2", secret: password("new") });
    directory.close();
    await store.close();
  });

  test("names those who want to hear of voicemail and can be woken, of many in one read", async () => {
    using data = folder();
    const store = await open(data.path);
    const { deviceId } = await enrol(store, "anna");
    const dead = device();
    await store.putDevice(dead);
    await store.patchDevice(dead.deviceId, { tokenState: "dead" });
    const accountIds = await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const next = newAccountId();
        const notify = { message: true, voicemail: n % 2 === 0, missed: true, preview: false };
        const by = subscription(next, n % 10 === 0 ? dead.deviceId : deviceId, { notify });
        await store.createAccount(next, fields(`u${n}`), password("p"), by);
        return next;
      }),
    );
    const directory = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 1, shard: 0 });
    const wanted = accountIds.filter((_, n) => n % 2 === 0 && n % 10 !== 0);
    expect(directory.wantVoicemail([...accountIds, newAccountId()]).toSorted()).toEqual(wanted.toSorted());
    expect(directory.wantVoicemail([])).toEqual([]);
    directory.close();
    await store.close();
  });

  test("a phone is woken as long as one of its tokens lives: an APNs device by an alert when its VoIP token is dead", async () => {
    using data = folder();
    const store = await open(data.path);
    const wakeable = async (
      name: string,
      push: PushTarget,
      tokenState: "alive" | "dead",
      alertTokenState: "alive" | "dead",
    ) => {
      const phone = device({ push });
      await store.putDevice(phone);
      await store.patchDevice(phone.deviceId, { tokenState, alertTokenState });
      const accountId = newAccountId();
      await store.createAccount(accountId, fields(name), password("p"), subscription(accountId, phone.deviceId));
      const directory = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 1, shard: 0 });
      const [subscribed] = directory.subscriptions(accountId);
      directory.close();
      return subscribed?.wakeable;
    };
    const two: PushTarget = { provider: "apns", token: "aa", alertToken: "bb", environment: undefined };
    expect(await wakeable("a", two, "dead", "alive")).toBe(true);
    expect(await wakeable("b", two, "dead", "dead")).toBe(false);
    expect(await wakeable("c", two, "alive", "dead")).toBe(true);
    expect(await wakeable("d", { ...two, alertToken: undefined }, "dead", "alive")).toBe(false);
    expect(await wakeable("e", { ...two, provider: "webhook" }, "dead", "alive")).toBe(false);
    await store.close();
  });

  test("wants what has a subscription in the background, and what is continuous as long as anyone subscribes", async () => {
    using data = folder();
    const store = await open(data.path);
    const wanted = async (
      name: string,
      mode: "auto" | "alternate" | "continuous",
      presence: "background" | "foreground",
    ) => {
      const phone = device();
      await store.putDevice(phone);
      const accountId = newAccountId();
      const subscribed = subscription(accountId, phone.deviceId, { presence });
      await store.createAccount(accountId, fields(name, { registrationMode: mode }), password("p"), subscribed);
      return { accountId, subscribed };
    };
    await wanted("asleep", "auto", "background");
    const both = await wanted("oneOfTwo", "alternate", "foreground");
    const second = device();
    await store.putDevice(second);
    await store.createSubscription(subscription(both.accountId, second.deviceId));
    await wanted("awake", "alternate", "foreground");
    await wanted("always", "continuous", "foreground");
    const learned = await wanted("learned", "auto", "foreground");
    await store.setLearnedMode(learned.accountId, "continuous");
    const other = await wanted("learnedOther", "auto", "foreground");
    await store.setLearnedMode(other.accountId, "singleDevice");
    const orphan = await wanted("orphan", "continuous", "background");
    await store.removeSubscription(orphan.subscribed.subscriptionId);

    const directory = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 1, shard: 0 });
    const list = Object.fromEntries([...directory.accounts()].flat().map((one) => [one.record.username, one.wanted]));
    expect(list).toEqual({
      asleep: true,
      oneOfTwo: true,
      awake: false,
      always: true,
      learned: true,
      learnedOther: false,
      orphan: false,
    });
    directory.close();
    await store.close();
  });

  test("reads accounts, secrets and subscriptions as they are now", async () => {
    using data = folder();
    const store = await open(data.path);
    const { accountId, account, deviceId, subscriptionId } = await enrol(store, "anna");
    const directory = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 4, shard: 0 });
    expect(directory.account(accountId)).toEqual(account);
    expect(directory.secret(accountId)).toEqual(password("pw-anna"));
    expect(directory.proof(accountId)).toEqual({ username: "anna", secret: password("pw-anna") });
    expect(directory.subscriptions(accountId)).toMatchObject([{ subscriptionId, deviceId, wakeable: true }]);
    const ha1 = { kind: "ha1", entries: [{ realm: "r", algorithm: "MD5", hash: "00" }] } as const;
    await store.updateAccount(accountId, fields("anna", { displayName: "A", authUsername: "a-7" }), ha1);
    await store.patchDevice(deviceId, { tokenState: "dead" });
    expect(directory.account(accountId)?.displayName).toBe("A");
    expect(directory.secret(accountId)).toEqual(ha1);
    expect(directory.proof(accountId)).toEqual({ username: "a-7", secret: ha1 });
    expect(directory.subscriptions(accountId)).toMatchObject([{ wakeable: false }]);
    await store.removeAccount(accountId);
    expect(directory.account(accountId)).toBeUndefined();
    expect(directory.secret(accountId)).toBeUndefined();
    expect(directory.proof(accountId)).toBeUndefined();
    expect(directory.subscriptions(accountId)).toEqual([]);
    expect(directory.secret("nobody" as AccountId)).toBeUndefined();
    directory.close();
    await store.close();
  });

  test("an unfinished reading of all accounts does not keep an erasure waiting", async () => {
    using data = folder();
    const store = await open(data.path);
    const { accountId } = await enrol(store, "anna");
    await enrol(store, "bob");
    const directory = openDirectory({ dataDir: data.path, vaultKeys: store.vaultKeys, shards: 1, shard: 0 });
    const reading = directory.accounts()[Symbol.iterator]();
    reading.next();
    await store.removeAccount(accountId);
    reading.next();
    directory.close();
    await store.close();
  });
});

import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import type { AccountId, CallUuid, DeviceId, SubscriptionId } from "../../src/base/ids.ts";
import type { AccountRecord } from "../../src/base/records.ts";
import { StoreConflict, StoreMissing } from "../../src/store/faults.ts";
import {
  call,
  device,
  enrol,
  fields,
  folder,
  newAccountId,
  newDeviceId,
  newSubscriptionId,
  open,
  password,
  refusal,
  subscription,
} from "./fixtures.ts";

describe("devices", () => {
  test("come back as they were put", async () => {
    using data = folder();
    const store = await open(data.path);
    const phone = device({
      name: undefined,
      push: { provider: "apns", token: "voip", alertToken: "alert", environment: "development" },
      alertTokenState: "dead",
    });
    await store.putDevice(phone);
    expect(store.device(phone.deviceId)).toEqual(phone);
    expect(store.counts()).toEqual({ devices: 1, accounts: 0, subscriptions: 0 });
    await store.close();
  });

  test("ids that are none find nothing", async () => {
    using data = folder();
    const store = await open(data.path);
    for (const bad of ["", "me", "x".repeat(36), "%", newAccountId()]) {
      expect(store.device(bad as DeviceId)).toBeUndefined();
      expect(store.account(bad as AccountId)).toBeUndefined();
      expect(store.subscription(bad as SubscriptionId)).toBeUndefined();
      expect(store.journalCall(bad as CallUuid, bad as DeviceId)).toBeUndefined();
      expect(store.subscriptionsOfDevice(bad as DeviceId)).toEqual([]);
      expect(store.accountsOfDevice(bad as DeviceId)).toEqual([]);
    }
    await store.close();
  });

  test("a dead token stays dead, a new one is alive", async () => {
    using data = folder();
    const store = await open(data.path, { clock: { nowMs: () => 0, wallMs: () => 7_000 } });
    const phone = device();
    await store.putDevice(phone);
    await store.patchDevice(phone.deviceId, { tokenState: "dead" });
    expect(store.device(phone.deviceId)).toMatchObject({ tokenState: "dead", tokenSetAtMs: 1_000 });
    await store.patchDevice(phone.deviceId, { push: phone.push, name: "same token" });
    expect(store.device(phone.deviceId)).toMatchObject({ tokenState: "dead", tokenSetAtMs: 1_000, name: "same token" });
    await store.patchDevice(phone.deviceId, { push: { ...phone.push, token: "token-2" } });
    expect(store.device(phone.deviceId)).toMatchObject({ tokenState: "alive", tokenSetAtMs: 7_000 });
    await store.close();
  });

  test("a late verdict on an old token does not touch the new one", async () => {
    using data = folder();
    const store = await open(data.path);
    const phone = device({ push: { provider: "apns", token: "new", alertToken: "newAlert", environment: undefined } });
    await store.putDevice(phone);
    await store.patchDevice(phone.deviceId, { tokenState: "dead", ofToken: "old" });
    await store.patchDevice(phone.deviceId, { alertTokenState: "dead", ofAlertToken: "old" });
    expect(store.device(phone.deviceId)).toEqual(phone);
    await store.patchDevice(phone.deviceId, { tokenState: "dead", ofToken: "new" });
    await store.patchDevice(phone.deviceId, { alertTokenState: "dead", ofAlertToken: "newAlert" });
    expect(store.device(phone.deviceId)).toMatchObject({ tokenState: "dead", alertTokenState: "dead" });
    await store.close();
  });

  test("touches are written together and never turn time back", async () => {
    using data = folder();
    let store = await open(data.path);
    const phone = device({ lastSeenAtMs: 5_000 });
    const other = device({ lastSeenAtMs: 5_000 });
    await store.putDevice(phone);
    await store.putDevice(other);
    store.touchDevice(phone.deviceId, 8_000);
    store.touchDevice(phone.deviceId, 9_000);
    store.touchDevice(phone.deviceId, 8_500);
    store.touchDevice(other.deviceId, 4_000);
    expect(store.device(phone.deviceId)?.lastSeenAtMs).toBe(5_000);
    await store.close();
    store = await open(data.path);
    expect(store.device(phone.deviceId)?.lastSeenAtMs).toBe(9_000);
    expect(store.device(other.deviceId)?.lastSeenAtMs).toBe(5_000);
    await store.close();
  });

  test("stale ones are found, longest unseen first", async () => {
    using data = folder();
    const store = await open(data.path);
    const [old, older, fresh] = [
      device({ lastSeenAtMs: 20 }),
      device({ lastSeenAtMs: 10 }),
      device({ lastSeenAtMs: 99 }),
    ];
    for (const one of [old, older, fresh]) await store.putDevice(one);
    expect(store.staleDevices(50, 10).map((one) => one.deviceId)).toEqual([older.deviceId, old.deviceId]);
    expect(store.staleDevices(50, 1)).toHaveLength(1);
    await store.close();
  });

  test("to change one that is gone is refused", async () => {
    using data = folder();
    const store = await open(data.path);
    expect(await refusal(store.patchDevice(newDeviceId(), { name: "x" }))).toBeInstanceOf(StoreMissing);
    expect(await store.removeDevice(newDeviceId())).toEqual([]);
    await store.close();
  });
});

describe("accounts and subscriptions", () => {
  test("an account comes back with all its fields", async () => {
    using data = folder();
    const store = await open(data.path);
    const phone = device();
    await store.putDevice(phone);
    const accountId = newAccountId();
    const all = fields("anna", {
      authUsername: "auth",
      displayName: 'Anna "A"',
      proxy: "sip:proxy.example.com;transport=tls",
      alternateProxy: "203.0.113.9:5080",
      transport: "tls",
      expiresSec: 3600,
      registrationMode: "singleDevice",
      natEmulation: true,
      instanceId: "urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF",
      userAgent: "Phone/1",
      forwardTo: "sip:mail@example.com",
    });
    const subscribed = subscription(accountId, phone.deviceId, { presence: "foreground" });
    const account = await store.createAccount(accountId, all, password("secret"), subscribed);
    expect(account).toEqual({ ...all, accountId, learnedMode: undefined, version: 1 });
    expect(store.account(accountId)).toEqual(account);
    expect(store.subscription(subscribed.subscriptionId)).toEqual({
      subscriptionId: subscribed.subscriptionId,
      accountId,
      deviceId: phone.deviceId,
      presence: "foreground",
      notify: subscribed.notify,
      wakeable: true,
      account,
      createdAtMs: 2_000,
      lastSeenAtMs: 1_000,
    });
    expect(store.counts()).toEqual({ devices: 1, accounts: 1, subscriptions: 1 });
    await store.close();
  });

  test("an identity is taken once; the case of its domain does not count, that of its username does", async () => {
    using data = folder();
    const store = await open(data.path);
    const { accountId, deviceId } = await enrol(store, "anna");
    const attempt = (more: object, username = "anna") => {
      const next = newAccountId();
      return store.createAccount(next, fields(username, more), password("x"), subscription(next, deviceId));
    };
    for (const more of [{}, { domain: "SIP.Example.COM" }]) {
      const refused = attempt(more);
      expect(await refusal(refused)).toBeInstanceOf(StoreConflict);
      expect(await refusal(refused)).toMatchObject({ what: "account" });
    }
    await attempt({ app: "com.example.other" });
    await attempt({}, "Anna");
    expect(store.counts()).toMatchObject({ accounts: 3, subscriptions: 3 });
    expect(store.accountByIdentity("com.example.phone", "anna", "sip.EXAMPLE.com")?.accountId).toBe(accountId);
    expect(store.accountByIdentity("com.example.phone", "ANNA", "sip.example.com")).toBeUndefined();
    await store.close();
  });

  test("a second device joins; joining twice is a conflict, joining nothing is missing", async () => {
    using data = folder();
    const store = await open(data.path);
    const { accountId, deviceId } = await enrol(store, "anna");
    const second = device({ tokenState: "dead" });
    await store.putDevice(second);
    await store.createSubscription(subscription(accountId, second.deviceId));
    expect(store.subscriptionsOfAccount(accountId).map((one) => [one.deviceId, one.wakeable])).toEqual([
      [deviceId, true],
      [second.deviceId, false],
    ]);
    expect(store.accountsOfDevice(second.deviceId)).toEqual([accountId]);
    expect(await refusal(store.createSubscription(subscription(accountId, second.deviceId)))).toMatchObject({
      what: "subscription",
    });
    expect(await refusal(store.createSubscription(subscription(newAccountId(), deviceId)))).toMatchObject({
      what: "account",
    });
    expect(await refusal(store.createSubscription(subscription(accountId, newDeviceId())))).toMatchObject({
      what: "device",
    });
    await store.close();
  });

  test("an account whose device is missing leaves nothing behind", async () => {
    using data = folder();
    const store = await open(data.path);
    const accountId = newAccountId();
    const attempt = store.createAccount(
      accountId,
      fields("anna"),
      password("x"),
      subscription(accountId, newDeviceId()),
    );
    expect(await refusal(attempt)).toBeInstanceOf(StoreMissing);
    expect(store.counts()).toEqual({ devices: 0, accounts: 0, subscriptions: 0 });
    await store.close();
  });

  test("an update raises the version; what was learned is kept for the same server and forgotten for another", async () => {
    using data = folder();
    const store = await open(data.path);
    const { accountId } = await enrol(store, "anna");
    await store.setLearnedMode(accountId, "singleDevice");
    expect(store.account(accountId)).toMatchObject({ learnedMode: "singleDevice", version: 1 });
    expect(await store.updateAccount(accountId, fields("anna", { displayName: "Anna" }), undefined)).toMatchObject({
      displayName: "Anna",
      learnedMode: "singleDevice",
      version: 2,
    });
    const moved = await store.updateAccount(accountId, fields("anna", { proxy: "other.example.com" }), password("new"));
    expect(moved).toMatchObject({
      proxy: "other.example.com",
      displayName: undefined,
      learnedMode: undefined,
      version: 3,
    });
    expect(await refusal(store.updateAccount(newAccountId(), fields("bob"), undefined))).toBeInstanceOf(StoreMissing);
    await store.close();
  });

  test("an update cannot take another account's identity", async () => {
    using data = folder();
    const store = await open(data.path);
    const { accountId } = await enrol(store, "anna");
    await enrol(store, "bob");
    expect(await refusal(store.updateAccount(accountId, fields("bob"), undefined))).toBeInstanceOf(StoreConflict);
    expect(store.account(accountId)).toMatchObject({ username: "anna", version: 1 });
    await store.close();
  });

  test("presence and notify change; on one that is gone they are refused", async () => {
    using data = folder();
    const store = await open(data.path);
    const { subscriptionId } = await enrol(store, "anna");
    const notify = { message: false, voicemail: true, missed: false, preview: true };
    await store.setPresence(subscriptionId, "foreground");
    await store.setNotify(subscriptionId, notify);
    expect(store.subscription(subscriptionId)).toMatchObject({ presence: "foreground", notify });
    expect(await refusal(store.setPresence(newSubscriptionId(), "background"))).toBeInstanceOf(StoreMissing);
    await store.close();
  });

  test("removing says which accounts are left alone", async () => {
    using data = folder();
    const store = await open(data.path);
    const one = await enrol(store, "anna");
    const two = await enrol(store, "bob");
    const joined = subscription(one.accountId, two.deviceId);
    await store.createSubscription(joined);
    expect(await store.removeSubscription(joined.subscriptionId)).toBe(false);
    await store.createSubscription(joined);
    expect(await store.removeDevice(two.deviceId)).toEqual([two.accountId]);
    expect(store.orphans(10)).toEqual([two.accountId]);
    expect(store.subscriptionsOfAccount(one.accountId)).toHaveLength(1);
    expect(await store.removeSubscription(one.subscriptionId)).toBe(true);
    expect(await store.removeSubscription(one.subscriptionId)).toBe(false);
    await store.removeAccount(one.accountId);
    await store.removeAccount(two.accountId);
    await store.removeAccount(two.accountId);
    expect(store.counts()).toEqual({ devices: 1, accounts: 0, subscriptions: 0 });
    await store.close();
  });

  test("the operator's list goes on after an id, and finds by how a username or domain begins, in any case", async () => {
    using data = folder();
    const store = await open(data.path);
    for (const name of ["anna", "bob", "100%", "Annika", "ann", "sip"]) await enrol(store, name);
    const names = (search: string, most = 9, after?: AccountId) =>
      store.accounts(after, most, search).map((one) => one.username);
    const first = store.accounts(undefined, 4);
    expect(first).toHaveLength(4);
    const rest = store.accounts(first.at(-1)?.accountId, 4);
    expect(new Set([...first, ...rest].map((one) => one.username)).size).toBe(6);
    expect([names("ANN"), names("annik")]).toEqual([["ann", "anna", "Annika"], ["Annika"]]);
    expect([names("%"), names("100%"), names("nn")]).toEqual([[], ["100%"], []]);
    // A username that begins so comes before a domain that does.
    expect(names("sip")).toEqual(["sip"]);
    expect(names("sip.ex")).toHaveLength(6);
    expect(names("@sip.ex")).toHaveLength(6);
    expect([names("anna@sip"), names("anna@SIP.example"), names("ann@other")]).toEqual([["anna"], ["anna"], []]);
    // Pages end where the next one begins, whichever list they are of.
    for (const search of ["ann", "sip.ex", "@sip", ""]) {
      const whole = store.accounts(undefined, 9, search);
      const paged: AccountRecord[] = [];
      for (;;) {
        const page = store.accounts(paged.at(-1)?.accountId, 2, search);
        if (page.length === 0) break;
        paged.push(...page);
      }
      expect(paged).toEqual([...whole]);
    }
    await store.close();
  });

  test("counts follow every change", async () => {
    using data = folder();
    const store = await open(data.path);
    for (let n = 1; n <= 3; n++) {
      await enrol(store, `u${n}`);
      expect(store.counts()).toEqual({ devices: n, accounts: n, subscriptions: n });
    }
    await store.close();
  });
});

describe("writes", () => {
  test("made at once are done in order, each standing alone", async () => {
    using data = folder();
    const store = await open(data.path);
    const { deviceId } = await enrol(store, "u0");
    const attempts: Promise<unknown>[] = [];
    for (let n = 0; n < 1_500; n++) {
      const accountId = newAccountId();
      // Every third takes an identity that the one before it has just taken.
      const name = `u${n % 3 === 2 ? n : n + 1}`;
      attempts.push(store.createAccount(accountId, fields(name), password("x"), subscription(accountId, deviceId)));
    }
    const settled = await Promise.allSettled(attempts);
    expect(settled.map((one) => one.status === "fulfilled")).toEqual(settled.map((_, n) => n % 3 !== 2));
    expect(store.counts().accounts).toBe(1_001);
    await store.close();
  });

  test("after closing are refused, those before are done", async () => {
    using data = folder();
    let store = await open(data.path);
    const phone = device();
    const written = store.putDevice(phone);
    const closed = store.close();
    await written;
    await closed;
    expect(await refusal(store.putDevice(device()))).toMatchObject({ message: expect.stringContaining("closed") });
    store = await open(data.path);
    expect(store.device(phone.deviceId)).toEqual(phone);
    await store.close();
  });
});

describe("settings", () => {
  test("are kept sealed", async () => {
    using data = folder();
    let store = await open(data.path);
    expect(store.setting("jwt")).toBeUndefined();
    await store.putSetting("jwt", '{"k":1}');
    await store.putSetting("jwt", '{"k":2}');
    await store.close();
    store = await open(data.path);
    expect(store.setting("jwt")).toBe('{"k":2}');
    await store.close();
  });
});

describe("journal", () => {
  test("is each device's own, newest first, with its own subscription", async () => {
    using data = folder();
    const store = await open(data.path);
    const one = await enrol(store, "anna");
    const two = await enrol(store, "bob");
    const joined = subscription(one.accountId, two.deviceId);
    await store.createSubscription(joined);
    const both = call(one.accountId, { startedAtMs: 1_700_000_000_000, subscriptionId: one.subscriptionId });
    const now = Date.now();
    const recent = { ...both, startedAtMs: now - 1_000 };
    const later = call(one.accountId, { startedAtMs: now, fromName: undefined, state: "ringing" });
    store.putJournal(recent, [one.deviceId, two.deviceId]);
    store.putJournal(later, [one.deviceId]);
    const answered = { ...later, state: "answered" as const, answeredAtMs: now + 5 };
    store.putJournal(answered, [one.deviceId, two.deviceId]);
    await store.setPresence(one.subscriptionId, "background"); // writes are in order: once this is done, so are those
    expect(store.journalOfDevice(one.deviceId, 0, 10)).toEqual([
      { ...answered, subscriptionId: one.subscriptionId },
      { ...recent, subscriptionId: one.subscriptionId },
    ]);
    expect(store.journalCall(recent.call, two.deviceId)?.subscriptionId).toBe(joined.subscriptionId);
    expect(store.journalOfDevice(one.deviceId, now, 10)).toHaveLength(1);
    expect(store.journalOfDevice(two.deviceId, 0, 1).map((entry) => entry.call)).toEqual([later.call]);
    expect(store.journalCall(later.call, device().deviceId)).toBeUndefined();
    await store.close();
  });

  test("says of a call that one device answered: elsewhere, to the others, whatever follows and in whatever order", async () => {
    using data = folder();
    const store = await open(data.path);
    const one = await enrol(store, "anna");
    const two = await enrol(store, "bob");
    await store.createSubscription(subscription(one.accountId, two.deviceId));
    const stateOf = (of: CallUuid, id: DeviceId) => store.journalCall(of, id)?.state;
    for (const order of [0, 1]) {
      const ringing = call(one.accountId, { state: "ringing" });
      store.putJournal(ringing, [one.deviceId, two.deviceId]);
      const news = [
        () => store.putJournal({ ...ringing, state: "answered", answeredAtMs: 5 }, [one.deviceId]),
        () => store.putJournal({ ...ringing, state: "answeredElsewhere", answeredAtMs: 5 }, [two.deviceId]),
      ];
      for (const tell of order === 0 ? news : news.toReversed()) tell();
      await store.putSetting("barrier", "");
      expect([stateOf(ringing.call, one.deviceId), stateOf(ringing.call, two.deviceId)]).toEqual([
        "answered",
        "answeredElsewhere",
      ]);
      store.putJournal({ ...ringing, state: "ended", answeredAtMs: 5, endedAtMs: 9 }, [one.deviceId]);
      await store.putSetting("barrier", "");
      expect([stateOf(ringing.call, one.deviceId), stateOf(ringing.call, two.deviceId)]).toEqual([
        "ended",
        "answeredElsewhere",
      ]);
    }
    await store.close();
  });

  test("goes with the device, the subscription and the account, and does not come back", async () => {
    using data = folder();
    const store = await open(data.path);
    const one = await enrol(store, "anna");
    const two = await enrol(store, "bob");
    const [ofBoth, ofTwo] = [call(one.accountId), call(two.accountId)];
    store.putJournal(ofBoth, [one.deviceId, two.deviceId]);
    store.putJournal(ofTwo, [two.deviceId]);
    await store.removeDevice(one.deviceId);
    expect(store.journalCall(ofBoth.call, two.deviceId)).toBeDefined();
    expect(store.journalOfDevice(one.deviceId, 0, 9)).toEqual([]);
    await store.removeSubscription(two.subscriptionId);
    expect(store.journalCall(ofTwo.call, two.deviceId)).toBeUndefined();
    await store.removeAccount(one.accountId);
    store.putJournal({ ...ofBoth, state: "ended" }, [two.deviceId]);
    await store.putSetting("barrier", "");
    expect(store.journalOfDevice(two.deviceId, 0, 9)).toEqual([]);
    await store.close();
  });

  test("is kept 30 days, and calls that a dead process left open are closed", async () => {
    using data = folder();
    let store = await open(data.path);
    const { accountId, deviceId } = await enrol(store, "anna");
    const now = Date.now();
    const day = 24 * 60 * 60_000;
    for (let n = 0; n < 1_200; n++) store.putJournal(call(accountId, { startedAtMs: now - 31 * day - n }), [deviceId]);
    const ringing = call(accountId, { startedAtMs: now - 29 * day, state: "ringing" });
    const answered = call(accountId, { startedAtMs: now - 28 * day, state: "answered", answeredAtMs: 5 });
    store.putJournal(ringing, [deviceId]);
    store.putJournal(answered, [deviceId]);
    await store.close();
    store = await open(data.path);
    expect(store.journalOfDevice(deviceId, 0, 5_000).map((entry) => entry.state)).toEqual(["ended", "missed"]);
    await store.close();
  });
});

describe("files", () => {
  test("are nobody else's to read", async () => {
    using data = folder();
    const store = await open(join(data.path, "data"));
    for (const name of ["wakeline.db", "wakeline.db-wal", "wakeline.db-shm", "master.key", "wakeline.lock"]) {
      expect([name, statSync(join(data.path, "data", name)).mode & 0o777]).toEqual([name, 0o600]);
    }
    expect(statSync(join(data.path, "data")).mode & 0o777).toBe(0o700);
    await store.close();
  });
});

import { describe, expect, test } from "bun:test";
import type { AccountId } from "../../src/base/ids.ts";
import { StoreFault } from "../../src/store/faults.ts";
import { appId, at, EdgeBench, faultFields } from "./edge-bench.ts";

function onlyAccount(bench: EdgeBench): AccountId {
  const [accountId] = bench.store.accountRecords.keys();
  if (accountId === undefined) throw new Error("no account");
  return accountId;
}

describe("subscribing an account", () => {
  test("answers 201 with the subscription, without the secret, and has it registered", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const answer = await bench.subscribe(phone, { proxy: "proxy.example.com:5070", displayName: "Anna Ä" });
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      id: at(answer, "id"),
      account: {
        username: "alice",
        domain: "sip.example.com",
        displayName: "Anna Ä",
        proxy: "proxy.example.com:5070",
        transport: "auto",
        expiresSec: 600,
        registrationMode: "auto",
        natEmulation: false,
      },
      presence: "background",
      notify: { message: true, voicemail: true, missed: true, preview: false },
      registration: { mode: "auto", state: "idle" },
      createdAt: "2026-11-24T12:00:00.000Z",
      lastSeenAt: "2026-11-24T12:00:00.000Z",
    });
    expect(answer.text).not.toContain("secret-of-alice");
    expect(bench.shards.told).toEqual([`changed ${onlyAccount(bench)} wanted=true`]);
    expect(bench.store.secrets.get(onlyAccount(bench))).toEqual({ kind: "password", password: "secret-of-alice" });
  });

  test("in the foreground nothing is registered, unless the mode is continuous", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    await bench.subscribe(phone, {}, { presence: "foreground" });
    await bench.subscribe(phone, { username: "bob", registrationMode: "continuous" }, { presence: "foreground" });
    expect(bench.shards.told.map((line) => line.split(" ").at(-1))).toEqual(["wanted=false", "wanted=true"]);
  });

  test("shows what the shard says of the registration", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone), "id");
    bench.shards.statuses.set(onlyAccount(bench), {
      mode: "alternate",
      state: "registered",
      expiresAtMs: bench.clock.wallMs() + 60_000,
      lastStatus: 200,
      lastReason: "OK",
      registrar: "192.0.2.1:5060",
      transport: "udp",
    });
    const answer = await bench.call("GET", `/v1/subscriptions/${id}`, phone.token);
    expect(answer.body).toMatchObject({
      registration: {
        mode: "alternate",
        state: "registered",
        expiresAt: "2026-11-24T12:01:00.000Z",
        lastStatus: 200,
        lastReason: "OK",
        registrar: "192.0.2.1:5060",
        transport: "udp",
      },
    });
    const list = await bench.call("GET", "/v1/subscriptions", phone.token);
    expect(list.body).toEqual([answer.body]);
  });

  test("takes digests instead of a password", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const hash = "A".repeat(32);
    const answer = await bench.subscribe(phone, {
      password: undefined,
      ha1: [{ realm: "asterisk", algorithm: "MD5", hash }],
    });
    expect(answer.status).toBe(201);
    expect(answer.text.toLowerCase()).not.toContain(hash.toLowerCase());
    expect(bench.store.secrets.get(onlyAccount(bench))).toEqual({
      kind: "ha1",
      entries: [{ realm: "asterisk", algorithm: "MD5", hash: "a".repeat(32) }],
    });
  });

  test("an account without a secret, or with two, is refused", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const none = await bench.subscribe(phone, { password: undefined });
    expect([none.status, faultFields(none)]).toEqual([422, ["account.password"]]);
    const both = await bench.subscribe(phone, { ha1: [{ realm: "r", algorithm: "MD5", hash: "0".repeat(32) }] });
    expect([both.status, faultFields(both)]).toEqual([422, ["account.ha1"]]);
    const short = await bench.subscribe(phone, {
      password: undefined,
      ha1: [{ realm: "r", algorithm: "SHA-256", hash: "0".repeat(32) }],
    });
    expect([short.status, faultFields(short)]).toEqual([422, ["account.ha1[0].hash"]]);
  });

  test("unknown fields are refused at every depth", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const answer = await bench.subscribe(phone, { pasword: "x" }, { notify: { vibrate: true }, extra: 1 });
    expect([answer.status, faultFields(answer)]).toEqual([422, ["account.pasword", "extra", "notify.vibrate"]]);
    expect(bench.store.accountRecords.size).toBe(0);
  });

  test("a body with every kind of fault has all of them named at once, each field once", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const account = {
      username: "a\nb",
      domain: "",
      password: "x".repeat(300),
      displayName: 7,
      proxy: "x".repeat(5_000),
      expiresSec: 1,
      onUnreachable: { forwardTo: "http://x" },
      pasword: "x",
    };
    const answer = await bench.subscribe(phone, account, { presence: "asleep" });
    expect([answer.status, faultFields(answer).toSorted()]).toEqual([
      422,
      [
        "account.displayName",
        "account.domain",
        "account.expiresSec",
        "account.onUnreachable.forwardTo",
        "account.password",
        "account.pasword",
        "account.proxy",
        "account.username",
        "presence",
      ],
    ]);
    expect(JSON.stringify(answer.body)).not.toContain("xxx");
  });

  const refusedFields: readonly (readonly [string, string, string])[] = [
    ["username", "line break", "alice\r\nVia: x"],
    ["username", "NUL", "ali\u0000ce"],
    ["username", "quotes", 'a"b'],
    ["username", "escaped line break", "alice%0d%0aVia"],
    ["username", "address in full", "alice@sip.example.com"],
    ["username", "length", "a".repeat(256)],
    ["username", "empty", ""],
    ["username", "lone surrogate", "a\ud800"],
    ["password", "line break", "a\nb"],
    ["password", "length", "a".repeat(256)],
    ["authUsername", "quotes", 'a"b'],
    ["displayName", "quotes", 'Anna "A" Bee'],
    ["displayName", "line separator", "a\u2028b"],
    ["displayName", "C1 control", "a\u0085b"],
    ["userAgent", "line break", "Phone/1\r\nX: y"],
    ["userAgent", "quotes", 'Phone "1"'],
    ["instanceId", "brackets", "<urn:uuid:00000000-0000-0000-0000-000000000000>"],
    ["instanceId", "no URN", "me"],
    ["domain", "port", "sip.example.com:5070"],
    ["domain", "space", "sip example com"],
    ["domain", "decimal address", "2130706433"],
    ["domain", "octal address", "0300.0.2.1"],
    ["domain", "hexadecimal address", "0x7f.1"],
    ["domain", "underscored label start", "-bad.example"],
    ["domain", "IPv6 without brackets", "2001:db8::1"],
    ["domain", "URI", "sip:example.com"],
    ["domain", "line break", "example.com\r\n"],
    ["proxy", "user", "sip:alice@proxy.example.com"],
    ["proxy", "port over 65535", "proxy.example.com:70000"],
    ["proxy", "unknown transport", "sip:proxy.example.com;transport=sctp"],
    ["proxy", "headers", "sip:proxy.example.com?X=y"],
    ["proxy", "line break", "proxy.example.com\r\nRoute: x"],
    ["alternateProxy", "quotes", 'proxy.example.com"'],
  ];
  test.each(refusedFields)("%s is refused for its %s", async (field, _why, value) => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const answer = await bench.subscribe(phone, { [field]: value });
    expect([answer.status, faultFields(answer)]).toEqual([422, [`account.${field}`]]);
    expect(bench.store.accountRecords.size).toBe(0);
  });

  test.each([
    ["a script", "javascript:alert(1)"],
    ["a line break", "sip:bob@example.com\r\nX: y"],
    ["brackets", "<sip:bob@example.com>"],
    ["a password", "sip:bob:secret@example.com"],
  ])("a forwarding URI is refused for %s", async (_why, forwardTo) => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const answer = await bench.subscribe(phone, { onUnreachable: { forwardTo } });
    expect([answer.status, faultFields(answer)]).toEqual([422, ["account.onUnreachable.forwardTo"]]);
  });

  test.each([
    { username: "+49301234", authUsername: "user@realm.example", displayName: "Zoë", userAgent: "Phone/1.0 (x; y)" },
    { username: "a-b.c_d", password: `quotes " and \\ and ü are fine` },
    { domain: "[2001:db8::1]" },
    { domain: "SIP.Example.Com." },
    { domain: "198.51.100.7" },
    { proxy: "sip:proxy.example.com:5061;transport=tls" },
    { proxy: "sips:proxy.example.com" },
    { proxy: "[2001:db8::1]:5070" },
    { instanceId: "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6" },
    { instanceId: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6" },
    { onUnreachable: { forwardTo: "tel:+4930123456" } },
    { onUnreachable: { forwardTo: "sip:voicemail@example.com;transport=tcp" } },
    { username: "a".repeat(255) },
  ])("takes %p", async (account) => {
    await using bench = await EdgeBench.open();
    const answer = await bench.subscribe(await bench.phone(), account);
    expect([answer.status, answer.text.slice(0, 300)]).toEqual([201, answer.text.slice(0, 300)]);
  });

  test("a literal address that egress forbids is refused at the door", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    for (const [field, value] of [
      ["domain", "10.1.2.3"],
      ["domain", "[::1]"],
      ["proxy", "127.0.0.1:5070"],
      ["alternateProxy", "sip:192.168.1.1;transport=tcp"],
    ] as const) {
      const answer = await bench.subscribe(phone, { [field]: value });
      expect([answer.status, faultFields(answer)]).toEqual([422, [`account.${field}`]]);
    }
  });

  test("a proxy that is private for the phone is fine beside an alternate one", async () => {
    await using bench = await EdgeBench.open();
    const answer = await bench.subscribe(await bench.phone(), {
      domain: "192.168.1.10",
      proxy: "192.168.1.10",
      alternateProxy: "pbx.example.com",
    });
    expect(answer.status).toBe(201);
  });

  test("a device has a limited number of accounts", async () => {
    await using bench = await EdgeBench.open({ limits: { accountsPerDevice: 2, devicesPerAccount: 8, leaseDays: 14 } });
    const phone = await bench.phone();
    for (const username of ["a", "b"]) expect((await bench.subscribe(phone, { username })).status).toBe(201);
    const answer = await bench.subscribe(phone, { username: "c" });
    expect([answer.status, at(answer, "code")]).toEqual([409, "limitReached"]);
  });

  test("two devices that bring the same new account at once share one", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    const answers = await Promise.all([bench.subscribe(one), bench.subscribe(two)]);
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect([bench.store.accountRecords.size, bench.store.subscriptions.size]).toEqual([1, 2]);
  });

  test("of two that bring the same new account at once, the second has to prove its password", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    bench.shards.proof = { outcome: "refused", status: 403, reason: "Forbidden" };
    const release = Promise.withResolvers<void>();
    bench.store.before = (write) => (write === "createAccount" ? release.promise : Promise.resolve());
    const first = bench.subscribe(one);
    const second = bench.subscribe(two, { password: "guess" });
    // By then both have seen that there is no such account.
    for (let n = 0; n < 5; n++) await bench.call("GET", "/v1/devices/me", one.token);
    release.resolve();
    const answers = await Promise.all([first, second]);
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 403]);
    expect(bench.store.subscriptions.size).toBe(1);
  });

  test("a domain is one however it is spelt", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const first = await bench.subscribe(phone, { domain: "SIP.Example.com." });
    expect(at(first, "account.domain")).toBe("sip.example.com");
    expect(at(await bench.subscribe(phone), "id")).toBe(at(first, "id"));
  });

  test("the same user at the same domain of another app is another account", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    await bench.subscribe(phone);
    expect(bench.store.accountByIdentity(appId, "alice", "SIP.example.com")).toBeDefined();
    expect(bench.store.accountByIdentity("com.example.other", "alice", "sip.example.com")).toBeUndefined();
  });
});

describe("joining another device's account", () => {
  test("the registrar has to accept the password first", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    await bench.subscribe(one);
    bench.shards.proof = { outcome: "refused", status: 403, reason: "Forbidden" };
    const refused = await bench.subscribe(two, { password: "guess" });
    expect([refused.status, faultFields(refused)]).toEqual([403, ["account.password"]]);
    expect(at(refused, "detail")).toContain("403 Forbidden");
    expect(bench.store.subscriptions.size).toBe(1);
    expect(bench.store.secrets.get(onlyAccount(bench))).toEqual({ kind: "password", password: "secret-of-alice" });

    bench.shards.proof = { outcome: "accepted", status: 200, reason: "OK" };
    const joined = await bench.subscribe(two, { password: "newer", displayName: "B" });
    expect(joined.status).toBe(201);
    expect(bench.shards.proved).toEqual({ kind: "password", password: "newer" });
    expect(bench.store.secrets.get(onlyAccount(bench))).toEqual({ kind: "password", password: "newer" });
    // The account stays as its first device made it.
    expect(at(joined, "account.displayName")).toBe("");
  });

  test("a registrar of the joiner's own proves nothing to an account that another one has taken", async () => {
    await using bench = await EdgeBench.open();
    await bench.subscribe(await bench.phone());
    const answer = await bench.subscribe(await bench.phone(), { password: "any", proxy: "rogue.example.net" });
    expect([answer.status, at(answer, "code")]).toEqual([409, "otherServer"]);
    expect(bench.store.subscriptions.size).toBe(1);
    expect(bench.store.secrets.get(onlyAccount(bench))).toEqual({ kind: "password", password: "secret-of-alice" });
  });

  test.each([
    ["at a host of his own", { proxy: "rogue.example.net" }, {}],
    ["at a host of his own beside the true one", { proxy: "sip.example.com", alternateProxy: "rogue.example.net" }, {}],
    ["in clear where the joiner asks for TLS", {}, { transport: "tls" }],
  ])("a password is not tried where whoever came first has put the account: %s", async (_, first, asked) => {
    await using bench = await EdgeBench.open();
    await bench.subscribe(await bench.phone(), { ...first, password: "bait" });
    await bench.subscribe(await bench.phone(), asked);
    expect(bench.shards.proved).toEqual({ kind: "password", password: "secret-of-alice" });
    expect(bench.shards.provedAt).toEqual({ transport: "auto", ...asked } as never);
  });

  test("who has only claimed an account loses it to whoever proves it, who does not share his calls with a stranger", async () => {
    await using bench = await EdgeBench.open();
    const [squatter, owner] = [await bench.phone(), await bench.phone()];
    await bench.subscribe(squatter, { password: "no idea", proxy: "rogue.example.net", displayName: "S" });
    const accountId = onlyAccount(bench);
    bench.shards.proof = { outcome: "accepted", status: 200, reason: "OK", isProven: false };
    const joined = await bench.subscribe(owner);
    expect([joined.status, at(joined, "account.proxy"), at(joined, "account.displayName")]).toEqual([201, "", ""]);
    expect([...bench.store.subscriptions.values()].map(({ deviceId }) => String(deviceId))).toEqual([owner.deviceId]);
    expect(bench.shards.told).toContain(`subscriptionRemoved ${accountId} ${squatter.deviceId}`);
    expect(bench.store.secrets.get(accountId)).toEqual({ kind: "password", password: "secret-of-alice" });
    expect((await bench.call("GET", "/v1/subscriptions", squatter.token)).body).toEqual([]);
  });

  test("a registrar that cannot be asked is 503 with Retry-After", async () => {
    await using bench = await EdgeBench.open();
    await bench.subscribe(await bench.phone());
    bench.shards.proof = { outcome: "unavailable", status: 408, reason: "Request Timeout" };
    const answer = await bench.subscribe(await bench.phone());
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "15"]);
    expect(bench.store.subscriptions.size).toBe(1);
  });

  test("guessing stops after five wrong passwords, whoever guesses", async () => {
    await using bench = await EdgeBench.open();
    await bench.subscribe(await bench.phone());
    bench.shards.proof = { outcome: "refused", status: 401, reason: "Unauthorized" };
    for (let n = 0; n < 5; n++) expect((await bench.subscribe(await bench.phone())).status).toBe(403);
    const proofs = () => bench.shards.told.filter((line) => line.startsWith("prove")).length;
    const stopped = await bench.subscribe(await bench.phone());
    expect([stopped.status, proofs()]).toEqual([429, 5]);
    expect(Number(stopped.headers.get("retry-after"))).toBeGreaterThan(30);
    bench.clock.advance(61_000);
    expect((await bench.subscribe(await bench.phone())).status).toBe(403);
  });

  test("a device that names registrars which never answer is slowed down, and no other", async () => {
    await using bench = await EdgeBench.open();
    await bench.subscribe(await bench.phone());
    const [one, two] = [await bench.phone(), await bench.phone()];
    bench.shards.proof = { outcome: "unavailable", status: 0, reason: "no answer" };
    const ask = async (phone: typeof one, n: number) =>
      (await bench.subscribe(phone, { proxy: `nowhere${n}.example.net` })).status;
    for (let n = 0; n < 16; n++) expect(await ask(one, n)).toBe(503);
    expect([await ask(one, 16), await ask(two, 17)]).toEqual([429, 503]);
    bench.clock.advance(10_000);
    expect(await ask(one, 18)).toBe(503);
  });

  test("a device has sixteen checks at a time", async () => {
    await using bench = await EdgeBench.open();
    await bench.subscribe(await bench.phone());
    const phone = await bench.phone();
    const release = Promise.withResolvers<void>();
    bench.shards.onProve = () => release.promise;
    const asked = Array.from({ length: 16 }, (_, n) => bench.subscribe(phone, { proxy: `p${n}.example.net` }));
    const proofs = () => bench.shards.told.filter((line) => line.startsWith("prove")).length;
    while (proofs() < 16) await bench.call("GET", "/v1/devices/me", phone.token);
    expect((await bench.subscribe(phone, { proxy: "p16.example.net" })).status).toBe(429);
    release.resolve();
    await Promise.all(asked);
    expect((await bench.subscribe(phone, { proxy: "p17.example.net" })).status).toBe(409);
  });

  test("an account has a limited number of devices", async () => {
    await using bench = await EdgeBench.open({
      limits: { accountsPerDevice: 16, devicesPerAccount: 2, leaseDays: 14 },
    });
    for (const status of [201, 201, 409]) expect((await bench.subscribe(await bench.phone())).status).toBe(status);
  });

  test("an account that went away while the password was proved is made anew", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    const id = at(await bench.subscribe(one), "id");
    const before = onlyAccount(bench);
    bench.shards.onProve = async () => {
      await bench.call("DELETE", `/v1/subscriptions/${id}`, one.token);
    };
    expect((await bench.subscribe(two)).status).toBe(201);
    expect(bench.store.accountRecords.size).toBe(1);
    expect(onlyAccount(bench)).not.toBe(before);
  });

  test("a device that subscribes what it has already keeps its subscription and changes the account", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const first = await bench.subscribe(phone, { displayName: "Anna" });
    const again = await bench.subscribe(phone, { proxy: "proxy.example.com" }, { notify: { preview: true } });
    expect([again.status, at(again, "id")]).toEqual([201, at(first, "id")]);
    expect(again.body).toMatchObject({
      account: { displayName: "Anna", proxy: "proxy.example.com" },
      notify: { preview: true, missed: true },
    });
  });
});

describe("changing a subscription", () => {
  test("fields change, null takes one away, the rest stays", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone, { displayName: "Anna", proxy: "a.example.com" }), "id");
    const answer = await bench.call("PATCH", `/v1/subscriptions/${id}`, phone.token, {
      account: { proxy: null, transport: "tls", onUnreachable: { forwardTo: "sip:vm@example.com" } },
      notify: { missed: false },
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      account: { displayName: "Anna", transport: "tls", onUnreachable: { forwardTo: "sip:vm@example.com" } },
      notify: { message: true, missed: false },
    });
    expect(at(answer, "account.proxy")).toBe("");
    expect(bench.shards.told.at(-1)).toBe(`changed ${onlyAccount(bench)} wanted=true`);
    const cleared = await bench.call("PATCH", `/v1/subscriptions/${id}`, phone.token, {
      account: { onUnreachable: null },
    });
    expect(at(cleared, "account.onUnreachable")).toBe("");
  });

  test("nothing changed tells no shard", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone), "id");
    await bench.call("PATCH", `/v1/subscriptions/${id}`, phone.token, { account: { transport: "auto" } });
    expect(bench.shards.told.length).toBe(1);
  });

  test("the identity cannot change", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone), "id");
    const answer = await bench.call("PATCH", `/v1/subscriptions/${id}`, phone.token, {
      account: { username: "bob", domain: "other.example.com" },
    });
    expect([answer.status, faultFields(answer)]).toEqual([422, ["account.domain", "account.username"]]);
    const same = { username: "alice", domain: "SIP.example.com" };
    expect((await bench.call("PATCH", `/v1/subscriptions/${id}`, phone.token, { account: same })).status).toBe(200);
  });

  test("a new password counts only once the registrar has taken it; the old one serves until then", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone), "id");
    const change = () => bench.call("PATCH", `/v1/subscriptions/${id}`, phone.token, { account: { password: "new" } });
    bench.shards.proof = { outcome: "refused", status: 401, reason: "Unauthorized" };
    expect((await change()).status).toBe(403);
    bench.shards.proof = { outcome: "unavailable", status: 503, reason: "Service Unavailable" };
    expect((await change()).status).toBe(503);
    expect(bench.store.secrets.get(onlyAccount(bench))).toEqual({ kind: "password", password: "secret-of-alice" });
    expect(bench.shards.told.filter((line) => line.startsWith("changed")).length).toBe(1);
    bench.shards.proof = { outcome: "accepted", status: 200, reason: "OK" };
    expect((await change()).status).toBe(200);
    expect(bench.store.secrets.get(onlyAccount(bench))).toEqual({ kind: "password", password: "new" });
    expect(bench.shards.told.at(-1)).toStartWith("changed");
  });

  test("a new password at a new server is proved there, and the old secret never goes there", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone, { proxy: "old.example.com" }), "id");
    const move = () =>
      bench.call("PATCH", `/v1/subscriptions/${id}`, phone.token, {
        account: { password: "new", proxy: "new.example.com" },
      });
    bench.shards.proof = { outcome: "refused", status: 403, reason: "Forbidden" };
    const told = bench.shards.told.length;
    expect((await move()).status).toBe(403);
    expect(bench.shards.provedAt?.proxy).toBe("new.example.com");
    expect(bench.store.account(onlyAccount(bench))?.proxy).toBe("old.example.com");
    expect(bench.store.secrets.get(onlyAccount(bench))).toEqual({ kind: "password", password: "secret-of-alice" });
    expect(bench.shards.told.slice(told)).toEqual([`prove ${onlyAccount(bench)}`]);
    bench.shards.proof = { outcome: "accepted", status: 200, reason: "OK" };
    expect((await move()).status).toBe(200);
    expect(bench.store.account(onlyAccount(bench))?.proxy).toBe("new.example.com");
    expect(bench.store.secrets.get(onlyAccount(bench))).toEqual({ kind: "password", password: "new" });
  });

  test("who shares an account cannot lead the others' secret to another server without knowing it", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    await bench.subscribe(one);
    const id = at(await bench.subscribe(two), "id");
    const answer = await bench.call("PATCH", `/v1/subscriptions/${id}`, two.token, {
      account: { alternateProxy: "rogue.example.net" },
    });
    expect([answer.status, faultFields(answer)]).toEqual([422, ["account.password"]]);
    expect(
      (await bench.call("PATCH", `/v1/subscriptions/${id}`, two.token, { account: { displayName: "B" } })).status,
    ).toBe(200);
    // A server of his own would take any password: the present one is asked.
    bench.shards.proof = { outcome: "refused", status: 403, reason: "Forbidden" };
    const guess = { password: "any", alternateProxy: "rogue.example.net" };
    expect((await bench.call("PATCH", `/v1/subscriptions/${id}`, two.token, { account: guess })).status).toBe(403);
    expect(bench.shards.provedAt).toBeUndefined();
    expect(bench.store.account(onlyAccount(bench))?.alternateProxy).toBeUndefined();
    bench.shards.proof = { outcome: "accepted", status: 200, reason: "OK" };
    expect((await bench.call("PATCH", `/v1/subscriptions/${id}`, two.token, { account: guess })).status).toBe(200);
  });

  test("... nor by moving it while the others' password is being proved", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    const id = at(await bench.subscribe(one), "id");
    const release = Promise.withResolvers<void>();
    bench.store.before = (write) => (write === "createSubscription" ? release.promise : Promise.resolve());
    const joining = bench.subscribe(two, { password: "newer" });
    for (let n = 0; n < 5; n++) await bench.call("GET", "/v1/devices/me", one.token);
    const moving = bench.call("PATCH", `/v1/subscriptions/${id}`, one.token, {
      account: { alternateProxy: "rogue.example.net" },
    });
    for (let n = 0; n < 5; n++) await bench.call("GET", "/v1/devices/me", one.token);
    release.resolve();
    expect([(await joining).status, (await moving).status]).toEqual([201, 422]);
    expect(bench.store.account(onlyAccount(bench))?.alternateProxy).toBeUndefined();
  });
});

describe("presence", () => {
  test("answers 200 when the registrar has answered, with what it said", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone, {}, { presence: "foreground" }), "id");
    const put = (body: unknown) => bench.call("PUT", `/v1/subscriptions/${id}/presence`, phone.token, body);
    const answer = await put({ presence: "background" });
    expect([answer.status, at(answer, "presence"), at(answer, "registration.state")]).toEqual([
      200,
      "background",
      "registered",
    ]);
    expect(bench.shards.told.at(-1)).toBe(`presence ${onlyAccount(bench)} background wanted=true wait=10000`);
    bench.shards.onPresence = async () => ({
      pending: false,
      status: { mode: "alternate", state: "refused", lastStatus: 403 },
    });
    const refused = await put({ presence: "background", waitSec: 15 });
    expect([refused.status, at(refused, "registration.state")]).toEqual([200, "refused"]);
    expect(bench.shards.told.at(-1)).toEndWith("wait=15000");
  });

  test("answers 202 when the wait is over first", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone), "id");
    bench.shards.onPresence = async () => ({ pending: true, status: { mode: "alternate", state: "unregistering" } });
    const answer = await bench.call("PUT", `/v1/subscriptions/${id}/presence`, phone.token, {
      presence: "foreground",
      waitSec: 0,
    });
    expect([answer.status, at(answer, "presence"), at(answer, "registration.state")]).toEqual([
      202,
      "foreground",
      "unregistering",
    ]);
  });

  test("the account stays registered for another device that sleeps, and in continuous mode", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    const id = at(await bench.subscribe(one), "id");
    await bench.subscribe(two);
    const foreground = () =>
      bench.call("PUT", `/v1/subscriptions/${id}/presence`, one.token, { presence: "foreground" });
    await foreground();
    expect(bench.shards.told.at(-1)).toContain("foreground wanted=true");
    const [, otherId] = [...bench.store.subscriptions.keys()];
    await bench.call("PUT", `/v1/subscriptions/${otherId}/presence`, two.token, { presence: "foreground" });
    expect(bench.shards.told.at(-1)).toContain("foreground wanted=false");
    await bench.store.setLearnedMode(onlyAccount(bench), "continuous");
    await foreground();
    expect(bench.shards.told.at(-1)).toContain("foreground wanted=true");
  });

  test("a registrar that keeps one phone waiting keeps no other from its turn", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    const id = at(await bench.subscribe(one), "id");
    const otherId = at(await bench.subscribe(two), "id");
    const release = Promise.withResolvers<void>();
    bench.shards.onPresence = async () => {
      await release.promise;
      return { pending: false, status: { mode: "alternate", state: "registered" } };
    };
    const waiting = bench.call("PUT", `/v1/subscriptions/${id}/presence`, one.token, { presence: "background" });
    expect((await bench.call("DELETE", `/v1/subscriptions/${otherId}`, two.token)).status).toBe(204);
    release.resolve();
    expect((await waiting).status).toBe(200);
  });

  test.each([
    { presence: "asleep" },
    { presence: "background", waitSec: 16 },
    { presence: "background", waitSec: "3" },
    {},
  ])("%p is 422", async (body) => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone), "id");
    expect((await bench.call("PUT", `/v1/subscriptions/${id}/presence`, phone.token, body)).status).toBe(422);
  });
});

describe("deleting a subscription", () => {
  test("the shard takes the secret into memory before it is erased; 204 comes when it is gone", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone), "id");
    const accountId = onlyAccount(bench);
    bench.shards.onRemove = async () => {
      expect(bench.store.secrets.has(accountId)).toBe(true);
    };
    const answer = await bench.call("DELETE", `/v1/subscriptions/${id}`, phone.token);
    expect([answer.status, answer.text]).toEqual([204, ""]);
    expect(bench.shards.told.slice(1)).toEqual([
      `subscriptionRemoved ${accountId} ${phone.deviceId}`,
      `remove ${accountId}`,
    ]);
    expect(bench.store.secrets.size).toBe(0);
    expect((await bench.call("DELETE", `/v1/subscriptions/${id}`, phone.token)).status).toBe(404);
  });

  test("of two devices the other's stays, and the account with it", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    const id = at(await bench.subscribe(one), "id");
    await bench.subscribe(two, {}, { presence: "foreground" });
    expect((await bench.call("DELETE", `/v1/subscriptions/${id}`, one.token)).status).toBe(204);
    expect(bench.shards.told.at(-1)).toBe(`changed ${onlyAccount(bench)} wanted=false`);
    expect(bench.store.secrets.size).toBe(1);
  });

  test("both devices deleting at once erase the account", async () => {
    await using bench = await EdgeBench.open();
    const [one, two] = [await bench.phone(), await bench.phone()];
    const ids = [at(await bench.subscribe(one), "id"), at(await bench.subscribe(two), "id")];
    const answers = await Promise.all([
      bench.call("DELETE", `/v1/subscriptions/${ids[0]}`, one.token),
      bench.call("DELETE", `/v1/subscriptions/${ids[1]}`, two.token),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([204, 204]);
    expect([bench.store.accountRecords.size, bench.store.secrets.size]).toEqual([0, 0]);
    expect(bench.shards.told.filter((line) => line.startsWith("remove ")).length).toBe(1);
  });

  test("a store that cannot write is 503 with Retry-After, without a word of why, counted", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    bench.store.failNext = new StoreFault("disk is full at /var/lib/secret-path");
    const failed = await bench.subscribe(phone);
    expect([failed.status, failed.text.includes("secret-path")]).toEqual([503, false]);
    expect(failed.headers.get("retry-after")).toBe("5");
    expect(await bench.metric('wakeline_faults_total{where="http"}')).toBe(1);
  });

  test("a bug of the store is 500 without a word of why, counted, and can be tried again", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    const id = at(await bench.subscribe(phone), "id");
    bench.store.failNext = new Error("disk I/O error at /var/lib/secret-path");
    const failed = await bench.call("DELETE", `/v1/subscriptions/${id}`, phone.token);
    expect([failed.status, failed.text.includes("disk")]).toEqual([500, false]);
    expect(await bench.metric('wakeline_faults_total{where="http"}')).toBe(1);
    expect((await bench.call("DELETE", `/v1/subscriptions/${id}`, phone.token)).status).toBe(204);
  });
});

describe("other people's things", () => {
  test("a foreign subscription is 404, as an unknown one is", async () => {
    await using bench = await EdgeBench.open();
    const [owner, stranger] = [await bench.phone(), await bench.phone()];
    const id = at(await bench.subscribe(owner), "id");
    for (const path of [id, "0192d1c8-0000-7000-8000-000000000000", "nonsense", "..%2f..%2f", "%00"]) {
      const url = `/v1/subscriptions/${path}`;
      const answers = [
        await bench.call("GET", url, stranger.token),
        await bench.call("PATCH", url, stranger.token, { notify: { missed: false } }),
        await bench.call("PUT", `${url}/presence`, stranger.token, { presence: "foreground" }),
        await bench.call("DELETE", url, stranger.token),
      ];
      expect([path, answers.map(({ status }) => status)]).toEqual([path, [404, 404, 404, 404]]);
      expect(answers[0]?.text).toBe(
        '{"type":"urn:wakeline:problem:notFound","title":"Not Found","status":404,"code":"notFound"}',
      );
    }
    expect((await bench.call("GET", `/v1/subscriptions/${id}`, owner.token)).status).toBe(200);
  });
});

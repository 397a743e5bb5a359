import { afterEach, describe, expect, test } from "bun:test";
import { type Lab, type LabOptions, openLab } from "./lab/lab.ts";
import { passwordOf, startKamailio } from "./lab/kamailio.ts";
import { untilStep } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { sleeper, wakenBy } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";

let lab: Lab | undefined;
afterEach(async () => {
  await lab?.stop();
  lab = undefined;
});

async function open(options: LabOptions): Promise<Lab> {
  lab = await openLab(options);
  return lab;
}

/** One whole call to an account, answered and ended by the caller. */
async function callGoesThrough(at: Lab, more: Readonly<Record<string, unknown>>): Promise<void> {
  const sleeping = await sleeper(at, more);
  const { caller, phone, call } = await wakenBy(at, sleeping, "caller-hangs-up", { stack: "SIP.js" });
  await call.answer();
  await untilStep(phone, call, "confirmed");
  await call.info("1");
  await untilStep(phone, call, "ended");
  await caller.finished();
  await phone.stop();
}

describe("transports, RFC 3261 §18, §26.3.1", () => {
  test.each([false, true])("TCP, NAT handling %p: the INVITE comes by TCP and the call goes through", async (nat) => {
    const at = await open({ kamailio: { nat } });
    await callGoesThrough(at, { transport: "tcp" });
    const registers = await at.kamailio.requests("REGISTER", "u0001");
    expect(new Set(registers.map(({ proto }) => proto))).toEqual(new Set(["tcp"]));
    expect((await at.kamailio.bindings("u0001"))[0]?.address).toContain("transport=tcp");
  });

  test.each([false, true])("TLS, NAT handling %p: registered and called over TLS alone", async (nat) => {
    const at = await open({ kamailio: { nat }, isTls: true });
    const proxy = `127.0.0.1:${at.kamailio.tlsPort}`;
    await callGoesThrough(at, { transport: "tls", proxy });
    const seen = (await at.kamailio.requests()).filter(({ fromUser, from }) => fromUser === "u0001" && from !== "");
    expect(seen.length).toBeGreaterThan(1);
    expect(new Set(seen.map(({ proto }) => proto))).toEqual(new Set(["tls"]));
  });

  test("a certificate that nobody trusts: no password goes out, the account says why", async () => {
    const at = await open({ isTls: true });
    const stranger = await openLab({ isTls: true });
    try {
      const device = await at.newDevice();
      const user = at.newUser();
      const proxy = `127.0.0.1:${stranger.kamailio.tlsPort}`;
      const { id } = await device.subscribe(at.account(user, { transport: "tls", proxy }));
      const answer = await device.request("PUT", `/v1/subscriptions/${id}/presence`, {
        presence: "background",
        waitSec: 2,
      });
      expect([200, 202]).toContain(answer.status);
      expect((await device.subscription(id)).registration.state).not.toBe("registered");
      expect(await stranger.kamailio.requests("REGISTER")).toEqual([]);
    } finally {
      await stranger.stop();
    }
  });

  test("UDP behind NAT handling: the INVITE comes to where we registered from", async () => {
    const at = await open({ kamailio: { nat: true } });
    await callGoesThrough(at, { transport: "udp" });
    const [binding] = await at.kamailio.bindings("u0001");
    expect(binding?.received).toContain("127.0.0.1:");
  });

  test("the OPTIONS by which Kamailio pings are answered: the binding lives on", async () => {
    const at = await open({ kamailio: { nat: true } });
    const { user } = await sleeper(at);
    const keptAlive = async (): Promise<number> => (await at.kamailio.bindings(user))[0]?.lastKeepaliveSec ?? 0;
    const first = await keptAlive();
    expect(first).toBeGreaterThan(0);
    await until("pings are answered for longer than silence is borne", async () => (await keptAlive()) >= first + 5);
  });
});

describe("what a registrar wants, RFC 3261 §10.2.8, §10.3", () => {
  test("423 with Min-Expires: asked again for as long as it wants", async () => {
    const at = await open({ kamailio: { minExpiresSec: 900 } });
    const { user, subscription } = await sleeper(at, { expiresSec: 60 });
    expect(subscription.registration.state).toBe("registered");
    const asked = (await at.kamailio.requests("REGISTER", user)).map(({ expires, contact }) => `${expires} ${contact}`);
    expect(asked.some((text) => /\b60\b/.test(text))).toBe(true);
    expect(asked.at(-1)).toMatch(/\b900\b/);
    expect((await at.kamailio.bindings(user))[0]?.expiresSec).toBeGreaterThan(800);
  });

  test("a registrar that grants seconds: refreshed in time, each refresh authenticated at once", async () => {
    const at = await open({ kamailio: { maxExpiresSec: 6 } });
    const { user } = await sleeper(at);
    const seen = async (): Promise<number> => (await at.kamailio.requests("REGISTER", user)).length;
    const first = await seen();
    let lapses = 0;
    await until(
      "three refreshes",
      async () => {
        if ((await at.kamailio.bindings(user)).length !== 1) lapses++;
        return (await seen()) >= first + 3;
      },
      { msMax: 25_000 },
    );
    expect(lapses).toBe(0);
    const all = await at.kamailio.requests("REGISTER", user);
    const refreshes = all.slice(first);
    expect(refreshes.every(({ authUser }) => authUser === user)).toBe(true);
    const cseqs = all.map(({ cseq }) => cseq);
    expect(cseqs).toEqual([...cseqs].sort((a, b) => a - b));
    expect(new Set(cseqs).size).toBe(cseqs.length);
  });

  test("max_contacts=1, the phone gone: registered, and the call goes through", async () => {
    const at = await open({ kamailio: { maxContacts: 1 } });
    await callGoesThrough(at, {});
    expect(await at.kamailio.bindings("u0001")).toHaveLength(1);
  });

  test("max_contacts=1, the phone still bound: singleDevice takes the place over", async () => {
    const at = await open({ kamailio: { maxContacts: 1 } });
    const user = at.newUser();
    await registerPhoneItself(at, user);
    const device = await at.newDevice();
    const { id } = await device.subscribe(at.account(user, { registrationMode: "singleDevice" }));
    const { registration } = await device.setPresence(id, "background");
    expect(registration).toMatchObject({ mode: "singleDevice", state: "registered" });
    const bindings = await at.kamailio.bindings(user);
    expect(bindings).toHaveLength(1);
    expect(bindings[0]?.address).not.toContain("127.0.0.9");
  });

  test("max_contacts=1, the phone still bound: auto learns it", async () => {
    const at = await open({ kamailio: { maxContacts: 1 } });
    const user = at.newUser();
    await registerPhoneItself(at, user);
    const device = await at.newDevice();
    const { id } = await device.subscribe(at.account(user));
    await device.request("PUT", `/v1/subscriptions/${id}/presence`, { presence: "background", waitSec: 10 });
    const learned = await until("auto learns", async () => {
      const { registration } = await device.subscription(id);
      return registration.state === "registered" ? registration : undefined;
    });
    expect(learned.mode).toBe("singleDevice");
    expect(await at.kamailio.bindings(user)).toHaveLength(1);
  });

  test("Path: an edge proxy in front of the registrar, and calls come back through it (RFC 3327)", async () => {
    const at = await open({});
    const edge = await startKamailio({ edgeOf: at.kamailio.port });
    try {
      await callGoesThrough(at, { proxy: edge.proxy });
      expect((await at.kamailio.bindings("u0001"))[0]?.path).toContain(`127.0.0.1:${edge.port}`);
      expect((await edge.requests("INVITE")).length).toBeGreaterThan(0);
    } finally {
      await edge.stop();
    }
  });

  test("the nonce runs out: the refresh takes the new challenge (Kamailio says no stale=true)", async () => {
    const at = await open({ kamailio: { maxExpiresSec: 6, nonceSec: 2 } });
    const { user } = await sleeper(at);
    const seen = async (): Promise<number> => (await at.kamailio.requests("REGISTER", user)).length;
    const first = await seen();
    await until("two refreshes, each challenged", async () => (await seen()) >= first + 4, { msMax: 25_000 });
    expect(await at.kamailio.bindings(user)).toHaveLength(1);
  });
});

/** The phone's own binding, left behind by an app that the system killed. */
async function registerPhoneItself(at: Lab, user: string): Promise<void> {
  const phone = await startSipp("registers", {
    server: at.kamailio.proxy,
    user,
    auth: { username: user, password: passwordOf(user) },
  });
  await phone.finished();
  expect(await at.kamailio.bindings(user)).toHaveLength(1);
}

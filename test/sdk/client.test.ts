import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { jsSipSocket, judgeCall, readPush, WakelineDevice, WakelineProblem } from "../../sdk/src/index.ts";
import type { PushPayload } from "../../sdk/src/index.ts";
import { DemoUa, type UaCall } from "../../src/demo/ua.ts";
import { domain, openWorld, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

function enrol(): Promise<WakelineDevice> {
  return WakelineDevice.enrol({
    server: `${world.server}/`,
    app: world.app,
    appKey: world.appKey,
    push: { provider: "webhook", token: "phone-1" },
    name: "test phone",
  });
}

async function refusal(work: Promise<unknown>): Promise<WakelineProblem> {
  try {
    await work;
  } catch (cause) {
    if (cause instanceof WakelineProblem) return cause;
    throw cause;
  }
  throw new Error("was not refused");
}

describe("the client, against a server", () => {
  test("enrols, subscribes, sleeps, is woken, answers through the tunnel, and leaves", async () => {
    const device = await enrol();
    const account = {
      username: "alice",
      domain,
      password: "wonderland",
      proxy: `127.0.0.1:${world.registrar.port}`,
    };
    const subscription = await device.subscribe(account, { presence: "foreground", notify: { missed: false } });
    expect(subscription.notify.missed).toBe(false);
    expect((await device.subscriptions()).map(({ id }) => id)).toEqual([subscription.id]);
    expect((await device.setPresence(subscription.id, "background")).state).toBe("registered");
    expect(world.registrar.bindings("alice")).toHaveLength(1);

    expect(await world.bob.register(60)).toBe(200);
    const outgoing = world.bob.call("alice");
    const payload = readPush(JSON.stringify(await world.webhook.next("call")));
    if (payload === undefined) throw new Error("no push");
    await device.acknowledge(payload);
    const verdict = judgeCall(payload);
    if (verdict.kind !== "ring") throw new Error(`judged ${verdict.kind}`);
    expect((await device.callState(payload.call ?? "")).state).toBe("ringing");

    const socket = jsSipSocket(verdict.tunnel);
    let arrived: (call: UaCall) => void = () => {};
    const incoming = new Promise<UaCall>((resolve) => {
      arrived = resolve;
    });
    const ua = new DemoUa({
      ...account,
      user: "alice",
      sentBy: () => `${socket.via_transport} phone.invalid`,
      contact: () => "sip:alice@phone.invalid;transport=ws",
      isReliable: true,
      send: (text) => expect(socket.send(Buffer.from(text, "latin1"))).toBe(true),
      onCall: arrived,
    });
    socket.ondata = (data) =>
      ua.receive(typeof data === "string" ? Buffer.from(data) : new Uint8Array(data as ArrayBuffer));
    const closed = new Promise<void>((resolve) => {
      socket.ondisconnect = () => resolve();
    });
    socket.connect();
    expect(socket.isConnecting()).toBe(true);
    const call = await incoming;
    call.acts.answer();
    await outgoing.until("answered");
    // The journal is written behind the call's back: asked until it is there, not faster than a phone may ask.
    const callState = async (): Promise<string> => (await device.callState(payload.call ?? "")).state;
    while ((await callState()) !== "answered") await new Promise((resolve) => setTimeout(resolve, 20));
    outgoing.acts.bye();
    await call.until("ended");
    const lastCall = async (): Promise<string | undefined> => (await device.calls())[0]?.state;
    while ((await lastCall()) !== "ended") await new Promise((resolve) => setTimeout(resolve, 20));

    await device.unsubscribe(subscription.id);
    expect(await device.subscriptions()).toEqual([]);
    await device.leave();
    await closed;
    expect((await refusal(device.subscriptions())).status).toBe(401);
  });

  test("a refusal names the fields", async () => {
    const device = await enrol();
    const problem = await refusal(device.subscribe({ username: "a\r\nb", domain: "x y", password: "p" }));
    expect(problem.status).toBe(422);
    expect(problem.errors.map(({ field }) => field).toSorted()).toEqual(["account.domain", "account.username"]);
    await device.leave();
  });

  test("a server that is not there is status 0", async () => {
    const nowhere = new WakelineDevice({ server: "http://127.0.0.1:9", deviceId: "d", token: "t" });
    expect((await refusal(nowhere.subscriptions())).status).toBe(0);
  });
});

describe("pushes as platforms deliver them", () => {
  const payload: PushPayload = {
    v: 1,
    id: "p1",
    kind: "call",
    sentAt: "2026-11-24T12:00:00.000Z",
    call: "c1",
    tunnel: "wss://push.example.com/v1/tunnel?ticket=t",
    deadline: "2026-11-24T12:00:40.000Z",
  };

  test("APNs dictionary, FCM data, plain text: the same payload", () => {
    expect(readPush({ aps: {}, wakeline: payload })).toEqual(payload);
    expect(readPush({ wakeline: JSON.stringify(payload) })).toEqual(payload);
    expect(readPush(JSON.stringify(payload))).toEqual(payload);
  });

  test("what is not ours, or of a later version, is nothing", () => {
    for (const other of [
      undefined,
      null,
      1,
      "x",
      {},
      { ...payload, v: 2 },
      { ...payload, kind: "dance" },
      { wakeline: 1 },
    ]) {
      expect(readPush(other)).toBeUndefined();
    }
  });

  test("late means ask, not drop: clocks of phones are wrong by seconds", () => {
    const at = (seconds: number) => judgeCall(payload, new Date(Date.parse(payload.sentAt) + seconds * 1_000)).kind;
    expect([at(-30), at(4), at(6), at(60)]).toEqual(["ring", "ring", "ask", "ask"]);
    expect(judgeCall({ ...payload, kind: "missed" }).kind).toBe("ignore");
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Glob } from "bun";
import {
  jsSipSocket,
  judgeCall,
  problemCodes,
  readPush,
  serverFacts,
  WakelineDevice,
  WakelineProblem,
} from "../../sdk/src/index.ts";
import type { Fetch, PushPayload } from "../../sdk/src/index.ts";
import { DemoUa, type UaCall } from "../../src/demo/ua.ts";
import { until } from "../interop/lab/wait.ts";
import { domain, openWorld, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

function enrol(): Promise<WakelineDevice> {
  const { app, appKey } = world;
  const push = { provider: "webhook", token: "phone-1" } as const;
  return WakelineDevice.enrol({ server: `${world.server}/`, app, appKey, push, name: "test phone" }, world);
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
    const named = { account: { displayName: "Alice" }, notify: { preview: true } };
    const changed = await device.change(subscription.id, named);
    expect([changed.account.displayName, changed.notify.preview]).toEqual(["Alice", true]);
    const unnamed = await device.change(subscription.id, { account: { displayName: null } });
    expect(unnamed.account.displayName).toBeUndefined();
    expect((await device.subscription(subscription.id)).presence).toBe("foreground");
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
    const late = new Date(Date.parse(payload.sentAt) + 30_000);
    expect(await device.decideCall(payload, { now: late })).toEqual({ kind: "ring", tunnel: verdict.tunnel });

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
    await until("the call is answered", async () => (await device.callState(payload.call ?? "")).state === "answered");
    outgoing.acts.bye();
    await call.until("ended");
    await until("the call has ended", async () => (await device.calls())[0]?.state === "ended");
    expect(await device.decideCall(payload, { now: late })).toEqual({ kind: "over", state: "ended" });
    expect(await device.decideCall({ ...payload, call: "not-a-call" }, { now: late })).toEqual({
      kind: "over",
      state: undefined,
    });
    expect(await device.calls({ since: new Date(Date.now() + 60_000) })).toEqual([]);

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

  test("describes the device, sends a test push and takes its receipt, changes name and push target", async () => {
    const device = await enrol();
    const sent = await device.testPush();
    expect(sent.outcome).toBe("accepted");
    const payload = readPush(await world.webhook.next("test"));
    if (payload === undefined) throw new Error("no push");
    await device.acknowledge(payload, { receivedAt: new Date(Date.parse(payload.sentAt) + 40), priority: "normal" });
    const described = await device.describe();
    expect([described.wake.receipts, described.push.state, described.name]).toEqual([1, "alive", "test phone"]);
    expect((await device.setName("another")).name).toBe("another");
    const { push } = await device.setPush({ provider: "webhook", token: "phone-2" });
    expect(push.provider).toBe("webhook");
    await device.leave();
  });

  test("tells what the server says of itself, without enrolment", async () => {
    const facts = await serverFacts(`${world.server}/`);
    expect([facts.name, facts.interface, facts.api]).toEqual(["wakeline", 1, world.server]);
    expect(facts.tunnel).toBe(`${world.server.replace(/^http/, "ws")}/v1/tunnel`);
  });
});

describe("when a call of the API does not do what it should", () => {
  /** A device on a `fetch` of the test's own, as React Native or a test of an app brings one. */
  const over = (fetch: Fetch) =>
    new WakelineDevice({ server: "https://push.example.com", deviceId: "d", token: "t" }, { fetch });
  const never: Fetch = (_url, { signal }) =>
    new Promise((_resolve, reject) => {
      const stop = (): void => reject(new Error("stopped"));
      if (signal.aborted) stop();
      signal.addEventListener("abort", stop);
    });
  const answering = (status: number, body: string, headers: Record<string, string> = {}): Fetch => {
    return async () => new Response(body, { status, headers });
  };

  test("a server that is not there is status 0", async () => {
    const nowhere = new WakelineDevice({ server: "http://127.0.0.1:9", deviceId: "d", token: "t" });
    const problem = await refusal(nowhere.subscriptions());
    expect([problem.status, problem.code, problem.isTemporary]).toEqual([0, "unreachable", true]);
  });

  test("no answer in time, a signal before and one meanwhile", async () => {
    const device = over(never);
    const late = await refusal(device.subscriptions({ timeoutMs: 1 }));
    expect([late.status, late.code, late.isTemporary]).toEqual([0, "timeout", true]);
    const before = await refusal(device.describe({ signal: AbortSignal.abort() }));
    expect([before.code, before.isTemporary]).toEqual(["aborted", false]);
    const stop = new AbortController();
    const meanwhile = refusal(device.setPresence("s", "background", { signal: stop.signal }));
    stop.abort();
    expect((await meanwhile).code).toBe("aborted");
  });

  test("a problem document, and a proxy's page that is none", async () => {
    const busy = await refusal(
      over(
        answering(429, JSON.stringify({ code: "tooManyRequests", title: "Too Many Requests" }), { "retry-after": "7" }),
      ).describe({ timeoutMs: 5_000 }), // shorter than the wait that is asked for: not asked again
    );
    expect([busy.code, busy.message, busy.retryAfterSec, busy.isTemporary]).toEqual([
      "tooManyRequests",
      "Too Many Requests",
      7,
      true,
    ]);
    const page = await refusal(over(answering(502, "<html>")).leave());
    expect([page.status, page.code, page.message, page.isTemporary]).toEqual([502, "unknown", "HTTP 502", true]);
    const nothing = await refusal(over(answering(404, "null")).leave());
    expect([nothing.code, nothing.isTemporary]).toEqual(["unknown", false]);
  });

  test("a busy server is asked again when it says so, within the time limit; a refusal is not", async () => {
    const busy = (code: string, retryAfter: string) => ({
      status: 503,
      body: JSON.stringify({ code }),
      headers: { "retry-after": retryAfter },
    });
    const scripted = (...script: readonly { status: number; body: string; headers?: Record<string, string> }[]) => {
      const left = [...script];
      const fetch: Fetch = async () => {
        const next = left.shift();
        if (next === undefined) throw new Error("asked once too often");
        return new Response(next.body, { status: next.status, ...(next.headers ? { headers: next.headers } : {}) });
      };
      return { device: over(fetch), left };
    };
    const served = scripted(busy("overloaded", "0"), busy("busy", "0"), { status: 200, body: "[]" });
    expect(await served.device.subscriptions()).toEqual([]);
    const tooLong = scripted(busy("overloaded", "30"), { status: 200, body: "[]" });
    expect((await refusal(tooLong.device.subscriptions())).retryAfterSec).toBe(30);
    const refused = scripted(busy("registrarUnavailable", "0"), { status: 200, body: "[]" });
    expect((await refusal(refused.device.subscriptions())).code).toBe("registrarUnavailable");
    expect([served.left.length, tooLong.left.length, refused.left.length]).toEqual([0, 1, 1]);
    const stop = new AbortController();
    const waiting = refusal(scripted(busy("overloaded", "10")).device.subscriptions({ signal: stop.signal }));
    await Promise.resolve();
    stop.abort();
    expect((await waiting).code).toBe("aborted");
  });

  test("a late call is decided without the server when it cannot be asked: by the deadline", async () => {
    const payload: PushPayload = {
      v: 1,
      id: "p",
      kind: "call",
      sentAt: "2026-11-24T12:00:00.000Z",
      call: "c",
      tunnel: "wss://push.example.com/v1/tunnel?ticket=t",
      deadline: "2026-11-24T12:00:40.000Z",
    };
    const at = (sec: number) => new Date(Date.parse(payload.sentAt) + sec * 1_000);
    const device = over(never);
    expect((await device.decideCall(payload, { now: at(1) })).kind).toBe("ring");
    expect((await device.decideCall(payload, { now: at(20), timeoutMs: 1 })).kind).toBe("ring");
    expect((await device.decideCall(payload, { now: at(41), timeoutMs: 1 })).kind).toBe("over");
    expect((await over(answering(401, "{}")).decideCall(payload, { now: at(20) })).kind).toBe("over");
    expect((await device.decideCall({ ...payload, kind: "cancel" })).kind).toBe("ignore");
  });

  test("every code of the server's phone interface is among the kit's", async () => {
    const codes = new Set<string>();
    const root = `${import.meta.dir}/../../src/edge`;
    for await (const file of new Glob("*.ts").scan(root)) {
      if (file.startsWith("operator-")) continue;
      const text = await Bun.file(`${root}/${file}`).text();
      for (const [, named, refused] of text.matchAll(/\bcode: "(\w+)"|refused\(\d{3}, "(\w+)"/g))
        codes.add(named ?? refused ?? "");
    }
    expect(codes.size).toBeGreaterThan(15);
    expect([...codes].filter((code) => !new Set<string>(problemCodes).has(code))).toEqual([]);
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
      { ...payload, id: 1 },
      { ...payload, sentAt: "soon" },
      { ...payload, deadline: "later" },
      { ...payload, call: 7 },
      { ...payload, tunnel: "https://push.example.com" },
      { ...payload, from: "sip:bob@example.com" },
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

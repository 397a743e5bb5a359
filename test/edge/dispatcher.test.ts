import { describe, expect, test } from "bun:test";
import type { AccountId, CallUuid, DeviceId, SubscriptionId, TunnelId } from "../../src/base/ids.ts";
import type { Delivery } from "../../src/push/types.ts";
import type { CallState, CallSummary, Event } from "../../src/workers/protocol.ts";
import { at, EdgeBench, type Phone } from "./edge-bench.ts";

const call = "0192d1c8-1111-7000-8000-000000000001" as CallUuid;
const callId = "c1@pbx";

interface Sleeping {
  readonly bench: EdgeBench;
  readonly phone: Phone;
  readonly accountId: AccountId;
  readonly target: { readonly deviceId: DeviceId; readonly subscriptionId: SubscriptionId };
}

/** A phone that sleeps, with one account. */
async function sleeping(push?: unknown, more: Record<string, unknown> = {}): Promise<Sleeping> {
  const bench = await EdgeBench.open();
  const phone = await bench.phone(push);
  const subscriptionId = at(await bench.subscribe(phone, {}, more), "id") as SubscriptionId;
  const [accountId] = bench.store.accountRecords.keys();
  bench.shards.told.length = 0;
  return {
    bench,
    phone,
    accountId: accountId as AccountId,
    target: { deviceId: phone.deviceId as DeviceId, subscriptionId },
  };
}

function wakeOf({ bench, accountId, target }: Sleeping): Event {
  return {
    kind: "wake",
    call,
    callId,
    accountId,
    targets: [target],
    from: { uri: "sip:bob@example.com", name: "Bob" },
    receivedAtMs: bench.clock.wallMs(),
    deadlineMs: bench.clock.wallMs() + 40_000,
  };
}

function journalOf({ bench, accountId, target }: Sleeping, state: CallState, more: Partial<CallSummary> = {}): Event {
  return {
    kind: "journal",
    summary: {
      call,
      callId,
      accountId,
      direction: "inbound",
      from: { uri: "sip:bob@example.com", name: "Bob" },
      state,
      startedAtMs: bench.clock.wallMs(),
      devices: [target.deviceId],
      ...more,
    },
    targets: [target.deviceId],
  };
}

/** Lets what was started in the background come to its end: the fakes answer within a few turns. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

describe("wake", () => {
  test("a call is pushed with all that the phone needs, and the shard hears that it was accepted", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(wakeOf(it));
    await settle();
    const { deviceId, payload, deadlineMs } = bench.gateway.pushes[0] ?? {};
    expect(deviceId).toBe(it.target.deviceId);
    expect(deadlineMs).toBe(bench.clock.wallMs() + 40_000);
    expect(payload).toEqual({
      v: 1,
      id: payload?.id ?? "",
      kind: "call",
      subscription: it.target.subscriptionId,
      sentAt: "2026-11-24T12:00:00.000Z",
      call,
      callId,
      from: { uri: "sip:bob@example.com", name: "Bob" },
      tunnel: payload?.tunnel ?? "",
      deadline: "2026-11-24T12:00:40.000Z",
    });
    expect(payload?.tunnel).toMatch(/^wss:\/\/push\.example\.com\/v1\/tunnel\?ticket=[A-Za-z0-9_-]{43}$/);
    expect(bench.shards.told).toEqual([`delivery ${call} ${it.target.deviceId} accepted ${it.accountId}`]);
  });

  const failures: readonly Delivery[] = [
    { kind: "tokenDead", which: "token", reason: "Unregistered" },
    { kind: "refused", reason: "BadTopic", ours: true },
    { kind: "retry", afterMs: 1_000, reason: "TooManyRequests" },
  ];
  test.each(failures.map((delivery) => [delivery.kind, delivery] as const))(
    "%s means that the device cannot be woken",
    async (_kind, delivery) => {
      const it = await sleeping();
      await using bench = it.bench;
      bench.gateway.deliver = () => delivery;
      bench.edge.dispatcher.onEvent(wakeOf(it));
      await settle();
      expect(bench.shards.told).toEqual([`delivery ${call} ${it.target.deviceId} failed ${it.accountId}`]);
    },
  );

  test("a device that is gone cannot be woken", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.store.devices.clear();
    bench.edge.dispatcher.onEvent(wakeOf(it));
    expect([bench.shards.told.length, bench.gateway.pushes.length]).toEqual([1, 0]);
    expect(bench.shards.told[0]).toContain("failed");
  });

  test("the same wake told twice is one push", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(wakeOf(it));
    bench.edge.dispatcher.onEvent(wakeOf(it));
    await settle();
    expect(bench.gateway.pushes.length).toBe(1);
  });

  test.each([
    ["answered", false],
    ["cancelled", true],
    ["answeredElsewhere", true],
    ["missed", true],
  ] as const)("a call that is %s stops its pushes", async (state, over) => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(wakeOf(it));
    bench.edge.dispatcher.onEvent({ kind: "callState", call, state: "ringing", over: false });
    expect(bench.gateway.abandoned).toEqual([]);
    bench.edge.dispatcher.onEvent({ kind: "callState", call, state, over });
    expect(bench.gateway.abandoned).toEqual([call]);
  });

  /** As the shard tells when the device has not come, or has lost its tunnel. */
  const again = (it: Sleeping, why: "silent" | "lost"): Event => ({ ...wakeOf(it), again: why }) as Event;

  test("woken again, a device gets a push of the same call under another id, with a ticket of its own", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(wakeOf(it));
    bench.edge.dispatcher.onEvent(again(it, "silent"));
    bench.edge.dispatcher.onEvent(again(it, "lost"));
    await settle();
    const payloads = bench.gateway.pushes.map(({ payload }) => payload);
    expect(payloads.map((payload) => payload.call)).toEqual([call, call, call]);
    expect(new Set(payloads.map(({ id }) => id)).size).toBe(3);
    expect(new Set(payloads.map(({ tunnel }) => tunnel)).size).toBe(3);
    // Only what became of the first is the shard's affair: the others may fail and nobody is the worse for it.
    expect(bench.shards.told).toEqual([`delivery ${call} ${it.target.deviceId} accepted ${it.accountId}`]);
  });

  test("... but not a device that has said that it got the push and is only slow; one that lost its tunnel is", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(wakeOf(it));
    await settle();
    const id = bench.gateway.pushes[0]?.payload.id ?? "";
    const receivedAt = new Date(bench.clock.wallMs()).toISOString();
    await bench.call("POST", `/v1/pushes/${id}/receipt`, it.phone.token, { receivedAt });
    bench.edge.dispatcher.onEvent(again(it, "silent"));
    expect(bench.gateway.pushes).toHaveLength(1);
    bench.edge.dispatcher.onEvent(again(it, "lost"));
    expect(bench.gateway.pushes).toHaveLength(2);
  });

  test("... nor for a call that is answered, or that nobody was woken for", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(again(it, "lost"));
    bench.edge.dispatcher.onEvent(wakeOf(it));
    bench.edge.dispatcher.onEvent({ kind: "callState", call, state: "answered", over: false });
    bench.edge.dispatcher.onEvent(again(it, "lost"));
    await settle();
    expect(bench.gateway.pushes).toHaveLength(1);
  });

  test.each([
    ["to the alert token", { provider: "apns", token: "aa", alertToken: "bb" }, [undefined, true]],
    ["not at all without one", { provider: "apns", token: "aa" }, [undefined]],
  ] as const)("APNs: exactly one VoIP push a call; a further one goes %s", async (_where, push, asAlert) => {
    const it = await sleeping(push);
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(wakeOf(it));
    bench.edge.dispatcher.onEvent(again(it, "silent"));
    await settle();
    expect(bench.gateway.pushes.map((request) => request.asAlert)).toEqual([...asAlert]);
  });

  test("the shard hears how long the device may take: 6 s while nothing is known of it", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(wakeOf(it));
    await settle();
    expect(bench.shards.silences).toEqual([6_000]);
  });

  test("each step of a wake is measured", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    const sum = (step: string) => bench.metric(`wakeline_wake_seconds_sum{step="${step}"}`);
    const accepted = Promise.withResolvers<Delivery>();
    bench.gateway.deliver = () => accepted.promise;
    bench.edge.dispatcher.onEvent(wakeOf(it));
    bench.clock.advance(20);
    accepted.resolve({ kind: "accepted" });
    await settle();
    bench.clock.advance(1_500);
    const { pathname, search } = new URL(bench.gateway.pushes[0]?.payload.tunnel ?? "");
    const socket = new WebSocket(`ws://127.0.0.1:${bench.edge.publicPort}${pathname}${search}`, "sip");
    await bench.shards.until(() => bench.shards.told.some((line) => line.startsWith("tunnelOpened")));
    bench.clock.advance(1);
    bench.edge.sink.frame(1 as TunnelId, "INVITE sip:x SIP/2.0\r\nCall-ID: another\r\n\r\n");
    bench.clock.advance(2);
    bench.edge.sink.frame(1 as TunnelId, `INVITE sip:x SIP/2.0\r\nCall-ID: ${callId}\r\n\r\n`);
    bench.clock.advance(100);
    if (socket.readyState !== WebSocket.OPEN) await new Promise((resolve) => socket.addEventListener("open", resolve));
    for (const [nth, line] of ["100 Trying", "180 Ringing", "180 Ringing"].entries()) {
      socket.send(`SIP/2.0 ${line}\r\nCall-ID: ${callId}\r\n\r\n`);
      await bench.shards.until(() => bench.shards.frames.length === nth + 1);
      if (nth === 0) bench.clock.advance(200);
    }
    bench.clock.advance(3_700);
    bench.edge.dispatcher.onEvent({ kind: "callState", call, state: "answered", over: false });
    bench.edge.dispatcher.onEvent(journalOf(it, "answered"));
    expect(await sum("invite_to_push")).toBeCloseTo(0.02, 6);
    expect(await sum("push_to_tunnel")).toBeCloseTo(1.5, 6);
    expect(await sum("tunnel_to_invite")).toBeCloseTo(0.003, 6);
    expect(await sum("invite_to_answer")).toBeCloseTo(4, 6);
    expect(await sum("invite_to_ringing")).toBeCloseTo(0.3, 6);
    const [provider, wakes] = Object.entries(bench.metrics.wakesByProvider())[0] ?? [];
    expect([provider, wakes?.began, wakes?.steps.invite_to_ringing?.p50Ms]).toEqual(["webhook", 1, 300]);
    for (const step of [
      "invite_to_push",
      "push_to_tunnel",
      "tunnel_to_invite",
      "invite_to_ringing",
      "invite_to_answer",
    ]) {
      expect(await bench.metric(`wakeline_wake_seconds_count{step="${step}"}`)).toBe(1);
    }
    socket.close();
  });
});

describe("other pushes", () => {
  const notice = (it: Sleeping, push: "cancel" | "message" | "voicemail" | "missed" | "refused", more = {}): Event => ({
    kind: "notify",
    push,
    accountId: it.accountId,
    targets: [it.target],
    ...more,
  });

  test("a cancel names its call and carries no tunnel", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(notice(it, "cancel", { call, callId, text: "Call completed elsewhere" }));
    const { payload } = bench.gateway.pushes[0] ?? {};
    expect(payload).toMatchObject({ kind: "cancel", call, callId, text: "Call completed elsewhere" });
    expect(payload?.tunnel).toBeUndefined();
  });

  test("a message carries a tunnel, and its text only where previews are wanted", async () => {
    for (const [preview, text] of [
      [false, undefined],
      [true, "Hello"],
    ] as const) {
      const it = await sleeping(undefined, { notify: { preview } });
      await using bench = it.bench;
      const deadlineMs = bench.clock.wallMs() + 25_000;
      bench.edge.dispatcher.onEvent(notice(it, "message", { from: { uri: "sip:bob@x" }, text: "Hello", deadlineMs }));
      const { payload } = bench.gateway.pushes[0] ?? {};
      expect([payload?.text, payload?.deadline]).toEqual([text, "2026-11-24T12:00:25.000Z"]);
      const { search } = new URL(payload?.tunnel ?? "");
      expect((await bench.call("GET", `/v1/tunnel${search}`)).status).toBe(426);
      bench.clock.advance(25_001);
      expect((await bench.call("GET", `/v1/tunnel${search}`)).status).toBe(403);
    }
  });

  test("what a subscription has switched off is not pushed; a refusal always is", async () => {
    const it = await sleeping(undefined, { notify: { message: false, voicemail: false, missed: false } });
    await using bench = it.bench;
    for (const push of ["message", "voicemail", "missed", "refused", "cancel"] as const) {
      bench.edge.dispatcher.onEvent(notice(it, push, { text: "x" }));
    }
    expect(bench.gateway.pushes.map(({ payload }) => payload.kind)).toEqual(["refused", "cancel"]);
  });

  test("a subscription that is gone is not pushed to", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.store.subscriptions.clear();
    bench.edge.dispatcher.onEvent(notice(it, "missed"));
    expect(bench.gateway.pushes).toEqual([]);
  });

  test("a fault in one event costs that event, and is counted", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.gateway.deliver = () => {
      throw new Error("bug");
    };
    bench.edge.dispatcher.onEvent(notice(it, "missed"));
    await settle();
    expect(await bench.metric('wakeline_faults_total{where="dispatch"}')).toBe(1);
    bench.gateway.deliver = () => ({ kind: "accepted" });
    bench.edge.dispatcher.onEvent(notice(it, "missed"));
    expect(bench.gateway.pushes.length).toBe(2);
  });
});

describe("what became of a call", () => {
  test("is known before the journal has it, to its devices only", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    const stranger = await bench.phone();
    const ask = (token: string) => bench.call("GET", `/v1/calls/${call}`, token);
    bench.edge.dispatcher.onEvent(wakeOf(it));
    expect((await ask(it.phone.token)).body).toEqual({
      state: "ringing",
      from: { uri: "sip:bob@example.com", name: "Bob" },
      at: "2026-11-24T12:00:00.000Z",
      deadline: "2026-11-24T12:00:40.000Z",
    });
    expect((await ask(stranger.token)).status).toBe(404);
    bench.edge.dispatcher.onEvent({ kind: "callState", call, state: "cancelled", over: true });
    expect((await ask(it.phone.token)).body).toEqual({
      state: "cancelled",
      from: { uri: "sip:bob@example.com", name: "Bob" },
      at: "2026-11-24T12:00:00.000Z",
    });
  });

  test("is known from the journal after a restart", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(journalOf(it, "missed"));
    bench.store.journal.set("0192d1c8-2222-7000-8000-000000000002" as CallUuid, {
      devices: [it.target.deviceId],
      entry: {
        call: "0192d1c8-2222-7000-8000-000000000002" as CallUuid,
        callId: "c2",
        accountId: it.accountId,
        subscriptionId: undefined,
        direction: "inbound",
        state: "answered",
        fromUri: "sip:carol@example.com",
        fromName: undefined,
        startedAtMs: bench.clock.wallMs() - 60_000,
        answeredAtMs: bench.clock.wallMs() - 50_000,
        endedAtMs: undefined,
      },
    });
    const old = await bench.call("GET", "/v1/calls/0192d1c8-2222-7000-8000-000000000002", it.phone.token);
    expect(old.body).toEqual({
      state: "answered",
      from: { uri: "sip:carol@example.com" },
      at: "2026-11-24T11:59:00.000Z",
    });
    const list = await bench.call("GET", "/v1/calls", it.phone.token);
    expect(list.body).toMatchObject([
      { call, callId, subscription: it.target.subscriptionId, direction: "inbound", state: "missed" },
      { callId: "c2", state: "answered", answeredAt: "2026-11-24T11:59:10.000Z" },
    ]);
    const since = await bench.call(
      "GET",
      `/v1/calls?since=${encodeURIComponent("2026-11-24T11:59:30Z")}`,
      it.phone.token,
    );
    expect((since.body as unknown[]).length).toBe(1);
    expect((await bench.call("GET", "/v1/calls?since=tomorrow", it.phone.token)).status).toBe(422);
  });

  test("a ringing call is no line of the list yet", async () => {
    const it = await sleeping();
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(journalOf(it, "ringing"));
    expect((await bench.call("GET", "/v1/calls", it.phone.token)).body).toEqual([]);
    expect((await bench.call("GET", `/v1/calls/${call}`, it.phone.token)).status).toBe(200);
  });
});

describe("push tokens in a REGISTER, RFC 8599", () => {
  const parameters = (it: Sleeping, provider: string, prid: string): Event => ({
    kind: "pushParameters",
    deviceId: it.target.deviceId,
    provider,
    prid,
    param: "team.com.example.phone",
  });
  const pushOf = (it: Sleeping) => it.bench.store.device(it.target.deviceId)?.push;

  test("refresh the device's, and make it alive again", async () => {
    const it = await sleeping({ provider: "fcm", token: "old" });
    await using bench = it.bench;
    await bench.store.patchDevice(it.target.deviceId, { tokenState: "dead" });
    bench.edge.dispatcher.onEvent(parameters(it, "fcm", "new:to%25ken"));
    await settle();
    expect([pushOf(it)?.token, bench.store.device(it.target.deviceId)?.tokenState]).toEqual(["new:to%25ken", "alive"]);
  });

  test("a call in the same moment goes to the new token", async () => {
    const it = await sleeping({ provider: "fcm", token: "old" });
    await using bench = it.bench;
    let token: string | undefined;
    bench.gateway.deliver = () => {
      token = pushOf(it)?.token;
      return { kind: "accepted" };
    };
    bench.edge.dispatcher.onEvent(parameters(it, "fcm", "new"));
    bench.edge.dispatcher.onEvent(wakeOf(it));
    await settle();
    expect(token).toBe("new");
  });

  test("of APNs may be two", async () => {
    const it = await sleeping({ provider: "apns", token: "aa", alertToken: "bb" });
    await using bench = it.bench;
    bench.edge.dispatcher.onEvent(parameters(it, "apns", "cc:remote&dd:voip"));
    await settle();
    expect(pushOf(it)).toMatchObject({ token: "dd", alertToken: "cc" });
    expect(bench.store.writes.at(-1)).toBe("patchDevice");
  });

  test("that are the same, of another provider, or none, change nothing", async () => {
    const it = await sleeping({ provider: "fcm", token: "old" });
    await using bench = it.bench;
    const writes = bench.store.writes.length;
    for (const [provider, prid] of [
      ["fcm", "old"],
      ["apns", "aa"],
      ["fcm", "a\u00e9"],
      ["fcm", "a\r\nb"],
      ["fcm", ""],
    ] as const) {
      bench.edge.dispatcher.onEvent(parameters(it, provider, prid));
    }
    await settle();
    expect([pushOf(it)?.token, bench.store.writes.length]).toEqual(["old", writes]);
  });
});

test("a mode that the registrar taught is kept", async () => {
  const it = await sleeping();
  await using bench = it.bench;
  bench.edge.dispatcher.onEvent({ kind: "modeLearned", accountId: it.accountId, mode: "singleDevice" });
  await settle();
  expect(bench.store.account(it.accountId)?.learnedMode).toBe("singleDevice");
});

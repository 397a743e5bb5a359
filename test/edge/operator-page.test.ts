import { describe, expect, test } from "bun:test";
import type { AccountId, CallUuid, DeviceId, SubscriptionId } from "../../src/base/ids.ts";
import { FigureHistory } from "../../src/edge/figure-history.ts";
import type { summaryOf } from "../../src/edge/operator-app.ts";
import { OperatorFeed } from "../../src/edge/operator-feed.ts";
import { Counter, Lane } from "../../src/observe/lanes.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import type { Summary } from "../../src/page/api/answers.ts";
import type { CallState, CallSummary, RegistrarStatus, RegistrationStatus } from "../../src/workers/protocol.ts";
import { VirtualClock } from "../fakes/virtual-clock.ts";
import { EdgeBench } from "./edge-bench.ts";

async function withAccounts(...usernames: readonly string[]) {
  const bench = await EdgeBench.open();
  const phone = await bench.phone();
  for (const username of usernames) await bench.subscribe(phone, { username });
  const idOf = (username: string): AccountId =>
    [...bench.store.accountRecords.values()].find((record) => record.username === username)?.accountId ??
    ("" as AccountId);
  return { bench, phone, idOf };
}

function callOf(n: number, state: CallState, accountId: AccountId, more: Partial<CallSummary> = {}): CallSummary {
  return {
    call: `0192d1c8-1111-7000-8000-${String(n).padStart(12, "0")}` as CallUuid,
    callId: `c${n}`,
    accountId,
    direction: "inbound",
    from: { uri: "sip:bob@x" },
    state,
    startedAtMs: 1_000 * n,
    devices: [],
    ...more,
  };
}

describe("what the operator's page asks for beyond the outside interface", () => {
  test("the summary is what the page takes it for, with how often each wake step happened", async () => {
    const isTaken: ReturnType<typeof summaryOf> extends Summary ? true : false = true;
    expect(isTaken).toBe(true);
    await using bench = await EdgeBench.open();
    bench.metrics.wakeStep("invite_to_push", 5);
    bench.metrics.wakeStep("invite_to_push", 7);
    const { body } = await bench.operator("GET", "/operator/v1/summary");
    expect(body).toMatchObject({
      wakeCounts: { invite_to_push: 2, push_to_tunnel: 0, tunnel_to_invite: 0, invite_to_answer: 0 },
    });
  });

  test("an account tells its devices without their push tokens, and its own calls, newest first", async () => {
    const { bench, phone, idOf } = await withAccounts("anna", "bert");
    await using _ = bench;
    const deviceId = phone.deviceId as DeviceId;
    for (const [n, username] of ["anna", "bert", "anna"].entries()) {
      const { devices: _devices, from, ...call } = callOf(n, "missed", idOf(username));
      const times = { answeredAtMs: undefined, endedAtMs: undefined };
      const entry = { ...call, ...times, subscriptionId: undefined, fromUri: from.uri, fromName: undefined };
      bench.store.putJournal(entry, [deviceId]);
    }
    const answer = await bench.operator("GET", `/operator/v1/accounts/${idOf("anna")}`);
    expect(answer.body).toMatchObject({
      deviceList: [{ device: deviceId, presence: "background", tokenState: "alive", wakeable: true }],
      calls: [{ callId: "c2" }, { callId: "c0" }],
    });
    const pushToken = bench.store.device(deviceId)?.push.token ?? "";
    expect(pushToken).not.toBe("");
    expect(answer.text).not.toContain(pushToken);
  });

  test("calls: of each, running and ended, no more than asked for; of one account", async () => {
    const { bench, idOf } = await withAccounts("anna");
    await using _ = bench;
    bench.shards.callList = [
      callOf(5, "missed", idOf("anna"), { endedAtMs: 9 }),
      callOf(4, "answered", "other" as AccountId),
      callOf(3, "cancelled", "other" as AccountId, { endedAtMs: 9 }),
      callOf(2, "ringing", "other" as AccountId),
    ];
    const asked = async (query: string) =>
      ((await bench.operator("GET", `/operator/v1/calls${query}`)).body as { callId: string }[]).map(
        ({ callId }) => callId,
      );
    expect(await asked("")).toEqual(["c5", "c4", "c3", "c2"]);
    expect(await asked("?limit=1")).toEqual(["c4", "c5"]);
    expect(await asked(`?account=${idOf("anna")}`)).toEqual(["c5"]);
    expect((await bench.operator("GET", "/operator/v1/calls?limit=x")).status).toBe(422);
  });

  test("registrars: the largest ones, when a limit is given", async () => {
    await using bench = await EdgeBench.open();
    bench.shards.registrarList = [1, 3, 2].map((accounts) => ({ accounts }) as RegistrarStatus);
    expect((await bench.operator("GET", "/operator/v1/registrars?limit=2")).body).toEqual([
      { accounts: 3 },
      { accounts: 2 },
    ]);
  });

  test("troubles: who was refused or retries, newest first; who recovered is gone", async () => {
    const { bench, idOf } = await withAccounts("anna", "bert", "carl", "dora");
    await using _ = bench;
    const change = (username: string, state: RegistrationStatus["state"]): void => {
      const status: RegistrationStatus = { mode: "alternate", state };
      bench.shards.statuses.set(idOf(username), status);
      bench.edge.dispatcher.onEvent({ kind: "registrationChanged", accountId: idOf(username), status });
    };
    change("anna", "refused");
    change("bert", "retrying");
    change("carl", "retrying");
    change("carl", "registered");
    change("dora", "registering");
    // Its next refresh is no trouble.
    bench.shards.statuses.set(idOf("carl"), { mode: "alternate", state: "registering" });
    const names = async () =>
      (
        (await bench.operator("GET", "/operator/v1/troubles")).body as { accounts: { username: string }[] }
      ).accounts.map(({ username }) => username);
    expect(await names()).toEqual(["bert", "anna"]);
    // The shards know best: an event may be late.
    bench.shards.statuses.set(idOf("anna"), { mode: "alternate", state: "registered" });
    expect(await names()).toEqual(["bert"]);
  });

  test("troubles: those of before a restart come from the shards, in pages", async () => {
    const { bench, idOf } = await withAccounts("anna", "bert", "carl");
    await using _ = bench;
    bench.shards.troubleList = ["anna", "bert", "carl"].map(idOf);
    for (const id of bench.shards.troubleList) bench.shards.statuses.set(id, { mode: "auto", state: "refused" });
    const page = async (query: string) => {
      const { body } = await bench.operator("GET", `/operator/v1/troubles?limit=2${query}`);
      const { accounts, next } = body as { accounts: { username: string }[]; next?: string };
      return [accounts.map(({ username }) => username), next];
    };
    expect(await page("")).toEqual([["anna", "bert"], "0.2"]);
    expect(await page("&from=0.2")).toEqual([["carl"], undefined]);
    expect((await bench.operator("GET", "/operator/v1/troubles?from=x")).status).toBe(422);
  });

  test("events: only the topics asked for, and everything about one account", async () => {
    const { bench, idOf } = await withAccounts("anna", "bert");
    await using _ = bench;
    const response = await fetch(
      `http://127.0.0.1:${bench.edge.operatorPort}/operator/v1/events?topics=call&account=${idOf("anna")}`,
    );
    const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
    for (const username of ["bert", "anna"]) {
      bench.edge.dispatcher.onEvent({
        kind: "registrationChanged",
        accountId: idOf(username),
        status: { mode: "auto", state: "refused" },
      });
    }
    bench.edge.dispatcher.onEvent({ kind: "callState", call: "c" as CallUuid, state: "missed", over: true });
    let text = "";
    while (!text.includes("event: call")) text += new TextDecoder().decode((await reader.read()).value);
    expect(text).toContain(idOf("anna"));
    expect(text).not.toContain(idOf("bert"));
    await reader.cancel();
  });

  test("events: at most a hundred a second to a watcher, and word of the others; one account's always", async () => {
    const clock = new VirtualClock();
    const feed = new OperatorFeed(clock);
    const [mine, other] = ["mine" as AccountId, "other" as AccountId];
    const reader = (feed.watch({ topics: new Set(["call"]), account: mine }) ?? new ReadableStream()).getReader();
    for (let n = 0; n < 130; n++) feed.publish("call", { call: `c${n}`, account: other });
    feed.publish("registration", { account: mine });
    clock.advance(1_000);
    feed.publish("call", { call: "next" });
    feed.close();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += new TextDecoder().decode(value);
    }
    const events = [...text.matchAll(/event: (\w+)\ndata: (.*)/g)].map(([, topic, data]) => `${topic} ${data}`);
    expect(events.filter((event) => event.startsWith("call")).length).toBe(101);
    expect(events.slice(-3)).toEqual([
      'registration {"account":"mine"}',
      'skipped {"events":30}',
      'call {"call":"next"}',
    ]);
  });

  test("an account's story: what its registrar said and which pushes went out, newest first, the last two dozen", async () => {
    const { bench, idOf, phone } = await withAccounts("anna", "bert");
    await using _ = bench;
    const story = async (username: string) =>
      (
        (await bench.operator("GET", `/operator/v1/accounts/${idOf(username)}`)).body as {
          story: readonly Readonly<Record<string, unknown>>[];
        }
      ).story;
    const status = { mode: "alternate", state: "refused", lastStatus: 403 } as const;
    bench.edge.dispatcher.onEvent({ kind: "registrationChanged", accountId: idOf("anna"), status });
    bench.clock.advance(5_000);
    const subscriptionId = bench.store.subscriptionsOfAccount(idOf("anna"))[0]?.subscriptionId as SubscriptionId;
    const targets = [{ deviceId: phone.deviceId as DeviceId, subscriptionId }];
    bench.edge.dispatcher.onEvent({ kind: "notify", push: "refused", accountId: idOf("anna"), targets });
    await bench.shards.until(() => bench.gateway.pushes.length === 1);
    await Promise.resolve();
    const [push, registration] = await story("anna");
    expect(push).toMatchObject({ topic: "push", kind: "refused", outcome: "accepted", provider: "webhook" });
    expect(registration).toMatchObject({ topic: "registration", state: "refused", lastStatus: 403 });
    expect(Date.parse(String(push?.at)) - Date.parse(String(registration?.at))).toBe(5_000);
    // That an account is registered is no story; that it is so again is.
    const good = { mode: "alternate", state: "registered" } as const;
    for (const accountId of [idOf("bert"), idOf("anna")])
      bench.edge.dispatcher.onEvent({ kind: "registrationChanged", accountId, status: good });
    expect(await story("bert")).toEqual([]);
    expect((await story("anna"))[0]).toMatchObject({ state: "registered" });
    for (let n = 0; n < 30; n++)
      bench.edge.dispatcher.onEvent({ kind: "registrationChanged", accountId: idOf("anna"), status });
    expect((await story("anna")).length).toBe(24);
  });

  test("history: what the figures were, an hour of them, oldest first", async () => {
    const clock = new VirtualClock();
    const lane = new Lane(new SharedArrayBuffer(Lane.bytes(1)), 0);
    const history = new FigureHistory(new Metrics({ lanes: [lane], startedAtMs: 0 }), clock);
    for (let n = 0; n < 365; n++) {
      lane.set(Counter.registrationsRegistered, n);
      lane.set(Counter.loopDelayMs, n % 7);
      history.sample();
      clock.advance(10_000);
    }
    const { atSec, registrations, memoryBytes, loopDelayMs } = history.view();
    expect([atSec.length, registrations.registered.length, memoryBytes.length]).toEqual([360, 360, 360]);
    expect((atSec.at(-1) ?? 0) - (atSec[0] ?? 0)).toBeCloseTo(3_590, 3);
    expect([registrations.registered[0], registrations.registered.at(-1), registrations.idle.at(-1)]).toEqual([
      5, 364, 0,
    ]);
    expect(loopDelayMs.slice(0, 3)).toEqual([5, 6, 0]);
    await using bench = await EdgeBench.open();
    expect((await bench.operator("GET", "/operator/v1/history")).body).toMatchObject({ loopDelayMs: [0] });
  });
});

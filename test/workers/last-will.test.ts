import { describe, expect, test } from "bun:test";
import type { AccountId, CallUuid, DeviceId, SubscriptionId, TunnelId } from "../../src/base/ids.ts";
import { LastWill } from "../../src/workers/last-will.ts";
import type { CallState, CallSummary, Event } from "../../src/workers/protocol.ts";

const call = "call" as CallUuid;
const [here, asleep] = ["here" as DeviceId, "asleep" as DeviceId];
const tunnels = new Map([[here, 7 as TunnelId]]);

function journal(
  state: CallState,
  targets: readonly DeviceId[] = [here, asleep],
  direction: CallSummary["direction"] = "inbound",
): Event {
  const summary: CallSummary = {
    call,
    callId: "c1@pbx",
    accountId: "account" as AccountId,
    direction,
    from: { uri: "sip:bob@far.example" },
    state,
    startedAtMs: 1_000,
    devices: [here, asleep],
  };
  return { kind: "journal", summary, targets };
}

function wake(deviceId: DeviceId): Event {
  return {
    kind: "wake",
    call,
    callId: "c1@pbx",
    accountId: "account" as AccountId,
    targets: [{ deviceId, subscriptionId: `of-${deviceId}` as SubscriptionId }],
    from: { uri: "sip:bob@far.example" },
    receivedAtMs: 1_000,
    deadlineMs: 41_000,
  };
}

/** What is told after these events. */
function told(...events: readonly Event[]) {
  const will = new LastWill();
  for (const event of events) will.onEvent(event);
  const result = will.execute(tunnels, 5_000);
  expect(will.size).toBe(0);
  expect(will.execute(tunnels, 6_000)).toEqual({ events: [], answers: [] });
  return result;
}

describe("a shard's last will", () => {
  test("a word goes into the device's tunnel; one that was taken back, or has no tunnel, goes nowhere", () => {
    const word = (deviceId: DeviceId, text: string) => ({ to: "phone", deviceId, text }) as const;
    const { events } = told(
      { kind: "will", id: "1", word: word(here, "CANCEL one") },
      { kind: "will", id: "2", word: word(here, "CANCEL two") },
      { kind: "will", id: "3", word: word(asleep, "CANCEL three") },
      { kind: "will", id: "2" },
    );
    expect(events).toEqual([{ kind: "frame", tunnelId: 7 as TunnelId, text: "CANCEL one" }]);
  });

  test("a server's answer is for the shard's next life", () => {
    const word = { to: "server", address: "192.0.2.1", port: 5060, text: "SIP/2.0 500" } as const;
    expect(told({ kind: "will", id: "1", word })).toEqual({ events: [], answers: [word] });
  });

  test("a call that was ringing is missed: phones that were woken and are not here are told by push", () => {
    const { events } = told(journal("ringing"), wake(here), wake(asleep));
    expect(events.slice(0, 2)).toMatchObject([
      { kind: "callState", call, state: "missed", over: true },
      { kind: "journal", summary: { state: "missed", endedAtMs: 5_000 }, targets: [here, asleep] },
    ]);
    const targets = [{ deviceId: asleep, subscriptionId: "of-asleep" as SubscriptionId }];
    expect(events.slice(2)).toMatchObject([
      { kind: "notify", push: "cancel", call, targets },
      { kind: "notify", push: "missed", call, targets },
    ]);
    expect(events).toHaveLength(4);
  });

  test("one that was answered has ended, for who answered it", () => {
    const { events } = told(
      journal("ringing"),
      wake(asleep),
      journal("answered", [asleep]),
      journal("answeredElsewhere", [here]),
    );
    expect(events).toMatchObject([
      { kind: "callState", call, state: "ended", over: true },
      { kind: "journal", summary: { state: "ended" }, targets: [asleep] },
    ]);
    expect(events).toHaveLength(2);
  });

  test("one that is over, as told in whatever order, is nobody's any more", () => {
    const over: Event = { kind: "callState", call, state: "cancelled", over: true };
    expect(told(journal("ringing"), wake(asleep), over, journal("cancelled")).events).toEqual([]);
  });
});

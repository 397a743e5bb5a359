import { describe, expect, test } from "bun:test";
import { assert, constantFrom, property, string } from "fast-check";
import type { AccountId, CallUuid, DeviceId } from "../../src/base/ids.ts";
import { DeviceTokens } from "../../src/edge/device-tokens.ts";
import { LiveCalls } from "../../src/edge/live-calls.ts";
import { PeerAddresses } from "../../src/edge/peer-address.ts";
import { limitKey } from "../../src/net/address.ts";
import { problem } from "../../src/edge/problem.ts";
import { RateLimiter } from "../../src/edge/rate-limiter.ts";
import { domainText, proxyText, quotable, userPart } from "../../src/edge/text-rules.ts";
import { Tickets } from "../../src/edge/tickets.ts";
import { Turns } from "../../src/edge/turns.ts";
import { Lane } from "../../src/observe/lanes.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { SeededRandom, VirtualClock } from "../fakes/virtual-clock.ts";

describe("rate limiter", () => {
  test("gives its burst, then what time brings, never more than the burst", () => {
    const clock = new VirtualClock();
    const limiter = new RateLimiter({ clock, burst: 3, perSec: 0.5, keysMax: 10 });
    const taken = () => Array.from({ length: 5 }, () => limiter.take("a"));
    expect(taken()).toEqual([0, 0, 0, 2, 2]);
    clock.advance(1_000);
    expect(limiter.take("a")).toBeCloseTo(1);
    clock.advance(1_000);
    expect(limiter.take("a")).toBe(0);
    clock.advance(3_600_000);
    expect(taken().filter((waitSec) => waitSec === 0).length).toBe(3);
    expect(limiter.take("b")).toBe(0);
  });

  test("looking takes nothing", () => {
    const limiter = new RateLimiter({ clock: new VirtualClock(), burst: 1, perSec: 1, keysMax: 10 });
    expect([limiter.waitSec("a"), limiter.waitSec("a"), limiter.take("a"), limiter.waitSec("a")]).toEqual([0, 0, 0, 1]);
  });

  test("remembers a limited number of keys", () => {
    const limiter = new RateLimiter({ clock: new VirtualClock(), burst: 1, perSec: 1, keysMax: 2 });
    for (const key of ["a", "b", "c"]) limiter.take(key);
    expect([limiter.waitSec("c"), limiter.waitSec("a")]).toEqual([1, 0]);
  });
});

describe("turns", () => {
  test("work on one key is done one after the other, also after a failure", async () => {
    const turns = new Turns();
    const log: string[] = [];
    const first = Promise.withResolvers<void>();
    const one = turns.take("a", async () => {
      log.push("one starts");
      await first.promise;
      log.push("one fails");
      throw new Error("one");
    });
    const two = turns.take("a", async () => {
      log.push("two");
      return 2;
    });
    await turns.take("b", async () => log.push("other key"));
    expect(log).toEqual(["one starts", "other key"]);
    first.resolve();
    expect(await one.catch((cause: Error) => cause.message)).toBe("one");
    expect(await two).toBe(2);
    expect(log).toEqual(["one starts", "other key", "one fails", "two"]);
    await Promise.resolve();
    expect(turns.size).toBe(0);
  });
});

describe("who sent a request", () => {
  const of = (trusted: readonly string[], socket: string, forwarded?: string) =>
    new PeerAddresses(trusted).of(
      new Request("http://x.example", forwarded === undefined ? {} : { headers: { "x-forwarded-for": forwarded } }),
      socket,
    );

  test.each([
    ["no proxy trusted", [], "192.0.2.1", "203.0.113.1", "192.0.2.1"],
    ["through a trusted one", ["192.0.2.0/24"], "192.0.2.1", "203.0.113.1", "203.0.113.1"],
    ["through two", ["192.0.2.0/24"], "192.0.2.1", "203.0.113.1, 192.0.2.7", "203.0.113.1"],
    ["a claim further left", ["192.0.2.1"], "192.0.2.1", "10.0.0.1, 203.0.113.1", "203.0.113.1"],
    ["past one that is not trusted", ["192.0.2.1"], "198.51.100.1", "203.0.113.1", "198.51.100.1"],
    ["a header of nonsense", ["192.0.2.1"], "192.0.2.1", "unknown, evil", "192.0.2.1"],
    ["no header", ["192.0.2.1"], "192.0.2.1", undefined, "192.0.2.1"],
    ["a mapped address", ["192.0.2.1"], "::ffff:192.0.2.1", "203.0.113.1", "203.0.113.1"],
    ["IPv6", ["2001:db8::/32"], "2001:db8::1", "[2001:db9::7]", "2001:db9::7"],
    ["an entry that is no address", ["proxy.example.com"], "192.0.2.1", "203.0.113.1", "192.0.2.1"],
  ] as const)("%s", (_what, trusted, socket, forwarded, expected) => {
    expect(of(trusted, socket, forwarded)).toBe(expected);
  });

  test("limits count an IPv6 household as one", () => {
    expect(limitKey("2001:db8:0:1::5")).toBe(limitKey("2001:db8::1:aaaa:bbbb:cccc:dddd"));
    expect(limitKey("2001:db8:0:1::5")).not.toBe(limitKey("2001:db8:0:2::5"));
    expect(limitKey("::1")).toBe("0:0:0:0");
    expect(limitKey("fe80::1%eth0")).toBe("fe80:0:0:0");
    expect(limitKey("192.0.2.1")).toBe("192.0.2.1");
  });
});

describe("tickets", () => {
  const call = "c" as CallUuid;
  const issue = (tickets: Tickets, clock: VirtualClock, of: CallUuid | "none" = call) =>
    tickets.issue({
      deviceId: "d" as DeviceId,
      call: of === "none" ? undefined : of,
      deadlineMs: clock.wallMs() + 1_000,
    });

  test("are forgotten when they are no longer good", () => {
    const clock = new VirtualClock();
    const tickets = new Tickets(clock, new SeededRandom(1));
    const [ofCall, ofMessage] = [issue(tickets, clock), issue(tickets, clock, "none")];
    expect(ofCall).not.toBe(ofMessage);
    clock.advance(1_001);
    expect([tickets.check(ofCall)?.call, tickets.check(ofMessage)]).toEqual([call, undefined]);
    tickets.sweep();
    expect(tickets.size).toBe(1);
    tickets.callOver(call);
    expect(tickets.check(ofCall)).toBeUndefined();
    tickets.sweep();
    expect(tickets.size).toBe(0);
  });

  test("are at most so many: the oldest go", () => {
    const clock = new VirtualClock();
    const tickets = new Tickets(clock, new SeededRandom(1), 2);
    const all = [issue(tickets, clock), issue(tickets, clock), issue(tickets, clock)];
    expect(all.map((ticket) => tickets.check(ticket) !== undefined)).toEqual([false, true, true]);
  });
});

describe("device tokens", () => {
  test("survive a restart, for the keys are in the store", async () => {
    const [store, clock] = [new MemoryStore(), new VirtualClock()];
    const holder = { deviceId: "d" as DeviceId, app: "a" };
    const token = await (await DeviceTokens.open(store, clock)).issue(holder);
    expect(await (await DeviceTokens.open(store, clock)).verify(token)).toEqual(holder);
    expect(await (await DeviceTokens.open(new MemoryStore(), clock)).verify(token)).toBeUndefined();
  });
});

describe("live calls", () => {
  test("what is answered for one device is answered elsewhere for the others, while the call goes on", () => {
    const clock = new VirtualClock();
    const metrics = new Metrics({ lanes: [new Lane(new SharedArrayBuffer(Lane.bytes(1)), 0)], startedAtMs: 0 });
    const calls = new LiveCalls(clock, metrics);
    const call = {
      call: "c" as CallUuid,
      callId: "c",
      accountId: "a" as AccountId,
      from: { uri: "sip:x" },
      startedAtMs: clock.wallMs(),
      deadlineMs: undefined,
    };
    const [here, there] = ["here" as DeviceId, "there" as DeviceId];
    calls.changed({ ...call, state: "ringing" }, [here, there]);
    calls.stateOf(call.call, "answered", false);
    calls.changed({ ...call, state: "answered" }, [here]);
    calls.changed({ ...call, state: "answeredElsewhere" }, [there]);
    clock.advance(3_600_000);
    calls.sweep();
    expect(calls.of(call.call, here)?.state).toBe("answered");
    expect(calls.of(call.call, there)?.state).toBe("answeredElsewhere");
    calls.stateOf(call.call, "ended", true);
    calls.changed({ ...call, state: "ended" }, [here]);
    expect(calls.of(call.call, here)?.state).toBe("ended");
    expect(calls.of(call.call, there)?.state).toBe("answeredElsewhere");
  });

  test("teach how long a device takes to come: twice what nine of ten needed, from 3 to 15 s", () => {
    const clock = new VirtualClock();
    const metrics = new Metrics({ lanes: [new Lane(new SharedArrayBuffer(Lane.bytes(1)), 0)], startedAtMs: 0 });
    const calls = new LiveCalls(clock, metrics);
    const device = "d" as DeviceId;
    let serial = 0;
    const wake = (ms: number, acceptedFirst = true): void => {
      const call = `c${++serial}` as CallUuid;
      const startedAtMs = clock.wallMs();
      const from = { uri: "sip:x" };
      const live = { call, callId: call, accountId: "a" as AccountId, from, startedAtMs };
      calls.waking({ ...live, deadlineMs: startedAtMs + 40_000 }, device, false, "fcm");
      if (acceptedFirst) calls.accepted(call, device);
      clock.advance(ms);
      calls.tunnelOpened(device);
      calls.accepted(call, device);
    };
    for (const ms of [900, 1_000, 1_100, 1_200]) wake(ms);
    expect(calls.times.p90Ms(device)).toBeUndefined();
    expect(calls.times.silenceMs(device)).toBe(6_000);
    wake(2_500);
    expect(calls.times.p90Ms(device)).toBe(2_500);
    expect(calls.times.silenceMs(device)).toBe(5_000);
    for (let n = 0; n < 10; n++) wake(1_000);
    expect(calls.times.silenceMs(device)).toBe(3_000);
    // Behind the deadline it came by chance.
    for (let n = 0; n < 15; n++) wake(50_000);
    expect(calls.times.silenceMs(device)).toBe(3_000);
    for (let n = 0; n < 15; n++) wake(20_000);
    expect(calls.times.silenceMs(device)).toBe(15_000);
    // Quicker than its provider's answer.
    for (let n = 0; n < 15; n++) wake(500, false);
    expect(calls.times.p90Ms(device)).toBe(0);
    expect(calls.times.silenceMs("other" as DeviceId)).toBe(6_000);
  });

  test("are forgotten some minutes after their end, and after half a day without one", () => {
    const clock = new VirtualClock();
    const metrics = new Metrics({ lanes: [new Lane(new SharedArrayBuffer(Lane.bytes(1)), 0)], startedAtMs: 0 });
    const calls = new LiveCalls(clock, metrics);
    const device = "d" as DeviceId;
    for (const call of ["ends", "never ends"] as CallUuid[]) {
      calls.waking(
        {
          call,
          callId: call,
          accountId: "a" as AccountId,
          from: { uri: "sip:x" },
          startedAtMs: clock.wallMs(),
          deadlineMs: undefined,
        },
        device,
        false,
        "fcm",
      );
    }
    calls.stateOf("ends" as CallUuid, "missed", true);
    clock.advance(299_000);
    calls.sweep();
    expect(calls.of("ends" as CallUuid, device)?.state).toBe("missed");
    clock.advance(2_000);
    calls.sweep();
    expect(calls.size).toBe(1);
    clock.advance(12 * 3_600_000);
    calls.sweep();
    expect(calls.size).toBe(0);
  });
});

test("a problem points at each field, RFC 9457 and RFC 6901", async () => {
  const response = problem({ status: 422, code: "invalid", faults: [{ field: "account.ha1[2].a/b~c", detail: "x" }] });
  expect(await response.json()).toMatchObject({
    title: "Unprocessable Content",
    errors: [{ field: "account.ha1[2].a/b~c", pointer: "#/account/ha1/2/a~1b~0c", detail: "x" }],
  });
});

test("no text that a rule lets through can break a header line", () => {
  const rules = [quotable, userPart, domainText, proxyText];
  const noise = string({
    unit: constantFrom(...Array.from('ab1.-@:<>"\\[];%0dDaA\r\n\0\t \u0085\u2028é€\ud800')),
    maxLength: 12,
  });
  assert(
    property(noise, (text) => {
      for (const rule of rules) {
        if (rule(text) === undefined) expect(text).not.toMatch(/[\r\n\0"\\\u0085\u2028]|%0[da]/i);
      }
    }),
    { numRuns: 5_000 },
  );
});

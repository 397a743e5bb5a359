import { describe, expect, test } from "bun:test";
import type { CallUuid, DeviceId } from "../../src/base/ids.ts";
import { type Log, silentLog } from "../../src/observe/log.ts";
import { notForApns } from "../../src/push/delivery.ts";
import { type After, createGateway, type GatewayLimits } from "../../src/push/gateway.ts";
import type { PushMetrics } from "../../src/push/metrics.ts";
import type { Delivery, PushGateway, PushPayload, PushSender } from "../../src/push/types.ts";
import type { DeviceRecord, PushProvider } from "../../src/store/types.ts";
import { SeededRandom, VirtualClock } from "../fakes/virtual-clock.ts";
import { callOne, callPayload, deviceOne, DeviceShelf, deviceWith, startWallMs } from "./devices.ts";

/** What one send was given, and when. */
interface Sent {
  readonly device: DeviceRecord;
  readonly payload: PushPayload;
  readonly ttlMs: number;
  readonly atMs: number;
}

type Step = Delivery | ((sent: Sent) => Delivery | Promise<Delivery>);

/** Answers by a script, its last step for ever. */
class ScriptedSender implements PushSender {
  readonly sent: Sent[] = [];
  readonly #steps: readonly Step[];
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock, ...steps: readonly Step[]) {
    this.#clock = clock;
    this.#steps = steps;
  }

  async send(device: DeviceRecord, payload: PushPayload, ttlMs: number): Promise<Delivery> {
    const sent: Sent = { device, payload, ttlMs, atMs: this.#clock.nowMs() };
    this.sent.push(sent);
    const step = this.#steps[Math.min(this.sent.length, this.#steps.length) - 1] ?? { kind: "accepted" };
    return typeof step === "function" ? step(sent) : step;
  }

  warm = (): Promise<void> => Promise.resolve();
  probe = (): Promise<undefined> => Promise.resolve(undefined);
  close = (): Promise<void> => Promise.resolve();
}

/** Timers that fire when the test says so. */
class Timers {
  readonly #clock: VirtualClock;
  readonly #due = new Map<number, { readonly atMs: number; readonly action: () => void }>();
  #last = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  readonly after: After = (ms, action) => {
    const id = ++this.#last;
    this.#due.set(id, { atMs: this.#clock.nowMs() + ms, action });
    return () => void this.#due.delete(id);
  };

  get waiting(): number {
    return this.#due.size;
  }

  /** Lets what is under way settle, then fires the next timer; until none is left. */
  async runAll(): Promise<void> {
    for (;;) {
      await settle();
      const [next] = [...this.#due].sort(([, a], [, b]) => a.atMs - b.atMs);
      if (next === undefined) return;
      const [id, { atMs, action }] = next;
      this.#due.delete(id);
      this.#clock.moveTo(atMs);
      action();
    }
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await Promise.resolve();
}

class CountingMetrics implements PushMetrics {
  readonly outcomes: string[] = [];
  readonly alarms: string[] = [];
  timed = 0;
  outcome(provider: PushProvider, outcome: Delivery["kind"]): void {
    this.outcomes.push(`${provider} ${outcome}`);
  }
  seconds(): void {
    this.timed++;
  }
  alarm(app: string, provider: PushProvider, reason: string): void {
    this.alarms.push(`${app} ${provider} ${reason}`);
  }
}

const retry = (afterMs = 0, reason = "status 503"): Delivery => ({ kind: "retry", afterMs, reason });
const accepted: Delivery = { kind: "accepted" };
const dead: Delivery = { kind: "tokenDead", which: "token", reason: "Unregistered" };

interface World {
  readonly clock: VirtualClock;
  readonly timers: Timers;
  readonly sender: ScriptedSender;
  readonly shelf: DeviceShelf;
  readonly metrics: CountingMetrics;
  readonly gateway: PushGateway;
  readonly errors: string[];
  push(payload?: PushPayload, leftMs?: number, deviceId?: DeviceId): Promise<Delivery>;
}

function world(device: DeviceRecord, steps: readonly Step[], limits: Partial<GatewayLimits> = {}): World {
  const clock = new VirtualClock(1_000, startWallMs);
  const timers = new Timers(clock);
  const sender = new ScriptedSender(clock, ...steps);
  const shelf = new DeviceShelf(device);
  const metrics = new CountingMetrics();
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (event) => void errors.push(event) };
  const gateway = createGateway({
    senders: new Map([[device.app, { [device.push.provider]: sender }]]),
    store: shelf,
    clock,
    random: new SeededRandom(7),
    log,
    metrics,
    after: timers.after,
    limits,
  });
  return {
    clock,
    timers,
    sender,
    shelf,
    metrics,
    gateway,
    errors,
    push: (payload = callPayload(), leftMs = 40_000, deviceId = deviceOne) =>
      gateway.push({ deviceId, payload, deadlineMs: clock.wallMs() + leftMs }),
  };
}

const fcmDevice = deviceWith({ provider: "fcm", token: "t1" });

async function outcome(w: World, pushing: Promise<Delivery>): Promise<Delivery> {
  await w.timers.runAll();
  return pushing;
}

describe("gateway, retries inside the deadline", () => {
  test("a push that is accepted goes out once, with the time left", async () => {
    const w = world(fcmDevice, [accepted]);
    expect(await w.push()).toEqual(accepted);
    expect(w.sender.sent.map(({ ttlMs }) => ttlMs)).toEqual([40_000]);
    expect(w.metrics.outcomes).toEqual(["fcm accepted"]);
  });

  test("climbs the ladder: at once, 250 ms, 1 s, 3 s, 5 s, 10 s, each up to a fifth longer", async () => {
    const w = world(fcmDevice, [retry()]);
    expect(await outcome(w, w.push())).toEqual(retry());
    const gaps = w.sender.sent.slice(1).map(({ atMs }, n) => atMs - (w.sender.sent[n]?.atMs ?? 0));
    expect(gaps.length).toBe(6);
    for (const [n, ladderMs] of [0, 250, 1_000, 3_000, 5_000, 10_000].entries()) {
      expect(gaps[n]).toBeGreaterThanOrEqual(ladderMs);
      expect(gaps[n]).toBeLessThanOrEqual(ladderMs * 1.2);
    }
    expect(w.clock.nowMs()).toBeLessThan(41_000);
  });

  test("the time left shrinks with each try, the payload and its id stay", async () => {
    const w = world(fcmDevice, [retry(), retry(), accepted]);
    const payload = callPayload();
    expect(await outcome(w, w.push(payload))).toEqual(accepted);
    expect(w.sender.sent.every((sent) => sent.payload === payload)).toBe(true);
    const left = w.sender.sent.map(({ ttlMs }) => ttlMs);
    expect(left[2]).toBeLessThan(left[0] ?? 0);
  });

  test("honours Retry-After that fits", async () => {
    const w = world(fcmDevice, [retry(7_000), accepted]);
    expect(await outcome(w, w.push())).toEqual(accepted);
    expect((w.sender.sent[1]?.atMs ?? 0) - 1_000).toBeGreaterThanOrEqual(7_000);
  });

  test("Retry-After beyond the deadline is not retried, nor waited for", async () => {
    const w = world(fcmDevice, [retry(60_000, "QUOTA_EXCEEDED"), accepted]);
    expect(await w.push()).toEqual(retry(60_000, "QUOTA_EXCEEDED"));
    expect([w.sender.sent.length, w.timers.waiting]).toEqual([1, 0]);
  });

  test("refusals and dead tokens are not retried", async () => {
    for (const step of [{ kind: "refused", reason: "BadTopic", ours: true } as const, dead]) {
      const w = world(fcmDevice, [step]);
      expect(await outcome(w, w.push())).toEqual(step);
      expect(w.sender.sent.length).toBe(1);
    }
  });

  test("nothing is sent after the deadline", async () => {
    const w = world(fcmDevice, [accepted]);
    expect(await w.push(callPayload(), 0)).toEqual({ kind: "refused", reason: "tooLate", ours: false });
    expect(w.sender.sent).toEqual([]);
  });

  test("the deadline is kept although somebody sets the time of day", async () => {
    const w = world(fcmDevice, [retry(), () => (w.clock.jumpWall(-3_600_000), retry())]);
    const pushing = w.push();
    await w.timers.runAll();
    await pushing;
    expect(w.clock.nowMs()).toBeLessThan(41_000);
  });

  test("ends after its last rung even when there is time for hours", async () => {
    const w = world(fcmDevice, [retry()]);
    await outcome(w, w.push(callPayload({ kind: "lease" }), 86_400_000));
    expect(w.sender.sent.length).toBe(10);
  });
});

describe("gateway, one push for one call and device", () => {
  test("asked twice while under way: one push, one answer", async () => {
    const w = world(fcmDevice, [retry(), accepted]);
    const twice = [w.push(), w.push(callPayload({ id: "another" }))];
    await w.timers.runAll();
    expect(await Promise.all(twice)).toEqual([accepted, accepted]);
    expect(w.sender.sent.length).toBe(2);
  });

  test("asked again with the same id after it was accepted: not sent again", async () => {
    const w = world(fcmDevice, [{ kind: "accepted", providerId: "m1" }]);
    await w.push();
    expect(await w.push()).toEqual({ kind: "accepted", providerId: "m1" });
    expect(w.sender.sent.length).toBe(1);
  });

  test("a call and its cancel are two pushes", async () => {
    const w = world(fcmDevice, [accepted]);
    await w.push();
    await w.push(callPayload({ id: "c", kind: "cancel" }));
    expect(w.sender.sent.length).toBe(2);
  });

  test("what failed may be tried again under the same id", async () => {
    const w = world(fcmDevice, [{ kind: "refused", reason: "x", ours: false }, accepted]);
    await w.push();
    expect(await w.push()).toEqual(accepted);
  });
});

describe("gateway, abandon", () => {
  test("stops the retries of a call's pushes at once", async () => {
    const w = world(fcmDevice, [retry()]);
    const pushing = w.push();
    await settle();
    expect(w.timers.waiting).toBe(1);
    w.gateway.abandon(callOne);
    expect(await pushing).toEqual(retry());
    expect(w.timers.waiting).toBe(0);
  });

  test("a try under way ends with its answer and no other follows", async () => {
    const gate = Promise.withResolvers<Delivery>();
    const w = world(fcmDevice, [() => gate.promise]);
    const pushing = w.push();
    w.gateway.abandon(callOne);
    gate.resolve(retry());
    expect(await pushing).toEqual(retry());
    expect(w.sender.sent.length).toBe(1);
  });

  test("a call push that comes after it is not sent: nothing rings that should not", async () => {
    const w = world(fcmDevice, [accepted]);
    w.gateway.abandon(callOne);
    expect(await w.push()).toEqual({ kind: "refused", reason: "abandoned", ours: false });
    expect(w.sender.sent).toEqual([]);
  });

  test("leaves cancels and other calls alone", async () => {
    const w = world(fcmDevice, [retry(), retry(), accepted]);
    const cancelling = w.push(callPayload({ id: "c", kind: "cancel" }));
    const other = w.push(callPayload({ id: "o", call: "22222222-2222-4222-8222-222222222222" as CallUuid }));
    await settle();
    w.gateway.abandon(callOne);
    await w.timers.runAll();
    expect(await Promise.all([cancelling, other])).toEqual([accepted, accepted]);
  });
});

describe("gateway, dead tokens", () => {
  test("are marked in the store", async () => {
    const w = world(fcmDevice, [dead]);
    expect(await w.push()).toEqual(dead);
    expect(w.shelf.patches).toEqual([{ tokenState: "dead", ofToken: "t1" }]);
  });

  test("are not marked when the phone has enrolled a new one meanwhile: that one is tried at once", async () => {
    const renewed = deviceWith({ provider: "fcm", token: "t2" });
    const w = world(fcmDevice, [() => (w.shelf.devices.set(deviceOne, renewed), dead), accepted]);
    expect(await outcome(w, w.push())).toEqual(accepted);
    expect(w.shelf.patches).toEqual([]);
    expect(w.sender.sent.map(({ device }) => device.push.token)).toEqual(["t1", "t2"]);
  });

  const phone = deviceWith({ token: "voip", alertToken: "alert" });

  test("a call whose VoIP token has just died goes out as an alert", async () => {
    const w = world(phone, [dead, accepted]);
    expect(await w.push()).toEqual(accepted);
    expect(w.sender.sent.map(({ device }) => device.tokenState)).toEqual(["alive", "dead"]);
    expect(w.shelf.patches).toEqual([{ tokenState: "dead", ofToken: "voip" }]);
  });

  test("both dead: both marked, and the answer is about the token", async () => {
    const w = world(phone, [dead, { kind: "tokenDead", which: "alertToken", reason: "Unregistered" }]);
    expect(await w.push()).toEqual(dead);
    expect(w.shelf.patches).toEqual([
      { tokenState: "dead", ofToken: "voip" },
      { alertTokenState: "dead", ofAlertToken: "alert" },
    ]);
  });

  test("the alert that follows is retried like any push", async () => {
    const w = world(phone, [dead, retry(), accepted]);
    expect(await outcome(w, w.push())).toEqual(accepted);
    expect(w.sender.sent.map(({ device }) => device.tokenState)).toEqual(["alive", "dead", "dead"]);
  });

  test("a further push for a call goes to the alert token while the VoIP token lives, and kills nothing", async () => {
    const w = world(phone, [accepted]);
    const deadlineMs = w.clock.wallMs() + 40_000;
    const pushing = w.gateway.push({ deviceId: deviceOne, payload: callPayload(), deadlineMs, asAlert: true });
    expect(await pushing).toEqual(accepted);
    expect(w.sender.sent.map(({ device }) => device.tokenState)).toEqual(["dead"]);
    expect(w.shelf.patches).toEqual([]);
    const android = world(fcmDevice, [accepted]);
    await android.gateway.push({ deviceId: deviceOne, payload: callPayload(), deadlineMs, asAlert: true });
    expect(android.sender.sent.map(({ device }) => device.tokenState)).toEqual(["alive"]);
  });

  test.each(["BadTopic", "TopicDisallowed", "InvalidProviderToken", "SENDER_ID_MISMATCH"])(
    "%s is our fault: an alarm, and no token is marked",
    async (reason) => {
      const w = world(phone, [{ kind: "refused", reason, ours: true }]);
      await w.push();
      expect(w.shelf.patches).toEqual([]);
      expect(w.errors).toEqual(["push.alarm"]);
    },
  );

  test("a store that cannot write does not stop the alert", async () => {
    const w = world(phone, [dead, accepted]);
    w.shelf.patchDevice = () => Promise.reject(new Error("disk full"));
    expect(await w.push()).toEqual(accepted);
    expect(w.errors).toEqual(["push.markFailed"]);
  });
});

describe("gateway, what it counts and who is told", () => {
  test("each answer of a provider, with its time", async () => {
    const w = world(fcmDevice, [retry(), retry(), accepted]);
    await outcome(w, w.push());
    expect(w.metrics.outcomes).toEqual(["fcm retry", "fcm retry", "fcm accepted"]);
    expect(w.metrics.timed).toBe(3);
  });

  test("a fault of ours is an alarm: counted each time, logged once a minute", async () => {
    const w = world(fcmDevice, [{ kind: "refused", reason: "SENDER_ID_MISMATCH", ours: true }]);
    for (let n = 0; n < 3; n++) await w.push(callPayload({ id: `p${n}` }));
    expect(w.metrics.alarms.length).toBe(3);
    expect(w.metrics.alarms[0]).toBe("com.example.phone fcm SENDER_ID_MISMATCH");
    expect(w.errors).toEqual(["push.alarm"]);
    w.clock.advance(61_000);
    await w.push(callPayload({ id: "later" }));
    expect(w.errors.length).toBe(2);
  });

  test("a cancel that APNs may not have is neither sent nor counted", async () => {
    const w = world(deviceWith(), [{ kind: "refused", reason: notForApns, ours: false }]);
    await w.push(callPayload({ kind: "cancel" }));
    expect([w.metrics.outcomes, w.metrics.timed]).toEqual([[], 0]);
  });

  test("an app without that provider is an alarm", async () => {
    const w = world(fcmDevice, []);
    w.shelf.devices.set(deviceOne, deviceWith({ provider: "webhook" }));
    expect(await w.push()).toEqual({ kind: "refused", reason: "noSender", ours: true });
    expect(w.metrics.alarms.length).toBe(1);
  });

  test("a device that is gone is nobody's fault", async () => {
    const w = world(fcmDevice, []);
    expect(await w.push(callPayload(), 1_000, "gone" as DeviceId)).toEqual({
      kind: "refused",
      reason: "noDevice",
      ours: false,
    });
  });

  test("a sender that throws is a fault of the program, logged; the gateway goes on", async () => {
    const w = world(fcmDevice, [() => Promise.reject(new Error("bug")), accepted]);
    expect(await w.push()).toEqual({ kind: "refused", reason: "fault", ours: true });
    expect(w.errors).toEqual(["push.fault"]);
    expect(await w.push(callPayload({ id: "next" }))).toEqual(accepted);
  });
});

describe("gateway, limits", () => {
  const manyCalls = (n: number): PushPayload => callPayload({ id: `p${n}`, call: `call ${n}` as CallUuid });

  test("more requests at once than a provider may have wait on the ladder", async () => {
    const gates: PromiseWithResolvers<Delivery>[] = [];
    const gated = (): Promise<Delivery> => {
      const gate = Promise.withResolvers<Delivery>();
      gates.push(gate);
      return gate.promise;
    };
    const w = world(fcmDevice, [gated, gated, accepted], { sendsPerSenderMax: 2 });
    const pushing = [0, 1, 2].map((n) => w.push(manyCalls(n)));
    await settle();
    expect([w.sender.sent.length, w.timers.waiting]).toEqual([2, 1]);
    for (const gate of gates) gate.resolve(accepted);
    await w.timers.runAll();
    expect(await Promise.all(pushing)).toEqual([accepted, accepted, accepted]);
  });

  test("too many pushes are refused at once, not queued", async () => {
    const w = world(fcmDevice, [retry()], { urgentMax: 2 });
    const waiting = [0, 1].map((n) => w.push(manyCalls(n)));
    expect(await w.push(manyCalls(2))).toEqual({ kind: "refused", reason: "tooManyPushes", ours: true });
    await w.timers.runAll();
    await Promise.all(waiting);
    const later = w.push(manyCalls(3));
    await w.timers.runAll();
    expect((await later).kind).toBe("retry");
  });

  test("messages that wait never take the place of a call", async () => {
    const w = world(fcmDevice, [retry(), retry(), accepted], { ordinaryMax: 1, urgentMax: 1 });
    const message = w.push(callPayload({ id: "m", kind: "message", call: undefined }));
    await settle();
    expect((await w.push(callPayload({ id: "m2", kind: "message", call: undefined }))).kind).toBe("refused");
    expect(await w.push()).toEqual(accepted);
    await outcome(w, message);
  });
});

describe("gateway, close", () => {
  test("ends waits, waits for what is on the wire, and refuses what follows", async () => {
    const gate = Promise.withResolvers<Delivery>();
    const w = world(fcmDevice, [retry(), () => gate.promise, retry()]);
    const waiting = w.push();
    await settle();
    // The first retry is at once, so this push is on the wire now.
    const closing = w.gateway.close();
    let closed = false;
    void closing.then(() => (closed = true));
    await settle();
    expect(closed).toBe(false);
    gate.resolve(retry());
    await closing;
    expect(await waiting).toEqual(retry());
    expect(await w.push(callPayload({ id: "late" }))).toEqual({ kind: "refused", reason: "closed", ours: false });
  });
});

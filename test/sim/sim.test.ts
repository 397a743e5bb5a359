import { describe, expect, test } from "bun:test";
import { sipText } from "../fakes/sip-text.ts";
import { deviceIdOf } from "./directory.ts";
import { tellOf } from "./report.ts";
import { planOf, play } from "./scenario.ts";
import { type Happening, happenings } from "./talker.ts";
import type { CallPlan } from "./trunk.ts";
import { World } from "./world.ts";

/** Fixed, so that a failure is the same for everybody; `bun test/sim/run.ts --seconds N --seed S` goes on from here. */
const seeds = Array.from({ length: 14 }, (_, n) => n + 1);

interface Played {
  readonly broken: string;
  readonly answered: number;
  readonly happened: ReadonlyMap<Happening, number>;
}

const played = new Map<number, Played>();

/** What came of a world; each is played once. */
function playedOf(seed: number): Played {
  let one = played.get(seed);
  if (one === undefined) {
    const outcome = play(seed);
    const { violations, happened } = outcome.world;
    one = { broken: violations.length > 0 ? tellOf(outcome) : "", answered: outcome.answered, happened };
    played.set(seed, one);
  }
  return one;
}

describe("a shard among registrars, callers, push providers and phones", () => {
  test.each(seeds)("keeps every rule in world %p", (seed) => {
    const { broken, answered } = playedOf(seed);
    if (broken !== "") throw new Error(broken);
    expect(answered).toBeGreaterThan(10);
  });

  test(
    "has met everything in these worlds that the rules are about",
    () => {
      const missing = happenings.filter((happening) => !seeds.some((seed) => playedOf(seed).happened.has(happening)));
      expect(missing).toEqual([]);
    },
    { timeout: 60_000 },
  );

  test("is the same world again for the same seed", () => {
    const [first, second] = [play(3, { calls: 60 }), play(3, { calls: 60 })];
    expect(second.world.host.sent).toBe(first.world.host.sent);
    expect(second.world.pool.frames).toBe(first.world.pool.frames);
    expect(second.answered).toBe(first.answered);
  });
});

/** Fair weather, nobody's tunnel breaks. */
function calm(seed: number): World {
  const plan = planOf(seed);
  const world = new World({
    ...plan,
    transport: "udp",
    weather: { delayMs: [1, 3], lossRatio: 0, duplicateRatio: 0 },
    pool: { ...plan.pool, pushMs: [20, 100], pushLoss: 0, pushFails: 0, tunnelMs: [1, 5], noticeMs: [0, 10] },
    habits: { ...plan.habits, breaksPerSec: 0, dies: 0, killed: 0, deafToPush: 0, answers: 1, declines: 0 },
    accounts: 40,
    devicesMax: 1,
    registrar: { expiresSecMax: 600 },
  });
  world.start();
  world.run(3_000);
  expect(world.registrar.registered).toBe(40);
  return world;
}

const patient: CallPlan = {
  patienceMs: Infinity,
  ending: "cancel",
  talkMs: 5_000,
  reinvites: false,
  asks: false,
  glares: false,
  reliable: "no",
};

describe("a shard that dies", () => {
  test("comes back on the same columns without one REGISTER, and calls go on arriving", () => {
    const world = calm(1);
    const heard = world.registrar.requests;
    world.crash();
    world.run(10_000);
    expect(world.registrar.requests).toBe(heard);
    for (let n = 1; n <= 40; n++) expect(world.trunk.place(`u${n}`, patient)).toBeDefined();
    world.run(30_000);
    expect([...world.trunk.calls.values()].filter(({ dialog }) => dialog !== undefined)).toHaveLength(40);
    expect(world.registrar.requests).toBe(heard);
    world.run(600_000, 50);
    expect(world.registrar.registered).toBe(40);
    expect(world.count("registerLapsed")).toBe(0);
    expect(world.violations).toEqual([]);
  });
});

describe("a shard that dies while phones ring and call", () => {
  test("they fall silent, callers hear an end, and so do phones that called", () => {
    const world = calm(6);
    const phones = [...world.phones.values()];
    const calls = Array.from({ length: 10 }, (_, n) => world.trunk.place(`u${n + 1}`, patient));
    for (const phone of phones.slice(20, 25)) phone.openNow();
    world.run(500);
    for (const phone of phones.slice(20, 25)) phone.call(phone.accounts[0]?.username ?? "", "callee1");
    const rings = (): number => phones.filter(({ ringing }) => ringing.size > 0).length;
    world.wire.runUntil(() => rings() >= 8, 10_000);
    expect(rings()).toBeGreaterThanOrEqual(8);
    const open = (): number =>
      phones
        .flatMap(({ asked }) => [...asked.values()])
        .filter((one) => one.request.method === "INVITE" && one.finalStatus === 0).length;
    expect(open()).toBeGreaterThan(0);
    const unanswered = calls.filter((call) => call?.asked?.finalStatus === 0);
    world.crash();
    world.run(50);
    expect(rings()).toBe(0);
    expect(open()).toBe(0);
    expect(unanswered.map((call) => call?.asked?.finalStatus)).toEqual(unanswered.map(() => 500));
    world.run(100_000);
    expect(world.violations).toEqual([]);
    expect(world.pool.will.size).toBe(0);
  });
});

describe("an app that is ended while it rings", () => {
  test("is woken again and answers: the caller notices nothing", () => {
    const world = calm(5);
    const call = world.trunk.place("u1", patient);
    const [phone] = world.phones.values();
    world.wire.runUntil(() => phone !== undefined && phone.ringing.size > 0, 10_000);
    expect(phone?.ringing.size).toBe(1);
    world.run(500);
    phone?.kill();
    expect(phone?.ringing.size).toBe(0);
    world.run(30_000);
    expect(world.pool.wakes).toBe(2);
    expect(call?.dialog).toBeDefined();
    expect(world.violations).toEqual([]);
  });
});

describe("a shard that drains", () => {
  test("has told everybody when its time is over: phones fall silent, callers hear that nobody is there", () => {
    const world = calm(7);
    const phones = [...world.phones.values()];
    for (const phone of phones.slice(20, 23)) phone.openNow();
    world.run(500);
    for (const phone of phones.slice(20, 23)) phone.call(phone.accounts[0]?.username ?? "", "callee1");
    const calls = Array.from({ length: 5 }, (_, n) => world.trunk.place(`u${n + 1}`, patient));
    const rings = (): number => phones.filter(({ ringing }) => ringing.size > 0).length;
    world.wire.runUntil(() => rings() === 5, 10_000);
    world.command({ kind: "drain", drainMs: 20 });
    world.run(50);
    expect(world.isDrained).toBe(true);
    expect(rings()).toBe(0);
    const answers = calls.flatMap((call) => (call?.dialog === undefined ? [call?.asked?.finalStatus] : []));
    expect(answers.length).toBeGreaterThan(0);
    expect(new Set(answers)).toEqual(new Set([480]));
    const asked = phones.slice(20, 23).flatMap((phone) => [...phone.asked.values()]);
    const invites = asked.filter(({ request }) => request.method === "INVITE");
    expect(invites.filter(({ finalStatus }) => finalStatus === 0)).toEqual([]);
    expect(invites.some(({ finalStatus }) => finalStatus === 503)).toBe(true);
    expect(world.violations).toEqual([]);
  });

  test("lets calls end, takes no new one, and says when it is done", () => {
    const world = calm(2);
    for (let n = 1; n <= 10; n++) world.trunk.place(`u${n}`, patient);
    world.run(2_000);
    world.command({ kind: "drain", drainMs: 60_000 });
    const late = world.trunk.place("u20", patient);
    world.run(1_000);
    expect(late?.asked?.finalStatus).toBe(503);
    expect(world.isDrained).toBe(false);
    world.run(30_000);
    expect(world.isDrained).toBe(true);
    expect([...world.trunk.calls.values()].filter(({ dialog }) => dialog !== undefined)).toHaveLength(10);
    expect(world.violations).toEqual([]);
  });
});

describe("a broken rule", () => {
  test("is told with the ladder of its call and the line that plays the world again", () => {
    const world = calm(3);
    world.trunk.place("u1", patient);
    world.run(30_000);
    const [call] = world.trunk.calls.values();
    world.complain("a rule for this test", "what broke it", call?.callId ?? "");
    const invite = sipText("INVITE sip:u1@198.51.100.7;line=abcdefghijkl SIP/2.0", ["Call-ID: x"], "v=0\r\n");
    world.complain("another rule", invite, "");
    const told = tellOf({ seed: 3, world, calls: 1, answered: 1, outgoing: 0, simulatedMs: 0 });
    expect(told).toMatch(/Server +Wakeline +Phone \d{3}\n/);
    expect(told).toMatch(/│─+ INVITE ─+▶│ +│ {2}\d+ INVITE, to -/);
    expect(told).toMatch(/● ✗ RULE BROKEN {2}a rule for this test: what broke it/);
    expect(told).toEndWith("again: bun test/sim/run.ts --seconds 0 --seed 3");
    expect(told).toContain("another rule: INVITE sip:u1@198.51.100.7;line=*** SIP/2.0\nCall-ID: x");
    expect(told).not.toMatch(/line=\w|v=0/);
  });
});

describe("an account's trace", () => {
  test("shows its REGISTERs by their branch, and no answer whose request came before it began", () => {
    const world = calm(4);
    const [first, second] = [...world.directory.byId.values()];
    if (first === undefined || second === undefined) throw new Error("no accounts");
    const traced: string[] = [];
    const seen = world.seen.bind(world);
    world.seen = (event) => {
      if (event.kind === "ladder" && event.accountId === first.record.accountId) traced.push(event.entry.label);
      seen(event);
    };
    const traces = (account: typeof first): void =>
      world.command({
        kind: "traceStart",
        accountId: account.record.accountId,
        untilMs: world.clock.wallMs() + 600_000,
      });
    const firstDevice = deviceIdOf(1);
    traces(second);
    world.presence(first, firstDevice, "foreground");
    traces(first);
    world.run(5_000);
    expect(traced).toEqual([]);
    world.presence(first, firstDevice, "background");
    world.run(5_000);
    expect(traced.slice(0, 2)).toEqual(["REGISTER", "200 OK"]);
  });
});

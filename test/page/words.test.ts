import { describe, expect, test } from "bun:test";
import type { AccountDevice, Happening, Registration } from "../../src/page/api/answers.ts";
import { callerText } from "../../src/page/words/calls.ts";
import { bytes, count, duration, fromNow, millis, share, statusesText, timeOf } from "../../src/page/words/figures.ts";
import { wordsOf } from "../../src/page/words/happenings.ts";
import { readinessOf } from "../../src/page/words/readiness.ts";
import { healthOf } from "../../src/page/words/registrar-health.ts";
import { storyOf } from "../../src/page/words/registration.ts";

const nowMs = Date.parse("2026-11-24T12:00:00Z");
const later = (sec: number): string => new Date(nowMs + sec * 1_000).toISOString();

function device(more: Partial<AccountDevice> = {}): AccountDevice {
  return {
    device: "d1",
    provider: "apns",
    tokenState: "alive",
    presence: "background",
    wakeable: true,
    lastSeenAt: later(-60),
    ...more,
  };
}

function story(registration: Partial<Registration>, devices: readonly AccountDevice[] = [device()]) {
  return storyOf({ mode: "alternate", state: "registered", ...registration }, devices, nowMs);
}

describe("a registration in plain words", () => {
  test("registered: where, until when, renewed when; nothing to do", () => {
    const told = story({
      registrar: "192.0.2.1:5060",
      transport: "udp",
      expiresAt: later(600),
      nextAttemptAt: later(480),
    });
    expect(told.headline).toBe("Registered in the phone's place at 192.0.2.1:5060 over UDP.");
    expect(told.facts.join(" ")).toContain("(in 10 min)");
    expect(told.facts.at(-1)).toBe("It is renewed in 8 min.");
    expect(told.advice).toBeUndefined();
  });

  test.each([
    [401, "Unauthorized", "password or the auth username is wrong"],
    [407, "Proxy Authentication Required", "password or the auth username is wrong"],
    [401, "no challenge that may be answered", "a way of proving the password that is not allowed"],
    [401, "no credentials for this realm", "another realm"],
    [403, "Forbidden", "forbids it"],
    [404, "Not Found", "does not know this account"],
    [423, "Interval Too Brief", "longer expiry"],
    [488, "Not Acceptable Here", "Look up why"],
  ])("refused with %i %s: says so and what to do", (lastStatus, lastReason, advice) => {
    const told = story({ state: "refused", lastStatus, lastReason, nextAttemptAt: later(90_000) });
    expect(told.headline).toStartWith("Refused");
    expect(told.facts).toEqual([
      `The last answer was ${lastStatus} ${lastReason}.`,
      "Only to see whether that has changed it asks again in 1 d.",
    ]);
    expect(told.advice).toContain(advice);
  });

  test("retrying: why, when next, whether the old binding still holds", () => {
    const told = story({
      state: "retrying",
      lastStatus: 503,
      lastReason: "Service Unavailable",
      nextAttemptAt: later(30),
      expiresAt: later(90),
    });
    expect(told.facts).toEqual([
      "The last answer was 503 Service Unavailable.",
      `The last binding still holds until ${timeOf(later(90), nowMs)}.`,
      "The next attempt comes in 30 s.",
    ]);
    expect(told.advice).toContain("wait");
    expect(story({ state: "retrying", lastReason: "no answer" }).advice).toContain("reaches it");
    expect(story({ state: "retrying", lastReason: "no address for sip.invalid" }).advice).toContain("leads nowhere");
    for (const lastReason of ["a special-purpose network", "an address of this machine", "port 80 is not one of SIP's"])
      expect(story({ state: "retrying", lastReason }).advice).toContain("sip.egress_allow");
    expect(story({ state: "retrying", lastStatus: 500 }).advice).toContain("passes by itself");
  });

  test("idle: because the phone is awake, because nobody wants it, or not yet", () => {
    expect(story({ state: "idle" }, [device({ presence: "foreground" })]).headline).toContain("in the foreground");
    expect(story({ state: "idle" }, []).advice).toContain("Remove it");
    expect(story({ state: "idle" }).headline).toBe("Not registered yet.");
  });

  test("dead push tokens matter when no sleeping device is left to wake", () => {
    const dead = device({ tokenState: "dead", wakeable: false });
    expect(story({}, [dead]).advice).toContain("Open the app");
    expect(story({}, [dead, device()]).advice).toBeUndefined();
    expect(story({ state: "refused", lastStatus: 404 }, [dead]).advice).toContain("does not know");
  });
});

describe("figures", () => {
  test("counts are grouped, shares never round to all or nothing", () => {
    expect([0, 999, 1_000, 1_234_567].map(count)).toEqual(["0", "999", "1,000", "1,234,567"]);
    expect([share(0, 10), share(1, 1_000), share(999, 1_000), share(5, 10), share(10, 10), share(1, 0)]).toEqual([
      "0%",
      "<1%",
      "99%",
      "50%",
      "100%",
      "0%",
    ]);
  });

  test("times in the two largest units", () => {
    expect([-5, 0, 59, 61, 3_600, 90_000, 86_400].map(duration)).toEqual([
      "0 s",
      "0 s",
      "59 s",
      "1 min 1 s",
      "1 h",
      "1 d 1 h",
      "1 d",
    ]);
    expect([0, 0.8, 9.99, 35.4, 999.6, 1_250, 40_000].map(millis)).toEqual([
      "0 ms",
      "0.8 ms",
      "10 ms",
      "35 ms",
      "1 s",
      "1.3 s",
      "40 s",
    ]);
    expect([5e8, 1.4e9, 2e9].map(bytes)).toEqual(["500 MB", "1.4 GB", "2 GB"]);
  });

  test("moments as seen from now", () => {
    expect([0.4, 90, -90, 7_300].map((sec) => fromNow(later(sec), nowMs))).toEqual([
      "now",
      "in 1 min",
      "1 min ago",
      "in 2 h",
    ]);
    expect(timeOf(later(0), nowMs)).toMatch(/^\d\d:\d\d:\d\d$/);
    expect(timeOf(later(-86_400 * 2), nowMs)).toMatch(/^\d+ \w+, \d\d:\d\d:\d\d$/);
  });

  test("a caller by name and address", () => {
    expect(callerText({ uri: "sip:bob@x.example;user=phone", name: "Bob" })).toBe("Bob (bob@x.example)");
    expect(callerText({ uri: "sips:bob@x.example" })).toBe("bob@x.example");
  });
});

describe("what happened to an account", () => {
  const at = "2026-11-24T12:00:00Z";
  const words = (happening: Happening) => wordsOf(happening, () => "Anna's phone");

  test("each change of its registration is a sentence, with the answer and the server", () => {
    const place = { mode: "auto", registrar: "192.0.2.1:5060", transport: "udp" };
    const of = (state: Registration["state"], more: Partial<Registration> = {}) =>
      words({ at, topic: "registration", ...place, state, ...more });
    expect(of("registered")).toEqual({ tone: "good", text: "Registered at 192.0.2.1:5060 over UDP." });
    expect(of("refused", { lastStatus: 403, lastReason: "Forbidden" }).text).toBe(
      "Refused at 192.0.2.1:5060 over UDP: 403 Forbidden.",
    );
    expect(of("retrying", { lastReason: "no answer" })).toEqual({
      tone: "warn",
      text: "An attempt failed at 192.0.2.1:5060 over UDP: no answer.",
    });
    expect(of("idle").text).toContain("Not registered any more");
  });

  test("a push says to whom, by whom, and why not", () => {
    const push = { at, topic: "push", device: "d", provider: "fcm", kind: "call" } as const;
    expect(words({ ...push, outcome: "accepted" }).text).toBe("Push to Anna's phone (a call): taken by FCM.");
    expect(words({ ...push, outcome: "tokenDead", reason: "UNREGISTERED" })).toEqual({
      tone: "bad",
      text: "Push to Anna's phone (a call): FCM does not know its token any more (UNREGISTERED).",
    });
    expect(words({ ...push, outcome: "refused", reason: "x" }).text).toEndWith("not taken by FCM (x).");
    expect(words({ at, topic: "modeLearned", mode: "continuous" }).text).toContain("continuous");
  });

  test("a registrar that is not who it was is a warning, a renewed certificate is none", () => {
    const news = { at, topic: "registrar", registrar: "sip.example" } as const;
    expect(words({ ...news, what: "realmChanged", level: "warn", realm: "other" })).toMatchObject({
      tone: "warn",
      text: expect.stringContaining("another realm than before: other."),
    });
    const issuers = { issuer: "New CA", formerIssuer: "Old CA" };
    expect(words({ ...news, ...issuers, what: "certificateChanged", level: "warn" }).text).toContain(
      "another issuer: New CA, before Old CA.",
    );
    expect(words({ ...news, ...issuers, what: "certificateRenewed", level: "info" }).tone).toBe("quiet");
  });
});

test("last answers are counted, the most frequent first", () => {
  expect(statusesText([200, 401, 200, 503, 200, 401])).toBe("200 ×3, 401 ×2, 503 ×1");
  expect(statusesText([])).toBe("–");
});

test("a registrar is healthy when it answers, and a breaker tells more than that", () => {
  const registrar = { breaker: "closed", lossRatio: 0.01, latestStatuses: [200] } as const;
  expect(healthOf(registrar).text).toBe("Healthy");
  expect(healthOf({ ...registrar, latestStatuses: [] })).toEqual({ tone: "warn", text: "No answer yet" });
  expect(healthOf({ ...registrar, lossRatio: 0.4 }).text).toBe("Losing messages");
  expect(healthOf({ ...registrar, breaker: "halfOpen", latestStatuses: [] }).text).toBe("Probing");
  expect(healthOf({ ...registrar, breaker: "open" })).toEqual({ tone: "bad", text: "Paused" });
});

describe("how the server is", () => {
  const ready = { ready: { ok: true, reasons: [] }, strain: 0 };

  test("ready, locked, silent or not asked yet", () => {
    expect(readinessOf(ready, false, undefined)).toEqual({ tone: "good", text: "Ready" });
    expect(readinessOf(ready, true, undefined).text).toBe("Locked");
    expect(readinessOf(ready, false, 75)).toEqual({ tone: "bad", text: "No answer", why: "for 1 min 15 s" });
    expect(readinessOf(undefined, false, undefined).text).toBe("Asking");
  });

  test("what is refused under strain is told", () => {
    expect(readinessOf({ ...ready, strain: 1 }, false, undefined)).toMatchObject({ tone: "warn", text: "Ready" });
    expect(readinessOf({ ...ready, strain: 2 }, false, undefined)).toMatchObject({ tone: "bad", text: "Overloaded" });
  });

  test("draining is no fault, a shard that is not ready is", () => {
    const of = (...reasons: readonly string[]) =>
      readinessOf({ ready: { ok: false, reasons }, strain: 0 }, false, undefined);
    expect(of("draining")).toEqual({ tone: "warn", text: "Draining" });
    expect(of("shard 1 is not ready")).toEqual({ tone: "bad", text: "Not ready", why: "shard 1 is not ready" });
    expect(of("shard 1 is not ready", "draining")).toMatchObject({ tone: "bad", text: "Draining" });
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { headerOf } from "./lab/frames.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { messages, type PhoneStack, untilStep } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { phoneOn, sleeper, wakenBy } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab.stop());

const phones: readonly (readonly [PhoneStack, boolean])[] = [
  ["SIP.js", false],
  ["SIP.js", true],
  ["JsSIP", false],
  ["JsSIP", true],
];

/** What a header says in the nth message of SIPp's trace that begins so. */
function traced(trace: string, start: string, header: string): string | undefined {
  const at = trace.indexOf(`\n${start}`);
  return at < 0 ? undefined : headerOf(trace.slice(at + 1).replace(/\r?\n/g, "\r\n"), header);
}

describe.each(phones)("a call wakes %s with register: %p, RFC 3261 §13, §16", (stack, register) => {
  test("answered, talked, ended by the caller", async () => {
    const sleeping = await sleeper(lab);
    const answeredBefore = await lab.wakeline.metric('wakeline_calls_total{outcome="answered"}');
    const { caller, push, phone, call } = await wakenBy(lab, sleeping, "caller-hangs-up", { stack, register });

    expect(push).toMatchObject({ v: 1, kind: "call", subscription: sleeping.subscription.id, callId: caller.callId });
    expect(push.from).toEqual({ uri: "sip:bob@trunk.test", name: "Bob at work" });
    expect(Date.parse(push.deadline ?? "") - Date.parse(push.sentAt)).toBeGreaterThan(10_000);
    const [invite = ""] = messages(phone, "in", "INVITE");
    expect(headerOf(invite, "Call-ID")).toBe(caller.callId);
    expect(headerOf(invite, "X-Unknown-Header")).toBe("kept as it is");
    // The far end as it is: its Contact and Kamailio's Record-Route arrive untouched.
    expect(headerOf(invite, "Contact")).toStartWith(`<sip:bob@127.0.0.1:${caller.port}`);
    expect(headerOf(invite, "Record-Route")).toContain(`127.0.0.1:${lab.kamailio.port}`);

    await call.answer();
    await untilStep(phone, call, "confirmed");
    expect(await sleeping.device.callState(push.call ?? "")).toBe("answered");
    await call.info("5");
    await untilStep(phone, call, "ended");
    const trace = await caller.finished();

    // The far end sees Wakeline alone.
    expect(traced(trace, "SIP/2.0 200", "Contact")).toMatch(/127\.0\.0\.1:\d+/);
    expect(traced(trace, "SIP/2.0 200", "Contact")).not.toContain(".invalid");
    await sleeping.device.untilCallState(push.call ?? "", "ended");
    expect(lab.relay.all(sleeping.device.pushToken).map(({ kind }) => kind)).toEqual(["call"]);
    expect(await lab.wakeline.metric('wakeline_calls_total{outcome="answered"}')).toBe(answeredBefore + 1);
    await phone.stop();
  });

  test("answered, talked, ended by the phone", async () => {
    const sleeping = await sleeper(lab);
    const { caller, push, phone, call } = await wakenBy(lab, sleeping, "callee-hangs-up", { stack, register });
    await call.answer();
    await untilStep(phone, call, "info");

    await call.bye();

    await caller.finished();
    await sleeping.device.untilCallState(push.call ?? "", "ended");
    await phone.stop();
  });

  test("the phone hangs up on a ringing call", async () => {
    const sleeping = await sleeper(lab);
    const { caller, push, phone, call } = await wakenBy(lab, sleeping, "fails-with-486", { stack, register });

    await call.reject(486);

    await caller.finished();
    await sleeping.device.untilCallState(push.call ?? "", "ended");
    await phone.stop();
  });

  test("cancelled while it rings: CANCEL with the caller's Reason, 487", async () => {
    const sleeping = await sleeper(lab);
    const scenario = stack === "SIP.js" ? "cancels-on-183" : "cancels-on-second-180";
    const { caller, push, phone, call } = await wakenBy(lab, sleeping, scenario, { stack, register });
    await call.progress();

    await untilStep(phone, call, "cancelled");

    await caller.finished();
    const [cancel = ""] = messages(phone, "in", "CANCEL");
    expect(headerOf(cancel, "CSeq")).toBe("1 CANCEL");
    expect(headerOf(cancel, "Reason")).toBe('SIP;cause=487;text="Bob gave up"');
    await sleeping.device.untilCallState(push.call ?? "", "cancelled");
    await phone.stop();
  });
});

describe("calls that no phone takes, RFC 3261 §9, §16.7", () => {
  test("cancelled before the phone woke: a cancel push, and nothing rings when it comes late", async () => {
    const { user, device } = await sleeper(lab);
    const before = await lab.wakeline.metric('wakeline_calls_total{outcome="cancelled"}');
    const caller = await startSipp("cancels-on-180", { server: lab.kamailio.proxy, user });
    const push = await lab.relay.next(device.pushToken, "call");

    const cancel = await lab.relay.next(device.pushToken, "cancel");

    await caller.finished();
    expect(cancel.call).toBe(push.call);
    await device.untilCallState(push.call ?? "", "cancelled");
    expect(await lab.wakeline.metric('wakeline_calls_total{outcome="cancelled"}')).toBe(before + 1);
    await until("the journal has it", async () => {
      return JSON.stringify((await device.request("GET", "/v1/calls")).body).includes(push.call ?? "no call");
    });
    // The phone that wakes all the same asks nothing of the caller: the tunnel opens and stays empty.
    const phone = phoneOn("SIP.js", device.tunnelUrl, user, true);
    await phone.start();
    expect(messages(phone, "in", "INVITE")).toEqual([]);
    await phone.stop();
  });

  test("a device whose app was removed (410): 480 at once, and it is not pushed again", async () => {
    const { user, device } = await sleeper(lab);
    lab.relay.declareDead(device.pushToken);
    const startedMs = performance.now();

    const caller = await startSipp("fails-with-480", { server: lab.kamailio.proxy, user });
    await caller.finished();

    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(await lab.wakeline.metric('wakeline_push_total{provider="webhook",outcome="tokenDead"}')).toBeGreaterThan(0);
  });
});

describe("two devices on one account, RFC 3261 §16.7, RFC 3326", () => {
  test("both ring, one answers, the other gets CANCEL with the reason", async () => {
    const first = await sleeper(lab);
    const second = await lab.newDevice();
    await second.sleepWith(lab.account(first.user));
    expect(await lab.kamailio.bindings(first.user)).toHaveLength(1);
    const caller = await startSipp("caller-hangs-up", { server: lab.kamailio.proxy, user: first.user });
    const [pushOne, pushTwo] = await Promise.all([
      lab.relay.next(first.device.pushToken, "call"),
      lab.relay.next(second.pushToken, "call"),
    ]);
    expect(pushOne.call).toBe(pushTwo.call);
    expect(pushOne.tunnel).not.toBe(pushTwo.tunnel);
    const one = phoneOn("SIP.js", pushOne.tunnel ?? "", first.user);
    const two = phoneOn("JsSIP", pushTwo.tunnel ?? "", first.user);
    await Promise.all([one.start(), two.start()]);
    const [callOne, callTwo] = await Promise.all([
      until("first rings", () => one.calls[0]),
      until("second rings", () => two.calls[0]),
    ]);

    await callOne.answer();

    await untilStep(two, callTwo, "cancelled");
    const [cancel = ""] = messages(two, "in", "CANCEL");
    expect(headerOf(cancel, "Reason")).toMatch(/^SIP\s*;\s*cause=200/);
    await untilStep(one, callOne, "confirmed");
    await callOne.info("1");
    await untilStep(one, callOne, "ended");
    await caller.finished();
    expect(await second.callState(pushTwo.call ?? "")).toMatch(/answeredElsewhere|ended/);
    await Promise.all([one.stop(), two.stop()]);
  });

  test("a 603 of one ends the call for all", async () => {
    const first = await sleeper(lab);
    const second = await lab.newDevice();
    await second.sleepWith(lab.account(first.user));
    const caller = await startSipp("fails-with-603", { server: lab.kamailio.proxy, user: first.user });
    const [pushOne, pushTwo] = await Promise.all([
      lab.relay.next(first.device.pushToken, "call"),
      lab.relay.next(second.pushToken, "call"),
    ]);
    const one = phoneOn("SIP.js", pushOne.tunnel ?? "", first.user);
    const two = phoneOn("JsSIP", pushTwo.tunnel ?? "", first.user);
    await Promise.all([one.start(), two.start()]);
    const [callOne, callTwo] = await Promise.all([
      until("first rings", () => one.calls[0]),
      until("second rings", () => two.calls[0]),
    ]);

    await callOne.reject(603);

    await untilStep(two, callTwo, "cancelled");
    await caller.finished();
    await Promise.all([one.stop(), two.stop()]);
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { headerOf } from "./lab/frames.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { messages, nextCall, type PhoneStack, untilStep } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { phoneOn, sleeper, wakenBy } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";
import { startBaresip } from "./lab/baresip.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab.stop());

const stacks: readonly PhoneStack[] = ["SIP.js", "JsSIP"];

describe.each(stacks)("%s calls out through the tunnel, RFC 3261 §16, §22.3", (stack) => {
  test("the phone answers Kamailio's 407 itself; SIPp answers; the phone hangs up", async () => {
    const { user, device } = await sleeper(lab);
    const callee = await startSipp("answers", { server: lab.kamailio.proxy, user: "callee" });
    const phone = phoneOn(stack, device.tunnelUrl, user, true);
    await phone.start();

    const call = phone.call(`sip:at-${callee.port}@lab.test`);
    await untilStep(phone, call, "accepted");

    const [challenge = ""] = messages(phone, "in", "SIP/2.0 407");
    expect(headerOf(challenge, "Proxy-Authenticate")).toContain('realm="lab.test"');
    const invites = messages(phone, "out", "INVITE");
    expect(invites).toHaveLength(2);
    expect(headerOf(invites[1] ?? "", "Proxy-Authorization")).toContain(`username="${user}"`);
    await call.bye();
    const trace = await callee.finished();
    // The callee meets Wakeline, not the phone's made-up host, and no credentials.
    expect(trace).not.toContain(".invalid");
    expect(trace).not.toContain("Proxy-Authorization");
    await phone.stop();
  });

  test("a number that is not there: 404 reaches the phone", async () => {
    const { user, device } = await sleeper(lab);
    const phone = phoneOn(stack, device.tunnelUrl, user, false);
    await phone.start();

    const call = phone.call("sip:nobody@lab.test");

    await untilStep(phone, call, "failed");
    expect(messages(phone, "in", "SIP/2.0 404")).toHaveLength(1);
    await phone.stop();
  });

  test("another one's From: 403, and nothing reaches the server", async () => {
    const { device } = await sleeper(lab);
    const phone = phoneOn(stack, device.tunnelUrl, "somebody-else", false);
    await phone.start();

    const call = phone.call("sip:nobody@lab.test");

    await untilStep(phone, call, "failed");
    expect(messages(phone, "in", "SIP/2.0 403")).toHaveLength(1);
    expect(await lab.kamailio.requests("INVITE", "somebody-else")).toEqual([]);
    await phone.stop();
  });
});

describe("baresip, another whole SIP phone", () => {
  test("calls a sleeping phone, which answers; baresip hangs up", async () => {
    const sleeping = await sleeper(lab);
    const baresip = await startBaresip({ username: lab.newUser(), proxy: lab.kamailio.proxy });
    try {
      await baresip.command("dial", `sip:${sleeping.user}@lab.test`);
      const push = await lab.relay.next(sleeping.device.pushToken, "call");
      const phone = phoneOn("SIP.js", push.tunnel ?? "", sleeping.user);
      await phone.start();
      const call = await nextCall(phone);
      await call.answer();
      await untilStep(phone, call, "confirmed");
      await baresip.event("CALL_ESTABLISHED");
      await baresip.command("hangup");
      await untilStep(phone, call, "ended");
      await sleeping.device.untilCallState(push.call ?? "", "ended");
      await phone.stop();
    } finally {
      await baresip.stop();
    }
  });

  test("is the desk phone of the account and answers first: the server's CANCEL and its reason reach the phone", async () => {
    const sleeping = await sleeper(lab);
    const desk = await startBaresip({ username: sleeping.user, proxy: lab.kamailio.proxy });
    try {
      await desk.registered();
      expect(await lab.kamailio.bindings(sleeping.user)).toHaveLength(2);
      const { caller, push, phone, call } = await wakenBy(lab, sleeping, "callee-hangs-up", { stack: "JsSIP" });
      await desk.event("CALL_INCOMING");

      await desk.command("accept");

      await untilStep(phone, call, "cancelled");
      const [cancel = ""] = messages(phone, "in", "CANCEL");
      expect(headerOf(cancel, "Reason")).toMatch(/cause=200/);
      await sleeping.device.untilCallState(push.call ?? "", "answeredElsewhere");
      expect(lab.relay.all(sleeping.device.pushToken, "missed")).toEqual([]);
      await until("the caller's INFO is answered", () => caller.messages().includes("2 INFO"));
      await desk.event("CALL_ESTABLISHED");
      await desk.command("hangup");
      await caller.finished();
      await phone.stop();
    } finally {
      await desk.stop();
    }
  });

  test("is called by the phone through the tunnel, answers, and the phone hangs up", async () => {
    const { user, device } = await sleeper(lab);
    const callee = lab.newUser();
    const baresip = await startBaresip({ username: callee, proxy: lab.kamailio.proxy });
    try {
      await until("baresip is registered", async () => (await lab.kamailio.bindings(callee)).length === 1);
      const phone = phoneOn("JsSIP", device.tunnelUrl, user);
      await phone.start();
      const call = phone.call(`sip:${callee}@lab.test`);
      await baresip.event("CALL_INCOMING");
      await baresip.command("accept");
      await untilStep(phone, call, "accepted");
      await baresip.event("CALL_ESTABLISHED");
      await call.bye();
      await baresip.event("CALL_CLOSED");
      await phone.stop();
    } finally {
      await baresip.stop();
    }
  });
});

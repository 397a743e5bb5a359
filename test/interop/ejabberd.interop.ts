import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startBaresip } from "./lab/baresip.ts";
import { type Ejabberd, startEjabberd } from "./lab/ejabberd.ts";
import { headerOf } from "./lab/frames.ts";
import { domain, passwordOf } from "./lab/kamailio.ts";
import { messages, nextCall, type PhoneCall, untilStep } from "./lab/phone.ts";
import { PushRelay } from "./lab/pushes.ts";
import { startSipp } from "./lab/sipp.ts";
import { phoneOn } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";
import { type AccountInput, type EnrolledDevice, startWakeline, type Wakeline } from "./lab/wakeline.ts";

const users = ["alice", "bob", "carol", "dave", "erin"] as const;
let ejabberd: Ejabberd;
let wakeline: Wakeline;
let relay: PushRelay;

beforeAll(async () => {
  ejabberd = await startEjabberd(users);
  relay = new PushRelay();
  wakeline = await startWakeline({ pushUrl: relay.url });
});
afterAll(async () => {
  await wakeline.stop();
  await ejabberd.stop();
  await relay.stop();
});

function account(username: (typeof users)[number], more: Readonly<Record<string, unknown>> = {}): AccountInput {
  return { username, domain, password: passwordOf(username), proxy: ejabberd.proxy, transport: "udp", ...more };
}

/** A call of SIPp's that has woken the device's phone. */
async function woken(device: EnrolledDevice, user: string, scenario: string) {
  const caller = await startSipp(scenario, { server: ejabberd.proxy, user });
  const push = await relay.next(device.pushToken, "call");
  const phone = phoneOn("SIP.js", push.tunnel ?? "", user);
  await phone.start();
  const call: PhoneCall = await nextCall(phone);
  return { caller, push, phone, call };
}

describe("ejabberd's mod_sip, RFC 3261 §10, §13", () => {
  test("registers, by 423 when it asks for too little", async () => {
    const device = await wakeline.enrol("ejabberd-1");
    const { id, registration } = await device.sleepWith(account("alice", { expiresSec: 30 }));
    expect(registration).toMatchObject({ state: "registered", lastStatus: 200 });
    expect(await wakeline.metric('wakeline_register_answers_total{status="423"}')).toBe(1);
    expect((await device.setPresence(id, "foreground")).registration.state).toBe("idle");
  });

  test("a wrong password is refused", async () => {
    const device = await wakeline.enrol("ejabberd-2");
    const { id } = await device.subscribe(account("bob", { password: "wrong" }));
    expect((await device.setPresence(id, "background")).registration.state).toBe("refused");
  });

  test("a call wakes the phone, which answers and hangs up", async () => {
    const device = await wakeline.enrol("ejabberd-3");
    await device.sleepWith(account("carol"));
    const { caller, push, phone, call } = await woken(device, "carol", "callee-hangs-up");
    await call.answer();
    await untilStep(phone, call, "info");
    await call.bye();
    await caller.finished();
    await device.untilCallState(push.call ?? "", "ended");
    await phone.stop();
  });

  test("another phone of the account answers: ours stops ringing with the reason, though no CANCEL comes", async () => {
    const device = await wakeline.enrol("ejabberd-4");
    await device.sleepWith(account("dave"));
    const desk = await startBaresip({ username: "dave", proxy: ejabberd.proxy });
    try {
      await desk.registered();
      const { caller, push, phone, call } = await woken(device, "dave", "callee-hangs-up");
      await desk.event("CALL_INCOMING");

      await desk.command("accept");

      await untilStep(phone, call, "cancelled");
      const [cancel = ""] = messages(phone, "in", "CANCEL");
      expect(headerOf(cancel, "Reason")).toMatch(/cause=200/);
      await device.untilCallState(push.call ?? "", "answeredElsewhere");
      await until("the caller's INFO is answered", () => caller.messages().includes("2 INFO"));
      await desk.event("CALL_ESTABLISHED");
      await desk.command("hangup");
      await caller.finished();
      await phone.stop();
    } finally {
      await desk.stop();
    }
  });

  test("over TCP", async () => {
    const device = await wakeline.enrol("ejabberd-5");
    const { registration } = await device.sleepWith(account("erin", { transport: "tcp" }));
    expect(registration.transport).toBe("tcp");
    const { caller, phone, call } = await woken(device, "erin", "caller-hangs-up");
    await call.answer();
    await untilStep(phone, call, "confirmed");
    await call.info("1");
    await untilStep(phone, call, "ended");
    await caller.finished();
    await phone.stop();
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { dropSockets, headerOf, socketsOf } from "./lab/frames.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { acknowledged, messages, nextCall, type PhoneStack, untilStep } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { phoneOn, sleeper, wakenBy } from "./lab/stories.ts";
import { natAddress } from "./lab/wakeline.ts";
import { until } from "./lab/wait.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab.stop());

const stacks: readonly PhoneStack[] = ["SIP.js", "JsSIP"];

describe.each(stacks)("inside a call to %s", (stack) => {
  test("the caller holds and resumes by re-INVITE (RFC 3261 §14)", async () => {
    const sleeping = await sleeper(lab);
    const { caller, phone, call } = await wakenBy(lab, sleeping, "holds-and-resumes", { stack });
    await call.answer();
    await until("both re-INVITEs are answered and acknowledged", () => acknowledged(phone).size === 3);
    const invites = messages(phone, "in", "INVITE");
    expect(invites.map((text) => /a=(sendonly|sendrecv)\r?\n?$/.exec(text)?.[1])).toEqual([
      undefined,
      "sendonly",
      "sendrecv",
    ]);

    await call.bye();

    await caller.finished();
    await phone.stop();
  });

  test("the phone sends the caller elsewhere by REFER (RFC 3515)", async () => {
    const sleeping = await sleeper(lab);
    const { caller, phone, call } = await wakenBy(lab, sleeping, "is-transferred", { stack });
    await call.answer();
    await untilStep(phone, call, "confirmed");

    await call.refer("sip:carol@lab.test");

    await until("the phone hears how it went", () => messages(phone, "in", "NOTIFY")[0]);
    await call.bye();
    expect(await caller.finished()).toMatch(/^Refer-To: <?sip:carol@lab.test/m);
    await phone.stop();
  });

  test("the network changes in a call: the same ticket opens a new tunnel, and the call goes on", async () => {
    const sleeping = await sleeper(lab);
    const { caller, phone, call } = await wakenBy(lab, sleeping, "caller-hangs-up", { stack });
    await call.answer();
    await untilStep(phone, call, "confirmed");

    dropSockets(phone.options.url);

    await until("the stack has connected again", () => socketsOf(phone.options.url) === 2);
    await until("the phone is heard on its new tunnel", async () => {
      if (messages(phone, "out", "INFO").length === 0) await call.info("5");
      return messages(phone, "in", "SIP/2.0 200").some((text) => headerOf(text, "CSeq")?.endsWith("INFO"));
    });
    await untilStep(phone, call, "ended");
    await caller.finished();
    await phone.stop();
  });

  test("a BYE that comes while the network changes waits for the new tunnel", async () => {
    const sleeping = await sleeper(lab);
    const { caller, push, phone, call } = await wakenBy(lab, sleeping, "caller-hangs-up-later", { stack });
    await call.answer();
    await untilStep(phone, call, "info");

    dropSockets(phone.options.url);

    await until("the stack has connected again", () => socketsOf(phone.options.url) === 2);
    await untilStep(phone, call, "ended");
    await caller.finished();
    await sleeping.device.untilCallState(push.call ?? "", "ended");
    await phone.stop();
  });
});

describe("a phone whose tunnel is open (RFC 7118)", () => {
  test.each(stacks)("%s gets the call at once, without a push", async (stack) => {
    const { user, device } = await sleeper(lab);
    const phone = phoneOn(stack, device.tunnelUrl, user, true);
    await phone.start();
    const caller = await startSipp("caller-hangs-up", { server: lab.kamailio.proxy, user });
    const call = await nextCall(phone);
    await call.answer();
    await untilStep(phone, call, "confirmed");
    await call.info("1");
    await untilStep(phone, call, "ended");
    await caller.finished();
    expect(lab.relay.all(device.pushToken)).toEqual([]);
    await phone.stop();
  });

  test("a ringing call moves to the new tunnel, with the same branch", async () => {
    const sleeping = await sleeper(lab);
    const { caller, push, phone } = await wakenBy(lab, sleeping, "caller-hangs-up", { stack: "SIP.js" });
    const [first = ""] = messages(phone, "in", "INVITE");
    await phone.stop();
    const again = phoneOn("JsSIP", push.tunnel ?? "", sleeping.user);
    await again.start();
    const call = await nextCall(again);
    await call.answer();
    await untilStep(again, call, "confirmed");
    const invites = messages(again, "in", "INVITE");
    expect(new Set([first, ...invites].map((text) => headerOf(text, "Via"))).size).toBe(1);
    await call.info("1");
    await untilStep(again, call, "ended");
    await caller.finished();
    await again.stop();
  });
});

describe("what is not a call", () => {
  test("a MESSAGE is taken, pushed, and handed over once the phone is there (RFC 3428)", async () => {
    const { user, device } = await sleeper(lab);
    const sender = await startSipp("sends-message", { server: lab.kamailio.proxy, user });
    const push = await lab.relay.next(device.pushToken, "message");
    // Without preview no content leaves by push.
    expect(JSON.stringify(push)).not.toContain("Lunch");
    const phone = phoneOn("SIP.js", push.tunnel ?? "", user);
    await phone.start();
    const message = await until("the MESSAGE at the phone", () => messages(phone, "in", "MESSAGE")[0]);
    expect(message.trimEnd()).toEndWith("Lunch at noon?");
    await sender.finished();
    await phone.stop();
  });

  test("an unasked NOTIFY of waiting voicemail becomes a push (RFC 3842)", async () => {
    const { user, device } = await sleeper(lab);
    const sender = await startSipp("voicemail-waits", { server: lab.kamailio.proxy, user });
    await sender.finished();
    await lab.relay.next(device.pushToken, "voicemail");
  });
});

describe("a server without voicemail (RFC 3842)", () => {
  // Regression: Kamailio without a presence module routes SUBSCRIBE to our own binding.
  test("our SUBSCRIBE comes back: 482, and the phone hears nothing of it", async () => {
    const { user, device } = await sleeper(lab);
    const phone = phoneOn("SIP.js", device.tunnelUrl, user, true);
    await phone.start();
    const subscribe = await until("a SUBSCRIBE of ours", async () => (await lab.kamailio.requests("SUBSCRIBE"))[0]);
    await until("its answer", async () => (await lab.kamailio.answers(subscribe.callId)).includes("482 SUBSCRIBE"));
    expect(messages(phone, "in", "SUBSCRIBE")).toEqual([]);
    await phone.stop();
  });
});

describe("registration modes", () => {
  test("continuous keeps its binding in the foreground; alternate learns nothing wrong from a second binding", async () => {
    const { user, device, subscription } = await sleeper(lab, { registrationMode: "continuous" });
    await device.setPresence(subscription.id, "foreground");
    expect(await lab.kamailio.bindings(user)).toHaveLength(1);
    await device.remove(subscription.id);
    await until("the binding goes with the subscription", async () => (await lab.kamailio.bindings(user)).length === 0);
  });

  test("HA1 in place of the password", async () => {
    const user = lab.newUser();
    const device = await lab.newDevice();
    const hash = new Bun.CryptoHasher("md5").update(`${user}:lab.test:pw-${user}`).digest("hex");
    const account = {
      username: user,
      domain: "lab.test",
      proxy: lab.kamailio.proxy,
      transport: "udp",
      ha1: [{ realm: "lab.test", algorithm: "MD5", hash }],
    };
    expect((await device.sleepWith(account)).registration.state).toBe("registered");
  });

  test("natEmulation: a private address in Contact, and the call still comes on the flow", async () => {
    const nat = await openLab({ kamailio: { nat: true } });
    try {
      const sleeping = await sleeper(nat, { natEmulation: true });
      const [binding] = await nat.kamailio.bindings(sleeping.user);
      expect(binding?.address).toContain(natAddress);
      expect(binding?.received).toContain("127.0.0.1:");
      const { caller, phone, call } = await wakenBy(nat, sleeping, "callee-hangs-up", { stack: "SIP.js" });
      await call.answer();
      await untilStep(phone, call, "info");
      await call.bye();
      await caller.finished();
      await phone.stop();
    } finally {
      await nat.stop();
    }
  });
});

describe("a push relay that stumbles", () => {
  test("503 with Retry-After is tried again inside the deadline, and the call comes through", async () => {
    const sleeping = await sleeper(lab);
    lab.relay.refuseOnce(sleeping.device.pushToken);
    const { caller, phone, call } = await wakenBy(lab, sleeping, "callee-hangs-up", { stack: "SIP.js" });
    await call.answer();
    await untilStep(phone, call, "info");
    await call.bye();
    await caller.finished();
    await phone.stop();
  });
});

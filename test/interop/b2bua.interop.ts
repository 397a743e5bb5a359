import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Baresip, startB2bua } from "./lab/baresip.ts";
import { headerOf } from "./lab/frames.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { messages, nextCall, type Phone, untilStep } from "./lab/phone.ts";
import { type Sipp, startSipp } from "./lab/sipp.ts";
import { phoneOn, sleeper, type Sleeper, type WokenCall } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";

let lab: Lab;
let b2bua: Baresip;
beforeAll(async () => {
  lab = await openLab();
  b2bua = await startB2bua({ proxy: lab.kamailio.proxy });
});
afterAll(async () => {
  await b2bua.stop();
  await lab.stop();
});

/** The caller knows the B2BUA alone, which calls the sleeping phone on by way of Kamailio. */
async function wakenThroughB2bua({ user, device }: Sleeper, scenario: string): Promise<WokenCall> {
  const caller = await startSipp(scenario, { server: b2bua.address, user });
  const push = await lab.relay.next(device.pushToken, "call");
  const phone = phoneOn("SIP.js", push.tunnel ?? "", user);
  await phone.start();
  return { caller, push, phone, call: await nextCall(phone) };
}

function inviteOf(phone: Phone): string {
  return messages(phone, "in", "INVITE")[0] ?? "";
}

/** Whether Kamailio has relayed this answer in the phone's call. */
async function relayed(phone: Phone, answer: string): Promise<boolean> {
  return (await lab.kamailio.answers(headerOf(inviteOf(phone), "Call-ID") ?? "")).includes(answer);
}

/** What a header says in the first message of SIPp's trace that begins so. */
function traced(trace: string, start: string, header: string): string | undefined {
  const at = trace.indexOf(`\n${start}`);
  return at < 0 ? undefined : headerOf(trace.slice(at + 1).replace(/\r?\n/g, "\r\n"), header);
}

function tagOf(header: string | undefined): string {
  return /;tag=([^;\s]+)/.exec(header ?? "")?.[1] ?? "";
}

/** The scenario cancels-when-told goes on. */
async function tellToCancel(caller: Sipp): Promise<void> {
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1" });
  const from = `127.0.0.1:${socket.port}`;
  socket.send(
    [
      `MESSAGE sip:bob@127.0.0.1:${caller.port} SIP/2.0`,
      `Via: SIP/2.0/UDP ${from};branch=z9hG4bK-told`,
      `From: <sip:test@${from}>;tag=told`,
      `To: <sip:bob@127.0.0.1:${caller.port}>`,
      `Call-ID: ${caller.callId}`,
      "CSeq: 1 MESSAGE",
      "Content-Length: 0",
      "",
      "",
    ].join("\r\n"),
    caller.port,
    "127.0.0.1",
  );
  socket.close();
}

describe("a call that a B2BUA calls on wakes the phone, RFC 3261 §6, §12", () => {
  test("answered, talked, ended by the caller: two dialogs that share nothing but the URIs", async () => {
    const sleeping = await sleeper(lab);
    const { caller, push, phone, call } = await wakenThroughB2bua(sleeping, "caller-hangs-up-later");
    const invite = inviteOf(phone);
    const callId = headerOf(invite, "Call-ID") ?? "";

    expect(callId).not.toBe("");
    expect(callId).not.toBe(caller.callId);
    expect(push).toMatchObject({ kind: "call", callId, from: { uri: "sip:bob@trunk.test" } });
    expect(headerOf(invite, "To")).toBe(`<sip:${sleeping.user}@lab.test>`);
    expect(headerOf(invite, "Contact")).toContain(`@${b2bua.address}`);
    expect(headerOf(invite, "User-Agent")).toStartWith("baresip");
    // What the B2BUA does not know does not cross it.
    expect(headerOf(invite, "X-Unknown-Header")).toBeUndefined();

    await call.answer();
    await untilStep(phone, call, "ended");
    expect(call.trail).toContain("confirmed");
    const trace = await caller.finished();

    const phoneTags = [
      tagOf(headerOf(invite, "From")),
      tagOf(headerOf(messages(phone, "out", "SIP/2.0 200")[0] ?? "", "To")),
    ];
    const callerTags = [tagOf(traced(trace, "SIP/2.0 200", "From")), tagOf(traced(trace, "SIP/2.0 200", "To"))];
    expect(new Set([...phoneTags, ...callerTags, ""]).size).toBe(5);
    expect(traced(trace, "SIP/2.0 200", "Contact")).toContain(`@${b2bua.address}`);
    // The requests within the phone's dialog are the B2BUA's own.
    for (const start of ["ACK", "BYE"]) {
      const [request = ""] = messages(phone, "in", start);
      expect(headerOf(request, "Call-ID")).toBe(callId);
      expect(tagOf(headerOf(request, "From"))).toBe(phoneTags[0] ?? "");
      expect(tagOf(headerOf(request, "To"))).toBe(phoneTags[1] ?? "");
    }
    await sleeping.device.untilCallState(push.call ?? "", "ended");
    await phone.stop();
  });

  test("answered, talked, ended by the phone", async () => {
    const sleeping = await sleeper(lab);
    const { caller, push, phone, call } = await wakenThroughB2bua(sleeping, "callee-hangs-up");
    await call.answer();
    await untilStep(phone, call, "confirmed");
    expect(await sleeping.device.callState(push.call ?? "")).toBe("answered");
    await call.info("5");
    await until("the B2BUA answers the phone's INFO", () =>
      messages(phone, "in", "SIP/2.0 200").some((text) => headerOf(text, "CSeq")?.endsWith(" INFO")),
    );
    await until("and the caller's", () => caller.messages().split("2 INFO").length > 2);
    expect(call.trail).not.toContain("info");

    await call.bye();

    await caller.finished();
    // The B2BUA may have told the caller first.
    await until("the phone's BYE is answered", () => relayed(phone, "200 BYE"));
    expect(await lab.kamailio.answers(caller.callId)).toEqual([]);
    await sleeping.device.untilCallState(push.call ?? "", "ended");
    await phone.stop();
  });

  test("cancelled while the phone rings: the B2BUA's own CANCEL, without the caller's Reason", async () => {
    const sleeping = await sleeper(lab);
    const { caller, push, phone, call } = await wakenThroughB2bua(sleeping, "cancels-when-told");
    await until("the phone's ringing is heard", () => relayed(phone, "180 INVITE"));

    await tellToCancel(caller);

    await untilStep(phone, call, "cancelled");
    await caller.finished();
    const [cancel = ""] = messages(phone, "in", "CANCEL");
    expect(headerOf(cancel, "Call-ID")).toBe(headerOf(inviteOf(phone), "Call-ID") ?? "");
    expect(headerOf(cancel, "Reason") ?? "").not.toContain("Bob gave up");
    await sleeping.device.untilCallState(push.call ?? "", "cancelled");
    await phone.stop();
  });

  test("declined by the phone: the caller hears the phone's 486 from the B2BUA", async () => {
    const sleeping = await sleeper(lab);
    const { caller, push, phone, call } = await wakenThroughB2bua(sleeping, "fails-with-486");

    await call.reject(486);

    await caller.finished();
    // Kamailio relayed it in the B2BUA's call and never met the caller's.
    expect(await relayed(phone, "486 INVITE")).toBe(true);
    expect(await lab.kamailio.answers(caller.callId)).toEqual([]);
    await sleeping.device.untilCallState(push.call ?? "", "ended");
    await phone.stop();
  });
});

describe("the phone calls out through a B2BUA, RFC 3261 §12, §13", () => {
  test("the far end, which answers and is hung up on, meets the B2BUA alone", async () => {
    const { user, device } = await sleeper(lab);
    const callee = await startSipp("answers", { server: lab.kamailio.proxy, user: "callee" });
    const way = await startB2bua({ proxy: `127.0.0.1:${callee.port}` });
    try {
      const phone = phoneOn("SIP.js", device.tunnelUrl, user);
      await phone.start();

      const call = phone.call(`sip:at-${way.address.split(":")[1]}@lab.test`);
      await untilStep(phone, call, "accepted");
      const [answer = ""] = messages(phone, "in", "SIP/2.0 200");
      expect(headerOf(answer, "Contact")).toContain(`@${way.address}`);
      await call.bye();

      const trace = await callee.finished();
      expect(traced(trace, "INVITE", "Contact")).toContain(`@${way.address}`);
      expect(traced(trace, "INVITE", "From")).toContain(`sip:${user}@lab.test`);
      expect(traced(trace, "INVITE", "Call-ID")).not.toBe(headerOf(answer, "Call-ID") ?? "");
      expect(tagOf(traced(trace, "ACK", "To"))).not.toBe(tagOf(headerOf(answer, "To")));
      await phone.stop();
    } finally {
      await way.stop();
    }
  });
});

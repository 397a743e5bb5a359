import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SipText } from "../fakes/sip-text.ts";
import { callerSide, sdp } from "../integration/sip.ts";
import { FarEnd } from "./lab/far-end.ts";
import { domain } from "./lab/kamailio.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { messages, nextCall, type Phone, phoneSdp, type PhoneStack, untilStep } from "./lab/phone.ts";
import { calledBy, phoneOn, sleeper, talking } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";

let lab: Lab;
let far: FarEnd;
beforeAll(async () => {
  lab = await openLab();
  far = await FarEnd.open(lab.kamailio.proxy);
});
afterAll(async () => {
  far[Symbol.dispose]();
  await lab.stop();
});

const stacks: readonly PhoneStack[] = ["SIP.js", "JsSIP"];

function received(phone: Phone, start: string): readonly SipText[] {
  return messages(phone, "in", start).map((text) => new SipText(text));
}

function sent(phone: Phone, start: string): readonly SipText[] {
  return messages(phone, "out", start).map((text) => new SipText(text));
}

describe("the server forks a call of the phone, RFC 3261 §12.1, §13.2.2.4, RFC 3262", () => {
  test("two early dialogs with media, each acknowledged to its own end; one answers, the other is cancelled", async () => {
    const { user, device } = await sleeper(lab);
    using other = await FarEnd.open(lab.kamailio.proxy);
    const phone = phoneOn("SIP.js", device.tunnelUrl, user);
    await phone.start();
    const call = phone.call(`sip:at-${far.port}-${other.port}@${domain}`);
    const [one, two] = await Promise.all([far.gets("INVITE"), other.gets("INVITE")]);
    expect(one.get("Call-ID")).toBe(two.get("Call-ID"));
    for (const [end, invite] of [
      [far, one],
      [other, two],
    ] as const) {
      const lines = ["Require: 100rel", `RSeq: ${end.port}`];
      const progress = end.answers(invite, 183, { lines, body: sdp(`early${end.port}`) });
      const prack = await end.gets("PRACK", invite.get("Call-ID"));
      expect(prack.get("RAck")).toBe(`${end.port} ${invite.cseq} INVITE`);
      expect(prack.get("To")).toBe(progress.get("To"));
      end.answers(prack, 200);
      const heard = await until("the 183 at the phone", () =>
        received(phone, "SIP/2.0 183").find((answer) => answer.get("To") === progress.get("To")),
      );
      expect(heard.body).toBe(progress.body);
    }
    expect(await until("both PRACKs answered", () => received(phone, "SIP/2.0 200").length === 2)).toBe(true);

    const answer = other.answers(two, 200);
    const cancel = await far.gets("CANCEL", one.get("Call-ID"));
    far.answers(cancel, 200);
    far.answers(one, 487);
    await far.gets("ACK", one.get("Call-ID"));
    await untilStep(phone, call, "accepted");
    expect((await other.gets("ACK", two.get("Call-ID"))).get("To")).toBe(answer.get("To"));
    await call.bye();
    await other.isHungUp(two.get("Call-ID"));
    await phone.stop();
  });
});

describe("two devices of an account ring, RFC 3261 §16.7, RFC 3262, RFC 3326", () => {
  test("two early dialogs with media: PRACK finds the device that it is for; one answers, the other is told why", async () => {
    const first = await sleeper(lab);
    const second = await lab.newDevice();
    await second.sleepWith(lab.account(first.user));
    const invite = far.invites(first.user, { lines: ["Require: 100rel"] });
    const callId = invite.get("Call-ID");
    const pushes = await Promise.all([first.device, second].map(({ pushToken }) => lab.relay.next(pushToken, "call")));
    const phones = pushes.map(({ tunnel }) => phoneOn("SIP.js", tunnel ?? "", first.user));
    for (const phone of phones) await phone.start();
    const calls = await Promise.all(phones.map((phone) => nextCall(phone)));
    let cseq = invite.cseq;
    for (const [n, phone] of phones.entries()) {
      void calls[n]?.progress();
      const progress = await far.gets("183 INVITE", callId);
      expect(progress.body).toBe(phoneSdp);
      expect(progress.get("To")).toBe(sent(phone, "SIP/2.0 183")[0]?.get("To") ?? "");
      far.asks("PRACK", callerSide(invite, progress), ++cseq, {
        lines: [`RAck: ${progress.get("RSeq")} ${invite.cseq} INVITE`],
      });
      await far.gets("200 PRACK", callId);
      expect(received(phone, "PRACK").map((prack) => prack.get("To"))).toEqual([progress.get("To")]);
    }

    await calls[1]?.answer();
    const side = far.acks(invite, await far.gets("200 INVITE", callId));
    const [cancel] = await until("the first is told", () => {
      const cancels = phones.flatMap((phone) => received(phone, "CANCEL"));
      return cancels.length > 0 ? cancels : undefined;
    });
    expect(cancel?.get("Reason")).toBe('SIP;cause=200;text="Call completed elsewhere"');
    await until("both are acknowledged", () => phones.every((phone) => received(phone, "ACK").length > 0));
    expect(phones.map((phone) => received(phone, "ACK").length)).toEqual([1, 1]);
    await first.device.untilCallState(pushes[0]?.call ?? "", "answeredElsewhere");
    await far.hangsUp(side, ++cseq);
    await second.untilCallState(pushes[1]?.call ?? "", "ended");
    for (const phone of phones) await phone.stop();
  });
});

describe.each(stacks)("%s refuses, and the caller hears just that, RFC 3261 §16.7, §21", (stack) => {
  test.each([302, 404, 415, 480, 488, 600, 606])("%d", async (status) => {
    const sleeping = await sleeper(lab);
    const { phone, call, invite, push } = await calledBy(lab, far, sleeping, stack);
    const elsewhere = "sip:carol@elsewhere.test;x=1";
    await call.reject(status, status < 400 ? elsewhere : undefined);
    const refusal = await far.gets(`${status} INVITE`, invite.get("Call-ID"));
    far.acksFailure(invite, refusal);
    const [own] = sent(phone, `SIP/2.0 ${status}`);
    expect(refusal.startLine).toBe(own?.startLine ?? "");
    expect(refusal.get("To")).toBe(own?.get("To") ?? "");
    if (status < 400) expect(refusal.contactUri).toBe(elsewhere);
    await until("the phone's refusal is acknowledged", () => received(phone, "ACK").length === 1);
    await sleeping.device.untilCallState(push.call ?? "", "ended");
    await phone.stop();
  });
});

describe.each(stacks)("a second call while %s talks, RFC 3261 §13", (stack) => {
  test("comes at once without a push; refused, it leaves the first alone; the next is a call beside it", async () => {
    const sleeping = await sleeper(lab);
    const first = await calledBy(lab, far, sleeping, stack);
    const firstSide = await talking(first);
    using other = await FarEnd.open(lab.kamailio.proxy);
    const refused = other.invites(sleeping.user);
    await (await nextCall(first.phone, 1)).reject(486);
    other.acksFailure(refused, await other.gets("486 INVITE", refused.get("Call-ID")));

    const invite = other.invites(sleeping.user);
    const second = await nextCall(first.phone, 2);
    await second.answer();
    const secondSide = other.acks(invite, await other.gets("200 INVITE", invite.get("Call-ID")));
    await untilStep(first.phone, second, "confirmed");
    void first.call.info("1");
    far.answers(await far.gets("INFO", firstSide.callId), 200);
    await other.hangsUp(secondSide, invite.cseq + 1);
    await untilStep(first.phone, second, "ended");
    expect(first.call.trail).not.toContain("ended");
    await far.hangsUp(firstSide, first.invite.cseq + 1);
    await untilStep(first.phone, first.call, "ended");
    expect(lab.relay.all(sleeping.device.pushToken).map(({ kind }) => kind)).toEqual(["call"]);
    await first.phone.stop();
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startBaresip } from "./lab/baresip.ts";
import { FarEnd } from "./lab/far-end.ts";
import { headerOf } from "./lab/frames.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { acknowledged, messages, nextCall, type PhoneStack, untilStep } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { calledBy, phoneOn, sleeper, talking, wakenBy } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab.stop());

const stacks: readonly PhoneStack[] = ["SIP.js", "JsSIP"];

/** What the Refer-To in a trace wants replaced: the Call-ID and both tags as the far end of that call knows them. */
function replacesOf(trace: string): string {
  const referTo = /^Refer-To:.*<([^>]*)>/im.exec(trace)?.[1] ?? "";
  return decodeURIComponent(/[?&]Replaces=([^&]*)/i.exec(referTo)?.[1] ?? "");
}

function tagIn(value: string): string | undefined {
  return /;tag=([^;\s]+)/.exec(value)?.[1];
}

function tagOf(message: string, header: string): string | undefined {
  return tagIn(headerOf(message, header) ?? "");
}

describe("a phone joins two incoming calls, RFC 3515, RFC 3891", () => {
  // JsSIP 3.13 swaps the tags of an incoming call in Replaces, whatever lies between, so its REFER proves nothing here.
  test("REFER names the second call as its own far end knows it", async () => {
    const sleeping = await sleeper(lab);
    const first = await wakenBy(lab, sleeping, "is-transferred", { stack: "SIP.js" });
    await first.call.answer();
    await untilStep(first.phone, first.call, "confirmed");
    const secondCaller = await startSipp("callee-hangs-up", { server: lab.kamailio.proxy, user: sleeping.user });
    const second = await nextCall(first.phone, 1);
    await second.answer();
    await untilStep(first.phone, second, "info");

    await first.call.referTo(second);

    await until("the phone hears how it went", () => messages(first.phone, "in", "NOTIFY")[0]);
    await first.call.bye();
    await second.bye();
    const replaces = replacesOf(await first.caller.finished());
    const invite = messages(first.phone, "in", "INVITE").find(
      (text) => headerOf(text, "Call-ID") === secondCaller.callId,
    );
    // The second caller's own trace, so that a tag changed on the way shows.
    const trace = await secondCaller.finished();
    const answer = trace.slice(trace.indexOf("\nSIP/2.0 200") + 1).replace(/\r?\n/g, "\r\n");
    expect(replaces).toBe(`${secondCaller.callId};to-tag=${tagOf(answer, "From")};from-tag=${tagOf(answer, "To")}`);
    expect(tagOf(invite ?? "", "From")).toBe(tagOf(answer, "From"));
    await first.phone.stop();
  });
});

describe.each(stacks)("%s transfers the caller to the one it asked in between, RFC 3515, RFC 3891", (stack) => {
  test("REFER names the outgoing call as its own far end knows it", async () => {
    const sleeping = await sleeper(lab);
    const { caller, phone, call } = await wakenBy(lab, sleeping, "is-transferred", { stack });
    await call.answer();
    await untilStep(phone, call, "confirmed");
    const asked = await startSipp("answers", { server: lab.kamailio.proxy, user: "asked" });
    const question = phone.call(`sip:at-${asked.port}@lab.test`);
    await untilStep(phone, question, "accepted");

    await call.referTo(question);

    await until("the phone hears how it went", () => messages(phone, "in", "NOTIFY")[0]);
    await call.bye();
    await question.bye();
    const replaces = replacesOf(await caller.finished());
    const trace = (await asked.finished()).replace(/\r?\n/g, "\r\n");
    const answer = trace.slice(trace.indexOf("\nSIP/2.0 200") + 1);
    expect(replaces).toBe(
      `${headerOf(answer, "Call-ID")};to-tag=${tagOf(answer, "To")};from-tag=${tagOf(answer, "From")}`,
    );
    await phone.stop();
  });
});

describe("an attended transfer to its end, RFC 3515 §7.3, RFC 3891 §3", () => {
  test("the first far end calls the second as the REFER says, which knows the call to be replaced and leaves the phone", async () => {
    const sleeping = await sleeper(lab);
    using far = await FarEnd.open(lab.kamailio.proxy);
    using other = await FarEnd.open(lab.kamailio.proxy);
    const first = await calledBy(lab, far, sleeping, "SIP.js");
    const side = await talking(first);
    const asking = other.invites(sleeping.user);
    const second = await nextCall(first.phone, 1);
    await second.answer();
    const otherSide = other.acks(asking, await other.gets("200 INVITE", asking.get("Call-ID")));
    await untilStep(first.phone, second, "confirmed");

    void first.call.referTo(second);
    const refer = await far.gets("REFER", side.callId);
    far.answers(refer, 202);
    const [, target = "", replaces = ""] = /<([^?>]*)\?Replaces=([^>]*)>/.exec(refer.get("Refer-To")) ?? [];
    expect(target).toBe(other.contact);
    const invite = far.calls(other, [`Replaces: ${decodeURIComponent(replaces)}`]);
    const taken = await other.gets("INVITE", invite.get("Call-ID"));
    // RFC 3891 §3: to-tag is the one that who gets this INVITE has put in itself.
    const own = `${otherSide.callId};to-tag=${tagIn(otherSide.from)};from-tag=${tagIn(otherSide.to)}`;
    expect(taken.get("Replaces")).toBe(own);
    await other.hangsUp(otherSide, asking.cseq + 1);
    await untilStep(first.phone, second, "ended");
    far.asks("NOTIFY", side, first.invite.cseq + 1, {
      lines: ["Event: refer", "Subscription-State: terminated;reason=noresource", "Content-Type: message/sipfrag"],
      body: "SIP/2.0 200 OK\r\n",
    });
    await far.gets("200 NOTIFY", side.callId);
    await first.call.bye();
    await far.isHungUp(side.callId);
    await first.phone.stop();
  });
});

describe("baresip in a call with a phone, RFC 3261 §14, RFC 3515, RFC 3420", () => {
  test.each(stacks)(
    "holds, resumes, is sent elsewhere by %s: it calls there itself and says how it went",
    async (stack) => {
      const sleeping = await sleeper(lab);
      const baresip = await startBaresip({ username: lab.newUser(), proxy: lab.kamailio.proxy });
      using target = await FarEnd.open(lab.kamailio.proxy);
      try {
        await baresip.registered();
        await baresip.command("dial", `sip:${sleeping.user}@lab.test`);
        const push = await lab.relay.next(sleeping.device.pushToken, "call");
        const phone = phoneOn(stack, push.tunnel ?? "", sleeping.user);
        await phone.start();
        const call = await nextCall(phone);
        await call.answer();
        await untilStep(phone, call, "confirmed");
        await baresip.event("CALL_ESTABLISHED");
        for (const [n, [command, media]] of (
          [
            ["hold", "a=sendonly"],
            ["resume", "a=sendrecv"],
          ] as const
        ).entries()) {
          await baresip.command(command);
          const body = await until(`${command} at the phone`, () => messages(phone, "in", "INVITE")[n + 1]);
          expect(body).toContain(media);
          await until(`${command} is answered and acknowledged`, () => acknowledged(phone).size === n + 2);
        }

        void call.refer(target.address);
        const invite = await target.gets("INVITE");
        const side = await target.answersCall(invite);
        const told = await until("the phone hears of the success", () =>
          messages(phone, "in", "NOTIFY").find((text) => text.includes("\r\n\r\nSIP/2.0 200")),
        );
        expect(headerOf(told, "Event")).toStartWith("refer");
        expect(headerOf(told, "Content-Type")).toStartWith("message/sipfrag");
        expect(side.callId).not.toBe(headerOf(messages(phone, "in", "INVITE")[0] ?? "", "Call-ID"));
        await call.bye();
        await target.hangsUp(side, 1);
        await sleeping.device.untilCallState(push.call ?? "", "ended");
        await phone.stop();
      } finally {
        await baresip.stop();
      }
    },
  );
});

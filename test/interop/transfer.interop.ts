import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { headerOf } from "./lab/frames.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { messages, nextCall, type PhoneStack, untilStep } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { sleeper, wakenBy } from "./lab/stories.ts";
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

function tagOf(message: string, header: string): string | undefined {
  return /;tag=([^;\s]+)/.exec(headerOf(message, header) ?? "")?.[1];
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

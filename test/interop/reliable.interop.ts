import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { headerOf } from "./lab/frames.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { messages, untilStep } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { phoneOn, sleeper, wakenBy } from "./lab/stories.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab.stop());

/** First lines of the answers to INVITE that SIPp saw, in order, without what was said twice. */
function answersToInvite(trace: string): readonly string[] {
  const found = [...trace.replace(/\r/g, "").matchAll(/^SIP\/2\.0 (\d{3})[^\n]*\n(?:[^\n]+\n)*?CSeq: 1 INVITE/gm)];
  return [...new Set(found.map(([, status = ""]) => status))];
}

describe("reliable provisional answers are the phone's and the caller's, RFC 3262", () => {
  test("Require: 100rel: no ringing of Wakeline's own, the phone's 183 is acknowledged by PRACK at the phone", async () => {
    const sleeping = await sleeper(lab);
    const { caller, phone, call } = await wakenBy(lab, sleeping, "requires-100rel", { stack: "SIP.js" });
    const [invite = ""] = messages(phone, "in", "INVITE");
    expect(headerOf(invite, "Require")).toBe("100rel");

    await call.progress();
    const [progress = ""] = messages(phone, "out", "SIP/2.0 183");
    const [prack = ""] = messages(phone, "in", "PRACK");
    expect(headerOf(prack, "RAck")).toBe(`${headerOf(progress, "RSeq")} 1 INVITE`);
    await call.answer();
    await untilStep(phone, call, "confirmed");
    await call.bye();

    const trace = await caller.finished();
    expect(answersToInvite(trace)).toEqual(["100", "183", "200"]);
    expect(/^Require: *100rel/im.exec(trace.slice(trace.indexOf("SIP/2.0 183")))).not.toBeNull();
    expect(messages(phone, "in", "PRACK")).toHaveLength(1);
    await phone.stop();
  });

  test("Supported: 100rel: ringing goes unreliably, the phone's 183 reliably", async () => {
    const sleeping = await sleeper(lab);
    const { caller, phone, call } = await wakenBy(lab, sleeping, "supports-100rel", { stack: "SIP.js" });

    await call.progress();
    const [progress = ""] = messages(phone, "out", "SIP/2.0 183");
    const [prack = ""] = messages(phone, "in", "PRACK");
    expect(headerOf(prack, "RAck")).toBe(`${headerOf(progress, "RSeq")} 1 INVITE`);
    await call.answer();
    await untilStep(phone, call, "confirmed");
    await call.bye();

    expect(answersToInvite(await caller.finished())).toEqual(["100", "180", "183", "200"]);
    await phone.stop();
  });

  test("the phone calls: it acknowledges the callee's reliable 183 by a PRACK that reaches the callee", async () => {
    const { user, device } = await sleeper(lab);
    const callee = await startSipp("answers-reliably", { server: lab.kamailio.proxy, user: "callee" });
    const phone = phoneOn("SIP.js", device.tunnelUrl, user);
    await phone.start();

    const call = phone.call(`sip:at-${callee.port}@lab.test`);
    await untilStep(phone, call, "accepted");
    await call.bye();

    const [progress = ""] = messages(phone, "in", "SIP/2.0 183");
    expect(headerOf(progress, "Require")).toBe("100rel");
    expect(headerOf(progress, "RSeq")).toBe("4711");
    const trace = await callee.finished();
    expect(trace).toMatch(/^RAck: *4711 \d+ INVITE\r?$/m);
    await phone.stop();
  });
});

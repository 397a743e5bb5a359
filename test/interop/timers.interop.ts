import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { headerOf } from "./lab/frames.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { messages, untilStep } from "./lab/phone.ts";
import { sleeper, wakenBy } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab.stop());

describe("a call's timer is agreed between its ends, RFC 4028", () => {
  test("INVITE, re-INVITE and UPDATE with Session-Expires reach JsSIP untouched, its answers reach the caller", async () => {
    const sleeping = await sleeper(lab);
    const { caller, push, phone, call } = await wakenBy(lab, sleeping, "refreshes", { stack: "JsSIP" });
    await call.answer();
    await untilStep(phone, call, "confirmed");
    await until("the UPDATE is answered", () =>
      messages(phone, "out", "SIP/2.0 200").some((text) => headerOf(text, "CSeq") === "3 UPDATE"),
    );

    const asked = [...messages(phone, "in", "INVITE"), ...messages(phone, "in", "UPDATE")];
    expect(asked.map((text) => headerOf(text, "CSeq"))).toEqual(["1 INVITE", "2 INVITE", "3 UPDATE"]);
    for (const text of asked) {
      expect(headerOf(text, "Session-Expires")).toBe("1800;refresher=uac");
      expect(headerOf(text, "Min-SE")).toBe("120");
      expect(headerOf(text, "Supported")).toBe("timer");
    }
    // JsSIP may repeat one until its ACK has come, without what it said the first time.
    const answered = new Map<string | undefined, string | undefined>();
    for (const text of messages(phone, "out", "SIP/2.0 200").toReversed()) {
      answered.set(headerOf(text, "CSeq"), headerOf(text, "Session-Expires"));
    }
    expect(answered).toEqual(new Map(asked.map((text) => [headerOf(text, "CSeq"), "1800;refresher=uac"])));
    await call.bye();
    const trace = (await caller.finished()).replace(/\r/g, "");
    for (const cseq of ["1 INVITE", "2 INVITE", "3 UPDATE"]) {
      const answer = trace
        .split(/^(?=SIP\/2\.0 )/m)
        .find((text) => text.startsWith("SIP/2.0 200") && text.includes(`\nCSeq: ${cseq}\n`));
      expect(/^Session-Expires: *(.*)$/im.exec(answer?.split("\n\n")[0] ?? "")?.[1]).toBe("1800;refresher=uac");
    }
    await sleeping.device.untilCallState(push.call ?? "", "ended");
    await phone.stop();
  });
});

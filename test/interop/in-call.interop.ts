import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SipText } from "../fakes/sip-text.ts";
import { sdp } from "../integration/sip.ts";
import { FarEnd } from "./lab/far-end.ts";
import { type Lab, openLab } from "./lab/lab.ts";
import { messages, nextCall, type Phone, type PhoneStack, untilStep } from "./lab/phone.ts";
import { calledBy, type FarCall, sleeper, talking } from "./lab/stories.ts";
import { until } from "./lab/wait.ts";
import type { EnrolledDevice } from "./lab/wakeline.ts";

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
/** What every hop changes (RFC 3261 §16.6, §16.7). */
const hopHeaders = ["Via", "Max-Forwards", "Record-Route", "Route", "Content-Length"];
const video = `${sdp("bob")}m=video 4002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n`;

/** The phone's nth request or answer that begins so, once it has come or gone. */
async function atPhone(phone: Phone, direction: "in" | "out", start: string, n = 0): Promise<SipText> {
  return new SipText(await until(`${start} ${direction}`, () => messages(phone, direction, start)[n]));
}

function kept(message: SipText, ...more: string[]): readonly string[] {
  return message.linesWithout(...hopHeaders, ...more).toSorted();
}

function tagOf(header: string): string {
  return /;tag=([^;\s]+)/.exec(header)?.[1] ?? "";
}

/** The call ends as it should: nothing of it hangs. */
async function hangUp({ phone, call, invite, push }: FarCall, device: EnrolledDevice): Promise<void> {
  await call.bye();
  await far.isHungUp(invite.get("Call-ID"));
  await device.untilCallState(push.call ?? "", "ended");
  await phone.stop();
}

describe.each(stacks)("inside a call to %s, all that passes is the phone's and the far end's", (stack) => {
  test("late offer: the phone's in the 200, the answer in the ACK; media byte for byte (RFC 3261 §13.2.1, RFC 4733)", async () => {
    const sleeping = await sleeper(lab);
    const at = await calledBy(lab, far, sleeping, stack, { body: "" });
    expect((await atPhone(at.phone, "in", "INVITE")).body).toBe("");
    await at.call.answer();
    const answered = await far.gets("200 INVITE", at.invite.get("Call-ID"));
    expect(answered.body).toBe((await atPhone(at.phone, "out", "SIP/2.0 200")).body);
    expect(answered.body).toContain("m=audio");
    far.acks(at.invite, answered, { body: sdp("bob") });
    await untilStep(at.phone, at.call, "confirmed");
    const ack = await atPhone(at.phone, "in", "ACK");
    expect(ack.body).toBe(sdp("bob"));
    expect(ack.body).toContain("a=rtpmap:101 telephone-event/8000");
    await hangUp(at, sleeping.device);
  });

  test("the far end adds video by re-INVITE, the phone offers anew; both are answered and acknowledged (RFC 3261 §14)", async () => {
    const sleeping = await sleeper(lab);
    const at = await calledBy(lab, far, sleeping, stack);
    const side = await talking(at);

    const down = far.asks("INVITE", side, at.invite.cseq + 1, { body: video });
    const upgraded = await atPhone(at.phone, "in", "INVITE", 1);
    expect(upgraded.body).toBe(video);
    expect(kept(upgraded)).toEqual(kept(down));
    await far.gets("200 INVITE", at.invite.get("Call-ID"));
    far.asks("ACK", side, down.cseq);
    await atPhone(at.phone, "in", "ACK", 1);

    await at.call.reinvite();
    const up = await far.gets("INVITE", at.invite.get("Call-ID"));
    expect(up.body).toBe((await atPhone(at.phone, "out", "INVITE")).body);
    expect(kept(up, "Contact")).toEqual(kept(await atPhone(at.phone, "out", "INVITE"), "Contact"));
    expect(up.get("Contact")).not.toContain(".invalid");
    far.answers(up, 200, { body: sdp("held") });
    await far.gets("ACK", at.invite.get("Call-ID"));
    expect((await atPhone(at.phone, "in", "SIP/2.0 200")).body).toBe(sdp("held"));
    await hangUp(at, sleeping.device);
  });

  test("glare: the phone's own re-INVITE waits, so it says 491 to the far end's (RFC 3261 §14.2)", async () => {
    const sleeping = await sleeper(lab);
    const at = await calledBy(lab, far, sleeping, stack);
    const side = await talking(at);
    void at.call.reinvite();
    const up = await far.gets("INVITE", at.invite.get("Call-ID"));
    const down = far.asks("INVITE", side, at.invite.cseq + 1, { body: sdp("bob") });
    far.acksFailure(down, await far.gets("491 INVITE", at.invite.get("Call-ID")));
    far.answers(up, 200, { body: sdp("bob") });
    await far.gets("ACK", at.invite.get("Call-ID"));
    await far.hangsUp(side, at.invite.cseq + 2);
    await untilStep(at.phone, at.call, "ended");
    await at.phone.stop();
  });

  test("a challenge inside the call is the phone's to answer, with its own password (RFC 3261 §22)", async () => {
    const sleeping = await sleeper(lab);
    const at = await calledBy(lab, far, sleeping, stack);
    await talking(at);
    void at.call.info("5");
    for (const [status, header, answer] of [
      [401, "WWW-Authenticate", "Authorization"],
      [407, "Proxy-Authenticate", "Proxy-Authorization"],
    ] as const) {
      if (status === 407) void at.call.info("6");
      const first = await far.gets("INFO", at.invite.get("Call-ID"));
      expect(first.has(answer)).toBe(false);
      const challenge = `Digest realm="far.test", nonce="n${status}", qop="auth", algorithm=MD5`;
      far.answers(first, status, { lines: [`${header}: ${challenge}`] });
      expect((await atPhone(at.phone, "in", `SIP/2.0 ${status}`)).get(header)).toBe(challenge);
      const second = await far.gets("INFO", at.invite.get("Call-ID"));
      expect(second.get(answer)).toContain(`nonce="n${status}"`);
      expect(second.get(answer)).toContain(`username="${sleeping.user}"`);
      far.answers(second, 200);
    }
    await hangUp(at, sleeping.device);
  });

  test("REFER, and each NOTIFY of how it goes, byte for byte (RFC 3515, RFC 3420)", async () => {
    const sleeping = await sleeper(lab);
    const at = await calledBy(lab, far, sleeping, stack);
    const side = await talking(at);
    void at.call.refer("sip:carol@lab.test");
    const refer = await far.gets("REFER", at.invite.get("Call-ID"));
    expect(refer.get("Refer-To")).toContain("sip:carol@lab.test");
    expect(kept(refer, "Contact")).toEqual(kept(await atPhone(at.phone, "out", "REFER"), "Contact"));
    far.answers(refer, 202);
    const fragments = ["SIP/2.0 100 Trying\r\n", "SIP/2.0 180 Ringing\r\n", "SIP/2.0 200 OK\r\n"];
    for (const [n, fragment] of fragments.entries()) {
      const state = n === 2 ? "terminated;reason=noresource" : "active;expires=60";
      const lines = ["Event: refer", `Subscription-State: ${state}`, "Content-Type: message/sipfrag;version=2.0"];
      const down = far.asks("NOTIFY", side, at.invite.cseq + 1 + n, { lines, body: fragment });
      await far.gets("200 NOTIFY", at.invite.get("Call-ID"));
      const notify = await atPhone(at.phone, "in", "NOTIFY", n);
      expect(notify.body).toBe(fragment);
      expect(kept(notify)).toEqual(kept(down));
    }
    await hangUp(at, sleeping.device);
  });

  test("a call that takes this one's place (Replaces): the phone knows itself by it, and hangs up the first (RFC 3891)", async () => {
    const sleeping = await sleeper(lab);
    const at = await calledBy(lab, far, sleeping, stack);
    const side = await talking(at);
    using other = await FarEnd.open(lab.kamailio.proxy);
    const [callId, ours, theirs] = [side.callId, tagOf(side.from), tagOf(side.to)];
    const invite = other.invites(sleeping.user, {
      lines: [`Replaces: ${callId};to-tag=${theirs};from-tag=${ours}`, "Require: replaces"],
    });
    const taken = await atPhone(at.phone, "in", "INVITE", 1);
    expect(taken.get("Replaces")).toBe(invite.get("Replaces"));
    await (await nextCall(at.phone, 1)).answer();
    const second = other.acks(invite, await other.gets("200 INVITE", invite.get("Call-ID")));
    await far.isHungUp(callId);
    await sleeping.device.untilCallState(at.push.call ?? "", "ended");
    await other.hangsUp(second, invite.cseq + 1);
    await at.phone.stop();
  });

  test("what nobody here knows passes: identity, privacy, history, a multipart body, a method without a name (RFC 3261 §16.6)", async () => {
    const lines = [
      'P-Asserted-Identity: "Bob" <sip:bob@trunk.test>, <tel:+4930123456>',
      "Privacy: id;critical",
      "Identity: eyJhbGciOiJFUzI1NiJ9..c2ln;info=<https://cert.example/a.pem>;alg=ES256;ppt=shaken",
      "History-Info: <sip:a@b.example?Reason=SIP%3Bcause%3D302>;index=1, <sip:c@d.example>;index=1.1;rc=1",
      "Diversion: <sip:c@d.example>;reason=unconditional;counter=1",
      'X-Odd:   two  spaces ; "quo;ted" , comma',
    ];
    const multipart = [
      "--cut",
      "Content-Type: application/sdp",
      "",
      sdp("bob"),
      "--cut",
      "Content-Type: application/octet-stream",
      "",
      "\u00e9\u00ff\u0001",
      "--cut--",
      "",
    ].join("\r\n");
    const sleeping = await sleeper(lab);
    const at = await calledBy(lab, far, sleeping, stack, { lines });
    expect(kept(await atPhone(at.phone, "in", "INVITE"))).toEqual(kept(at.invite));
    const side = await talking(at);
    const strange = far.asks("FROBNICATE", side, at.invite.cseq + 1, {
      lines: [...lines, "MIME-Version: 1.0", "Content-Type: multipart/mixed;boundary=cut"],
      body: multipart,
    });
    const frobnicate = await atPhone(at.phone, "in", "FROBNICATE");
    expect(kept(frobnicate)).toEqual(kept(strange));
    expect(frobnicate.body).toBe(multipart);
    await hangUp(at, sleeping.device);
  });
});

describe("JsSIP keeps the time of the call, RFC 4028, RFC 3311", () => {
  test("its UPDATE and its re-INVITE carry what was agreed, and so do the answers", async () => {
    const sleeping = await sleeper(lab);
    const timer = "Session-Expires: 1800;refresher=uas";
    const at = await calledBy(lab, far, sleeping, "JsSIP", { lines: [timer, "Supported: timer", "Min-SE: 90"] });
    const side = await talking(at);
    expect((await atPhone(at.phone, "out", "SIP/2.0 200")).get("Session-Expires")).toBe("1800;refresher=uas");
    for (const [method, refresh] of [
      ["UPDATE", () => at.call.update()],
      ["INVITE", () => at.call.reinvite()],
    ] as const) {
      void refresh();
      const up = await far.gets(method, at.invite.get("Call-ID"));
      const sent = await atPhone(at.phone, "out", method);
      expect(up.get("Session-Expires")).toBe("1800;refresher=uac");
      expect(up.body).toBe(sent.body);
      expect(kept(up, "Contact")).toEqual(kept(sent, "Contact"));
      far.answers(up, 200, { lines: ["Session-Expires: 1800;refresher=uac", "Require: timer"], body: sdp("bob") });
      const answers = messages(at.phone, "in", "SIP/2.0 200").length;
      const answered = await atPhone(at.phone, "in", "SIP/2.0 200", answers);
      expect([answered.method, answered.get("Session-Expires"), answered.get("Require")]).toEqual([
        method,
        "1800;refresher=uac",
        "timer",
      ]);
      if (method === "INVITE") await far.gets("ACK", at.invite.get("Call-ID"));
    }
    await far.hangsUp(side, at.invite.cseq + 1);
    await untilStep(at.phone, at.call, "ended");
    await at.phone.stop();
  });
});

describe("SIP.js, and the far end's no to its re-INVITE, RFC 3261 §14.1", () => {
  test.each([491, 488])("%d: the phone hears it, and the call goes on", async (status) => {
    const sleeping = await sleeper(lab);
    const at = await calledBy(lab, far, sleeping, "SIP.js");
    const side = await talking(at);
    void at.call.reinvite();
    const up = await far.gets("INVITE", at.invite.get("Call-ID"));
    // Glare: the far end has asked, too.
    far.answers(up, status, { lines: ["Retry-After: 2", 'Warning: 399 far.test "not now"'] });
    await far.gets("ACK", at.invite.get("Call-ID"));
    await untilStep(at.phone, at.call, "refused");
    const refusal = await atPhone(at.phone, "in", `SIP/2.0 ${status}`);
    expect([refusal.get("Retry-After"), refusal.get("Warning")]).toEqual(["2", '399 far.test "not now"']);
    await far.hangsUp(side, at.invite.cseq + 1);
    await untilStep(at.phone, at.call, "ended");
    await at.phone.stop();
  });
});

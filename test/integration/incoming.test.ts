import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Lab, type AccountInput, type Phone } from "./lab.ts";
import { Provider } from "./provider.ts";
import { calleeSide, callerSide, sdp } from "./sip.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

/** A second device on a sleeping account. */
async function joins(account: AccountInput): Promise<Phone> {
  const phone = await lab.phone();
  await phone.sleeps(account);
  return phone;
}

describe("many devices of an account, RFC 3261 §16.7, RFC 3326", () => {
  test("two ring, one answers: the other hears CANCEL with cause 200, a sleeping third a cancel push; the journals agree", async () => {
    const { phone: first, account } = await lab.sleeper();
    const [second, third] = [await joins(account), await joins(account)];
    const { provider } = lab;
    const invite = provider.sends("INVITE", account.username);
    const callId = invite.get("Call-ID");
    const pushes = await Promise.all([first, second, third].map((phone) => phone.push("call")));
    expect(new Set(pushes.map(({ call }) => call)).size).toBe(1);
    expect(new Set(pushes.map(({ id }) => id)).size).toBe(3);
    expect(pushes.map((push) => push.callId)).toEqual([callId, callId, callId]);
    const call = pushes[0]?.call;
    expect((await third.callState(call)).body).toMatchObject({
      state: "ringing",
      from: { uri: "sip:bob@far.example" },
    });

    await first.opens(pushes[0]?.tunnel);
    await second.opens(pushes[1]?.tunnel);
    const [atFirst, atSecond] = [await first.gets("INVITE"), await second.gets("INVITE")];
    expect(atFirst.branch).not.toBe(atSecond.branch);
    first.answersTo(atFirst, 180);
    second.answersTo(atSecond, 180);
    const answer = first.answersTo(atFirst, 200);
    const answered = await provider.gets("200 INVITE", callId);
    expect(answered.get("To")).toBe(answer.get("To"));
    provider.acks(invite, answered);
    expect((await first.gets("ACK")).get("Call-ID")).toBe(callId);

    const cancel = await second.gets("CANCEL");
    expect(cancel.get("Reason")).toMatch(/^SIP;cause=200;text="Call completed elsewhere"$/);
    expect(cancel.branch).toBe(atSecond.branch);
    second.answersTo(cancel, 200);
    second.answersTo(atSecond, 487);
    expect(await third.push("cancel")).toMatchObject({ call, callId });
    await third.callBecomes(call, "answeredElsewhere");
    await first.callBecomes(call, "answered");

    provider.inDialog("BYE", callerSide(invite, answered), invite.cseq + 1);
    first.answersTo(await first.gets("BYE"), 200);
    await provider.gets("200 BYE", callId);
    await first.callBecomes(call, "ended");
    expect((await third.journal(1)).map((entry) => [entry.call, entry.state])).toEqual([[call, "answeredElsewhere"]]);
    expect(lab.pushesLeft(second.pushToken)).toEqual([]);
    expect(provider.inbox.left(callId)).not.toContain("200 INVITE");
  });

  test("486 on one: the other rings on, and its 486 then ends the call", async () => {
    const { phone: first, account } = await lab.sleeper();
    const second = await joins(account);
    const invite = lab.provider.sends("INVITE", account.username);
    await Promise.all([first, second].map(async (phone) => phone.opens((await phone.push("call")).tunnel)));
    const [atFirst, atSecond] = [await first.gets("INVITE"), await second.gets("INVITE")];
    first.answersTo(atFirst, 486);
    await first.gets("ACK");
    second.answersTo(atSecond, 180);
    await lab.provider.gets("180 INVITE", invite.get("Call-ID"));
    second.answersTo(atSecond, 486);
    const busy = await lab.provider.gets("486 INVITE", invite.get("Call-ID"));
    lab.provider.acksFailure(invite, busy);
  });

  test("603 on one ends it for all: CANCEL to the ringing, a cancel push to the sleeping", async () => {
    const { phone: first, account } = await lab.sleeper();
    const [second, third] = [await joins(account), await joins(account)];
    const invite = lab.provider.sends("INVITE", account.username);
    await Promise.all([first, second].map(async (phone) => phone.opens((await phone.push("call")).tunnel)));
    await third.push("call");
    const [atFirst, atSecond] = [await first.gets("INVITE"), await second.gets("INVITE")];
    second.answersTo(atSecond, 180);
    first.answersTo(atFirst, 603);
    const cancel = await second.gets("CANCEL");
    second.answersTo(cancel, 200);
    second.answersTo(atSecond, 487);
    const declined = await lab.provider.gets("603 INVITE", invite.get("Call-ID"));
    lab.provider.acksFailure(invite, declined);
    await third.push("cancel");
  });

  test("a device that opens its tunnel while another rings joins", async () => {
    const { phone: first, account } = await lab.sleeper();
    const second = await joins(account);
    await first.opens();
    await first.isHere(account);
    const invite = lab.provider.sends("INVITE", account.username);
    const atFirst = await first.gets("INVITE");
    first.answersTo(atFirst, 180);
    const push = await second.push("call");
    await second.opens(push.tunnel);
    second.answersTo(await second.gets("INVITE"), 200);
    const answered = await lab.provider.gets("200 INVITE", invite.get("Call-ID"));
    lab.provider.acks(invite, answered);
    expect((await first.gets("CANCEL")).get("Reason")).toContain("cause=200");
    expect(lab.pushesLeft(first.pushToken)).toEqual([]);
  });
});

describe("a push that comes late", () => {
  test("the caller has hung up: the phone asks, hears so, and opening the tunnel brings no call", async () => {
    const { phone, account } = await lab.sleeper();
    const invite = lab.provider.sends("INVITE", account.username);
    const push = await phone.push("call");
    expect((await phone.callState(push.call)).body).toMatchObject({ state: "ringing", deadline: push.deadline });
    lab.provider.cancels(invite, 'Reason: SIP;cause=200;text="Answered on the desk phone"');
    const gone = await lab.provider.gets("487 INVITE", invite.get("Call-ID"));
    lab.provider.acksFailure(invite, gone);
    await phone.push("cancel");
    await phone.callBecomes(push.call, "answeredElsewhere");
    await phone.opens(push.tunnel);
    // A request of its own comes back first: there was no INVITE before it.
    const ask = phone.sends(account, "OPTIONS", `sip:${account.domain}`);
    await phone.gets("200 OPTIONS", ask.get("Call-ID"));
    expect(phone.inbox.left()).toEqual([]);
  });

  test("a foreign call is nobody's to ask about, and a call that never was is 404", async () => {
    const { phone, account } = await lab.sleeper();
    const stranger = await lab.phone();
    const invite = lab.provider.sends("INVITE", account.username);
    const { call } = await phone.push("call");
    expect((await stranger.callState(call)).status).toBe(404);
    expect((await stranger.callState(crypto.randomUUID())).status).toBe(404);
    lab.provider.cancels(invite);
    await lab.provider.gets("487 INVITE", invite.get("Call-ID"));
    await phone.push("cancel");
    expect((await phone.push("missed")).call).toBe(call);
    await phone.callBecomes(call, "cancelled");
    expect((await phone.journal(1))[0]).toMatchObject({
      call,
      state: "cancelled",
      from: { uri: "sip:bob@far.example" },
    });
  });
});

describe("nobody can be woken", () => {
  test("an app that was removed (410): 480 at once, and the next call asks no provider", async () => {
    const { phone, account } = await lab.sleeper();
    lab.dead.add(phone.pushToken);
    for (let n = 0; n < 2; n++) {
      const invite = lab.provider.sends("INVITE", account.username);
      const absent = await lab.provider.gets("480 INVITE", invite.get("Call-ID"));
      lab.provider.acksFailure(invite, absent);
    }
    const device = await phone.http("GET", "/v1/devices/me");
    expect(device.body.push).toMatchObject({ state: "dead" });
  });

  test("onUnreachable: 302 to where the owner said", async () => {
    const { phone, account } = await lab.sleeper({ onUnreachable: { forwardTo: "sip:voicemail@provider.example" } });
    lab.dead.add(phone.pushToken);
    const invite = lab.provider.sends("INVITE", account.username);
    const moved = await lab.provider.gets("302 INVITE", invite.get("Call-ID"));
    expect(moved.contactUri).toBe("sip:voicemail@provider.example");
    lab.provider.acksFailure(invite, moved);
  });

  test("continuous, in the foreground without a tunnel: held in silence, no push, no ringing, ended by the server's CANCEL", async () => {
    const { phone, account } = await lab.sleeper({ registrationMode: "continuous" });
    expect((await phone.presence("foreground")).body.presence).toBe("foreground");
    expect(lab.provider.isBound(account.username)).toBe(true);
    const invite = lab.provider.sends("INVITE", account.username);
    await lab.provider.gets("100 INVITE", invite.get("Call-ID"));
    lab.provider.cancels(invite);
    const gone = await lab.provider.gets("487 INVITE", invite.get("Call-ID"));
    lab.provider.acksFailure(invite, gone);
    expect(lab.provider.inbox.left(invite.get("Call-ID"))).not.toContain("180 INVITE");
    expect(lab.pushesLeft(phone.pushToken)).toEqual([]);
  });
});

describe("in a call, byte for byte", () => {
  test("INFO, UPDATE, REFER with its NOTIFY, re-INVITE and its refusal, both ways", async () => {
    const { phone, account } = await lab.sleeper();
    const { provider } = lab;
    const multipart =
      "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\nContent-Type: application/pidf+xml\r\n\r\n<x>\u00e9</x>\r\n--b--\r\n";
    const odd = [
      "Session-Expires: 90;refresher=uac",
      "P-Asserted-Identity: <tel:+4930123456>",
      "Privacy: none",
      "History-Info: <sip:a@b.example>;index=1",
      "Diversion: <sip:c@d.example>;reason=unconditional",
      "Identity: eyJhbGciOiJFUzI1NiJ9..sig;info=<https://cert.example/a.pem>",
      'X-Odd:   two  spaces ; "quo;ted"',
      "Content-Type: multipart/mixed;boundary=b",
    ];
    const invite = provider.sends("INVITE", account.username, { lines: odd, body: multipart });
    await phone.opens((await phone.push("call")).tunnel);
    const offered = await phone.gets("INVITE");
    const kept = (message: typeof offered): string[] =>
      message.linesWithout("Via", "Max-Forwards", "Contact", "Content-Length").toSorted();
    expect(kept(offered)).toEqual(kept(invite));
    expect(offered.get("Contact")).toBe(invite.get("Contact"));
    expect(offered.body).toBe(multipart);
    const answer = phone.answersTo(offered, 200);
    const answered = await provider.gets("200 INVITE", invite.get("Call-ID"));
    provider.acks(invite, answered);
    await phone.gets("ACK");
    const far = callerSide(invite, answered);
    const near = calleeSide(offered, answer);

    let cseq = invite.cseq;
    const cases = [
      ["INFO", { lines: ["Info-Package: dtmf", "Content-Type: application/dtmf-relay"], body: "Signal=5\r\n" }],
      ["UPDATE", { lines: ["Session-Expires: 1800;refresher=uas"] }],
      [
        "REFER",
        {
          lines: [
            "Refer-To: <sip:carol@far.example?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>",
            "Referred-By: <sip:x@y.example>",
          ],
        },
      ],
      [
        "NOTIFY",
        {
          lines: ["Event: refer", "Subscription-State: active;expires=60", "Content-Type: message/sipfrag"],
          body: "SIP/2.0 180 Ringing\r\n",
        },
      ],
      ["FROBNICATE", { lines: ["X-Any: thing"], body: "\u00ff\u0000\u0001" }],
      ["INVITE", { lines: ["Content-Type: application/sdp"], body: "v=0\r\na=sendonly\r\n" }],
    ] as const;
    for (const [method, extra] of cases) {
      const down = provider.inDialog(method, far, ++cseq, extra);
      const atPhone = await phone.gets(method);
      expect(kept(atPhone)).toEqual(kept(down));
      expect(atPhone.body).toBe(down.body);
      phone.answersTo(atPhone, 488, { lines: ['Warning: 399 phone "no"'] });
      const refusal = await provider.gets(`488 ${method}`, invite.get("Call-ID"));
      expect(refusal.get("Warning")).toBe('399 phone "no"');
      if (method === "INVITE") provider.acksFailure(down, refusal);

      const up = phone.inDialog(method, near, ++cseq, extra);
      const atServer = await provider.gets(method);
      expect(kept(atServer)).toEqual(kept(up));
      expect(atServer.body).toBe(up.body);
      expect(atServer.uri).toBe(up.uri);
      expect(atServer.all("Via")).toHaveLength(1);
      expect(atServer.text).not.toContain("phone.invalid");
      provider.answersTo(atServer, 407, { lines: ['Proxy-Authenticate: Digest realm="r", nonce="n"'] });
      expect((await phone.gets(`407 ${method}`)).get("Proxy-Authenticate")).toBe('Digest realm="r", nonce="n"');
    }

    phone.inDialog("BYE", near, ++cseq);
    provider.answersTo(await provider.gets("BYE"), 200);
    await phone.gets("200 BYE");
  });

  test("a server that leaves no Record-Route: what follows goes to the far end's own address and comes from there", async () => {
    const { phone, account } = await lab.sleeper();
    const far = await Provider.open("127.0.0.2");
    try {
      const lines = [`Contact: <${far.contact}>`];
      const invite = lab.provider.sends("INVITE", account.username, { lines }, false);
      await phone.opens((await phone.push("call")).tunnel);
      const offered = await phone.gets("INVITE");
      const answer = phone.answersTo(offered, 200);
      const answered = await lab.provider.gets("200 INVITE", invite.get("Call-ID"));
      far.acks(invite, answered);
      await phone.gets("ACK");
      phone.inDialog("INFO", calleeSide(offered, answer), 1);
      far.answersTo(await far.gets("INFO"), 200);
      await phone.gets("200 INFO");
      far.inDialog("BYE", callerSide(invite, answered), invite.cseq + 1);
      phone.answersTo(await phone.gets("BYE"), 200);
      await far.gets("200 BYE");
      expect(lab.provider.inbox.left(invite.get("Call-ID"))).not.toContain("INFO");
    } finally {
      far.close();
    }
  });

  test("late offer: the phone's in the 200, the answer in the ACK; then glare: 491 both ways", async () => {
    const { phone, account } = await lab.sleeper();
    const { provider } = lab;
    const invite = provider.sends("INVITE", account.username, { body: "", lines: ["Content-Type:"] });
    const callId = invite.get("Call-ID");
    await phone.opens((await phone.push("call")).tunnel);
    const offered = await phone.gets("INVITE");
    expect(offered.body).toBe("");
    const answer = phone.answersTo(offered, 200);
    const answered = await provider.gets("200 INVITE", callId);
    expect(answered.body).toBe(answer.body);
    provider.acks(invite, answered, { body: sdp("the answer") });
    expect((await phone.gets("ACK")).body).toBe(sdp("the answer"));

    const down = provider.inDialog("INVITE", callerSide(invite, answered), invite.cseq + 1, { body: sdp("video") });
    const up = phone.inDialog("INVITE", calleeSide(offered, answer), 1, { body: sdp("hold") });
    const [atPhone, atServer] = [await phone.gets("INVITE", callId), await provider.gets("INVITE", callId)];
    phone.answersTo(atPhone, 491);
    provider.answersTo(atServer, 491);
    provider.acksFailure(down, await provider.gets("491 INVITE", callId));
    phone.acksFailure(up, await phone.gets("491 INVITE", callId));
    // Each side's ACK is hop by hop (RFC 3261 §17.1.1.3): both were acknowledged by Wakeline.
    await phone.gets("ACK", callId);
    await provider.gets("ACK", callId);
    phone.inDialog("INVITE", calleeSide(offered, answer), 2, { body: sdp("hold") });
    const again = await provider.gets("INVITE", callId);
    const taken = provider.answersTo(again, 200);
    const held = await phone.gets("200 INVITE", callId);
    expect(held.body).toBe(taken.body);
    phone.inDialog("ACK", calleeSide(offered, answer), 2);
    expect((await provider.gets("ACK", callId)).cseq).toBe(2);
    phone.inDialog("BYE", calleeSide(offered, answer), 3);
    provider.answersTo(await provider.gets("BYE", callId), 200);
    await phone.gets("200 BYE");
  });
});

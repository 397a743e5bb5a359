import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Lab } from "./lab.ts";
import { calleeSide, callerSide } from "./sip.ts";

let lab: Lab;
/** Its calls wait one second for a phone. */
let hasty: Lab;
beforeAll(async () => {
  [lab, hasty] = await Promise.all([Lab.open(), Lab.open({ deadlineSec: 1, ring: "immediate" })]);
});
afterAll(() => Promise.all([lab.close(), hasty.close()]));

async function statusOf(url: string | undefined, token?: string): Promise<number> {
  const response = await fetch((url ?? "").replace(/^ws/, "http"), {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  return response.status;
}
/** A door that lets in says so to who forgot that it is a WebSocket. */
const good = 426;

describe("tickets", () => {
  test("a call that lives keeps its ticket good beyond the deadline; a missed one's is 403 then", async () => {
    const { phone, account } = await hasty.sleeper();
    const { provider } = hasty;
    const invite = provider.sends("INVITE", account.username);
    // `immediate`: the caller hears ringing before any phone does.
    await provider.gets("180 INVITE", invite.get("Call-ID"));
    const push = await phone.push("call");
    await phone.opens(push.tunnel);
    const offered = await phone.gets("INVITE");
    const answer = phone.answersTo(offered, 200);
    const answered = await provider.gets("200 INVITE", invite.get("Call-ID"));
    provider.acks(invite, answered);
    await phone.gets("ACK");
    expect(provider.inbox.left(invite.get("Call-ID"))).not.toContain("486 INVITE");

    const { phone: other, account: others } = await hasty.sleeper();
    const missed = provider.sends("INVITE", others.username);
    const late = await other.push("call");
    expect(await statusOf(late.tunnel)).toBe(good);
    const absent = await provider.gets("480 INVITE", missed.get("Call-ID"));
    provider.acksFailure(missed, absent);
    expect((await other.push("missed")).call).toBe(late.call);
    await other.callBecomes(late.call, "missed");
    expect(await statusOf(late.tunnel)).toBe(403);
    // Its own token does not make a late ticket good.
    expect(await statusOf(late.tunnel, other.token)).toBe(403);

    // The network changes: the socket dies, the phone comes back by the same URL and finds what was held.
    phone.loses();
    const far = callerSide(invite, answered);
    provider.inDialog("INFO", far, invite.cseq + 1, { lines: ["X-Order: first"] });
    await phone.opens(push.tunnel);
    const info = await phone.gets("INFO");
    phone.answersTo(info, 200);
    await provider.gets("200 INFO", invite.get("Call-ID"));
    phone.inDialog("BYE", calleeSide(offered, answer), 1);
    provider.answersTo(await provider.gets("BYE", invite.get("Call-ID")), 200);
    await phone.gets("200 BYE");
    await phone.callBecomes(push.call, "ended");
    expect(await statusOf(push.tunnel)).toBe(403);
  });

  test("nothing is 401; what is no ticket, or another device's, is 403", async () => {
    const { phone, account } = await lab.sleeper();
    const stranger = await lab.phone();
    const invite = lab.provider.sends("INVITE", account.username);
    const { tunnel } = await phone.push("call");
    expect(await statusOf(`${lab.url}/v1/tunnel`)).toBe(401);
    expect(await statusOf(`${lab.url}/v1/tunnel?ticket=${"A".repeat(43)}`)).toBe(403);
    expect(await statusOf(tunnel, stranger.token)).toBe(403);
    expect(await statusOf(tunnel, phone.token)).toBe(good);
    lab.provider.cancels(invite);
    await lab.provider.gets("487 INVITE", invite.get("Call-ID"));
  });
});

describe("the network changes, docs/relay.md rules 5 and 6", () => {
  test("in the middle of an INVITE: the next tunnel gets it again under the same branch, the caller hears one answer", async () => {
    const { phone, account } = await lab.sleeper();
    const invite = lab.provider.sends("INVITE", account.username);
    const push = await phone.push("call");
    await phone.opens(push.tunnel);
    const offered = await phone.gets("INVITE");
    phone.answersTo(offered, 180);
    await lab.provider.gets("180 INVITE", invite.get("Call-ID"));
    phone.loses();
    await phone.opens(push.tunnel);
    const again = await phone.gets("INVITE");
    expect(again.branch).toBe(offered.branch);
    phone.answersTo(again, 200);
    const answered = await lab.provider.gets("200 INVITE", invite.get("Call-ID"));
    lab.provider.acks(invite, answered);
    await phone.gets("ACK");
    expect(lab.pushesLeft(phone.pushToken)).toEqual([]);
  });

  test("in a call: what comes meanwhile arrives once and in order, and so does the answer to the phone's own re-INVITE", async () => {
    const { phone, account } = await lab.sleeper();
    const { provider } = lab;
    const invite = provider.sends("INVITE", account.username);
    const callId = invite.get("Call-ID");
    const push = await phone.push("call");
    await phone.opens(push.tunnel);
    const offered = await phone.gets("INVITE");
    const answer = phone.answersTo(offered, 200);
    const answered = await provider.gets("200 INVITE", callId);
    provider.acks(invite, answered);
    await phone.gets("ACK");

    const near = calleeSide(offered, answer);
    phone.inDialog("INVITE", near, 1, { body: "v=0\r\n" });
    const hold = await provider.gets("INVITE", callId);
    phone.loses();
    const far = callerSide(invite, answered);
    provider.answersTo(hold, 200);
    for (const n of [1, 2, 3]) provider.inDialog("INFO", far, invite.cseq + n, { lines: [`X-Order: ${n}`] });
    await provider.gets("100 INVITE", callId);
    await phone.opens(push.tunnel);
    await phone.isHere(account);
    // As a UA does until the ACK comes (RFC 3261 §13.3.1.4): the first may have gone into the dying socket.
    provider.answersTo(hold, 200);
    const held = await phone.gets("200 INVITE", callId);
    phone.inDialog("ACK", callerSide(hold, held), 1);
    await provider.gets("ACK", callId);
    const orders: string[] = [];
    for (let n = 0; n < 3; n++) {
      const info = await phone.gets("INFO", callId);
      orders.push(info.get("X-Order"));
      phone.answersTo(info, 200);
    }
    expect(orders).toEqual(["1", "2", "3"]);
    await phone.isHere(account);
    expect(phone.inbox.left(callId).filter((name) => !name.endsWith(" INVITE"))).toEqual([]);
    provider.inDialog("BYE", far, invite.cseq + 9);
    phone.answersTo(await phone.gets("BYE"), 200);
    await provider.gets("200 BYE", callId);
  });

  test("a second tunnel of the device closes the first with 4001; the keep-alive works", async () => {
    const { phone, account } = await lab.sleeper();
    const first = await phone.opens();
    const closed = new Promise<CloseEvent>((resolve) => first.addEventListener("close", resolve, { once: true }));
    const second = await phone.opens();
    expect((await closed).code).toBe(4001);
    const pong = new Promise<MessageEvent>((resolve) => second.addEventListener("message", resolve, { once: true }));
    second.send("\r\n\r\n");
    expect((await pong).data).toBe("\r\n");
    await phone.isHere(account);
  });
});

describe("REGISTER through the tunnel, RFC 8599", () => {
  test("200 with the time granted; pn-prid is the device's push token from then on", async () => {
    const { phone, account } = await lab.sleeper();
    await phone.opens();
    const fresh = `${phone.pushToken}-fresh`;
    const contact = `<sip:me@phone.invalid;transport=ws;pn-provider=webhook;pn-prid=${fresh}>`;
    const register = phone.sends(account, "REGISTER", `sip:${account.domain}`, {
      lines: [`Contact: ${contact};expires=3600`, "Supported: outbound, path"],
    });
    const registered = await phone.gets("200 REGISTER", register.get("Call-ID"));
    expect(registered.get("Contact")).toStartWith(contact);
    const expires = Number(registered.param("Contact", "expires"));
    expect(expires).toBeGreaterThan(30);
    expect(expires).toBeLessThanOrEqual(600);
    expect(registered.get("Feature-Caps")).toBe('*;+sip.pns="webhook"');
    // An INVITE to the open tunnel names the Contact that was registered.
    const invite = lab.provider.sends("INVITE", account.username);
    const offered = await phone.gets("INVITE");
    expect(offered.uri).toStartWith("sip:me@phone.invalid");
    phone.answersTo(offered, 486);
    lab.provider.acksFailure(invite, await lab.provider.gets("486 INVITE", invite.get("Call-ID")));
    await phone.closes();
    lab.provider.sends("INVITE", account.username);
    expect((await lab.nextPush(fresh, "call")).kind).toBe("call");
  });
});

describe("out of calls", () => {
  test("MESSAGE to a sleeping phone: a push with a ticket, the tunnel, the phone's own 200", async () => {
    const { phone, account } = await lab.sleeper();
    const message = lab.provider.sends("MESSAGE", account.username, { body: "hello" });
    const push = await phone.push("message");
    expect(push).toMatchObject({ callId: message.get("Call-ID"), from: { uri: "sip:bob@far.example" } });
    expect(push.text).toBeUndefined();
    await phone.opens(push.tunnel);
    const arrived = await phone.gets("MESSAGE");
    expect(arrived.body).toBe("hello");
    phone.answersTo(arrived, 200, { lines: ["X-From: the phone"] });
    const answered = await lab.provider.gets("200 MESSAGE", message.get("Call-ID"));
    expect(answered.get("X-From")).toBe("the phone");
  });

  test("MESSAGE, PUBLISH and SUBSCRIBE of the phone go out, NOTIFY comes in; one that nobody asked for is 481", async () => {
    const { phone, account } = await lab.sleeper();
    const { provider } = lab;
    await phone.opens();
    for (const method of ["MESSAGE", "PUBLISH"]) {
      const request = phone.sends(account, method, `sip:carol@${account.domain}`, { body: "hi" });
      const out = await provider.gets(method, request.get("Call-ID"));
      expect(out.body).toBe("hi");
      provider.answersTo(out, 202);
      await phone.gets(`202 ${method}`, request.get("Call-ID"));
    }
    const subscribe = phone.sends(account, "SUBSCRIBE", `sip:carol@${account.domain}`, {
      lines: ["Event: presence", "Expires: 60"],
    });
    const out = await provider.gets("SUBSCRIBE", subscribe.get("Call-ID"));
    const accepted = provider.answersTo(out, 200, { lines: ["Expires: 60"] });
    await phone.gets("200 SUBSCRIBE");
    provider.inDialog("NOTIFY", calleeSide(out, accepted), 1, {
      lines: ["Event: presence", "Subscription-State: active;expires=60"],
    });
    phone.answersTo(await phone.gets("NOTIFY"), 200);
    await provider.gets("200 NOTIFY", subscribe.get("Call-ID"));
    const unknown = provider.sends("NOTIFY", account.username, {
      lines: ["Event: presence", "Subscription-State: active"],
    });
    await provider.gets("481 NOTIFY", unknown.get("Call-ID"));
    const options = provider.sends("OPTIONS", account.username);
    expect((await provider.gets("200 OPTIONS", options.get("Call-ID"))).get("Allow")).toContain("INVITE");
  });

  test("voicemail told unasked: 200, and an alert with the counts", async () => {
    const { phone, account } = await lab.sleeper();
    const notify = lab.provider.sends("NOTIFY", account.username, {
      lines: [
        "Event: message-summary",
        "Subscription-State: active",
        "Content-Type: application/simple-message-summary",
      ],
      body: "Messages-Waiting: yes\r\nMessage-Account: sip:vm@provider.example\r\nVoice-Message: 2/8 (0/2)\r\n",
    });
    await lab.provider.gets("200 NOTIFY", notify.get("Call-ID"));
    expect((await phone.push("voicemail")).text).toContain("2");
  });
});

describe("a call from the phone", () => {
  test("407, its answer, 183 and 180 of two branches, 200, BYE", async () => {
    const { phone, account } = await lab.sleeper();
    const { provider } = lab;
    await phone.opens();
    const invite = phone.sends(account, "INVITE", `sip:bob@${account.domain}`);
    const callId = invite.get("Call-ID");
    const asked = await provider.gets("INVITE", callId);
    expect(asked.text).not.toContain("phone.invalid");
    provider.answersTo(asked, 407, { lines: ['Proxy-Authenticate: Digest realm="x", nonce="y"'] });
    phone.acksFailure(invite, await phone.gets("407 INVITE", callId));
    const second = phone.sends(account, "INVITE", `sip:bob@${account.domain}`, {
      lines: [
        `From: ${invite.get("From")}`,
        `Call-ID: ${callId}`,
        `CSeq: ${invite.cseq + 1} INVITE`,
        'Proxy-Authorization: Digest username="me", response="0"',
      ],
    });
    const proven = await provider.gets("INVITE", callId);
    expect(proven.get("Proxy-Authorization")).toBe('Digest username="me", response="0"');
    for (const [status, tag] of [
      [183, "early-a"],
      [180, "early-b"],
    ] as const) {
      provider.answersTo(proven, status, {
        lines: [`To: ${proven.get("To")};tag=${tag}`, "Require: 100rel", "RSeq: 1"],
      });
      const early = await phone.gets(`${status} INVITE`, callId);
      expect(early.get("To")).toEndWith(tag);
      phone.inDialog("PRACK", callerSide(second, early), second.cseq + 1, { lines: [`RAck: 1 ${second.cseq} INVITE`] });
      const prack = await provider.gets("PRACK", callId);
      expect(prack.get("To")).toEndWith(tag);
      provider.answersTo(prack, 200);
      await phone.gets("200 PRACK", callId);
    }
    provider.answersTo(proven, 200, { lines: [`To: ${proven.get("To")};tag=early-b`] });
    const answered = await phone.gets("200 INVITE", callId);
    const near = callerSide(second, answered);
    phone.inDialog("ACK", near, second.cseq);
    await provider.gets("ACK", callId);
    phone.inDialog("BYE", near, second.cseq + 2);
    provider.answersTo(await provider.gets("BYE", callId), 200);
    await phone.gets("200 BYE", callId);
  });

  test("the network changes while it rings: the answer finds the phone on its next tunnel, and a refusal does too", async () => {
    const { phone, account } = await lab.sleeper();
    const { provider } = lab;
    await phone.opens();
    for (const status of [200, 486]) {
      const invite = phone.sends(account, "INVITE", `sip:bob@${account.domain}`);
      const callId = invite.get("Call-ID");
      const out = await provider.gets("INVITE", callId);
      provider.answersTo(out, 180);
      await phone.gets("180 INVITE", callId);
      phone.loses();
      provider.answersTo(out, status);
      // A 486 is acknowledged hop by hop: Wakeline has it before the phone is back.
      if (status === 486) await provider.gets("ACK", callId);
      await phone.opens();
      await phone.isHere(account);
      // A UA repeats its 2xx until the ACK comes; nobody repeats a refusal.
      if (status === 200) provider.answersTo(out, status);
      const final = await phone.gets(`${status} INVITE`, callId);
      if (status === 486) phone.acksFailure(invite, final);
      else {
        phone.inDialog("ACK", callerSide(invite, final), invite.cseq);
        await provider.gets("ACK", callId);
        phone.inDialog("BYE", callerSide(invite, final), invite.cseq + 1);
        provider.answersTo(await provider.gets("BYE", callId), 200);
        await phone.gets("200 BYE", callId);
      }
    }
  });

  test("another's From is 403, a dialog that is not there 481, CANCEL ends the ringing", async () => {
    const { phone, account } = await lab.sleeper();
    await phone.opens();
    const foreign = phone.sends(account, "INVITE", "sip:bob@far.example", {
      lines: ["From: <sip:somebody@else.example>;tag=x"],
    });
    phone.acksFailure(foreign, await phone.gets("403 INVITE", foreign.get("Call-ID")));
    const lost = phone.sends(account, "BYE", "sip:bob@far.example", { lines: ["To: <sip:bob@far.example>;tag=gone"] });
    await phone.gets("481 BYE", lost.get("Call-ID"));
    const invite = phone.sends(account, "INVITE", `sip:bob@${account.domain}`);
    const out = await lab.provider.gets("INVITE", invite.get("Call-ID"));
    lab.provider.answersTo(out, 180);
    await phone.gets("180 INVITE", invite.get("Call-ID"));
    phone.cancels(invite);
    const cancel = await lab.provider.gets("CANCEL", invite.get("Call-ID"));
    expect(cancel.branch).toBe(out.branch);
    lab.provider.answersTo(cancel, 200);
    lab.provider.answersTo(out, 487);
    phone.acksFailure(invite, await phone.gets("487 INVITE", invite.get("Call-ID")));
  });

  test("two calls of one phone at once, and a transfer between them: Refer-To and Replaces name what the far end knows", async () => {
    const { phone, account } = await lab.sleeper();
    const { provider } = lab;
    await phone.opens();
    await phone.isHere(account);
    const legs = [];
    for (let n = 0; n < 2; n++) {
      const invite = provider.sends("INVITE", account.username);
      const offered = await phone.gets("INVITE", invite.get("Call-ID"));
      const answer = phone.answersTo(offered, 200);
      const answered = await provider.gets("200 INVITE", invite.get("Call-ID"));
      provider.acks(invite, answered);
      await phone.gets("ACK", invite.get("Call-ID"));
      legs.push({ invite, offered, answer, answered });
    }
    const [kept, consulted] = legs;
    if (kept === undefined || consulted === undefined) throw new Error("no legs");
    const replaces = `${consulted.offered.get("Call-ID")};to-tag=${consulted.offered.param("From", "tag")};from-tag=${consulted.answer.param("To", "tag")}`;
    phone.inDialog("REFER", calleeSide(kept.offered, kept.answer), 1, {
      lines: [`Refer-To: <${consulted.offered.contactUri}?Replaces=${encodeURIComponent(replaces)}>`],
    });
    const refer = await provider.gets("REFER", kept.invite.get("Call-ID"));
    const named = decodeURIComponent(/\?Replaces=([^>]*)/.exec(refer.get("Refer-To"))?.[1] ?? "");
    expect(named).toBe(
      `${consulted.invite.get("Call-ID")};to-tag=${consulted.invite.param("From", "tag")};from-tag=${consulted.answered.param("To", "tag")}`,
    );
    provider.answersTo(refer, 202);
    await phone.gets("202 REFER");
    provider.inDialog("NOTIFY", callerSide(kept.invite, kept.answered), kept.invite.cseq + 1, {
      lines: ["Event: refer", "Subscription-State: terminated;reason=noresource", "Content-Type: message/sipfrag"],
      body: "SIP/2.0 200 OK\r\n",
    });
    const notify = await phone.gets("NOTIFY", kept.invite.get("Call-ID"));
    expect(notify.body).toBe("SIP/2.0 200 OK\r\n");
    phone.answersTo(notify, 200);
    for (const { invite, answered } of legs) {
      provider.inDialog("BYE", callerSide(invite, answered), invite.cseq + 5);
      phone.answersTo(await phone.gets("BYE", invite.get("Call-ID")), 200);
      await provider.gets("200 BYE", invite.get("Call-ID"));
    }
  });
});

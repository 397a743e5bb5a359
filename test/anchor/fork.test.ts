import { describe, expect, test } from "bun:test";
import { bestResponse } from "../../src/anchor/best-response.ts";
import { chooseTargets } from "../../src/anchor/targets.ts";
import { AnchorBench } from "../fakes/anchor-bench.ts";
import type { BenchPhone } from "../fakes/bench-phone.ts";
import type { SipText } from "../fakes/sip-text.ts";

function scene() {
  const bench = new AnchorBench();
  const server = bench.addServer();
  const alice = bench.addAccount("alice", server, { mobile: {}, tablet: {}, desk: {} });
  const phones = [bench.phone("mobile"), bench.phone("tablet"), bench.phone("desk")] as const;
  return { bench, server, alice, phones };
}

/** All three phones are there and have the INVITE. */
function ringing() {
  const all = scene();
  for (const phone of all.phones) phone.opens();
  const invite = all.server.invites(all.alice);
  all.server.gets(100);
  const offered = all.phones.map((phone) => phone.gets("INVITE"));
  const [first, second, third] = offered;
  if (first === undefined || second === undefined || third === undefined) throw new Error("not three");
  return { ...all, invite, offered: [first, second, third] as const };
}

const elsewhere = 'SIP;cause=200;text="Call completed elsewhere"';

/** The phone gives in to its CANCEL. */
function givesIn(phone: BenchPhone, offered: SipText): SipText {
  const cancel = phone.gets("CANCEL");
  phone.answers(cancel, 200);
  phone.answers(offered, 487);
  phone.gets("ACK");
  phone.nothing();
  return cancel;
}

describe("fork to several phones, RFC 3261 §16.7", () => {
  test("exactly one leg a device, each with a branch of its own", () => {
    const { offered } = ringing();
    expect(new Set(offered.map((message) => message.branch)).size).toBe(3);
  });

  test("every 18x goes on at once, under the phone's own tag", () => {
    const { server, phones, offered } = ringing();
    phones[0].answers(offered[0], 180);
    expect(server.gets(180).param("To", "tag")).toBe("mobile-tag");
    phones[1].answers(offered[1], 183);
    expect(server.gets(183).param("To", "tag")).toBe("tablet-tag");
  });

  test("the first 2xx wins, the others are told that the call is answered elsewhere", () => {
    const { bench, server, phones, offered } = ringing();
    for (const [i, phone] of phones.entries()) {
      phone.answers(offered[i]!, 180);
      server.gets(180);
    }
    phones[1].answers(offered[1], 200);
    expect(server.gets(200).param("To", "tag")).toBe("tablet-tag");
    expect(givesIn(phones[0], offered[0]).get("Reason")).toBe(elsewhere);
    expect(givesIn(phones[2], offered[2]).get("Reason")).toBe(elsewhere);
    server.nothing();
    const states = bench.taken("journal").map(({ summary, targets }) => `${summary.state}: ${targets.join(" ")}`);
    expect(states).toEqual(["ringing: mobile tablet desk", "answered: tablet", "answeredElsewhere: mobile desk"]);
  });

  test("sleeping phones are told by push", () => {
    const { bench, server, alice, phones } = scene();
    phones[0].opens();
    server.invites(alice);
    const offered = phones[0].gets("INVITE");
    bench.wakes("tablet", "desk");
    phones[0].answers(offered, 200);
    const push = bench.pushes("cancel", "tablet", "desk");
    expect(push.text).toBe("Call completed elsewhere");
    expect(push.call).toBe(bench.anchor.calls()[0]?.call);
  });

  test("a phone that was woken and is here is told by its tunnel, not by push", () => {
    const { bench, server, alice, phones } = scene();
    server.invites(alice);
    bench.wakes("mobile", "tablet", "desk");
    for (const phone of [phones[0], phones[1]]) phone.opens();
    phones[0].answers(phones[0].gets("INVITE"), 200);
    phones[1].gets("INVITE");
    phones[1].gets("CANCEL");
    bench.pushes("cancel", "desk");
  });

  test("a device that opens its tunnel while others ring joins", () => {
    const { bench, server, alice, phones } = scene();
    phones[0].opens();
    server.invites(alice);
    server.gets(100);
    phones[0].answers(phones[0].gets("INVITE"), 180);
    server.gets(180);
    bench.pass(60_000);
    phones[1].opens();
    phones[1].answers(phones[1].gets("INVITE"), 200);
    server.gets(200);
    phones[0].gets("CANCEL");
  });

  test("the call fails when the last phone has declined, with the best response", () => {
    const { bench, server, phones, offered } = ringing();
    phones[0].answers(offered[0], 480);
    phones[1].answers(offered[1], 486);
    server.nothing();
    phones[2].answers(offered[2], 415);
    expect(server.gets(415).param("To", "tag")).toBe("desk-tag");
    for (const phone of phones) phone.gets("ACK");
    expect(bench.anchor.running).toBe(0);
    expect(bench.taken("journal").at(-1)?.summary.state).toBe("ended");
  });

  test("a 3xx is better than a 4xx and keeps its Contact: deflection is the phone's to decide", () => {
    const { server, phones, offered } = ringing();
    phones[0].answers(offered[0], 486);
    phones[1].answers(offered[1], 302, { lines: ["Contact: <sip:other@pbx.example>"] });
    phones[2].answers(offered[2], 480);
    expect(server.gets(302).get("Contact")).toBe("<sip:other@pbx.example>");
  });

  test("a 6xx ends it for all", () => {
    const { bench, server, phones, offered } = ringing();
    phones[0].answers(offered[0], 603);
    givesIn(phones[1], offered[1]);
    server.nothing();
    givesIn(phones[2], offered[2]);
    server.gets(603);
    expect(bench.count("callsRefused")).toBe(1);
  });

  test("a 6xx: phones that were woken and are still asleep are told by push to stay quiet", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: {}, tablet: {} });
    server.invites(alice);
    server.gets(100);
    bench.wakes("mobile", "tablet");
    const mobile = bench.phone("mobile");
    mobile.opens();
    mobile.answers(mobile.gets("INVITE"), 603);
    server.gets(603);
    expect(bench.pushes("cancel", "tablet").text).toBe("Declined on another device");
  });

  test("a 6xx does not wait for ever for phones that are cancelled", () => {
    const { bench, server, phones, offered } = ringing();
    phones[0].answers(offered[0], 603);
    bench.pass(520);
    server.gets(603);
  });

  test("§16.7 step 5: a 2xx on the heels of a 6xx still wins", () => {
    const { server, phones, offered } = ringing();
    phones[0].answers(offered[0], 603);
    phones[1].answers(offered[1], 200);
    server.gets(200);
  });

  test("§16.7 step 6: a phone's 503 goes on as 500, or the server would shun us", () => {
    const { server, phones, offered } = ringing();
    for (const [i, phone] of phones.entries()) phone.answers(offered[i]!, 503);
    server.gets(500);
  });

  test("a second 2xx of another phone is acknowledged and ended by us", () => {
    const { server, phones, offered } = ringing();
    phones[0].answers(offered[0], 200);
    server.gets(200);
    phones[1].gets("CANCEL");
    const late = phones[1].answers(offered[1], 200);
    const ack = phones[1].gets("ACK");
    const bye = phones[1].gets("BYE");
    expect(ack.uri).toBe(late.contactUri);
    expect(ack.cseq).toBe(offered[1].cseq);
    expect(bye.cseq).toBe(offered[1].cseq + 1);
    expect(bye.get("To")).toBe(late.get("To"));
    expect(bye.get("From")).toBe(late.get("From"));
    expect(bye.get("Reason")).toBe(elsewhere);
    phones[1].answers(bye, 200);
    // Its repetitions are acknowledged again and bring no second BYE.
    phones[1].sends(late.text);
    phones[1].gets("ACK");
    phones[1].nothing();
    server.nothing();
  });

  test("RFC 6026 §7.1: a repeated 2xx of the winner goes on each time", () => {
    const { server, phones, offered } = ringing();
    const accepted = phones[0].answers(offered[0], 200);
    server.gets(200);
    phones[0].sends(accepted.text);
    server.gets(200);
    server.nothing();
    phones[0].nothing();
  });

  test("a removed subscription ends its leg alone", () => {
    const { bench, server, alice, phones, offered } = ringing();
    bench.anchor.subscriptionRemoved(alice.accountId, phones[0].deviceId);
    phones[0].gets("CANCEL");
    // Not even a 2xx on its way counts.
    phones[0].answers(offered[0], 200);
    phones[0].gets("ACK");
    phones[0].gets("BYE");
    phones[1].answers(offered[1], 180);
    server.gets(180);
    phones[2].nothing();
  });

  test("the last subscription removed: 480 at once", () => {
    const { bench, server, alice, phones } = ringing();
    for (const phone of phones) {
      server.nothing();
      bench.anchor.subscriptionRemoved(alice.accountId, phone.deviceId);
    }
    server.gets(480);
  });
});

describe("who is chosen", () => {
  test.each(["Replaces", "Join"])(
    "%s (RFC 3891 §3, RFC 3911 §4): only the phone that has that call is asked",
    (header) => {
      const bench = new AnchorBench();
      const server = bench.addServer();
      const alice = bench.addAccount("alice", server, { mobile: {}, tablet: {}, desk: {} });
      const carol = bench.addAccount("carol", server, { mobile: {}, tablet: {} });
      const [mobile, tablet] = [bench.phone("mobile"), bench.phone("tablet")];
      mobile.opens();
      tablet.opens();
      const invite = server.invites(alice);
      bench.wakes("desk");
      mobile.answers(mobile.gets("INVITE"), 200);
      tablet.gets("INVITE");
      tablet.gets("CANCEL");
      server.gets(100);
      const answered = server.gets(200);
      server.inDialog("ACK", invite, answered);
      mobile.gets("ACK");
      const tags = `to-tag=${answered.param("To", "tag")};from-tag=${invite.param("From", "tag")}`;
      const line = `${header}: ${invite.get("Call-ID")} ;${tags};early-only`;
      server.invites(alice, { lines: [line, "Require: replaces"] });
      const offered = mobile.gets("INVITE");
      expect(offered.get(header)).toContain("to-tag=");
      mobile.answers(offered, 100);
      tablet.nothing();
      bench.pass(3_000);
      bench.noWake();
      // Another account's phone is not in that call, whatever it is told; and a call that is not here is the phones' to refuse.
      server.invites(carol, { lines: [line] });
      mobile.gets("INVITE");
      tablet.gets("INVITE");
      server.invites(alice, { lines: [`${header}: unknown;to-tag=a;from-tag=b`] });
      tablet.gets("INVITE");
    },
  );

  test("one leg a device, though it has two subscriptions; open tunnels first", () => {
    const { alice } = scene();
    const [mobile, tablet, desk] = alice.subscriptions;
    if (mobile === undefined || tablet === undefined || desk === undefined) throw new Error("not three");
    const targets = chooseTargets(
      undefined,
      [mobile, tablet, mobile, desk],
      (deviceId) => deviceId === desk.deviceId,
      60,
    );
    expect(targets.map(({ deviceId, approach }) => `${deviceId} ${approach}`)).toEqual([
      "desk tunnel",
      "mobile wake",
      "tablet wake",
    ]);
  });
});

describe("best response, RFC 3261 §16.7 step 6", () => {
  test.each([
    [[486, 603, 404], 1],
    [[486, 302], 1],
    [[486, 401], 1],
    [[404, 484, 486], 1],
    [[487, 408, 480], 2],
    [[500, 404], 1],
    [[486, 404], 0],
    [[], -1],
  ])("%p: number %i", (statuses, best) => {
    expect(bestResponse(statuses)).toBe(best);
  });
});

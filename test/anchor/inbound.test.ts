import { describe, expect, test } from "bun:test";
import type { AnchorSettings } from "../../src/anchor/anchor.ts";
import type { CallUuid } from "../../src/base/ids.ts";
import { AnchorBench, type DeviceWish } from "../fakes/anchor-bench.ts";

function scene(devices: Readonly<Record<string, DeviceWish>> = { mobile: {} }, settings: Partial<AnchorSettings> = {}) {
  const bench = new AnchorBench(settings);
  const server = bench.addServer();
  const alice = bench.addAccount("alice", server, devices);
  return { bench, server, alice, mobile: bench.phone("mobile"), tablet: bench.phone("tablet") };
}

describe("a call to a sleeping phone, RFC 3261 §13", () => {
  test("parks, wakes, hands over, answers, talks, ends", () => {
    const { bench, server, alice, mobile } = scene();
    const invite = server.invites(alice);
    server.gets(100);
    const wake = bench.wakes("mobile");
    expect(wake.from).toEqual({ uri: "sip:bob@far.example", name: "Bob" });
    expect(wake.callId).toBe(invite.get("Call-ID"));
    expect(wake.deadlineMs - wake.receivedAtMs).toBe(40_000);

    bench.pass(3_000);
    mobile.opens({ call: wake.call });
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 100);
    server.nothing();
    mobile.answers(offered, 180);
    server.gets(180);
    mobile.answers(offered, 200);
    const answered = server.gets(200);

    server.inDialog("ACK", invite, answered);
    mobile.gets("ACK");
    server.inDialog("BYE", invite, answered);
    mobile.answers(mobile.gets("BYE"), 200);
    server.gets(200);
    server.nothing();
    mobile.nothing();
    expect(bench.anchor.running).toBe(0);
    expect(bench.count("callsAnswered")).toBe(1);
  });

  test("the 100 leaves before anything else happens", () => {
    const { bench, server, alice } = scene();
    const order: string[] = [];
    const { emit } = { emit: bench.events.push.bind(bench.events) };
    bench.events.push = (...events) => {
      order.push(...events.map((event) => `event ${event.kind}`));
      return emit(...events);
    };
    server.inbox.push = (...messages) => {
      order.push(...messages.map((message) => `sent ${message.status}`));
      return messages.length;
    };
    server.invites(alice);
    expect(order[0]).toBe("sent 100");
    expect(order).toContain("event wake");
  });

  test("a repeated INVITE is answered by the same response and wakes once", () => {
    const { bench, server, alice } = scene();
    const invite = server.invites(alice);
    server.gets(100);
    bench.wakes("mobile");
    server.sends(invite.text);
    server.gets(100);
    bench.noWake();
    expect(bench.anchor.running).toBe(1);
  });

  test("the call's id is a UUID that sorts by time and is the same for every device", () => {
    const { bench, server, alice } = scene({ mobile: {}, tablet: {} });
    server.invites(alice);
    const { call } = bench.wakes("mobile", "tablet");
    expect(call).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(call.replaceAll("-", "").slice(0, 12), 16)).toBe(bench.clock.wallMs());
  });
});

describe("who is asked", () => {
  test("an open tunnel gets the INVITE at once, a push only after a second without any 1xx", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    server.invites(alice);
    mobile.gets("INVITE");
    bench.noWake();
    bench.pass(990);
    bench.noWake();
    bench.pass(20);
    bench.wakes("mobile");
    mobile.nothing();
  });

  test("no push when the phone says 100 within the second", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    server.invites(alice);
    mobile.answers(mobile.gets("INVITE"), 100);
    bench.pass(5_000);
    bench.noWake();
  });

  test("a tunnel that closes before any 1xx: the push goes at once, not after the second", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    server.invites(alice);
    mobile.gets("INVITE");
    bench.pass(100);
    bench.noWake();
    mobile.closes();
    bench.pass(10);
    bench.wakes("mobile");
    bench.pass(2_000);
    bench.noWake();
  });

  test("a tunnel that takes over in that moment gets its own second", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    server.invites(alice);
    mobile.gets("INVITE");
    bench.pass(900);
    mobile.closes();
    mobile.opens();
    mobile.gets("INVITE");
    bench.pass(900);
    bench.noWake();
    bench.pass(200);
    bench.wakes("mobile");
  });

  test("a tunnel that closes after a final answer wakes nobody", () => {
    const { bench, server, alice, mobile } = scene({ mobile: {}, tablet: {} });
    mobile.opens();
    server.invites(alice);
    bench.wakes("tablet");
    mobile.answers(mobile.gets("INVITE"), 486);
    mobile.closes();
    bench.pass(3_000);
    bench.noWake();
  });

  test("one wake event for all sleeping devices, the open one is not in it", () => {
    const { bench, server, alice, mobile } = scene({ mobile: {}, tablet: {}, desk: {} });
    mobile.opens();
    server.invites(alice);
    mobile.gets("INVITE");
    bench.wakes("tablet", "desk");
  });

  test("continuous mode in the foreground without a tunnel: held in silence, no push, no ringing of ours", () => {
    const bench = new AnchorBench({ ring: "immediate" });
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: { presence: "foreground" } }, { mode: "continuous" });
    const invite = server.invites(alice);
    server.gets(100);
    bench.pass(39_000);
    bench.noWake();
    server.nothing();
    server.cancels(invite);
    server.gets(200);
    server.gets(487);
    bench.noPush();
  });

  test("what auto has learned counts as the mode", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: { presence: "foreground" } }, { mode: "auto" });
    alice.record = { ...alice.record, learnedMode: "continuous" };
    server.invites(alice);
    bench.noWake();
  });

  test("a call in the moment of going to the foreground is not lost: woken, as there is no other binding yet", () => {
    const { bench, server, alice } = scene({ mobile: { presence: "foreground" } });
    server.invites(alice);
    bench.wakes("mobile");
  });

  test("no device that could be woken: 480 at once", () => {
    const { bench, server, alice } = scene({ mobile: { wakeable: false } });
    server.invites(alice);
    server.gets(100);
    expect(server.gets(480).param("To", "tag")).toBeDefined();
    expect(bench.count("callsUnreachable")).toBe(1);
    expect(bench.anchor.running).toBe(0);
  });

  test("no device at all: 480 at once", () => {
    const { server, alice } = scene({});
    server.invites(alice);
    server.gets(100);
    server.gets(480);
  });

  test("a device that cannot be woken may still come by itself while another is awaited", () => {
    const { bench, server, alice, tablet } = scene({ mobile: {}, tablet: { wakeable: false } });
    server.invites(alice);
    server.gets(100);
    bench.wakes("mobile");
    tablet.opens();
    tablet.answers(tablet.gets("INVITE"), 180);
    server.gets(180);
  });

  test("all deliveries failed: 480 at once", () => {
    const { bench, server, alice } = scene({ mobile: {}, tablet: {} });
    server.invites(alice);
    server.gets(100);
    const wake = bench.wakes("mobile", "tablet");
    bench.delivers(wake, "mobile", "failed");
    server.nothing();
    bench.delivers(wake, "tablet", "failed");
    server.gets(480);
  });

  test("onUnreachable: 302 to the given URI in place of 480", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount(
      "alice",
      server,
      { mobile: { wakeable: false } },
      { forwardTo: "sip:box@pbx.example" },
    );
    server.invites(alice);
    server.gets(100);
    expect(server.gets(302).get("Contact")).toBe("<sip:box@pbx.example>");
  });

  test("RFC 5393 §5: Max-Breadth bounds the fork", () => {
    const { bench, server, alice } = scene({ mobile: {}, tablet: {}, desk: {} });
    server.invites(alice, { lines: ["Max-Breadth: 2"] });
    bench.wakes("mobile", "tablet");
  });
});

describe("the wake deadline", () => {
  test("480 when nobody has come, missed in the journal, a push that says so", () => {
    const { bench, server, alice } = scene();
    server.invites(alice);
    server.gets(100);
    bench.wakes("mobile");
    bench.pass(39_980);
    server.nothing();
    bench.pass(40);
    server.gets(480);
    expect(bench.pushes("missed", "mobile").from).toEqual({ uri: "sip:bob@far.example", name: "Bob" });
    expect(bench.taken("journal").map(({ summary }) => summary.state)).toEqual(["ringing", "missed"]);
    expect(bench.count("callsMissed")).toBe(1);
  });

  test("no push about a missed call for those who do not want it", () => {
    const { bench, server, alice } = scene({ mobile: { notify: { missed: false } } });
    server.invites(alice);
    bench.wakes("mobile");
    bench.pass(40_020);
    bench.noPush();
  });

  test("302 when the account forwards", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: {} }, { forwardTo: "sip:+4930@gw.example" });
    server.invites(alice);
    server.gets(100);
    bench.pass(40_020);
    expect(server.gets(302).get("Contact")).toBe("<sip:+4930@gw.example>");
  });

  test("rule 11: stops at the phone's first 18x", () => {
    const { bench, server, alice, mobile } = scene();
    server.invites(alice);
    server.gets(100);
    mobile.opens();
    mobile.answers(mobile.gets("INVITE"), 180);
    server.gets(180);
    bench.pass(120_000);
    server.nothing();
    mobile.nothing();
  });

  test("does not stop at a mere 100", () => {
    const { bench, server, alice, mobile } = scene();
    server.invites(alice);
    server.gets(100);
    mobile.opens();
    mobile.answers(mobile.gets("INVITE"), 100);
    bench.pass(40_020);
    server.gets(480);
    expect(mobile.gets("CANCEL").get("Reason")).toContain("cause=408");
  });

  test("timer C, RFC 3261 §16.6: a phone that rings for ever is stopped", () => {
    const { bench, server, alice, mobile } = scene();
    server.invites(alice);
    server.gets(100);
    mobile.opens();
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 180);
    server.gets(180);
    bench.pass(599_000);
    mobile.answers(offered, 183);
    server.gets(183);
    // §16.7 step 2: a 1xx starts it again.
    bench.pass(599_000);
    server.nothing();
    bench.pass(1_200);
    server.gets(480);
    mobile.gets("CANCEL");
  });

  test("a phone that declined counts more than one that never came", () => {
    const { bench, server, alice, mobile } = scene({ mobile: {}, tablet: {} });
    server.invites(alice);
    server.gets(100);
    mobile.opens();
    mobile.answers(mobile.gets("INVITE"), 486);
    mobile.gets("ACK");
    server.nothing();
    bench.wakes("mobile", "tablet");
    bench.pass(40_020);
    server.gets(486);
    bench.pushes("cancel", "tablet");
  });

  test("rule 11: it goes on when the phone that rang declines and another is still awaited", () => {
    const { bench, server, alice, mobile } = scene({ mobile: {}, tablet: {} });
    mobile.opens();
    server.invites(alice);
    server.gets(100);
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 180);
    server.gets(180);
    bench.pass(10_000);
    mobile.answers(offered, 486);
    bench.pass(29_900);
    server.nothing();
    bench.pass(200);
    server.gets(486);
  });

  test("rule 11: ... and is over at once when its time is, but not while another rings", () => {
    const { bench, server, alice, mobile, tablet } = scene({ mobile: {}, tablet: {}, desk: {} });
    mobile.opens();
    tablet.opens();
    server.invites(alice);
    server.gets(100);
    const [first, second] = [mobile.gets("INVITE"), tablet.gets("INVITE")];
    mobile.answers(first, 180);
    tablet.answers(second, 180);
    server.gets(180);
    server.gets(180);
    bench.pass(50_000);
    mobile.answers(first, 486);
    bench.pass(10_000);
    server.nothing();
    tablet.answers(second, 486);
    bench.pass(20);
    server.gets(486);
  });

  test("a tunnel that stays silent for 32 s is given up before the deadline when no push can help", () => {
    const { bench, server, alice, mobile } = scene({ mobile: { wakeable: false } });
    mobile.opens();
    server.invites(alice);
    server.gets(100);
    mobile.gets("INVITE");
    bench.pass(31_900);
    server.nothing();
    bench.pass(200);
    server.gets(480);
  });

  test("a phone that was silent for 32 s and woken by push gets the INVITE anew", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    server.invites(alice);
    server.gets(100);
    const first = mobile.gets("INVITE");
    bench.pass(33_000);
    server.nothing();
    mobile.opens();
    const second = mobile.gets("INVITE");
    expect(second.branch).toBe(first.branch);
    mobile.answers(second, 200);
    server.gets(200);
  });
});

describe("what the caller hears, [wake] ring", () => {
  test("on_push: one 180 of our own once a provider has accepted", () => {
    const { bench, server, alice } = scene({ mobile: {}, tablet: {} }, { ring: "on_push" });
    server.invites(alice);
    server.gets(100);
    const wake = bench.wakes("mobile", "tablet");
    server.nothing();
    bench.delivers(wake, "mobile", "accepted");
    const ringing = server.gets(180);
    expect(ringing.param("To", "tag")).toMatch(/^[0-9a-f]{20}$/);
    expect(ringing.contactUri).toBe(bench.contactUri(alice));
    expect(ringing.get("Record-Route")).toBe(`<sip:${server.address}:5060;lr>`);
    bench.delivers(wake, "tablet", "accepted");
    server.nothing();
  });

  test("on_device: only the phone's own", () => {
    const { bench, server, alice, mobile } = scene({ mobile: {} }, { ring: "on_device" });
    server.invites(alice);
    server.gets(100);
    bench.delivers(bench.wakes("mobile"), "mobile", "accepted");
    server.nothing();
    mobile.opens();
    mobile.answers(mobile.gets("INVITE"), 180);
    server.gets(180);
  });

  test("immediate: at once", () => {
    const { server, alice } = scene({ mobile: {} }, { ring: "immediate" });
    server.invites(alice);
    server.gets(100);
    server.gets(180);
  });

  test("immediate, but nobody can come: 480 without ringing", () => {
    const { server, alice } = scene({ mobile: { wakeable: false } }, { ring: "immediate" });
    server.invites(alice);
    server.gets(100);
    server.gets(480);
    server.nothing();
  });

  test("none of ours once a phone rings", () => {
    const { bench, server, alice, mobile } = scene({ mobile: {}, tablet: {} }, { ring: "on_push" });
    server.invites(alice);
    server.gets(100);
    const wake = bench.wakes("mobile", "tablet");
    mobile.opens();
    mobile.answers(mobile.gets("INVITE"), 180);
    server.gets(180);
    bench.delivers(wake, "tablet", "accepted");
    server.nothing();
  });

  test("rule 7: with Require: 100rel there is no 18x of our own", () => {
    const { bench, server, alice, mobile } = scene({ mobile: {} }, { ring: "immediate" });
    server.invites(alice, { lines: ["Require: 100rel"] });
    server.gets(100);
    bench.delivers(bench.wakes("mobile"), "mobile", "accepted");
    server.nothing();
    mobile.opens();
    const offered = mobile.gets("INVITE");
    expect(offered.get("Require")).toBe("100rel");
    mobile.answers(offered, 183, { lines: ["Require: 100rel", "RSeq: 17"] });
    expect(server.gets(183).get("RSeq")).toBe("17");
  });

  test("rule 7: requests in our own early dialog are answered by us", () => {
    const { server, alice } = scene({ mobile: {} }, { ring: "immediate" });
    const invite = server.invites(alice);
    server.gets(100);
    const ringing = server.gets(180);
    server.inDialog("OPTIONS", invite, ringing);
    server.gets(200);
    server.inDialog("UPDATE", invite, ringing);
    server.gets(488);
    server.inDialog("PRACK", invite, ringing);
    server.gets(481);
    server.inDialog("BYE", invite, ringing);
    server.gets(200);
    server.gets(487);
  });

  test("rule 7: ... but only to the account's server; and an ACK in it is no news of another branch", () => {
    const { bench, server, alice } = scene({ mobile: {} }, { ring: "immediate" });
    const invite = server.invites(alice);
    server.gets(100);
    const ringing = server.gets(180);
    const stranger = bench.addServer({ address: "198.51.100.66" });
    stranger.inDialog("BYE", invite, ringing, { lines: [`X-Padding: ${"x".repeat(200)}`] });
    stranger.gets(481);
    server.inDialog("ACK", invite, ringing);
    server.nothing();
    expect(bench.anchor.running).toBe(1);
  });

  test("the phone's early dialog stands beside ours, with its own tag", () => {
    const { server, alice, mobile } = scene({ mobile: {} }, { ring: "immediate" });
    server.invites(alice);
    server.gets(100);
    const ours = server.gets(180);
    mobile.opens();
    mobile.answers(mobile.gets("INVITE"), 180);
    const theirs = server.gets(180);
    expect(theirs.param("To", "tag")).toBe("mobile-tag");
    expect(ours.param("To", "tag")).not.toBe("mobile-tag");
  });
});

describe("a phone that comes late", () => {
  function cancelled(afterVoip: boolean) {
    const all = scene();
    const invite = all.server.invites(all.alice);
    all.server.gets(100);
    const wake = all.bench.wakes("mobile");
    all.server.cancels(invite, 'SIP;cause=200;text="Call completed elsewhere"');
    all.server.gets(200);
    all.server.gets(487);
    all.mobile.opens({ call: wake.call, voip: afterVoip });
    return { ...all, wake };
  }

  test("after a voip push: INVITE and CANCEL with its Reason, for the system demands a call", () => {
    const { mobile, server } = cancelled(true);
    const invite = mobile.gets("INVITE");
    const cancel = mobile.gets("CANCEL");
    expect(cancel.branch).toBe(invite.branch);
    expect(cancel.get("Reason")).toBe('SIP;cause=200;text="Call completed elsewhere"');
    mobile.answers(cancel, 200);
    mobile.answers(invite, 487);
    mobile.gets("ACK");
    server.nothing();
  });

  test("after any other push: nothing", () => {
    cancelled(false).mobile.nothing();
  });

  test("with the ticket of another call: nothing", () => {
    const { bench, mobile, server, alice } = scene();
    const invite = server.invites(alice);
    bench.wakes("mobile");
    server.cancels(invite);
    mobile.opens({ call: "00000000-0000-7000-8000-000000000000" as CallUuid, voip: true });
    mobile.nothing();
  });

  test("after the deadline: INVITE and CANCEL as well", () => {
    const { bench, mobile, server, alice } = scene();
    server.invites(alice);
    const wake = bench.wakes("mobile");
    bench.pass(41_000);
    mobile.opens({ call: wake.call, voip: true });
    mobile.gets("INVITE");
    expect(mobile.gets("CANCEL").get("Reason")).toContain("cause=408");
  });

  test("a second voip tunnel is not shown the gone call again", () => {
    const { mobile, wake } = cancelled(true);
    mobile.gets("INVITE");
    mobile.gets("CANCEL");
    mobile.opens({ call: wake.call, voip: true });
    // What has no answer yet is repeated, nothing new begins.
    for (const message of mobile.inbox) expect(message.method).toBe("CANCEL");
  });
});

describe("who is calling, RFC 3325 §9, RFC 3323 §4.2", () => {
  function from(...lines: string[]) {
    const { bench, server, alice } = scene();
    server.invites(alice, { lines });
    return bench.wakes("mobile").from;
  }

  test("the identity that the account's server asserts", () => {
    expect(from('P-Asserted-Identity: "Robert" <sip:+4930123@carrier.example;user=phone>')).toEqual({
      uri: "sip:+4930123@carrier.example",
      name: "Robert",
    });
  });

  test("the name of From, when it is the same user and the asserted identity has none", () => {
    expect(from("P-Asserted-Identity: <sip:bob@carrier.example>").name).toBe("Bob");
    expect(from("P-Asserted-Identity: <sip:rob@carrier.example>").name).toBeUndefined();
  });

  test("nobody, when the caller asked for privacy", () => {
    for (const privacy of ["id", "user", "header;id", "critical; user"]) {
      expect(from(`Privacy: ${privacy}`, "P-Asserted-Identity: <sip:bob@carrier.example>")).toEqual({
        uri: "sip:anonymous@anonymous.invalid",
        name: "Anonymous",
      });
    }
    expect(from("Privacy: none").name).toBe("Bob");
  });

  test("a tel URI, and a name in UTF-8", () => {
    const name = Buffer.from("Jürgen Öztürk", "utf8").toString("latin1");
    expect(from(`From: "${name}" <tel:+49-30-123;phone-context=+49>;tag=x`)).toEqual({
      uri: "tel:+49-30-123",
      name: "Jürgen Öztürk",
    });
  });
});

describe("bounds", () => {
  test("a seventeenth call of one account is busy", () => {
    const { bench, server, alice } = scene();
    for (let n = 0; n < 16; n++) {
      server.invites(alice);
      server.gets(100);
    }
    const refused = server.invites(alice);
    const busy = server.gets(486);
    // §8.2.7: no state, no repetition by us, and the same answer when it comes again.
    const held = bench.anchor.sizes().transactions;
    bench.pass(3000);
    server.nothing();
    server.sends(refused.text);
    expect(server.gets(486).text).toBe(busy.text);
    for (let n = 0; n < 100; n++) server.invites(alice);
    expect(bench.anchor.sizes().transactions).toBe(held);
  });

  test("refused once, an INVITE is refused when it comes again, though there is room by then", () => {
    const { bench, server, alice } = scene();
    const first = server.invites(alice);
    for (let n = 1; n < 16; n++) server.invites(alice);
    const refused = server.invites(alice);
    for (let n = 0; n < 16; n++) server.gets(100);
    const busy = server.gets(486);
    server.cancels(first);
    server.gets(200);
    server.gets(487);
    const { running } = bench.anchor;
    server.sends(refused.text);
    expect(server.gets(486).text).toBe(busy.text);
    // Its ACK is no news of another branch either (design rule 4).
    server.acksFailure(refused, busy);
    expect(bench.anchor.running).toBe(running);
    server.nothing();
    // Nobody repeats an INVITE after 32 s.
    bench.pass(33_000);
    server.inbox.length = 0;
    server.sends(refused.text);
    server.gets(100);
  });

  test("RFC 3261 §8.2.2.2: the same call to two Contacts of one account rings once", () => {
    const { bench, server, alice } = scene();
    const first = server.invites(alice);
    server.gets(100);
    bench.wakes("mobile");
    const uri = `sip:alice@203.0.113.7:5060;line=${alice.line};older=1`;
    server.sends(first.text.replace(first.uri, uri).replace("z9hG4bKsrv", "z9hG4bKtwo"));
    server.gets(482);
    bench.noWake();
  });

  test("one call to two accounts of ours rings both", () => {
    const { bench, server, alice } = scene();
    const carol = bench.addAccount("carol", server, { desk: {} });
    const first = server.invites(alice);
    bench.wakes("mobile");
    server.sends(first.text.replace(first.uri, bench.contactUri(carol)).replace("z9hG4bKsrv", "z9hG4bKtwo"));
    bench.wakes("desk");
  });

  test("RFC 3261 §16.3: no hops left is 483", () => {
    const { bench, server, alice } = scene();
    server.invites(alice, { lines: ["Max-Forwards: 0"] });
    server.gets(483);
    bench.noWake();
  });

  test("draining: a new INVITE gets 503, running calls go on", () => {
    const { bench, server, alice, mobile } = scene();
    const running = server.invites(alice);
    server.gets(100);
    bench.anchor.drain();
    server.invites(alice);
    server.gets(503);
    mobile.opens();
    mobile.answers(mobile.gets("INVITE"), 200);
    const answered = server.gets(200);
    server.inDialog("ACK", running, answered);
    mobile.gets("ACK");
    expect(bench.anchor.running).toBe(1);
  });

  test("nothing is left behind an hour after", () => {
    const { bench, server, alice, mobile, tablet } = scene({ mobile: {}, tablet: {} }, { ring: "on_push" });
    for (let n = 0; n < 5; n++) {
      const invite = server.invites(alice);
      mobile.opens();
      const offered = mobile.gets("INVITE");
      mobile.answers(offered, 180);
      if (n % 2 === 0) {
        mobile.answers(offered, 200);
        const answered = server.inbox.findLast((message) => message.status === 200);
        if (answered === undefined) throw new Error("not answered");
        server.inDialog("ACK", invite, answered);
        mobile.gets("ACK");
        server.inDialog("BYE", invite, answered);
        mobile.answers(mobile.gets("BYE"), 200);
      } else {
        server.cancels(invite);
        mobile.answers(mobile.gets("CANCEL"), 200);
        mobile.answers(offered, 487);
        mobile.gets("ACK");
      }
      mobile.closes();
      bench.pass(500);
      mobile.inbox.length = 0;
    }
    tablet.opens();
    tablet.closes();
    bench.pass(3_600_000);
    expect(bench.anchor.running).toBe(0);
    expect(bench.anchor.sizes()).toEqual({
      transactions: 0,
      dialogs: 0,
      repeats: 0,
      asking: 0,
      inboundCalls: 0,
      outbound: 0,
      messages: 0,
      links: 0,
      alarms: 0,
      mwi: 0,
    });
  });
});

describe("while a thread does not keep up", () => {
  test("a new call is answered 503 with Retry-After and leaves nothing; a running one goes on; after it calls come in again", () => {
    const { bench, server, alice, mobile } = scene();
    const running = server.invites(alice);
    server.gets(100);
    mobile.opens({ call: bench.wakes("mobile").call });
    mobile.answers(mobile.gets("INVITE"), 200);
    const answered = server.gets(200);
    server.inDialog("ACK", running, answered);
    mobile.gets("ACK");

    bench.isOverloaded = true;
    const shed = server.invites(alice);
    const refusal = server.gets(503);
    expect(refusal.get("Retry-After")).toBe("2");
    expect(refusal.get("Call-ID")).toBe(shed.get("Call-ID"));
    expect(bench.count("callsShed")).toBe(1);
    expect(bench.anchor.sizes()).toMatchObject({ inboundCalls: 1 });
    mobile.nothing();
    server.inDialog("BYE", running, answered);
    mobile.answers(mobile.gets("BYE"), 200);
    server.gets(200);

    bench.isOverloaded = false;
    server.invites(alice);
    server.gets(100);
    mobile.gets("INVITE");
  });
});

import { describe, expect, test } from "bun:test";
import { AnchorBench, ourHost } from "../fakes/anchor-bench.ts";

function scene(transport: "udp" | "tcp" | "tls" = "udp") {
  const bench = new AnchorBench();
  const server = bench.addServer({ transport });
  const alice = bench.addAccount("alice", server, { mobile: {}, tablet: {} });
  const mobile = bench.phone("mobile");
  mobile.opens();
  return { bench, server, alice, mobile };
}

/** The phone has called and been answered. */
function talking() {
  const all = scene();
  const invite = all.mobile.request("INVITE", all.alice);
  all.mobile.gets(100);
  const passed = all.server.gets("INVITE");
  const answer = all.server.answers(passed, 200, {
    lines: ["Record-Route: <sip:p1.example;lr>", "Record-Route: <sip:p2.example;lr>"],
  });
  const answered = all.mobile.gets(200);
  all.mobile.inOwn("ACK", invite, answered);
  all.server.gets("ACK");
  return { ...all, invite, passed, answer, answered };
}

describe("a call from the phone", () => {
  test("goes to the account's server with one Via and our Contact, all else as it is", () => {
    const { bench, server, alice, mobile } = scene();
    const invite = mobile.request("INVITE", alice);
    expect(mobile.gets(100).method).toBe("INVITE");
    const passed = server.gets("INVITE");
    expect(passed.uri).toBe("sip:bob@far.example");
    expect(passed.get("Via")).toStartWith(`SIP/2.0/UDP ${ourHost}:5060;rport;branch=z9hG4bKa`);
    expect(passed.contactUri).toBe(bench.contactUri(alice));
    expect(passed.get("Max-Forwards")).toBe("69");
    const changed = ["Via", "Contact", "Max-Forwards"];
    expect(passed.linesWithout(...changed)).toEqual(invite.linesWithout(...changed));
    expect(passed.body).toBe(invite.body);
    expect(bench.count("callsOutbound")).toBe(1);
  });

  test("rings, is answered, talks, is ended by either side", () => {
    for (const ender of ["phone", "server"] as const) {
      const { bench, server, mobile, invite, passed, answered, answer } = talking();
      expect(answered.get("Contact")).toBe(answer.get("Contact"));
      expect(answered.all("Record-Route")).toEqual(answer.all("Record-Route"));
      if (ender === "phone") {
        mobile.inOwn("BYE", invite, answered);
        const bye = server.gets("BYE");
        expect(bye.uri).toBe(answer.contactUri);
        expect(bye.all("Route")).toEqual(["<sip:p2.example;lr>", "<sip:p1.example;lr>"]);
        server.answers(bye, 200);
        mobile.gets(200);
      } else {
        server.sends(
          [
            `BYE ${passed.contactUri} SIP/2.0`,
            `Via: SIP/2.0/UDP ${server.address}:5060;branch=z9hG4bKbye`,
            `From: ${answer.get("To")}`,
            `To: ${passed.get("From")}`,
            `Call-ID: ${passed.get("Call-ID")}`,
            "CSeq: 1 BYE",
            "Content-Length: 0",
            "",
            "",
          ].join("\r\n"),
        );
        const bye = mobile.gets("BYE");
        expect(bye.uri).toBe("sip:mobile@phone.invalid;transport=ws");
        mobile.answers(bye, 200);
        server.gets(200);
      }
      expect(bench.anchor.running).toBe(0);
    }
  });

  test("407 is the phone's to answer: a new INVITE under the same Call-ID is the same call", () => {
    const { bench, server, alice, mobile } = scene();
    const invite = mobile.request("INVITE", alice);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    server.answers(passed, 407, { lines: ['Proxy-Authenticate: Digest realm="pbx", nonce="n1"'] });
    const challenge = mobile.gets(407);
    expect(challenge.get("Proxy-Authenticate")).toBe('Digest realm="pbx", nonce="n1"');
    mobile.acksFailure(invite, challenge);
    expect(server.gets("ACK").branch).toBe(passed.branch);
    mobile.request("INVITE", alice, {
      lines: [
        `Call-ID: ${invite.get("Call-ID")}`,
        `From: ${invite.get("From")}`,
        `CSeq: ${invite.cseq + 1} INVITE`,
        'Proxy-Authorization: Digest response="abc"',
      ],
    });
    mobile.gets(100);
    expect(server.inbox[0]?.get("Proxy-Authorization")).toBe('Digest response="abc"');
    expect(bench.anchor.calls()).toHaveLength(1);
    expect(bench.count("callsOutbound")).toBe(1);
    expect(bench.challenged).toHaveLength(0);
    server.answers(server.inbox.shift() ?? invite, 180);
    bench.pass(60_000);
    expect(bench.anchor.running).toBe(1);
  });

  test("a challenge that the phone does not answer ends the call", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.request("INVITE", alice);
    server.answers(server.gets("INVITE"), 401);
    expect(bench.anchor.running).toBe(1);
    bench.pass(33_000);
    expect(bench.anchor.running).toBe(0);
  });

  test("another call under the same Call-ID does not take its place", () => {
    const { bench, server, alice, mobile } = scene();
    for (const tag of ["one", "two"]) {
      mobile.request("INVITE", alice, { lines: ["Call-ID: same", `From: <sip:alice@pbx.example>;tag=${tag}`] });
      server.answers(server.gets("INVITE"), 401);
      server.gets("ACK");
    }
    expect(bench.anchor.calls()).toHaveLength(2);
    expect(bench.anchor.running).toBe(1);
    bench.pass(33_000);
    expect(bench.anchor.running).toBe(0);
    expect(bench.anchor.sizes().outbound).toBe(0);
  });

  test("given up by a shard that ends: CANCEL to the server, 503 to the phone, also when no server was found yet", () => {
    const { bench, server, alice, mobile } = scene("tcp");
    mobile.request("INVITE", alice);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    server.answers(passed, 180);
    mobile.gets(180);
    alice.serverKnown = false;
    mobile.request("INVITE", alice);
    mobile.gets(100);
    bench.anchor.giveUp();
    mobile.gets(503);
    mobile.gets(503);
    expect(server.gets("CANCEL").branch).toBe(passed.branch);
    expect(bench.anchor.running).toBe(0);
  });

  test("timer C, RFC 3261 §16.6: a server that rings for ever is stopped", () => {
    const { bench, server, alice, mobile } = scene("tcp");
    mobile.request("INVITE", alice);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    server.answers(passed, 180);
    mobile.gets(180);
    bench.pass(599_000);
    server.answers(passed, 183);
    mobile.gets(183);
    bench.pass(599_000);
    mobile.nothing();
    bench.pass(1_200);
    server.gets("CANCEL");
    server.answers(passed, 487);
    server.gets("ACK");
    mobile.gets(487);
    expect(bench.anchor.running).toBe(0);
  });

  test("timer C: ... and one that says no more than 100, and nothing to the CANCEL", () => {
    const { bench, server, alice, mobile } = scene("tcp");
    mobile.request("INVITE", alice);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    server.answers(passed, 100);
    bench.pass(601_000);
    server.gets("CANCEL");
    mobile.nothing();
    bench.pass(33_000);
    mobile.gets(408);
    expect(bench.anchor.running).toBe(0);
  });

  test("timer C, §9.1: an answer that crosses the CANCEL is the phone's, and its call", () => {
    const { bench, server, alice, mobile } = scene("tcp");
    const invite = mobile.request("INVITE", alice);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    server.answers(passed, 180);
    mobile.gets(180);
    bench.pass(601_000);
    server.gets("CANCEL");
    server.answers(passed, 200);
    const answer = mobile.gets(200);
    mobile.inOwn("ACK", invite, answer);
    server.gets("ACK");
    mobile.inOwn("BYE", invite, answer);
    server.answers(server.gets("BYE"), 200);
    mobile.gets(200);
    expect(bench.anchor.running).toBe(0);
  });

  test("early media on several branches, one answer: each its own dialog", () => {
    const { bench, server, alice, mobile } = scene();
    const invite = mobile.request("INVITE", alice);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    server.answers(passed, 183, { tag: "one" });
    const early = mobile.gets(183);
    server.answers(passed, 180, { tag: "two" });
    mobile.gets(180);
    mobile.inOwn("PRACK", invite, early);
    server.answers(server.gets("PRACK"), 200);
    mobile.gets(200);
    server.answers(passed, 200, { tag: "two" });
    mobile.gets(200);
    expect(bench.anchor.sizes().dialogs).toBe(1);
    // RFC 6026 §7.2: a second fork that answers too is the phone's to end.
    server.answers(passed, 200, { tag: "three" });
    mobile.gets(200);
    expect(bench.anchor.sizes().dialogs).toBe(2);
  });

  test("the phone hangs up while it rings", () => {
    const { bench, server, alice, mobile } = scene();
    const invite = mobile.request("INVITE", alice);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    mobile.cancels(invite, 'SIP;cause=487;text="x"');
    mobile.gets(200);
    // §9.1: not before the server has said anything.
    server.nothing();
    server.answers(passed, 180);
    const cancel = server.gets("CANCEL");
    expect(cancel.get("Reason")).toBe('SIP;cause=487;text="x"');
    expect(cancel.branch).toBe(passed.branch);
    server.answers(cancel, 200);
    server.answers(passed, 487);
    mobile.gets(180);
    mobile.gets(487);
    server.gets("ACK");
    expect(bench.anchor.running).toBe(0);
  });

  test("a silent server: repeated for 32 s, then 408", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.request("INVITE", alice);
    mobile.gets(100);
    bench.pass(32_100);
    expect(server.inbox.filter((message) => message.method === "INVITE")).toHaveLength(7);
    mobile.gets(408);
    expect(bench.anchor.running).toBe(0);
  });

  test("nothing is left behind", () => {
    const { bench, server, mobile, invite, answered } = talking();
    mobile.inOwn("BYE", invite, answered);
    server.answers(server.gets("BYE"), 200);
    mobile.closes();
    bench.pass(3_600_000);
    expect(bench.anchor.sizes()).toMatchObject({ transactions: 0, dialogs: 0, outbound: 0, links: 0, alarms: 0 });
  });
});

describe("where requests of the phone go", () => {
  test("rule 3: to the account's server, whatever Route and Request-URI say; no foreign Route goes along", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.request("INVITE", alice, {
      to: "sip:root@10.0.0.1:25",
      lines: ["Route: <sip:10.0.0.2:53;lr>", "Route: <sip:push.example;transport=ws;lr>"],
    });
    const passed = server.gets("INVITE");
    expect(passed.uri).toBe("sip:root@10.0.0.1:25");
    expect(passed.has("Route")).toBe(false);
    expect(bench.astray).toHaveLength(0);
  });

  test("RFC 3608: the Service-Route of the registrar comes first", () => {
    const { server, alice, mobile } = scene();
    alice.serviceRoute = ["<sip:sr1.example;lr>", "<sip:sr2.example;lr>"];
    mobile.request("MESSAGE", alice, { lines: ["Route: <sip:x;lr>"] });
    expect(server.gets("MESSAGE").all("Route")).toEqual(["<sip:sr1.example;lr>", "<sip:sr2.example;lr>"]);
  });

  test("natEmulation: the private address in Via", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: {} }, { natEmulation: true });
    const mobile = bench.phone("mobile");
    mobile.opens();
    mobile.request("MESSAGE", alice);
    expect(server.gets("MESSAGE").get("Via")).toContain("192.168.1.20:5060");
  });

  test("while the server is not resolved the request waits", () => {
    const { bench, server, alice, mobile } = scene();
    alice.serverKnown = false;
    mobile.request("INVITE", alice);
    mobile.gets(100);
    bench.pass(2_000);
    server.nothing();
    alice.serverKnown = true;
    bench.anchor.onServerKnown(alice.row);
    server.gets("INVITE");
  });

  test("... and fails when it stays unknown", () => {
    const { bench, server, alice, mobile } = scene();
    alice.serverKnown = false;
    mobile.request("INVITE", alice);
    mobile.gets(100);
    bench.pass(6_100);
    mobile.gets(503);
    server.nothing();
    expect(bench.anchor.running).toBe(0);
    expect(bench.anchor.calls()[0]?.state).toBe("ended");
  });

  test("... and may be cancelled meanwhile", () => {
    const { bench, server, alice, mobile } = scene();
    alice.serverKnown = false;
    const invite = mobile.request("INVITE", alice);
    mobile.gets(100);
    mobile.cancels(invite);
    mobile.gets(200);
    mobile.gets(487);
    expect(bench.anchor.calls()[0]?.state).toBe("cancelled");
    alice.serverKnown = true;
    bench.anchor.onServerKnown(alice.row);
    server.nothing();
  });

  test("a route whose address is not known yet is tried again", () => {
    const { bench, server, alice, mobile } = scene();
    bench.knowsRoute = false;
    mobile.request("MESSAGE", alice);
    bench.pass(200);
    server.nothing();
    bench.knowsRoute = true;
    bench.pass(100);
    server.gets("MESSAGE");
  });

  test("SUBSCRIBE: a NOTIFY that overtakes the answer finds the phone, RFC 6665 §4.4.1", () => {
    const { bench, server, alice, mobile } = scene();
    const subscribe = mobile.request("SUBSCRIBE", alice, { lines: ["Event: presence", "Expires: 600"] });
    const passed = server.gets("SUBSCRIBE");
    const notify = (state: string, cseq: number): void =>
      server.sends(
        [
          `NOTIFY ${passed.contactUri} SIP/2.0`,
          `Via: SIP/2.0/UDP ${server.address}:5060;branch=z9hG4bKnotify${cseq}`,
          `From: ${passed.get("To")};tag=notifier`,
          `To: ${passed.get("From")}`,
          `Call-ID: ${passed.get("Call-ID")}`,
          `CSeq: ${cseq} NOTIFY`,
          "Contact: <sip:presence@192.0.2.1>",
          "Event: presence",
          `Subscription-State: ${state}`,
          "Content-Length: 0",
          "",
          "",
        ].join("\r\n"),
      );
    notify("active;expires=600", 1);
    mobile.answers(mobile.gets("NOTIFY"), 200);
    server.gets(200);
    server.answers(passed, 200, { tag: "notifier", lines: ["Expires: 600"] });
    const accepted = mobile.gets(200);
    bench.pass(300_000);
    mobile.inOwn("SUBSCRIBE", subscribe, accepted, { lines: ["Event: presence", "Expires: 600"] });
    server.answers(server.gets("SUBSCRIBE"), 200, { lines: ["Expires: 600"] });
    mobile.gets(200);
    bench.pass(500_000);
    notify("terminated;reason=timeout", 2);
    mobile.answers(mobile.gets("NOTIFY"), 200);
    bench.pass(60_000);
    expect(bench.anchor.sizes().dialogs).toBe(0);
  });

  test("PUBLISH and MESSAGE: answers come back", () => {
    const { bench, server, alice, mobile } = scene();
    for (const method of ["PUBLISH", "MESSAGE", "X-OTHER"]) {
      mobile.request(method, alice);
      server.answers(server.gets(method), 200, { lines: ["SIP-ETag: e1"] });
      expect(mobile.gets(200).get("SIP-ETag")).toBe("e1");
    }
    expect(bench.anchor.calls()).toHaveLength(0);
  });
});

describe("who may ask", () => {
  test("a From that is no account of the device: 403", () => {
    const { server, alice, mobile } = scene();
    for (const from of [
      "<sip:mallory@pbx.example>;tag=1",
      "<sip:alice@other.example>;tag=1",
      "<sip:Alice@pbx.example>;tag=1",
      "<tel:+4930>;tag=1",
      "<sip:pbx.example>;tag=1",
    ]) {
      mobile.request("INVITE", alice, { lines: [`From: ${from}`] });
      mobile.gets(403);
    }
    server.nothing();
  });

  test("host without case, user with escapes: the same account", () => {
    const { server, alice, mobile } = scene();
    mobile.request("MESSAGE", alice, { lines: ["From: <sip:%61lice@PBX.example;user=x>;tag=1"] });
    server.gets("MESSAGE");
  });

  test("a domain that is an IPv6 address, whatever port the phone puts behind it", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: {} }, { domain: "[2001:db8::1]" });
    const mobile = bench.phone("mobile");
    mobile.opens();
    mobile.request("MESSAGE", alice, { lines: ["From: <sip:alice@[2001:DB8::1]:5060>;tag=1"] });
    server.gets("MESSAGE");
    mobile.request("MESSAGE", alice, { lines: ["From: <sip:alice@[2001:db8::2]>;tag=1"] });
    mobile.gets(403);
  });

  test("an account of another device: 403", () => {
    const { bench, server, mobile } = scene();
    const carol = bench.addAccount("carol", server, { desk: {} });
    mobile.request("INVITE", carol);
    mobile.gets(403);
    server.nothing();
  });

  test("what is not ours is handed on while other shards are left", () => {
    const { bench, server, alice, mobile } = scene();
    const foreign = mobile.request("INVITE", alice, { lines: ["From: <sip:other@pbx.example>;tag=1"], last: false });
    mobile.request("BYE", alice, { lines: ["To: <sip:x@y>;tag=2"], last: false });
    mobile.request("ACK", alice, { lines: ["To: <sip:x@y>;tag=2"], last: false });
    mobile.request("CANCEL", alice, { last: false });
    mobile.sends(
      foreign.text.replace(/^INVITE.*\r\n/, "SIP/2.0 200 OK\r\n").replace("CSeq: 1 INVITE", "CSeq: 1 INVITE"),
      false,
    );
    mobile.nothing();
    server.nothing();
    const handed = bench.taken("frameForeign");
    expect(handed.map(({ text }) => text.split(" ", 1)[0])).toEqual(["INVITE", "BYE", "ACK", "CANCEL", "SIP/2.0"]);
    expect(handed[0]?.text).toBe(foreign.text);
    expect(bench.anchor.sizes().transactions).toBe(0);
  });

  test("... and refused by the last", () => {
    const { alice, mobile } = scene();
    mobile.request("BYE", alice, { lines: ["To: <sip:x@y>;tag=2"] });
    mobile.gets(481);
    mobile.request("ACK", alice, { lines: ["To: <sip:x@y>;tag=2"] });
    mobile.nothing();
    mobile.request("CANCEL", alice);
    mobile.gets(481);
  });

  test("a removed subscription: 403 from then on", () => {
    const { bench, alice, server, mobile } = scene();
    bench.anchor.subscriptionRemoved(alice.accountId, mobile.deviceId);
    mobile.request("INVITE", alice);
    mobile.gets(403);
    server.nothing();
  });

  test("malformed frames: 400, or nothing for what cannot be answered", () => {
    const { bench, server, alice, mobile } = scene();
    const good = mobile.request("OPTIONS", alice, { to: "sip:pbx.example" });
    mobile.gets(200);
    mobile.sends(good.text.replace(/CSeq: .*/, "CSeq: x OPTIONS"));
    mobile.gets(400);
    mobile.sends(good.text.replace("OPTIONS sip:pbx.example SIP/2.0", "OPTIONS sip:pbx.example SIP/7.0"));
    mobile.gets(505);
    mobile.sends("garbage");
    mobile.sends("\0\0\0");
    mobile.sends("SIP/2.0 200 OK\r\n\r\n");
    mobile.nothing();
    server.nothing();
    expect(bench.count("malformedDropped")).toBeGreaterThanOrEqual(5);
  });

  test("keep-alives: a ping is answered by a pong, a pong by nothing, OPTIONS to the server by 200", () => {
    const { server, alice, mobile } = scene();
    mobile.sends("\r\n\r\n");
    expect(mobile.inbox.shift()?.text).toBe("\r\n");
    mobile.sends("\r\n");
    mobile.sends("\r\n".repeat(5));
    mobile.nothing();
    mobile.request("OPTIONS", alice, { to: "sip:push.example;transport=ws" });
    mobile.gets(200);
    server.nothing();
    mobile.request("OPTIONS", alice, { to: "sip:bob@far.example" });
    server.gets("OPTIONS");
  });

  test("no hops left: 483", () => {
    const { server, alice, mobile } = scene();
    mobile.request("INVITE", alice, { lines: ["Max-Forwards: 0"] });
    mobile.gets(483);
    server.nothing();
  });

  test("draining: no new calls, other requests pass", () => {
    const { bench, server, alice, mobile } = scene();
    bench.anchor.drain();
    mobile.request("INVITE", alice);
    mobile.gets(503);
    mobile.request("MESSAGE", alice);
    server.gets("MESSAGE");
  });
});

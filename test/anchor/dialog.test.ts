import { describe, expect, test } from "bun:test";
import { AnchorBench, ourHost } from "../fakes/anchor-bench.ts";
import type { SipText } from "../fakes/sip-text.ts";

function scene(transport: "udp" | "tcp" | "tls" = "udp") {
  const bench = new AnchorBench();
  const server = bench.addServer({ transport });
  const alice = bench.addAccount("alice", server, { mobile: {}, tablet: {} });
  return { bench, server, alice, mobile: bench.phone("mobile"), tablet: bench.phone("tablet") };
}

/** A call that the mobile has answered and the caller acknowledged. */
function talking(transport: "udp" | "tcp" | "tls" = "udp", lines: readonly string[] = []) {
  const all = scene(transport);
  const { server, alice, mobile } = all;
  mobile.opens();
  const invite = server.invites(alice, { lines });
  server.gets(100);
  const offered = mobile.gets("INVITE");
  const answer = mobile.answers(offered, 200);
  const answered = server.gets(200);
  server.inDialog("ACK", invite, answered);
  mobile.gets("ACK");
  return { ...all, invite, offered, answer, answered };
}

/** Everything but what a relay must change. */
function rest(message: SipText, ...changed: string[]): string[] {
  return [...message.linesWithout("Via", ...changed), message.body];
}

describe("what passes byte for byte, docs/relay.md", () => {
  test("INVITE to the phone: all but Via, Max-Forwards and Request-URI", () => {
    const { invite, offered } = talking("udp", [
      'X-Odd:   spaced "q, r"; a=1 ',
      "Record-Route: <sip:b.example;r2=on;lr>",
      "Session-Expires: 90;refresher=uac",
    ]);
    expect(rest(offered, "Max-Forwards").toSorted()).toEqual(rest(invite, "Max-Forwards").toSorted());
    expect(offered.get("Max-Forwards")).toBe("68");
    expect(offered.all("Via")).toHaveLength(1);
    expect(offered.get("Via")).toStartWith("SIP/2.0/WSS ");
    expect(offered.get("Contact")).toBe("<sip:bob@198.51.100.9:5062;transport=tcp>");
  });

  test("its answers: all but Via and Contact; the server's Via with received and rport", () => {
    const { bench, alice, server, invite, answer, answered } = talking();
    expect(rest(answered, "Contact").toSorted()).toEqual(rest(answer, "Contact").toSorted());
    expect(answered.contactUri).toBe(bench.contactUri(alice));
    expect(answered.all("Via")).toHaveLength(1);
    expect(answered.get("Via")).toContain(`;received=${server.address}`);
    expect(answered.get("Via")).toContain(";rport=5060");
    expect(answered.branch).toBe(invite.branch);
  });

  test("Content-Type, compact names and odd order survive", () => {
    const { server, alice, mobile } = scene();
    mobile.opens();
    const invite = server.request("INVITE", alice);
    const compact = invite.text
      .replace("From:", "f:")
      .replace("Call-ID:", "i:")
      .replace("Contact:", "m:")
      .replace("Content-Type:", "c:");
    server.sends(compact);
    const offered = mobile.gets("INVITE");
    for (const name of ["f", "i", "m", "c"]) expect(offered.has(name)).toBe(true);
  });

  test("the phone's capabilities stay with our Contact, its identity does not", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    server.invites(alice);
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 200, {
      lines: [
        'Contact: <sip:x@phone.invalid;transport=ws>;isfocus;audio;+sip.instance="<urn:uuid:2>";reg-id=1;expires=60',
      ],
    });
    expect(server.gets(200).get("Contact")).toBe(`<${bench.contactUri(alice)}>;isfocus;audio`);
  });
});

describe("in a call, both ways", () => {
  test("the phone hangs up: true Request-URI and Route set, one Via, our Contact", () => {
    const { server, mobile, invite, answer } = talking();
    const bye = mobile.inAnswered("BYE", invite, answer);
    const passed = server.gets("BYE");
    expect(passed.uri).toBe("sip:bob@198.51.100.9:5062;transport=tcp");
    expect(passed.get("Route")).toBe(`<sip:${server.address}:5060;lr>`);
    expect(rest(passed, "Max-Forwards", "Contact").toSorted()).toEqual(rest(bye, "Max-Forwards", "Contact").toSorted());
    expect(passed.get("Via")).toStartWith(`SIP/2.0/UDP ${ourHost}:5060;rport;branch=z9hG4bKa`);
    server.answers(passed, 200);
    expect(mobile.gets(200).get("Via")).toBe(bye.get("Via"));
  });

  test.each(["INFO", "MESSAGE", "UPDATE", "REFER", "NOTIFY", "OPTIONS", "SUBSCRIBE", "X-THING"])("%s", (method) => {
    const { server, mobile, invite, answer, answered } = talking();
    mobile.inAnswered(method, invite, answer, { lines: ["Event: x", "Subscription-State: active"] });
    const up = server.gets(method);
    server.answers(up, 200);
    expect(mobile.gets(200).method).toBe(method);
    server.inDialog(method, invite, answered, { lines: ["Event: x", "Subscription-State: active"] });
    const down = mobile.gets(method);
    mobile.answers(down, 200);
    expect(server.gets(200).method).toBe(method);
  });

  test("hold: re-INVITE from the phone, its 2xx and ACK end to end", () => {
    const { bench, alice, server, mobile, invite, answer } = talking();
    const again = mobile.inAnswered("INVITE", invite, answer);
    expect(mobile.gets(100).method).toBe("INVITE");
    const passed = server.gets("INVITE");
    expect(passed.contactUri).toBe(bench.contactUri(alice));
    const accepted = server.answers(passed, 200);
    const got = mobile.gets(200);
    expect(got.get("Contact")).toBe(accepted.get("Contact"));
    mobile.inAnswered("ACK", invite, answer, { cseq: again.cseq });
    const ack = server.gets("ACK");
    expect(ack.branch).not.toBe(passed.branch);
    expect(ack.cseq).toBe(again.cseq);
  });

  test("re-INVITE from the server, refused by the phone: its ACK ends here", () => {
    const { server, mobile, invite, answered } = talking();
    const again = server.inDialog("INVITE", invite, answered);
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 488);
    const refused = server.gets(488);
    mobile.gets("ACK");
    server.acksFailure(again, refused);
    mobile.nothing();
    server.nothing();
  });

  test("re-INVITE taken back by the server", () => {
    const { server, mobile, invite, answered } = talking();
    const again = server.inDialog("INVITE", invite, answered);
    server.gets(100);
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 180);
    server.gets(180);
    server.cancels(again);
    server.gets(200);
    mobile.answers(mobile.gets("CANCEL"), 200);
    mobile.answers(offered, 487);
    server.gets(487);
  });

  test("re-INVITE taken back by the phone", () => {
    const { server, mobile, invite, answer } = talking();
    const again = mobile.inAnswered("INVITE", invite, answer);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    server.answers(passed, 100);
    mobile.cancels(again, "SIP;cause=487");
    mobile.gets(200);
    const cancel = server.gets("CANCEL");
    expect(cancel.branch).toBe(passed.branch);
    expect(cancel.get("Reason")).toBe("SIP;cause=487");
    server.answers(cancel, 200);
    server.answers(passed, 487);
    expect(mobile.gets(487).branch).toBe(again.branch);
    server.gets("ACK");
  });

  test("ejabberd: 407 on re-INVITE and BYE passes to the phone untouched, its second try goes through", () => {
    const { server, mobile, invite, answer } = talking();
    mobile.inAnswered("BYE", invite, answer);
    server.answers(server.gets("BYE"), 407, { lines: ['Proxy-Authenticate: Digest realm="pbx", nonce="n1"'] });
    expect(mobile.gets(407).get("Proxy-Authenticate")).toBe('Digest realm="pbx", nonce="n1"');
    expect(mobile.inbox).toHaveLength(0);
    mobile.inAnswered("BYE", invite, answer, { lines: ["Proxy-Authorization: Digest response=x"] });
    const again = server.gets("BYE");
    expect(again.get("Proxy-Authorization")).toBe("Digest response=x");
    server.answers(again, 200);
    mobile.gets(200);
    mobile.inAnswered("INFO", invite, answer);
    mobile.gets(481);
  });

  test("100rel: the phone's 183 and the server's PRACK, before the answer", () => {
    const { server, alice, mobile } = scene();
    mobile.opens();
    const invite = server.invites(alice, { lines: ["Supported: 100rel"] });
    server.gets(100);
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 183, { lines: ["Require: 100rel", "RSeq: 5"] });
    const early = server.gets(183);
    server.inDialog("PRACK", invite, early, { lines: [`RAck: 5 ${invite.cseq} INVITE`] });
    const prack = mobile.gets("PRACK");
    expect(prack.get("RAck")).toBe(`5 ${invite.cseq} INVITE`);
    mobile.answers(prack, 200);
    server.gets(200);
  });

  test("blind transfer: NOTIFYs still come through after the BYE", () => {
    const { bench, server, mobile, invite, answer, answered } = talking();
    const refer = mobile.inAnswered("REFER", invite, answer, {
      lines: ["Refer-To: <sip:carol@pbx.example?Replaces=a%3Bb>"],
    });
    const passed = server.gets("REFER");
    expect(passed.get("Refer-To")).toBe(refer.get("Refer-To"));
    server.answers(passed, 202);
    mobile.gets(202);
    mobile.inAnswered("BYE", invite, answer);
    server.answers(server.gets("BYE"), 200);
    mobile.gets(200);
    expect(bench.anchor.running).toBe(0);
    server.inDialog("NOTIFY", invite, answered, {
      lines: ["Event: refer", "Subscription-State: terminated;reason=noresource"],
    });
    mobile.answers(mobile.gets("NOTIFY"), 200);
    server.gets(200);
    bench.pass(120_000);
    expect(bench.anchor.sizes().dialogs).toBe(0);
  });

  test("a transfer that the server asked for: the phone's NOTIFY passes after the BYE, anything else is 481", () => {
    const { server, mobile, invite, answer, answered } = talking();
    server.inDialog("REFER", invite, answered, { lines: ["Refer-To: <sip:1@x>"] });
    mobile.answers(mobile.gets("REFER"), 202);
    server.gets(202);
    server.inDialog("BYE", invite, answered);
    mobile.answers(mobile.gets("BYE"), 200);
    server.gets(200);
    for (const state of ["active", "terminated"]) {
      mobile.inAnswered("NOTIFY", invite, answer, { lines: ["Event: refer", `Subscription-State: ${state}`] });
      server.answers(server.gets("NOTIFY"), 200);
      mobile.gets(200);
    }
    mobile.inAnswered("INFO", invite, answer);
    mobile.gets(481);
    mobile.inAnswered("NOTIFY", invite, answer, { lines: ["Event: refer", "Subscription-State: terminated"] });
    server.gets("NOTIFY");
  });

  test("a BYE that is repeated after the end is answered as before, a new request is 481", () => {
    const { bench, server, mobile, invite, answered } = talking();
    const bye = server.inDialog("BYE", invite, answered);
    mobile.answers(mobile.gets("BYE"), 200);
    server.gets(200);
    bench.pass(3_000);
    server.sends(bye.text);
    server.gets(200);
    server.inDialog("INFO", invite, answered);
    server.gets(481);
    bench.pass(31_000);
    server.inDialog("INFO", invite, answered);
    server.gets(481);
    mobile.nothing();
    bench.pass(60_000);
    expect(bench.anchor.sizes().dialogs).toBe(0);
  });

  test("a target refresh moves where the next request of either side goes", () => {
    const { server, mobile, invite, answer, answered } = talking();
    mobile.inAnswered("UPDATE", invite, answer, { lines: ["Contact: <sip:moved@phone.invalid;transport=ws>"] });
    server.answers(server.gets("UPDATE"), 200);
    mobile.gets(200);
    server.inDialog("INFO", invite, answered);
    expect(mobile.gets("INFO").uri).toBe("sip:moved@phone.invalid;transport=ws");
  });
});

describe("the rules of docs/relay.md", () => {
  test("rule 1: in a dialog the From need not be an account: Call-ID and tags decide", () => {
    const { server, mobile, invite, answer } = talking("udp", ["To: <sip:anyone@elsewhere.example;line=xyz>"]);
    mobile.inAnswered("BYE", invite, answer);
    server.gets("BYE");
  });

  test("rule 2: a Route to another host does not choose the hop, TLS stays on TLS", () => {
    const { bench, server, mobile, invite, answer } = talking("tls", [
      "Record-Route: <sip:10.0.0.9:5060;transport=udp;lr>",
      "Contact: <sip:bob@10.0.0.8:5060;transport=udp>",
    ]);
    mobile.inAnswered("BYE", invite, answer);
    const bye = server.gets("BYE");
    expect(bye.get("Route")).toBe("<sip:10.0.0.9:5060;transport=udp;lr>");
    expect(bye.get("Via")).toStartWith("SIP/2.0/TLS ");
    expect(bench.astray).toHaveLength(0);
  });

  test("rule 2: over UDP it goes where the INVITE came from, though the registrar is another port", () => {
    const bench = new AnchorBench();
    const registrar = bench.addServer({ address: "192.0.2.50", port: 5060 });
    const proxy = bench.addServer({ address: "192.0.2.50", port: 5090 });
    const alice = bench.addAccount("alice", registrar, { mobile: {} });
    const mobile = bench.phone("mobile");
    mobile.opens();
    const invite = proxy.invites(alice);
    proxy.gets(100);
    const answer = mobile.answers(mobile.gets("INVITE"), 200);
    const answered = proxy.gets(200);
    proxy.inDialog("ACK", invite, answered);
    mobile.inAnswered("BYE", invite, answer);
    proxy.gets("BYE");
    registrar.nothing();
  });

  test("rule 2: a server that connects to us is spoken to on the connection that it shares with its registrar", () => {
    const { bench, server, alice, mobile } = scene("tcp");
    const incoming = bench.addServer({ transport: "tcp", address: server.address, port: 51_234 });
    mobile.opens();
    const invite = incoming.invites(alice);
    incoming.gets(100);
    const answer = mobile.answers(mobile.gets("INVITE"), 200);
    incoming.gets(200);
    mobile.inAnswered("BYE", invite, answer);
    // Not to port 51234, which takes no connections.
    server.gets("BYE");
    expect(bench.astray).toHaveLength(0);
  });

  test("rule 2: a server that does not stay in the call: what follows goes to the far end's Contact, and comes from there", () => {
    const { bench, server, alice, mobile } = scene();
    const far = bench.addServer({ address: "198.51.100.9", port: 5062 });
    bench.allowed.add(far.address);
    mobile.opens();
    const invite = server.invites(alice, { lines: ["Record-Route:", "Contact: <sip:bob@198.51.100.9:5062>"] });
    server.gets(100);
    const offered = mobile.gets("INVITE");
    const answer = mobile.answers(offered, 200);
    const answered = server.gets(200);
    far.inDialog("ACK", invite, answered);
    mobile.gets("ACK");
    const info = mobile.inAnswered("INFO", invite, answer);
    const atFar = far.gets("INFO");
    expect(atFar.uri).toBe("sip:bob@198.51.100.9:5062");
    expect(atFar.branch).not.toBe(info.branch);
    far.answers(atFar, 200);
    mobile.gets(200);
    // The server may still speak: it is the account's.
    server.inDialog("OPTIONS", invite, answered);
    mobile.answers(mobile.gets("OPTIONS"), 200);
    server.gets(200);
    far.inDialog("BYE", invite, answered);
    mobile.answers(mobile.gets("BYE"), 200);
    far.gets(200);
    server.nothing();
    expect(bench.astray).toHaveLength(0);
  });

  test("rule 2: ... unless the egress policy refuses its host, or it is no address for SIP over IP", () => {
    for (const contact of ["sip:bob@10.0.0.8:5060", "sip:bob@198.51.100.9;transport=ws", "tel:+4930123"]) {
      const { bench, server, alice, mobile } = scene();
      bench.allowed.add("198.51.100.9");
      mobile.opens();
      const invite = server.invites(alice, { lines: ["Record-Route:", `Contact: <${contact}>`] });
      server.gets(100);
      const answer = mobile.answers(mobile.gets("INVITE"), 200);
      server.inDialog("ACK", invite, server.gets(200));
      mobile.gets("ACK");
      mobile.inAnswered("BYE", invite, answer);
      expect(server.gets("BYE").uri).toBe(contact);
      expect(bench.astray).toHaveLength(0);
    }
  });

  test("rule 2: ... or it cannot be reached: what waited, and what follows, goes by the server", () => {
    const { bench, server, alice, mobile } = scene();
    bench.allowed.add("198.51.100.9");
    mobile.opens();
    const invite = server.invites(alice, { lines: ["Record-Route:", "Contact: <sip:bob@198.51.100.9:5062>"] });
    server.gets(100);
    const answer = mobile.answers(mobile.gets("INVITE"), 200);
    server.inDialog("ACK", invite, server.gets(200));
    mobile.gets("ACK");
    mobile.inAnswered("INFO", invite, answer);
    expect(bench.astray.map(({ to }) => to)).toEqual(["udp 198.51.100.9:5062"]);
    bench.anchor.onPeerDown(bench.peer({ transport: "udp", address: "198.51.100.9", port: 5062 }), "unreachable");
    bench.pass(20);
    server.answers(server.gets("INFO"), 200);
    mobile.gets(200);
    mobile.inAnswered("BYE", invite, answer);
    server.answers(server.gets("BYE"), 200);
    mobile.gets(200);
    expect(bench.astray).toHaveLength(1);
  });

  test("rule 2: an account on TLS goes there by TLS only", () => {
    for (const [contact, isThere] of [
      ["sip:bob@198.51.100.9:5061", false],
      ["sip:bob@198.51.100.9:5061;transport=tls", true],
      ["sips:bob@198.51.100.9:5061", true],
    ] as const) {
      const { bench, server, alice, mobile } = scene("tls");
      const far = bench.addServer({ transport: "tls", address: "198.51.100.9", port: 5061 });
      bench.allowed.add(far.address);
      mobile.opens();
      const invite = server.invites(alice, { lines: ["Record-Route:", `Contact: <${contact}>`] });
      server.gets(100);
      const answer = mobile.answers(mobile.gets("INVITE"), 200);
      server.inDialog("ACK", invite, server.gets(200));
      mobile.gets("ACK");
      mobile.inAnswered("BYE", invite, answer);
      (isThere ? far : server).gets("BYE");
      expect(bench.astray).toHaveLength(0);
    }
  });

  test("rule 2: ... in a call of the phone, and where a re-INVITE moves the far end", () => {
    const { bench, server, alice, mobile } = scene();
    const far = bench.addServer({ address: "198.51.100.9", port: 5062 });
    const moved = bench.addServer({ address: "198.51.100.10", port: 5062 });
    bench.allowed.add(far.address).add(moved.address);
    mobile.opens();
    const invite = mobile.request("INVITE", alice);
    mobile.gets(100);
    const atServer = server.gets("INVITE");
    const contact = "Contact: <sip:bob@198.51.100.9:5062>";
    server.answers(atServer, 180, { lines: [contact] });
    mobile.gets(180);
    server.answers(atServer, 200, { lines: [contact] });
    const answered = mobile.gets(200);
    mobile.inOwn("ACK", invite, answered);
    far.gets("ACK");
    mobile.inOwn("INVITE", invite, answered);
    mobile.gets(100);
    far.answers(far.gets("INVITE"), 200, { lines: ["Contact: <sip:bob@198.51.100.10:5062>"] });
    mobile.gets(200);
    mobile.inOwn("BYE", invite, answered);
    moved.gets("BYE");
    server.nothing();
  });

  test("rule 2: the route set of the 2xx counts, not that of the 18x; the phone's Contact too", () => {
    const { bench, server, alice, mobile } = scene();
    bench.allowed.add("198.51.100.9");
    mobile.opens();
    const invite = mobile.request("INVITE", alice);
    mobile.gets(100);
    const atServer = server.gets("INVITE");
    server.answers(atServer, 180, { lines: ["Contact: <sip:bob@198.51.100.9:5062>"] });
    mobile.gets(180);
    server.answers(atServer, 200, {
      lines: ["Contact: <sip:bob@198.51.100.9:5062>", "Record-Route: <sip:192.0.2.1;lr>"],
    });
    mobile.inOwn("ACK", invite, mobile.gets(200));
    server.gets("ACK");

    const incoming = server.invites(alice);
    server.gets(100);
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 180, { lines: ["Contact:"] });
    server.gets(180);
    mobile.answers(offered, 200, { contact: "sip:later@phone.invalid;transport=ws" });
    const answered = server.gets(200);
    server.inDialog("ACK", incoming, answered);
    expect(mobile.gets("ACK").uri).toBe("sip:later@phone.invalid;transport=ws");
  });

  test("rule 3: a request in a dialog that we do not know is 481", () => {
    const { server, mobile, invite, answer } = talking();
    mobile.inAnswered("BYE", invite, answer, { lines: ["Call-ID: another"] });
    mobile.gets(481);
    server.nothing();
  });

  test("rule 10: sips and an unknown user in the Request-URI become what the phone knows itself by", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    server.invites(alice, { uri: bench.contactUri(alice).replace("sip:alice", "sips:1234") });
    const offered = mobile.gets("INVITE");
    expect(offered.uri).toBe("sip:alice@pbx.example");
  });

  test("rule 10: the Contact that the phone registered through the tunnel", () => {
    const { server, alice, mobile } = scene();
    mobile.opens();
    mobile.request("REGISTER", alice, {
      to: "sip:pbx.example",
      lines: ["To: <sip:alice@pbx.example>", "Contact: <sips:c7x@phone.invalid;transport=ws>"],
    });
    mobile.gets(200);
    server.invites(alice);
    expect(mobile.gets("INVITE").uri).toBe("sip:c7x@phone.invalid;transport=ws");
  });

  test("rule 10: in a dialog the phone's Contact of the dialog", () => {
    const { server, mobile, invite, answered } = talking();
    server.inDialog("BYE", invite, answered);
    expect(mobile.gets("BYE").uri).toBe("sip:mobile@phone.invalid;transport=ws");
  });
});

describe("strangers in a call", () => {
  test("the right tags from another address: 481, and the phone hears nothing", () => {
    const { bench, server, mobile, invite, answered } = talking();
    const stranger = bench.addServer({ address: "198.51.100.66" });
    for (const method of ["BYE", "INVITE", "REFER", "NOTIFY", "INFO"]) {
      stranger.inDialog(method, invite, answered, { lines: [`X-Padding: ${"x".repeat(200)}`] });
      stranger.gets(481);
    }
    stranger.inDialog("ACK", invite, answered);
    mobile.nothing();
    server.nothing();
  });

  test("another device of the same account: 481", () => {
    const { bench, server, mobile, tablet, invite, answer } = talking();
    tablet.opens();
    bench.taken("wake");
    mobile.tunnelId = tablet.tunnelId;
    mobile.inAnswered("BYE", invite, answer);
    server.nothing();
    expect([...tablet.inbox, ...mobile.inbox].map((message) => message.status)).toContain(481);
  });

  test("no hops left: 483 either way", () => {
    const { server, mobile, invite, answer, answered } = talking();
    server.inDialog("INFO", invite, answered, { lines: ["Max-Forwards: 0"] });
    server.gets(483);
    mobile.inAnswered("INFO", invite, answer, { lines: ["Max-Forwards: 0"] });
    mobile.gets(483);
  });
});

describe("no answer", () => {
  test("RFC 4320: no 408 for a BYE that the phone does not answer; the call is over all the same", () => {
    const { bench, server, mobile, invite, answered } = talking();
    server.inDialog("BYE", invite, answered);
    mobile.gets("BYE");
    bench.pass(33_000);
    for (const message of server.inbox) expect(message.status).toBe(100);
    expect(bench.anchor.running).toBe(0);
  });

  test("a re-INVITE that the phone does not answer is 408", () => {
    const { bench, server, mobile, invite, answered } = talking();
    server.inDialog("INVITE", invite, answered);
    server.gets(100);
    mobile.gets("INVITE");
    bench.pass(33_000);
    server.gets(408);
  });

  test("a connection that breaks is opened again once for what waits, then the phone hears 503", () => {
    const { bench, server, mobile, invite, answer } = talking("tcp");
    mobile.inAnswered("BYE", invite, answer);
    const bye = server.gets("BYE");
    const peer = bench.peer(server.endpoint);
    bench.anchor.onPeerDown(peer, "reset");
    expect(server.gets("BYE").branch).toBe(bye.branch);
    bench.anchor.onPeerDown(peer, "reset");
    bench.pass(20);
    mobile.gets(503);
  });
});

import { describe, expect, test } from "bun:test";
import { AnchorBench } from "../fakes/anchor-bench.ts";

const methods = [
  "INVITE",
  "OPTIONS",
  "MESSAGE",
  "NOTIFY",
  "SUBSCRIBE",
  "REFER",
  "REGISTER",
  "PUBLISH",
  "BYE",
  "CANCEL",
  "ACK",
];

function scene(transport: "udp" | "tcp" | "tls" = "udp") {
  const bench = new AnchorBench();
  const server = bench.addServer({ transport });
  const alice = bench.addAccount("alice", server, { mobile: {} });
  const stranger = bench.addServer({ address: "198.51.100.66", transport });
  const mobile = bench.phone("mobile");
  mobile.opens();
  return { bench, server, alice, stranger, mobile };
}

describe("rule 9: what matches no account gets silence and no transaction", () => {
  test("a wrong line token, from anybody, even the right server", () => {
    const { bench, server, alice, stranger, mobile } = scene();
    for (const from of [server, stranger]) {
      for (const method of methods) {
        from.sends(from.request(method, alice, { uri: "sip:alice@203.0.113.7:5060;line=guessed" }).text);
        from.sends(
          from.request(method, alice, {
            uri: "sip:alice@203.0.113.7:5060;line=guessed",
            lines: ["To: <sip:a@b>;tag=1"],
          }).text,
        );
      }
      from.nothing();
    }
    mobile.nothing();
    bench.noWake();
    expect(bench.anchor.sizes().transactions).toBe(0);
    expect(bench.count("unmatchedDropped")).toBe(4 * methods.length);
  });

  test("no line and an unknown user, or the right user from a stranger", () => {
    const { bench, server, alice, stranger, mobile } = scene();
    for (const method of methods) {
      server.sends(server.request(method, alice, { uri: "sip:nobody@203.0.113.7" }).text);
      server.sends(server.request(method, alice, { uri: "sip:203.0.113.7" }).text);
      stranger.sends(stranger.request(method, alice, { uri: "sip:alice@203.0.113.7" }).text);
    }
    server.nothing();
    stranger.nothing();
    mobile.nothing();
    expect(bench.anchor.sizes().transactions).toBe(0);
  });

  test("a server that strips the line token is known by its address", () => {
    const { server, alice, mobile } = scene();
    server.invites(alice, { uri: "sip:alice@203.0.113.7:5060" });
    server.gets(100);
    mobile.gets("INVITE");
  });

  test("the same branch from another address is another transaction", () => {
    const { bench, server, alice, mobile } = scene();
    const second = bench.addServer({ address: server.address, port: 5070 });
    server.invites(alice, { branch: "z9hG4bKsame" });
    server.gets(100);
    mobile.gets("INVITE");
    // The same address: the transaction of before, whatever the port; its answer goes where the first went.
    second.invites(alice, { branch: "z9hG4bKsame" });
    const elsewhere = bench.addServer({ address: "198.51.100.1" });
    elsewhere.invites(alice, { branch: "z9hG4bKsame" });
    elsewhere.gets(403);
  });

  test.each([";branch=z9hG4bK", ""])(
    "an empty branch (%p) is matched by RFC 2543: a repetition is one, another call is not",
    (branch) => {
      const { server, alice, mobile } = scene();
      const first = server.request("INVITE", alice);
      const old = (text: string): string => text.replace(/;branch=[^;\r]*/, branch);
      server.sends(old(first.text));
      server.sends(old(first.text));
      mobile.gets("INVITE");
      mobile.nothing();
      server.sends(old(server.request("INVITE", alice).text));
      mobile.gets("INVITE");
      server.sends(
        old(first.text)
          .replace(/^INVITE/, "CANCEL")
          .replace(/CSeq: (\d+) INVITE/, "CSeq: $1 CANCEL"),
      );
      expect(mobile.gets("CANCEL").get("Call-ID")).toBe(first.get("Call-ID"));
    },
  );
});

describe("a live line token from an implausible source", () => {
  test("one 403, nothing else happens", () => {
    const { bench, alice, stranger, mobile } = scene();
    stranger.invites(alice);
    stranger.gets(403);
    stranger.nothing();
    mobile.nothing();
    bench.noWake();
    expect(bench.anchor.sizes().transactions).toBe(0);
  });

  test("TLS: nothing in clear, though the address is right", () => {
    const { bench, server, alice, mobile } = scene("tls");
    for (const transport of ["udp", "tcp"] as const) {
      const spoof = bench.addServer({ transport, address: server.address });
      spoof.invites(alice);
      spoof.gets(403);
    }
    mobile.nothing();
    server.invites(alice);
    server.gets(100);
    mobile.gets("INVITE");
  });

  test("TLS: no in-dialog request in clear either", () => {
    const { bench, server, alice, mobile } = scene("tls");
    const invite = server.invites(alice);
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 200);
    const answered = server.gets(200);
    const spoof = bench.addServer({ transport: "udp", address: server.address });
    spoof.inDialog("BYE", invite, answered, { lines: [`X-Padding: ${"x".repeat(200)}`] });
    spoof.gets(481);
    mobile.nothing();
  });
});

describe("amplification, RFC 5393, RFC 3261 §18.2.2", () => {
  test("an answer to somebody unproven is never longer than what asked for it, and is one", () => {
    const { alice, stranger, bench } = scene();
    let asked = 0;
    let answered = 0;
    for (const method of methods) {
      for (const lines of [
        [],
        ["To: <sip:a@b>;tag=1"],
        ["X-Long: " + "x".repeat(300)],
        ["Contact:", "Record-Route:", "X-Kept:"],
      ]) {
        const request = stranger.request(method, alice, { lines, body: "" });
        stranger.sends(request.text);
        asked += request.text.length;
        const answers = stranger.inbox.splice(0);
        expect(answers.length).toBeLessThanOrEqual(1);
        for (const answer of answers) {
          expect(answer.text.length).toBeLessThanOrEqual(request.text.length);
          answered += answer.text.length;
        }
      }
    }
    expect(answered).toBeLessThanOrEqual(asked);
    bench.pass(60_000);
    stranger.nothing();
  });

  test("maddr, sent-by and received of a Via lead nowhere: answers go where the request came from", () => {
    const { bench, server, alice } = scene();
    server.invites(alice, {
      lines: ["Via: SIP/2.0/UDP 198.51.100.99:5060;branch=z9hG4bKx;maddr=203.0.113.99;received=203.0.113.98;rport=1"],
    });
    const trying = server.gets(100);
    expect(trying.get("Via")).toContain(`received=${server.address}`);
    expect(trying.get("Via")).not.toContain("received=203.0.113.98");
    expect(bench.astray).toHaveLength(0);
  });

  test("a response with two Vias, or for nothing, is dropped", () => {
    const { bench, server, alice, mobile } = scene();
    const own = mobile.request("INVITE", alice);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    const response = (vias: string): string =>
      `SIP/2.0 180 Ringing\r\n${vias}From: ${passed.get("From")}\r\nTo: ${passed.get("To")};tag=1\r\nCall-ID: ${own.get("Call-ID")}\r\nCSeq: ${passed.get("CSeq")}\r\nContent-Length: 0\r\n\r\n`;
    server.sends(response(`Via: ${passed.get("Via")}\r\nVia: SIP/2.0/UDP 198.51.100.99;branch=z9hG4bKy\r\n`));
    server.sends(response("Via: SIP/2.0/UDP 203.0.113.7;branch=z9hG4bKnothing\r\n"));
    mobile.nothing();
    expect(bench.astray).toHaveLength(0);
    server.sends(response(`Via: ${passed.get("Via")}\r\n`));
    mobile.gets(180);
  });
});

describe("malformed requests", () => {
  test("are refused without state, ACK in silence", () => {
    const { bench, server, alice } = scene();
    const good = server.request("INVITE", alice);
    const padded = (text: string): string => text.replace("X-Kept:", `X-Padding: ${"x".repeat(100)}\r\nX-Kept:`);
    for (const [bad, status] of [
      [good.text.replace(/CSeq: .*/, "CSeq: 1 BYE"), 400],
      [good.text.replace(/From: .*\r\n/, ""), 400],
      [good.text.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), 505],
      [good.text.replace(good.uri, "http://x"), 416],
      [good.text.replace("INVITE sip:alice", "INVITE  sip:alice"), 400],
    ] as const) {
      server.sends(padded(bad));
      server.gets(status);
    }
    server.sends(padded(good.text.replace(/^INVITE/, "ACK")));
    server.sends("INVITE sip:alice SIP/2.0\r\n\r\n");
    server.sends("\0\xff\0\xff");
    server.nothing();
    expect(bench.anchor.sizes().transactions).toBe(0);
    expect(bench.anchor.running).toBe(0);
  });
});

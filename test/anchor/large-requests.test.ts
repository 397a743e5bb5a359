import { describe, expect, test } from "bun:test";
import { AnchorBench } from "../fakes/anchor-bench.ts";

const long = `X-Long: ${"a".repeat(1400)}`;

function scene(takesTcp = true) {
  const bench = new AnchorBench();
  const server = bench.addServer();
  const tcp = bench.addServer({ transport: "tcp", address: server.address });
  if (takesTcp) bench.takesTcp.add(server.address);
  const alice = bench.addAccount("alice", server, { mobile: {} });
  const mobile = bench.phone("mobile");
  mobile.opens();
  return { bench, server, tcp, alice, mobile };
}

describe("requests over 1,300 bytes to a server of UDP, RFC 3261 §18.1.1", () => {
  test("go by TCP, their Via says so, and nothing is sent again there", () => {
    const { bench, server, tcp, alice, mobile } = scene();
    mobile.request("INVITE", alice, { lines: [long] });
    mobile.gets(100);
    const passed = tcp.gets("INVITE");
    expect(passed.get("Via")).toStartWith("SIP/2.0/TCP ");
    expect(passed.get("X-Long")).toHaveLength(1400);
    bench.pass(10_000);
    tcp.nothing();
    server.nothing();
    tcp.answers(passed, 180);
    mobile.gets(180);
    tcp.answers(passed, 486);
    // §17.1.1.3: the ACK goes where its INVITE went.
    expect(tcp.gets("ACK").get("Via")).toBe(passed.get("Via"));
    mobile.gets(486);
    server.nothing();
  });

  test("smaller ones stay on UDP, and so do all where there is no TCP", () => {
    const { server, tcp, alice, mobile } = scene();
    mobile.request("MESSAGE", alice);
    expect(server.gets("MESSAGE").get("Via")).toStartWith("SIP/2.0/UDP ");
    tcp.nothing();
    const other = scene(false);
    other.mobile.request("MESSAGE", other.alice, { lines: [long] });
    expect(other.server.gets("MESSAGE").get("Via")).toStartWith("SIP/2.0/UDP ");
  });

  test("come back to UDP when TCP is refused, Via and all, and are repeated there", () => {
    const { bench, server, tcp, alice, mobile } = scene();
    mobile.request("INVITE", alice, { lines: [long] });
    mobile.gets(100);
    const tried = tcp.gets("INVITE");
    bench.takesTcp.delete(server.address);
    bench.anchor.onPeerDown(bench.peer(tcp.endpoint), "connection refused");
    const passed = server.gets("INVITE");
    expect(passed.get("Via")).toBe(tried.get("Via").replace("TCP", "UDP"));
    bench.pass(500);
    expect(server.gets("INVITE").text).toBe(passed.text);
    server.answers(passed, 486);
    expect(server.gets("ACK").get("Via")).toBe(passed.get("Via"));
    mobile.gets(486);
    bench.pass(60_000);
    tcp.nothing();
    expect(bench.anchor.sizes().transactions).toBe(0);
  });

  test("a connection that was open and breaks is opened again once, then it is UDP", () => {
    const { bench, server, tcp, alice, mobile } = scene();
    mobile.request("MESSAGE", alice, { lines: [long] });
    tcp.gets("MESSAGE");
    bench.anchor.onPeerDown(bench.peer(tcp.endpoint), "closed");
    tcp.gets("MESSAGE");
    bench.anchor.onPeerDown(bench.peer(tcp.endpoint), "closed");
    server.answers(server.gets("MESSAGE"), 200);
    mobile.gets(200);
  });

  test("in a dialog over UDP a large request and a large ACK go by TCP, the small ones around them by UDP", () => {
    const { server, tcp, alice, mobile } = scene();
    const invite = mobile.request("INVITE", alice);
    mobile.gets(100);
    server.answers(server.gets("INVITE"), 200);
    const answered = mobile.gets(200);
    mobile.inOwn("ACK", invite, answered, { lines: [long] });
    expect(tcp.gets("ACK").get("Via")).toStartWith("SIP/2.0/TCP ");
    mobile.inOwn("INFO", invite, answered, { lines: [long] });
    tcp.answers(tcp.gets("INFO"), 200);
    mobile.gets(200);
    mobile.inOwn("BYE", invite, answered);
    server.answers(server.gets("BYE"), 200);
    mobile.gets(200);
  });
});

import { describe, expect, test } from "bun:test";
import { goneCallsMax } from "../../src/anchor/limits.ts";
import { AnchorBench } from "../fakes/anchor-bench.ts";

describe("streams", () => {
  test("§18.2.2: the connection of an INVITE is gone: its answer goes over another to the account's server", () => {
    const bench = new AnchorBench();
    const server = bench.addServer({ transport: "tcp" });
    const alice = bench.addAccount("alice", server, { mobile: {} });
    const mobile = bench.phone("mobile");
    const incoming = bench.addServer({ transport: "tcp", address: server.address, port: 51_234 });
    incoming.invites(alice);
    incoming.gets(100);
    incoming.connection = 99 as typeof incoming.connection;
    mobile.opens();
    mobile.answers(mobile.gets("INVITE"), 180);
    incoming.nothing();
    server.gets(180);
  });

  test("another address of the account's server is answered and spoken to on the connection that it opened", () => {
    const bench = new AnchorBench();
    const server = bench.addServer({ transport: "tcp" });
    const second = bench.addServer({ transport: "tcp", address: "192.0.2.77", port: 40_000 });
    const alice = bench.addAccount("alice", server, { mobile: {} });
    bench.isServer = () => true;
    const mobile = bench.phone("mobile");
    mobile.opens();
    const invite = second.invites(alice);
    second.gets(100);
    const answer = mobile.answers(mobile.gets("INVITE"), 200);
    const answered = second.gets(200);
    second.inDialog("ACK", invite, answered);
    mobile.gets("ACK");
    mobile.inAnswered("BYE", invite, answer);
    expect(second.gets("BYE").get("Via")).toStartWith("SIP/2.0/TCP ");
    server.nothing();
  });
});

describe("a server's own connection breaks", () => {
  function talking() {
    const bench = new AnchorBench();
    const server = bench.addServer({ transport: "tcp" });
    const second = bench.addServer({ transport: "tcp", address: "192.0.2.77", port: 40_000 });
    const alice = bench.addAccount("alice", server, { mobile: {} });
    bench.isServer = () => true;
    const mobile = bench.phone("mobile");
    mobile.opens();
    const invite = second.invites(alice);
    second.gets(100);
    const answer = mobile.answers(mobile.gets("INVITE"), 200);
    const answered = second.gets(200);
    return { bench, second, mobile, invite, answer, answered };
  }

  test("its next request brings a new one, which the dialog takes", () => {
    const { second, mobile, invite, answer, answered } = talking();
    second.connection = 77 as typeof second.connection;
    second.inDialog("INFO", invite, answered);
    mobile.answers(mobile.gets("INFO"), 200);
    second.gets(200);
    mobile.inAnswered("BYE", invite, answer);
    second.gets("BYE");
  });

  test("before that the phone hears 503, not silence", () => {
    const { bench, second, mobile, invite, answer } = talking();
    second.connection = 77 as typeof second.connection;
    mobile.inAnswered("BYE", invite, answer);
    bench.pass(30);
    mobile.gets(503);
    second.nothing();
  });
});

describe("several dialogs under one Call-ID", () => {
  test("one account of the call declines, the other's early dialog lives on", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: {} });
    const carol = bench.addAccount("carol", server, { desk: {} });
    const mobile = bench.phone("mobile");
    const desk = bench.phone("desk");
    mobile.opens();
    desk.opens();
    const invite = server.invites(alice);
    server.sends(invite.text.replace(invite.uri, bench.contactUri(carol)).replace("z9hG4bKsrv", "z9hG4bKtwo"));
    server.inbox.length = 0;
    mobile.answers(mobile.gets("INVITE"), 183);
    const early = server.gets(183);
    const offered = desk.gets("INVITE");
    desk.answers(offered, 183);
    server.gets(183);
    desk.answers(offered, 486);
    server.gets(486);
    server.inDialog("PRACK", invite, early);
    mobile.gets("PRACK");
    expect(bench.anchor.sizes().dialogs).toBe(1);
  });

  test("a NOTIFY whose tags fit no subscription of the phone is 481", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: {} });
    const mobile = bench.phone("mobile");
    mobile.opens();
    mobile.request("SUBSCRIBE", alice, {
      lines: ["Event: presence", "Call-ID: c1", "From: <sip:alice@pbx.example>;tag=t1"],
    });
    server.gets("SUBSCRIBE");
    const notify = (callId: string, tag: string) =>
      server.sends(
        server.request("NOTIFY", alice, {
          lines: [`Call-ID: ${callId}`, `To: <sip:alice@pbx.example>;tag=${tag}`, "Event: presence"],
        }).text,
      );
    notify("c1", "t2");
    server.gets(481);
    notify("c2", "t1");
    server.gets(481);
    mobile.nothing();
    notify("c1", "t1");
    mobile.gets("NOTIFY");
  });
});

describe("what ends by itself", () => {
  test("a subscription ends with its time, the implicit one of REFER after three minutes", () => {
    for (const [method, lines, livesMs] of [
      ["SUBSCRIBE", ["Event: presence", "Expires: 600"], 600_000],
      ["REFER", ["Refer-To: <sip:1@x>"], 180_000],
    ] as const) {
      const bench = new AnchorBench();
      const server = bench.addServer({ transport: "tcp" });
      const alice = bench.addAccount("alice", server, { mobile: {} });
      const mobile = bench.phone("mobile");
      mobile.opens();
      mobile.request(method, alice, { lines });
      server.answers(server.gets(method), 202);
      expect(bench.anchor.sizes().dialogs).toBe(1);
      bench.pass(livesMs - 1_000);
      expect(bench.anchor.sizes().dialogs).toBe(1);
      bench.pass(35_000);
      expect(bench.anchor.sizes().dialogs).toBe(0);
    }
  });

  test("a call in which nothing is said for a day", () => {
    const bench = new AnchorBench();
    const server = bench.addServer({ transport: "tcp" });
    const alice = bench.addAccount("alice", server, { mobile: {} });
    const mobile = bench.phone("mobile");
    mobile.opens();
    const invite = server.invites(alice);
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 200);
    const answered = server.gets(200);
    server.inDialog("ACK", invite, answered);
    bench.jump(23 * 3_600_000);
    server.inDialog("INFO", invite, answered);
    bench.jump(23 * 3_600_000);
    expect(bench.anchor.running).toBe(1);
    bench.jump(2 * 3_600_000);
    expect(bench.anchor.running).toBe(0);
    expect(bench.anchor.sizes().dialogs).toBe(0);
  });

  test("what is held for a device that never comes back goes after a quarter of an hour", () => {
    const bench = new AnchorBench();
    const server = bench.addServer({ transport: "tcp" });
    const alice = bench.addAccount("alice", server, { mobile: {} });
    const mobile = bench.phone("mobile");
    mobile.opens();
    mobile.request("SUBSCRIBE", alice, { lines: ["Event: presence", "Expires: 7200"] });
    server.answers(server.gets("SUBSCRIBE"), 200);
    mobile.closes();
    bench.pass(840_000);
    expect(bench.anchor.sizes().links).toBe(1);
    bench.pass(120_000);
    expect(bench.anchor.sizes().links).toBe(0);
  });
});

describe("gauges and bounds", () => {
  test("callsRunning follows the calls", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: {} });
    const invite = server.invites(alice);
    expect(bench.count("callsRunning")).toBe(1);
    server.cancels(invite);
    expect(bench.count("callsRunning")).toBe(0);
  });

  test("calls that are gone are remembered up to a bound", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: { wakeable: false } });
    for (let n = 0; n < goneCallsMax + 50; n++) {
      server.invites(alice);
      if (n % 1_000 === 0) server.inbox.length = 0;
    }
    expect(bench.anchor.sizes().inboundCalls).toBe(goneCallsMax);
    expect(bench.anchor.running).toBe(0);
  }, 20_000);
});

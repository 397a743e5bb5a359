import { describe, expect, test } from "bun:test";
import { answersKeptMax, heldFramesMax } from "../../src/anchor/limits.ts";
import { AnchorBench } from "../fakes/anchor-bench.ts";

function scene() {
  const bench = new AnchorBench();
  const server = bench.addServer();
  const alice = bench.addAccount("alice", server, { mobile: {} });
  const mobile = bench.phone("mobile");
  mobile.opens();
  return { bench, server, alice, mobile };
}

function talking() {
  const all = scene();
  const { server, alice, mobile } = all;
  const invite = server.invites(alice);
  server.gets(100);
  const offered = mobile.gets("INVITE");
  const answer = mobile.answers(offered, 200);
  const answered = server.gets(200);
  server.inDialog("ACK", invite, answered);
  mobile.gets("ACK");
  return { ...all, invite, offered, answer, answered };
}

describe("an answer and a tunnel that breaks, RFC 3261 §13.3.1.4", () => {
  test("over UDP the 2xx is repeated in the phone's place until its ACK", () => {
    const { bench, server, alice, mobile } = scene();
    const invite = server.invites(alice);
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 200);
    const first = server.gets(200);
    mobile.closes();
    bench.pass(10_000);
    const again = server.gets(200);
    expect(again.text).toBe(first.text);
    while (server.inbox.length > 0) server.gets(200);
    server.inDialog("ACK", invite, again);
    bench.pass(30_000);
    server.nothing();
    mobile.opens();
    mobile.gets("ACK");
  });

  test("ours stay behind those of a phone that is there", () => {
    const { bench, server, alice, mobile } = scene();
    server.invites(alice);
    server.gets(100);
    const offered = mobile.gets("INVITE");
    for (const ms of [500, 1_000, 2_000, 4_000, 4_000]) {
      mobile.answers(offered, 200);
      server.gets(200);
      bench.pass(ms);
      server.nothing();
    }
  });

  test("they end with the INVITE's transaction, and never start on a stream", () => {
    const { bench, server, alice, mobile } = scene();
    server.invites(alice);
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 200);
    bench.pass(40_000);
    server.inbox.length = 0;
    bench.pass(60_000);
    server.nothing();

    const stream = bench.addServer({ transport: "tcp", address: "192.0.2.77" });
    const carol = bench.addAccount("carol", stream, { desk: {} });
    const desk = bench.phone("desk");
    desk.opens();
    stream.invites(carol);
    stream.gets(100);
    desk.answers(desk.gets("INVITE"), 200);
    stream.gets(200);
    bench.pass(20_000);
    stream.nothing();
  });

  test("a 2xx to a call that nobody remembers is acknowledged and ended", () => {
    const { bench, server, alice, mobile } = scene();
    const invite = server.invites(alice);
    server.gets(100);
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 180);
    server.gets(180);
    server.cancels(invite);
    mobile.gets("CANCEL");
    bench.pass(40_000);
    mobile.inbox.length = 0;
    const answer = mobile.answers(offered, 200);
    const ack = mobile.gets("ACK");
    expect(ack.get("CSeq")).toBe(`${offered.cseq} ACK`);
    expect(ack.get("To")).toBe(answer.get("To"));
    const bye = mobile.gets("BYE");
    expect(bye.uri).toBe(answer.contactUri);
    expect(bye.get("Reason")).toContain("cause=481");
    mobile.answers(bye, 200);
    mobile.nothing();
    // 1xx and refusals wait for nobody.
    mobile.answers(offered, 180);
    mobile.answers(offered, 486);
    mobile.nothing();
  });

  test("a late repetition of the 2xx of a running call does not end it", () => {
    const { bench, mobile, answer } = talking();
    bench.pass(33_000);
    mobile.sends(answer.text);
    mobile.nothing();
    expect(bench.anchor.running).toBe(1);
  });
});

describe("the phone changes networks", () => {
  test("rule 6: an INVITE without a final answer comes again on each tunnel, same branch", () => {
    const { server, alice, mobile } = scene();
    server.invites(alice);
    server.gets(100);
    const first = mobile.gets("INVITE");
    mobile.answers(first, 180);
    server.gets(180);
    mobile.closes();
    mobile.opens();
    const second = mobile.gets("INVITE");
    expect(second.text).toBe(first.text);
    mobile.opens();
    expect(mobile.gets("INVITE").text).toBe(first.text);
    // JsSIP has forgotten the first: a new dialog of the same leg.
    mobile.answers(second, 180, { tag: "after" });
    expect(server.gets(180).param("To", "tag")).toBe("after");
    mobile.answers(second, 200, { tag: "after" });
    server.gets(200);
  });

  test("rule 5: the same ticket opens the next tunnel of the same call", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.closes();
    server.invites(alice);
    const { call } = bench.wakes("mobile");
    mobile.opens({ call, voip: true });
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 200);
    mobile.closes();
    mobile.opens({ call, voip: true });
    // It has this call: neither INVITE nor CANCEL.
    mobile.nothing();
  });

  test("a second tunnel takes over from the first, whose end changes nothing", () => {
    const { bench, server, mobile, invite, answered } = talking();
    const first = mobile.tunnelId;
    mobile.opens();
    if (first !== undefined) bench.anchor.tunnelClosed(first);
    server.inDialog("INFO", invite, answered);
    mobile.gets("INFO");
  });

  test("frames of a tunnel that was taken over are not heard", () => {
    const { server, mobile, invite, answer } = talking();
    const first = mobile.tunnelId;
    mobile.opens();
    const second = mobile.tunnelId;
    mobile.tunnelId = first;
    mobile.inAnswered("BYE", invite, answer);
    mobile.tunnelId = second;
    server.nothing();
  });

  test("what arrives in between is held and comes in order, once", () => {
    const { server, mobile, invite, answered } = talking();
    mobile.closes();
    server.inDialog("INFO", invite, answered, { cseq: 5_001 });
    server.inDialog("MESSAGE", invite, answered, { cseq: 5_002 });
    server.inDialog("INFO", invite, answered, { cseq: 5_003 });
    mobile.opens();
    expect(mobile.inbox.map((message) => message.cseq)).toEqual([5_001, 5_002, 5_003]);
    const [info] = mobile.inbox.splice(0);
    if (info === undefined) throw new Error("nothing came");
    mobile.answers(info, 200);
    server.gets(200);
    mobile.opens();
    // Answered ones are done with; the others have no answer yet and are repeated.
    expect(mobile.inbox.map((message) => message.cseq)).toEqual([5_002, 5_003]);
  });

  test("an ACK and the BYE behind it keep their order", () => {
    const { server, alice, mobile } = scene();
    const invite = server.invites(alice);
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 200);
    const answered = server.gets(200);
    mobile.closes();
    server.inDialog("ACK", invite, answered);
    server.inDialog("BYE", invite, answered);
    mobile.opens();
    mobile.gets("ACK");
    mobile.gets("BYE");
    mobile.nothing();
  });

  test("the answer to a request of the phone waits for it", () => {
    const { server, mobile, invite, answer } = talking();
    mobile.inAnswered("INFO", invite, answer);
    const info = server.gets("INFO");
    mobile.closes();
    server.answers(info, 200);
    mobile.opens();
    expect(mobile.gets(200).method).toBe("INFO");
  });

  test("a failure of the phone's INVITE that went into a dying tunnel comes again on the next, until its ACK", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, { mobile: {} });
    const mobile = bench.phone("mobile");
    mobile.opens();
    const invite = mobile.request("INVITE", alice);
    mobile.gets(100);
    server.answers(server.gets("INVITE"), 486);
    server.gets("ACK");
    mobile.gets(486);
    mobile.opens();
    const busy = mobile.gets(486);
    mobile.acksFailure(invite, busy);
    bench.pass(10);
    mobile.opens();
    mobile.nothing();
    // One that was held comes once.
    const second = mobile.request("INVITE", alice);
    mobile.gets(100);
    const atServer = server.gets("INVITE");
    mobile.closes();
    server.answers(atServer, 486);
    server.gets("ACK");
    mobile.opens();
    mobile.acksFailure(second, mobile.gets(486));
    mobile.nothing();
  });

  test("a call cancelled in between: the new tunnel gets the CANCEL alone", () => {
    const { server, alice, mobile } = scene();
    const invite = server.invites(alice);
    server.gets(100);
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 180);
    mobile.closes();
    server.cancels(invite);
    mobile.opens();
    expect(mobile.gets("CANCEL").branch).toBe(offered.branch);
    mobile.nothing();
  });

  test("a CANCEL that went into a dying tunnel is repeated on the next", () => {
    const { server, alice, mobile } = scene();
    const invite = server.invites(alice);
    const offered = mobile.gets("INVITE");
    mobile.answers(offered, 180);
    server.cancels(invite);
    mobile.gets("CANCEL");
    mobile.opens();
    mobile.answers(mobile.gets("CANCEL"), 481);
    mobile.nothing();
    mobile.opens();
    mobile.nothing();
  });

  test("held frames are bounded, the oldest go", () => {
    const { server, mobile, invite, answered } = talking();
    mobile.closes();
    for (let n = 0; n < heldFramesMax + 10; n++) server.inDialog("INFO", invite, answered, { cseq: 6_000 + n });
    mobile.opens();
    expect(mobile.inbox).toHaveLength(heldFramesMax);
    expect(mobile.inbox[0]?.cseq).toBe(6_010);
  });

  test("told of other accounts, an open tunnel repeats nothing", () => {
    const { bench, server, alice, mobile } = scene();
    server.invites(alice);
    mobile.gets("INVITE");
    const { tunnelId, deviceId } = mobile;
    if (tunnelId === undefined) throw new Error("no tunnel");
    bench.anchor.tunnelOpened({ kind: "tunnelOpened", tunnelId, deviceId, accounts: [alice.accountId], voip: false });
    mobile.nothing();
  });
});

describe("answers to the phone's own requests go into a tunnel that is dying, RFC 3261 §17.1.2", () => {
  test("the next tunnel brings them again, in order, and then what was held", () => {
    const { server, alice, mobile, invite, answer, answered } = talking();
    mobile.request("MESSAGE", alice);
    mobile.inAnswered("INFO", invite, answer);
    mobile.inAnswered("REFER", invite, answer);
    server.answers(server.gets("MESSAGE"), 202);
    server.answers(server.gets("INFO"), 200);
    const refer = server.gets("REFER");
    const lost = [mobile.gets(202), mobile.gets(200)];
    mobile.closes();
    server.answers(refer, 202);
    server.inDialog("INFO", invite, answered);
    mobile.opens();
    expect(mobile.inbox.splice(0, 2).map(({ text }) => text)).toEqual(lost.map(({ text }) => text));
    expect(mobile.gets(202).method).toBe("REFER");
    mobile.answers(mobile.gets("INFO"), 200);
    mobile.nothing();
  });

  test("that one may die as quickly: once a tunnel until the 32 s are over", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.request("MESSAGE", alice);
    server.answers(server.gets("MESSAGE"), 202);
    const { text } = mobile.gets(202);
    for (let n = 0; n < 3; n++) {
      bench.pass(9_000);
      mobile.opens();
      expect(mobile.gets(202).text).toBe(text);
      mobile.nothing();
    }
    bench.pass(6_000);
    mobile.opens();
    mobile.nothing();
  });

  test("the answer to its BYE, and a challenge, are among them", () => {
    const { server, mobile, invite, answer } = talking();
    mobile.inAnswered("BYE", invite, answer);
    server.answers(server.gets("BYE"), 407);
    const challenge = mobile.gets(407);
    mobile.opens();
    expect(mobile.gets(407).text).toBe(challenge.text);
    mobile.inAnswered("BYE", invite, answer);
    server.answers(server.gets("BYE"), 200);
    mobile.gets(200);
    mobile.opens();
    expect([mobile.gets(407), mobile.gets(200)].map(({ method }) => method)).toEqual(["BYE", "BYE"]);
    mobile.nothing();
  });

  test("not once the phone has given up: 32 s after it asked", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.request("MESSAGE", alice);
    bench.pass(20_000);
    mobile.gets(100);
    server.answers(server.gets("MESSAGE"), 200);
    mobile.gets(200);
    bench.pass(12_100);
    mobile.opens();
    mobile.nothing();
  });

  test("a bounded number, the newest", () => {
    const { server, alice, mobile } = scene();
    const asked: number[] = [];
    for (let n = 0; n < answersKeptMax + 3; n++) {
      asked.push(mobile.request("MESSAGE", alice).cseq);
      server.answers(server.gets("MESSAGE"), 200);
      mobile.gets(200);
    }
    mobile.opens();
    expect(mobile.inbox.map(({ cseq }) => cseq)).toEqual(asked.slice(3));
  });

  test("a call that rings at the far end rings on: its last 1xx", () => {
    const { server, alice, mobile } = scene();
    mobile.request("INVITE", alice);
    mobile.gets(100);
    mobile.opens();
    mobile.nothing();
    const passed = server.gets("INVITE");
    server.answers(passed, 180);
    mobile.gets(180);
    mobile.opens();
    mobile.gets(180);
    server.answers(passed, 200);
    mobile.gets(200);
    mobile.opens();
    mobile.nothing();
  });
});

describe("the end of a call goes into a tunnel that is dying, and the phone comes back late", () => {
  test("the next tunnel brings the BYE, once", () => {
    const { bench, server, mobile, invite, answered } = talking();
    server.inDialog("BYE", invite, answered);
    const lost = mobile.gets("BYE");
    bench.pass(5_000);
    mobile.closes();
    bench.pass(30_000);
    mobile.opens();
    const bye = mobile.gets("BYE");
    expect(bye.text).toBe(lost.text);
    mobile.answers(bye, 200);
    mobile.nothing();
    mobile.closes();
    mobile.opens();
    mobile.nothing();
  });

  test("... and the CANCEL", () => {
    const { bench, server, alice, mobile } = scene();
    const invite = server.invites(alice);
    mobile.answers(mobile.gets("INVITE"), 180);
    server.cancels(invite);
    const lost = mobile.gets("CANCEL");
    mobile.closes();
    bench.pass(40_000);
    mobile.opens();
    expect(mobile.gets("CANCEL").text).toBe(lost.text);
    mobile.nothing();
  });

  test("until it is answered, but not for ever", () => {
    const { bench, server, mobile, invite, answered } = talking();
    mobile.closes();
    server.inDialog("BYE", invite, answered);
    for (let times = 0; times < 4; times++) {
      bench.pass(33_000);
      if (mobile.tunnelId !== undefined) mobile.closes();
      mobile.opens();
      if (times < 3) mobile.gets("BYE");
      else mobile.nothing();
    }
    bench.pass(40_000);
    expect(bench.anchor.sizes().transactions).toBe(0);
  });

  test("what was held from the beginning comes once, however late", () => {
    const { bench, server, mobile, invite, answered } = talking();
    mobile.closes();
    server.inDialog("BYE", invite, answered);
    bench.pass(45_000);
    mobile.opens();
    mobile.gets("BYE");
    mobile.nothing();
  });

  test("other requests are not repeated behind their time", () => {
    const { bench, server, mobile, invite, answered } = talking();
    server.inDialog("INFO", invite, answered);
    mobile.gets("INFO");
    mobile.closes();
    bench.pass(40_000);
    mobile.opens();
    mobile.nothing();
  });
});

describe("the phone is lost for good", () => {
  test("something to deliver and no tunnel for a minute: BYE to the far end by us, with a Reason", () => {
    const { bench, server, mobile, invite, answer, answered } = talking();
    mobile.inAnswered("INFO", invite, answer, { cseq: 41 });
    server.answers(server.gets("INFO"), 200);
    mobile.closes();
    bench.pass(30_000);
    server.inDialog("INFO", invite, answered);
    bench.pass(30_100);
    const bye = server.inbox.find((message) => message.method === "BYE" && !message.isResponse);
    if (bye === undefined) throw new Error("no BYE");
    expect(bye.uri).toBe("sip:bob@198.51.100.9:5062;transport=tcp");
    expect(bye.get("Route")).toBe(`<sip:${server.address}:5060;lr>`);
    expect(bye.get("From")).toBe(answer.get("To"));
    expect(bye.get("To")).toBe(invite.get("From"));
    expect(bye.cseq).toBe(42);
    expect(bye.get("Reason")).toContain("SIP;cause=480");
    expect(bench.anchor.running).toBe(0);
    server.answers(bye, 200);
    expect(bench.challenged).toHaveLength(0);
  });

  test("its challenge is answered as the account's book allows, and not for ever", () => {
    const { bench, server, mobile, invite, answered } = talking();
    mobile.closes();
    bench.pass(59_000);
    server.inDialog("INFO", invite, answered);
    bench.pass(1_100);
    server.inbox.splice(
      0,
      server.inbox.findIndex((message) => message.method === "BYE"),
    );
    for (let n = 0; n < 2; n++) {
      const bye = server.gets("BYE");
      expect(bye.has("Authorization")).toBe(n > 0);
      server.answers(bye, 401, { lines: ['WWW-Authenticate: Digest realm="pbx", nonce="n"'] });
    }
    const third = server.gets("BYE");
    server.answers(third, 401, { lines: ['WWW-Authenticate: Digest realm="pbx", nonce="n"'] });
    server.nothing();
    expect(bench.challenged).toHaveLength(2);
  });

  test("a stranger's challenge draws no credentials out of us", () => {
    const { bench, server, mobile, invite, answered } = talking();
    mobile.closes();
    bench.pass(59_000);
    server.inDialog("INFO", invite, answered);
    bench.pass(1_100);
    server.inbox.splice(
      0,
      server.inbox.findIndex((message) => message.method === "BYE"),
    );
    const bye = server.gets("BYE");
    const stranger = bench.addServer({ address: "198.51.100.66" });
    stranger.answers(bye, 401, { lines: ['WWW-Authenticate: Digest realm="pbx", nonce="n"'] });
    stranger.nothing();
    server.nothing();
  });

  test("with nothing to deliver the call goes on for ten minutes", () => {
    const { bench, server, mobile } = talking();
    mobile.closes();
    bench.pass(590_000);
    server.nothing();
    expect(bench.anchor.running).toBe(1);
    bench.pass(12_000);
    server.gets("BYE");
    expect(bench.anchor.running).toBe(0);
  });

  test("a phone that comes back in time keeps its call", () => {
    const { bench, server, mobile, invite, answered } = talking();
    mobile.closes();
    server.inDialog("INFO", invite, answered);
    bench.pass(50_000);
    mobile.opens();
    bench.pass(120_000);
    expect(bench.anchor.running).toBe(1);
    expect(server.inbox.every((message) => message.method !== "BYE")).toBe(true);
  });

  test("an outgoing call that rings for a phone that is gone is cancelled", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.request("INVITE", alice);
    const passed = server.gets("INVITE");
    server.answers(passed, 180);
    mobile.closes();
    bench.pass(60_100);
    const cancel = server.gets("CANCEL");
    server.answers(cancel, 200);
    server.answers(passed, 487);
    server.gets("ACK");
    expect(bench.anchor.running).toBe(0);
  });
});

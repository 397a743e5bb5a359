import { describe, expect, test } from "bun:test";
import { AnchorBench } from "../fakes/anchor-bench.ts";

const challenge = ['WWW-Authenticate: Digest realm="pbx", nonce="n1"'];

/** A call that the mobile has answered and the caller acknowledged. */
function talking() {
  const bench = new AnchorBench();
  const server = bench.addServer();
  const alice = bench.addAccount("alice", server, { mobile: {} });
  const mobile = bench.phone("mobile");
  mobile.opens();
  const invite = server.invites(alice);
  server.gets(100);
  const answer = mobile.answers(mobile.gets("INVITE"), 200);
  const answered = server.gets(200);
  server.inDialog("ACK", invite, answered);
  mobile.gets("ACK");
  return { bench, server, alice, mobile, invite, answer, answered };
}

describe("a BYE that is challenged and never comes again, RFC 3261 §15.1.1 and §22.2", () => {
  test("ends the call after 32 s: the far end hears it from us, with our own answer to its challenge", () => {
    const { bench, server, mobile, invite, answer } = talking();
    mobile.inAnswered("BYE", invite, answer, { cseq: 41 });
    server.answers(server.gets("BYE"), 401, { lines: challenge });
    mobile.gets(401);
    bench.pass(31_900);
    server.nothing();
    expect(bench.anchor.running).toBe(1);
    bench.pass(200);
    const bye = server.gets("BYE");
    expect(bye.get("From")).toBe(answer.get("To"));
    expect(bye.cseq).toBe(42);
    server.answers(bye, 401, { lines: challenge });
    const again = server.gets("BYE");
    expect(again.get("Authorization")).toContain("Digest");
    server.answers(again, 200);
    expect(bench.challenged).toHaveLength(1);
    expect(bench.anchor.running).toBe(0);
    bench.pass(40_000);
    expect(bench.anchor.sizes().dialogs).toBe(0);
    mobile.nothing();
  });

  test("... while one that is repeated in time goes on, challenge after challenge", () => {
    const { bench, server, mobile, invite, answer } = talking();
    for (let times = 0; times < 3; times++) {
      mobile.inAnswered("BYE", invite, answer);
      server.answers(server.gets("BYE"), 401, { lines: challenge });
      mobile.gets(401);
      bench.pass(20_000);
      server.nothing();
    }
    mobile.inAnswered("BYE", invite, answer);
    server.answers(server.gets("BYE"), 200);
    mobile.gets(200);
    bench.pass(60_000);
    server.nothing();
    expect(bench.anchor.sizes().alarms).toBe(0);
  });

  test("... also when the answer to the second takes its time", () => {
    const { bench, server, mobile, invite, answer } = talking();
    mobile.inAnswered("BYE", invite, answer);
    server.answers(server.gets("BYE"), 401, { lines: challenge });
    mobile.gets(401);
    bench.pass(31_000);
    mobile.inAnswered("BYE", invite, answer);
    const again = server.gets("BYE");
    bench.pass(3_000);
    expect(new Set(server.inbox.splice(0).map(({ branch }) => branch))).toEqual(new Set([again.branch]));
    server.answers(again, 200);
    mobile.gets(200);
    bench.pass(60_000);
    server.nothing();
  });

  test("... and the far end's own BYE in the meantime is the end", () => {
    const { bench, server, mobile, invite, answer, answered } = talking();
    mobile.inAnswered("BYE", invite, answer);
    server.answers(server.gets("BYE"), 401, { lines: challenge });
    mobile.gets(401);
    server.inDialog("BYE", invite, answered);
    mobile.answers(mobile.gets("BYE"), 200);
    server.gets(200);
    bench.pass(40_000);
    server.nothing();
    expect(bench.anchor.sizes().dialogs).toBe(0);
  });

  test("a phone that challenges the far end's BYE does not keep the call either", () => {
    const { bench, server, mobile, invite, answered } = talking();
    server.inDialog("BYE", invite, answered);
    mobile.answers(mobile.gets("BYE"), 401);
    server.gets(401);
    bench.pass(32_100);
    server.nothing();
    expect(bench.anchor.running).toBe(0);
  });
});

describe("a re-INVITE without an end, RFC 3261 §16.8 (timer C)", () => {
  test("the phone rings for ever: CANCEL, then 408 to the far end", () => {
    const { bench, server, mobile, invite, answered } = talking();
    server.inDialog("INVITE", invite, answered);
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 180);
    server.gets(180);
    bench.pass(599_000);
    mobile.nothing();
    bench.pass(2_000);
    mobile.answers(mobile.gets("CANCEL"), 200);
    server.nothing();
    bench.pass(33_000);
    server.gets(408);
    bench.pass(60_000);
    expect(bench.anchor.sizes().transactions).toBe(0);
    expect(bench.anchor.running).toBe(1);
  });

  test("the far end does: the phone hears the end that it gives to our CANCEL", () => {
    const { bench, server, mobile, invite, answer } = talking();
    mobile.inAnswered("INVITE", invite, answer);
    mobile.gets(100);
    const passed = server.gets("INVITE");
    server.answers(passed, 100);
    bench.pass(600_010);
    server.answers(server.gets("CANCEL"), 200);
    server.answers(passed, 487);
    server.gets("ACK");
    mobile.gets(487);
  });

  test("§15.1.2: open at a phone that is given up, it is answered 487 beside our BYE", () => {
    const { bench, server, mobile, invite, answered } = talking();
    server.inDialog("INVITE", invite, answered);
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 180);
    server.gets(180);
    mobile.closes();
    bench.pass(60_100);
    server.answers(server.gets("BYE"), 200);
    const refused = server.gets(487);
    expect(refused.method).toBe("INVITE");
    bench.pass(1_000_000);
    expect(bench.anchor.sizes()).toMatchObject({ transactions: 0, dialogs: 0, links: 0 });
  });
});

describe("a target refresh that is refused, RFC 3261 §14.1", () => {
  test("moves neither side", () => {
    const { bench, server, mobile, invite, answer, answered } = talking();
    server.inDialog("INVITE", invite, answered, { lines: ["Contact: <sip:elsewhere@198.51.100.77>"] });
    server.gets(100);
    mobile.answers(mobile.gets("INVITE"), 491);
    server.gets(491);
    mobile.gets("ACK");
    mobile.inAnswered("UPDATE", invite, answer, { lines: ["Contact: <sip:moved@phone.invalid;transport=ws>"] });
    server.answers(server.gets("UPDATE"), 491);
    mobile.gets(491);
    server.inDialog("INFO", invite, answered);
    expect(mobile.gets("INFO").uri).toBe(answer.contactUri);
    mobile.closes();
    bench.pass(50_000);
    server.inDialog("INFO", invite, answered);
    bench.pass(10_100);
    expect(server.inbox.find((message) => message.method === "BYE" && !message.isResponse)?.uri).toBe(
      "sip:bob@198.51.100.9:5062;transport=tcp",
    );
    expect(bench.astray).toHaveLength(0);
  });
});

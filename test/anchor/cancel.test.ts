import { describe, expect, test } from "bun:test";
import { reasonText, saysAnsweredElsewhere } from "../../src/anchor/reason.ts";
import { AnchorBench } from "../fakes/anchor-bench.ts";

function scene() {
  const bench = new AnchorBench();
  const server = bench.addServer();
  const alice = bench.addAccount("alice", server, { mobile: {}, tablet: {} });
  return { bench, server, alice, mobile: bench.phone("mobile"), tablet: bench.phone("tablet") };
}

function ringing() {
  const all = scene();
  all.mobile.opens();
  const invite = all.server.invites(all.alice);
  all.server.gets(100);
  const offered = all.mobile.gets("INVITE");
  all.mobile.answers(offered, 180);
  all.server.gets(180);
  const wake = all.bench.wakes("tablet");
  return { ...all, invite, offered, wake };
}

describe("the caller hangs up first, RFC 3261 §9.2", () => {
  test("200, 487, CANCEL to the phone with the server's Reason, a push to the sleeping one", () => {
    const { bench, server, mobile, invite, offered, wake } = ringing();
    server.cancels(invite, 'Q.850;cause=16;text="Normal call clearing"');
    expect(server.gets(200).method).toBe("CANCEL");
    const terminated = server.gets(487);
    expect(terminated.method).toBe("INVITE");
    server.acksFailure(invite, terminated);

    const cancel = mobile.gets("CANCEL");
    expect(cancel.branch).toBe(offered.branch);
    expect(cancel.uri).toBe(offered.uri);
    expect(cancel.get("CSeq")).toBe(`${offered.cseq} CANCEL`);
    expect(cancel.get("Reason")).toBe('Q.850;cause=16;text="Normal call clearing"');
    mobile.answers(cancel, 200);
    mobile.answers(offered, 487);
    mobile.gets("ACK");
    mobile.nothing();
    server.nothing();

    const [push, missed, ...others] = bench.taken("notify");
    expect(push).toMatchObject({ push: "cancel", call: wake.call, text: "Normal call clearing" });
    expect(push?.targets.map(({ deviceId }) => String(deviceId))).toEqual(["tablet"]);
    // The cancel is for now, this stays until it is seen.
    expect(missed).toMatchObject({ push: "missed", call: wake.call });
    expect(missed?.targets.map(({ deviceId }) => String(deviceId))).toEqual(["tablet"]);
    expect(others).toEqual([]);
    expect(bench.taken("callState").at(-1)).toMatchObject({ call: wake.call, state: "cancelled", over: true });
    expect(bench.count("callsCancelled")).toBe(1);
    expect(bench.anchor.running).toBe(0);
  });

  test("the phone hears it even before it has said anything: a tunnel keeps the order", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    const invite = server.invites(alice);
    mobile.gets("INVITE");
    bench.wakes("tablet");
    server.cancels(invite);
    mobile.gets("CANCEL");
    bench.pass(1_500);
    bench.noWake();
  });

  test("without a Reason the push has no text; who was never woken gets none, nor who wants no alert", () => {
    const bench = new AnchorBench();
    const server = bench.addServer();
    const alice = bench.addAccount("alice", server, {
      mobile: { notify: { missed: false } },
      tablet: { wakeable: false },
    });
    const invite = server.invites(alice);
    bench.wakes("mobile");
    server.cancels(invite);
    expect(bench.pushes("cancel", "mobile")).not.toHaveProperty("text");
  });

  test("a 2xx that crosses the CANCEL is acknowledged and ended by us", () => {
    const { server, mobile, invite, offered } = ringing();
    server.cancels(invite);
    server.gets(200);
    server.gets(487);
    mobile.gets("CANCEL");
    mobile.answers(offered, 200);
    mobile.gets("ACK");
    const bye = mobile.gets("BYE");
    expect(bye.has("Reason")).toBe(false);
    mobile.answers(bye, 200);
    server.nothing();
  });

  test("a CANCEL after the answer does nothing", () => {
    const { server, mobile, invite, offered } = ringing();
    mobile.answers(offered, 200);
    server.gets(200);
    server.cancels(invite);
    server.gets(200);
    server.nothing();
    mobile.nothing();
  });

  test("a CANCEL of a call that is not there: 481 to the account's server", () => {
    const { server, alice } = scene();
    const invite = server.request("INVITE", alice);
    server.cancels(invite);
    server.gets(481);
  });

  test("a phone that never gives in leaves no transaction behind", () => {
    const { bench, server, invite } = ringing();
    server.cancels(invite);
    const terminated = (server.gets(200), server.gets(487));
    server.acksFailure(invite, terminated);
    bench.pass(120_000);
    expect(bench.anchor.sizes().transactions).toBe(0);
  });
});

describe("answered on another branch", () => {
  test("rule 12: Reasons in their many spellings mean answered elsewhere", () => {
    for (const reasons of [
      ["SIP ;cause=200 ;text=completed"],
      ["Q.850;cause=16", 'SIP;cause=200;text="Call completed elsewhere"'],
      ['Q.850;cause=26;text="non-selected user clearing"'],
      ['X;text="Call Completed Elsewhere"'],
    ]) {
      const { bench, server, invite, mobile } = ringing();
      server.cancels(invite, ...reasons);
      const passed = mobile.gets("CANCEL").get("Reason");
      for (const reason of reasons) expect(passed).toContain(reason);
      expect(bench.taken("callState").at(-1)?.state).toBe("answeredElsewhere");
      expect(bench.count("callsAnsweredElsewhere")).toBe(1);
    }
  });

  test("... and leave nothing missed", () => {
    const { bench, server, alice } = scene();
    const invite = server.invites(alice);
    bench.wakes("mobile", "tablet");
    server.cancels(invite, 'SIP;cause=200;text="Call completed elsewhere"');
    expect(bench.taken("notify").map(({ push }) => push)).toEqual(["cancel"]);
  });

  test("rule 12: a failure is not an answer elsewhere", () => {
    for (const reason of ["Q.850;cause=127", "SIP;cause=2000", "SIP;cause=487", "Q.850;cause=16;x=SIP"]) {
      expect(saysAnsweredElsewhere(reason)).toBe(false);
    }
    expect(saysAnsweredElsewhere(undefined)).toBe(false);
  });

  test("the text of a Reason", () => {
    expect(reasonText('SIP;cause=200;text="Call \\"x\\" elsewhere"')).toBe('Call "x" elsewhere');
    expect(reasonText("SIP ;text=plain ;cause=200")).toBe("plain");
    expect(reasonText("SIP;cause=200")).toBeUndefined();
  });

  test("rule 4: an ACK with a foreign To-tag ends the ringing: 487, CANCEL with Reason", () => {
    const { bench, server, mobile, invite, offered } = ringing();
    // ejabberd sends no CANCEL: it passes the caller's ACK for the other branch's 200 to everyone.
    server.sends(
      invite.text
        .replace(/^INVITE/, "ACK")
        .replace(/CSeq: (\d+) INVITE/, "CSeq: $1 ACK")
        .replace(/To: (.*)\r\n/, "To: $1;tag=somebody-else\r\n")
        .replace("z9hG4bKsrv", "z9hG4bKack"),
    );
    server.gets(487);
    expect(mobile.gets("CANCEL").get("Reason")).toBe('SIP;cause=200;text="Call completed elsewhere"');
    mobile.answers(offered, 487);
    mobile.gets("ACK");
    bench.pushes("cancel", "tablet");
    expect(bench.taken("callState").at(-1)?.state).toBe("answeredElsewhere");
  });

  test("rule 4: the same ACK under the INVITE's own branch", () => {
    const { server, mobile, invite } = ringing();
    server.sends(
      invite.text
        .replace(/^INVITE/, "ACK")
        .replace(/CSeq: (\d+) INVITE/, "CSeq: $1 ACK")
        .replace(/To: (.*)\r\n/, "To: $1;tag=somebody-else\r\n"),
    );
    server.gets(487);
    mobile.gets("CANCEL");
  });

  test("rule 4: not from somebody else, not with another CSeq", () => {
    const { bench, server, mobile, invite } = ringing();
    const ack = invite.text
      .replace(/^INVITE/, "ACK")
      .replace(/CSeq: (\d+) INVITE/, "CSeq: $1 ACK")
      .replace(/To: (.*)\r\n/, "To: $1;tag=somebody-else\r\n")
      .replace("z9hG4bKsrv", "z9hG4bKack");
    bench.addServer({ address: "198.51.100.66" }).sends(ack);
    server.sends(ack.replace(/CSeq: (\d+) ACK/, "CSeq: 99999 ACK"));
    server.nothing();
    mobile.nothing();
  });

  test("rule 4: any other request with a foreign tag is 481 and goes to no phone", () => {
    const { server, mobile, invite } = ringing();
    server.sends(
      invite.text
        .replace(/^INVITE/, "BYE")
        .replace(/CSeq: (\d+) INVITE/, "CSeq: 7777 BYE")
        .replace(/To: (.*)\r\n/, "To: $1;tag=somebody-else\r\n")
        .replace("z9hG4bKsrv", "z9hG4bKbye"),
    );
    server.gets(481);
    mobile.nothing();
  });

  test("two accounts of ours in one call: an ACK for one says nothing about the other", () => {
    const { bench, server, alice, mobile } = scene();
    const carol = bench.addAccount("carol", server, { desk: {} });
    const desk = bench.phone("desk");
    mobile.opens();
    desk.opens();
    const invite = server.invites(alice);
    server.sends(invite.text.replace(invite.uri, bench.contactUri(carol)).replace("z9hG4bKsrv", "z9hG4bKtwo"));
    mobile.gets("INVITE");
    desk.gets("INVITE");
    server.sends(
      invite.text
        .replace(/^INVITE/, "ACK")
        .replace(/CSeq: (\d+) INVITE/, "CSeq: $1 ACK")
        .replace(/To: (.*)\r\n/, "To: $1;tag=somebody-else\r\n")
        .replace("z9hG4bKsrv", "z9hG4bKack"),
    );
    mobile.gets("CANCEL");
    desk.nothing();
    expect(bench.anchor.running).toBe(1);
  });

  test("two accounts of ours in one call: the ACK of the one that answered ends the other", () => {
    const { bench, server, alice, mobile } = scene();
    const carol = bench.addAccount("carol", server, { desk: {} });
    const desk = bench.phone("desk");
    mobile.opens();
    desk.opens();
    const invite = server.invites(alice);
    const twin = invite.text.replace(invite.uri, bench.contactUri(carol)).replace("z9hG4bKsrv", "z9hG4bKtwo");
    server.sends(twin);
    server.gets(100);
    server.gets(100);
    const offered = mobile.gets("INVITE");
    const other = desk.gets("INVITE");
    mobile.answers(offered, 200);
    const answered = server.gets(200);
    server.inDialog("ACK", invite, answered);
    mobile.gets("ACK");
    server.sends(
      twin
        .replace(/^INVITE/, "ACK")
        .replace(/CSeq: (\d+) INVITE/, "CSeq: $1 ACK")
        .replace(/To: .*\r\n/, `To: ${answered.get("To")}\r\n`)
        .replace("z9hG4bKtwo", "z9hG4bKack"),
    );
    expect(server.gets(487).branch).toContain("two");
    expect(bench.anchor.running).toBe(1);
    desk.gets("CANCEL");
    desk.answers(other, 487);
    mobile.nothing();
  });
});

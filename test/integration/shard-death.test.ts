import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Lab } from "./lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab.close());

describe("a shard's thread dies, docs/relay.md rule 19", () => {
  test("the phone that rings hears CANCEL in its tunnel, the one that sleeps a cancel push, the server 500", async () => {
    const { phone: rings, account } = await lab.sleeper();
    const sleeps = await lab.phone();
    await sleeps.sleeps(account);
    const { provider } = lab;
    const invite = provider.sends("INVITE", account.username);
    const callId = invite.get("Call-ID");
    const pushes = await Promise.all([rings, sleeps].map((phone) => phone.push("call")));
    await rings.opens(pushes[0]?.tunnel);
    const offered = await rings.gets("INVITE");
    rings.answersTo(offered, 180);
    await provider.gets("180 INVITE", callId);

    await lab.killShards();

    const cancel = await rings.gets("CANCEL");
    expect(cancel.branch).toBe(offered.branch);
    expect(cancel.get("Reason")).toContain("SIP;cause=500");
    expect(await sleeps.push("cancel")).toMatchObject({ call: pushes[1]?.call, callId });
    await sleeps.push("missed");
    const answer = await provider.gets("500 INVITE", callId);
    expect(answer.branch).toBe(invite.branch);
    await rings.callBecomes(pushes[0]?.call, "missed");

    // The tunnel has stayed open, and the new shard knows it.
    rings.answersTo(cancel, 200);
    rings.answersTo(offered, 487);
    await rings.isHere(account);
  });

  test("a phone that calls hears 500; a BYE in a dialog of before is 481", async () => {
    const { phone, account } = await lab.sleeper();
    const { provider } = lab;
    await phone.opens();
    await phone.isHere(account);
    const first = phone.sends(account, "INVITE", "sip:bob@far.example");
    const callId = first.get("Call-ID");
    await phone.gets("100 INVITE", callId);
    await provider.gets("INVITE", callId);

    await lab.killShards();

    expect((await phone.gets("500 INVITE", callId)).branch).toBe(first.branch);
    await phone.isHere(account);
    const bye = phone.sends(account, "BYE", "sip:bob@far.example", {
      lines: ["To: <sip:bob@far.example>;tag=far", "Call-ID: of-a-lost-call"],
    });
    await phone.gets("481 BYE", bye.get("Call-ID"));
  });
});

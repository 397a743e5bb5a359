import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Lab, type AccountInput, type Phone } from "./lab.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open({ deadlineSec: 2 });
});
afterAll(() => lab.close());

interface Pair {
  readonly first: Phone;
  readonly second: Phone;
  readonly account: AccountInput;
}

/** Two sleeping devices of one account. */
async function pair(): Promise<Pair> {
  const { phone: first, account } = await lab.sleeper();
  const second = await lab.phone();
  await second.sleeps(account);
  return { first, second, account };
}

describe("nobody answers, RFC 3261 §16.7", () => {
  test("480 at the deadline, each device is told what it missed, and it is one call everywhere", async () => {
    const { first, second, account } = await pair();
    const invite = lab.provider.sends("INVITE", account.username);
    const callId = invite.get("Call-ID");
    const wakes = await Promise.all([first, second].map((phone) => phone.push("call")));
    const call = wakes[0]?.call ?? "";
    lab.provider.acksFailure(invite, await lab.provider.gets("480 INVITE", callId));

    const missed = await Promise.all([first, second].map((phone) => phone.push("missed")));
    expect([...wakes, ...missed].map((push) => push.call)).toEqual([call, call, call, call]);
    for (const phone of [first, second]) {
      await phone.callBecomes(call, "missed");
      expect(await phone.journal(1)).toMatchObject([
        { call, callId, subscription: phone.subscription, direction: "inbound", state: "missed" },
      ]);
      const late = phone.opens(wakes[phone === first ? 0 : 1]?.tunnel);
      // The ticket died with the call.
      expect(
        await late.then(
          () => "opened",
          () => "refused",
        ),
      ).toBe("refused");
    }
    expect(await lab.operator(`/operator/v1/calls/${call}`)).toMatchObject({ call, callId, state: "missed" });
    const drawn = await lab.operatorText(`/operator/v1/calls/${call}?format=text`);
    expect(drawn.split("\n")[0]).toMatch(/Server +Wakeline .*Push$/);
    expect(drawn.match(/─ wake ─/g)).toHaveLength(2);
    expect(lab.pushesLeft(first.pushToken)).toEqual([]);
  });

  test("one says 486, the other sleeps on: the caller hears 486 at the deadline, the sleeper that the call is over, not missed", async () => {
    const { first, second, account } = await pair();
    const invite = lab.provider.sends("INVITE", account.username);
    const callId = invite.get("Call-ID");
    const wake = await first.push("call");
    await second.push("call");
    await first.opens(wake.tunnel);
    first.answersTo(await first.gets("INVITE", callId), 486);
    await first.gets("ACK", callId);
    lab.provider.acksFailure(invite, await lab.provider.gets("486 INVITE", callId));
    expect((await second.push("cancel")).call).toBe(String(wake.call));
    await second.callBecomes(wake.call, "ended");
    expect(await second.journal(1)).toMatchObject([{ call: wake.call, state: "ended" }]);
    expect(lab.pushesLeft(second.pushToken)).toEqual([]);
  });
});

describe("a device has one leg, however many tunnels it opens, RFC 3261 §8.1.1.7", () => {
  test("the newest tunnel takes the ringing over with its branch, the older one ends with 4001, the answer is heard once", async () => {
    const { first, second, account } = await pair();
    const invite = lab.provider.sends("INVITE", account.username);
    const callId = invite.get("Call-ID");
    const wake = await first.push("call");
    const older = await first.opens(wake.tunnel);
    const closed = new Promise<number>((resolve) => older.addEventListener("close", ({ code }) => resolve(code)));
    const offered = await first.gets("INVITE", callId);
    first.answersTo(offered, 180);
    await lab.provider.gets("180 INVITE", callId);

    await first.opens();
    expect(await closed).toBe(4001);
    const again = await first.gets("INVITE", callId);
    expect([again.branch, again.get("To")]).toEqual([offered.branch, offered.get("To")]);
    first.answersTo(again, 200);
    const answered = await lab.provider.gets("200 INVITE", callId);
    lab.provider.acks(invite, answered);
    await first.gets("ACK", callId);
    expect((await second.push("cancel")).call).toBe(String(wake.call));
    expect(lab.provider.inbox.left(callId).filter((name) => name === "200 INVITE")).toEqual([]);
    const { ladder } = (await lab.operator(`/operator/v1/calls/${wake.call}`)) as {
      readonly ladder: readonly { readonly to: string; readonly device?: string; readonly label: string }[];
    };
    const rung = ladder.filter(({ to, label }) => to === "device" && label === "INVITE");
    expect(new Set(rung.map(({ device }) => device)).size).toBe(1);
  });
});

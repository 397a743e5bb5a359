import { describe, expect, test } from "bun:test";
import { Header } from "../../src/sip/message/header.ts";
import { BenchShard } from "./bench-shard.ts";

describe("presence in mode alternate", () => {
  test("foreground removes our Contact, and it alone", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.registrar.bind("u1", "sip:u1@203.0.113.1:5070");
    const id = shard.presence(account, false);
    shard.run(100);
    const last = shard.registrar.heard.at(-1)!;
    expect(last.expires).toBe(0);
    expect(last.contacts).toHaveLength(1);
    expect(last.text).not.toContain("*");
    expect(shard.registrar.bindingsOf("u1").map((one) => one.uri)).toEqual(["sip:u1@203.0.113.1:5070"]);
    expect(shard.answerOf(id)).toMatchObject({ isPending: false, status: { state: "idle" } });
    expect(shard.keeper.status(account)!.expiresAtMs).toBeUndefined();
  });

  test("background registers again at once, however soon", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    for (let n = 0; n < 5; n++) {
      const away = shard.presence(account, false);
      shard.run(50);
      expect(shard.answerOf(away)).toMatchObject({ isPending: false, status: { state: "idle" } });
      const back = shard.presence(account, true);
      shard.run(50);
      expect(shard.answerOf(back)).toMatchObject({ isPending: false, status: { state: "registered" } });
    }
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
  });

  test("a change of mind while a REGISTER is under way waits for its answer (RFC 3261 §10.2)", () => {
    const shard = new BenchShard({ registrar: { thinkMs: 300 } });
    const account = shard.add(1);
    shard.run(10);
    shard.presence(account, false);
    shard.run(100);
    expect(shard.registrar.requests).toBe(1);
    shard.run(5000);
    expect(shard.state(account)).toBe("idle");
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
    expect(shard.registrar.heard.at(-1)!.expires).toBe(0);
  });

  test("forward and back within one round trip ends as was said last", () => {
    for (const [first, second, end] of [
      [false, true, "registered"],
      [true, false, "idle"],
    ] as const) {
      const shard = new BenchShard({ weather: { delayMs: [30, 80] } });
      const account = shard.add(1);
      shard.run(1000);
      if (first) {
        shard.presence(account, false);
        shard.run(1000);
      }
      shard.presence(account, first);
      shard.run(20);
      shard.presence(account, second);
      shard.run(10_000);
      expect(shard.state(account)).toBe(end);
      expect(shard.registrar.bindingsOf("u1")).toHaveLength(end === "idle" ? 0 : 1);
    }
  });

  test("who waits longer than they would hears that it is pending, and the work goes on", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.registrar.behaviour = () => "silence";
    const id = shard.presence(account, false, 3000);
    shard.run(2900);
    expect(shard.answerOf(id)).toBeUndefined();
    shard.run(200);
    expect(shard.answerOf(id)).toMatchObject({ isPending: true, status: { state: "unregistering" } });
    shard.registrar.behaviour = undefined;
    shard.run(60_000);
    expect(shard.state(account)).toBe("idle");
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
  });

  test("no wait is no wait, and what is there already is answered at once", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    expect(shard.answerOf(shard.presence(account, true))).toMatchObject({
      isPending: false,
      status: { state: "registered" },
    });
    expect(shard.answerOf(shard.presence(account, false, 0))).toMatchObject({ isPending: true });
  });

  test("an absent binding (404) is as good as a removed one", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.registrar.behaviour = () => ({ status: 404 });
    const id = shard.presence(account, false);
    shard.run(100);
    expect(shard.answerOf(id)).toMatchObject({ isPending: false, status: { state: "idle" } });
  });

  test("an un-REGISTER without an answer is repeated until the binding has run out, then rests", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    shard.registrar.isSilent = true;
    shard.presence(account, false);
    shard.run(700_000, 100);
    expect(shard.state(account)).toBe("idle");
    const { requests } = shard.registrar;
    expect(requests).toBeGreaterThan(20);
    shard.run(3_600_000, 1000);
    expect(shard.registrar.requests).toBe(requests);
  });

  test("503 to an un-REGISTER is tried again", () => {
    const shard = new BenchShard();
    const account = shard.add(1);
    shard.run(100);
    let refusals = 3;
    shard.registrar.behaviour = () => (refusals-- > 0 ? { status: 503 } : "own");
    shard.presence(account, false);
    shard.run(90_000);
    expect(shard.state(account)).toBe("idle");
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
  });

  test("a full registrar is tried again until the phone has left", () => {
    const shard = new BenchShard({ registrar: { contactsMax: 1 } });
    shard.registrar.bind("u1", "sip:u1@203.0.113.1:5070", 40);
    const account = shard.add(1);
    shard.run(100);
    expect(shard.state(account)).toBe("retrying");
    expect(shard.newsOf("refused")).toHaveLength(0);
    shard.run(120_000);
    expect(shard.state(account)).toBe("registered");
    expect(shard.newsOf("mode")).toHaveLength(0);
  });
});

describe("mode continuous", () => {
  test("stays registered while the edge wants it, whatever the presence", () => {
    const shard = new BenchShard();
    const account = shard.add(1, { registrationMode: "continuous" });
    shard.run(100);
    const before = shard.registrar.requests;
    shard.keeper.presence({ requestId: 9, accountId: account, wanted: true, presence: "foreground", waitMs: 1000 });
    shard.run(100);
    expect(shard.registrar.requests).toBe(before);
    expect(shard.keeper.status(account)).toMatchObject({ mode: "continuous", state: "registered" });
  });
});

describe("mode singleDevice", () => {
  test("foreground stops without un-REGISTER", () => {
    const shard = new BenchShard({ registrar: { contactsMax: 1, whenFull: "replace" } });
    const account = shard.add(1, { registrationMode: "singleDevice" });
    shard.run(100);
    const before = shard.registrar.requests;
    const id = shard.presence(account, false);
    shard.run(1_200_000, 100);
    expect(shard.registrar.requests).toBe(before);
    expect(shard.answerOf(id)).toMatchObject({ isPending: false, status: { state: "idle", mode: "singleDevice" } });
  });

  test("a registrar that is full has the phone's binding replaced by ours in one REGISTER (Kamailio)", () => {
    const shard = new BenchShard({ registrar: { contactsMax: 1 } });
    shard.registrar.bind("u1", "sip:u1@203.0.113.1:5070");
    const account = shard.add(1, { registrationMode: "singleDevice" });
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    const last = shard.registrar.heard.at(-1)!;
    expect(last.contacts.map((one) => one.params.get("expires"))).toEqual([undefined, "0"]);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
  });

  test("one that says no more than 403 (chan_pjsip) is asked what it has, and then the same", () => {
    const shard = new BenchShard({ registrar: { contactsMax: 1, whenFull: "refuseBarely" } });
    shard.registrar.behaviour = (heard, registrar) => {
      const own = registrar.own(heard);
      return own.status === 403 ? { status: 403, reason: "Too Many Contacts" } : own;
    };
    shard.registrar.bind("u1", "sip:u1@203.0.113.1:5070");
    const account = shard.add(1, { registrationMode: "singleDevice" });
    shard.run(100);
    expect(shard.state(account)).toBe("registered");
    expect(shard.registrar.heard.some((one) => one.contacts.length === 0)).toBe(true);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
  });
});

describe("mode auto", () => {
  test("begins as alternate", () => {
    const shard = new BenchShard();
    const account = shard.add(1, { registrationMode: "auto" });
    shard.run(100);
    expect(shard.keeper.status(account)).toMatchObject({ mode: "alternate", state: "registered" });
    expect(shard.newsOf("mode")).toEqual([]);
  });

  test("a second binding refused teaches singleDevice, and it is used at once", () => {
    const shard = new BenchShard({ registrar: { contactsMax: 1 } });
    shard.registrar.bind("u1", "sip:u1@203.0.113.1:5070");
    const account = shard.add(1, { registrationMode: "auto" });
    shard.run(100);
    expect(shard.newsOf("mode")).toMatchObject([{ mode: "singleDevice" }]);
    expect(shard.keeper.status(account)).toMatchObject({ mode: "singleDevice", state: "registered" });
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
  });

  test("603 Too Many Contacts is understood, too", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.registrar.behaviour = (heard) =>
      heard.contacts.length === 1 ? { status: 603, reason: "Too Many Contacts" } : "own";
    shard.add(1, { registrationMode: "auto" });
    shard.run(100);
    expect(shard.newsOf("mode")).toMatchObject([{ mode: "singleDevice" }]);
  });

  test("a binding beside ours teaches alternate, once", () => {
    const shard = new BenchShard();
    shard.registrar.bind("u1", "sip:u1@203.0.113.1:5070", 5000);
    const account = shard.add(1, { registrationMode: "auto" });
    shard.run(1_300_000, 100);
    expect(shard.newsOf("mode")).toMatchObject([{ mode: "alternate" }]);
    const before = shard.registrar.heard.length;
    shard.presence(account, false);
    shard.run(500);
    // No look before the leap any more.
    expect(shard.registrar.heard.slice(before).map((one) => one.expires)).toEqual([0]);
  });

  test("a first binding replaced (chan_sip) is noticed before we would remove the phone's", () => {
    const shard = new BenchShard({ registrar: { contactsMax: 1, whenFull: "replace" } });
    const account = shard.add(1, { registrationMode: "auto" });
    shard.run(100);
    // The phone came to the foreground and registered over ours.
    shard.registrar.bindings.set("u1", []);
    shard.registrar.bind("u1", "sip:u1@203.0.113.1:5070");
    const before = shard.registrar.heard.length;
    const id = shard.presence(account, false);
    shard.run(1000);
    const after = shard.registrar.heard.slice(before);
    expect(after.every((one) => one.view.count(Header.contact) === 0 && one.expires === undefined)).toBe(true);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(1);
    expect(shard.newsOf("mode")).toMatchObject([{ mode: "singleDevice" }]);
    expect(shard.answerOf(id)).toMatchObject({ isPending: false, status: { state: "idle" } });
  });

  test("while it does not know, ours alone is removed after a look", () => {
    const shard = new BenchShard();
    const account = shard.add(1, { registrationMode: "auto" });
    shard.run(100);
    shard.presence(account, false);
    shard.run(100);
    expect(shard.registrar.heard.slice(-2).map((one) => one.contacts.length)).toEqual([0, 1]);
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
    expect(shard.state(account)).toBe("idle");
  });

  test("a registrar that does not list is un-REGISTERed without a look", () => {
    const shard = new BenchShard({ registrar: { open: true } });
    shard.registrar.behaviour = (heard) => (heard.contacts.length === 0 ? { status: 400 } : "own");
    const account = shard.add(1, { registrationMode: "auto" });
    shard.run(100);
    shard.presence(account, false);
    shard.run(100);
    expect(shard.state(account)).toBe("idle");
    expect(shard.registrar.bindingsOf("u1")).toHaveLength(0);
  });

  test("what the store remembers is not learned again", () => {
    const shard = new BenchShard();
    const account = shard.add(1, { registrationMode: "auto", learnedMode: "singleDevice" });
    shard.run(100);
    expect(shard.keeper.status(account)).toMatchObject({ mode: "singleDevice" });
    const before = shard.registrar.requests;
    shard.presence(account, false);
    shard.run(100);
    expect(shard.registrar.requests).toBe(before);
  });

  test("what was learned outlives a restart", () => {
    const shard = new BenchShard({ registrar: { contactsMax: 1 } });
    shard.registrar.bind("u1", "sip:u1@203.0.113.1:5070");
    const account = shard.add(1, { registrationMode: "auto" });
    shard.run(100);
    shard.restart();
    expect(shard.keeper.status(account)).toMatchObject({ mode: "singleDevice", state: "registered" });
  });
});

describe("natEmulation", () => {
  test("shows the private address and keeps the UDP flow alive", () => {
    const shard = new BenchShard({ host: { natAddress: "192.168.1.20" } });
    shard.add(1, { natEmulation: true });
    shard.run(100);
    const { text } = shard.registrar.heard[0]!;
    expect(text).toContain("Via: SIP/2.0/UDP 192.168.1.20:5060;rport");
    expect(text).toContain("@192.168.1.20:5060");
    shard.run(120_000);
    expect(shard.host.keepAlives).toBeWithin(3, 6);
  });

  test("without it UDP needs none", () => {
    const shard = new BenchShard({ host: { natAddress: "192.168.1.20" } });
    shard.add(1);
    shard.run(120_000);
    expect(shard.registrar.heard[0]!.text).toContain("Via: SIP/2.0/UDP 198.51.100.7:5060;rport");
    expect(shard.host.keepAlives).toBe(0);
  });
});

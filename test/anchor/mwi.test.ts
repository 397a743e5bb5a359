import { describe, expect, spyOn, test } from "bun:test";
import { mwiServerPauseMs } from "../../src/anchor/limits.ts";
import { readMessageSummary, summaryText } from "../../src/anchor/message-summary.ts";
import { scan } from "../../src/sip/message/scan.ts";
import { SipView } from "../../src/sip/message/view.ts";
import { AnchorBench, type BenchAccount, type DeviceWish } from "../fakes/anchor-bench.ts";
import type { BenchServer } from "../fakes/bench-server.ts";
import { sipText } from "../fakes/sip-text.ts";

/** Over TCP, where nothing is repeated: requests can be counted. */
function scene(devices: Readonly<Record<string, DeviceWish>> = { mobile: {} }) {
  const bench = new AnchorBench();
  const server = bench.addServer({ transport: "tcp" });
  const alice = bench.addAccount("alice", server, devices);
  return { bench, server, alice, mobile: bench.phone("mobile") };
}

const waiting = (counts: string): string => `Messages-Waiting: yes\r\nVoice-Message: ${counts}\r\n`;

/** As Asterisk does it: no To-tag, no subscription. */
function unasked(server: BenchServer, alice: BenchAccount, body: string): void {
  server.sends(
    server.request("NOTIFY", alice, {
      lines: ["Event: message-summary", "Content-Type: application/simple-message-summary"],
      body,
    }).text,
  );
}

describe("voicemail that the server tells of unasked, RFC 3842", () => {
  test("200, and a push with the counts", () => {
    const { bench, server, alice } = scene({ mobile: {}, tablet: { notify: { voicemail: false } } });
    unasked(server, alice, waiting("2/8 (0/2)"));
    server.gets(200);
    expect(bench.pushes("voicemail", "mobile").text).toBe("2 new, 8 old");
  });

  test("the same news again, or fewer, lights up no screen; more does", () => {
    const { bench, server, alice } = scene();
    unasked(server, alice, waiting("2/8"));
    bench.pushes("voicemail", "mobile");
    unasked(server, alice, waiting("2/8"));
    unasked(server, alice, waiting("1/9"));
    bench.noPush();
    unasked(server, alice, waiting("2/9"));
    bench.pushes("voicemail", "mobile");
    unasked(server, alice, "Messages-Waiting: no\r\n");
    bench.noPush();
    unasked(server, alice, waiting("1/0"));
    bench.pushes("voicemail", "mobile");
  });

  test("nothing waiting: no push", () => {
    const { bench, server, alice } = scene();
    unasked(server, alice, "Messages-Waiting: no\r\nVoice-Message: 0/3\r\n");
    unasked(server, alice, "garbage");
    unasked(server, alice, "");
    for (let n = 0; n < 3; n++) server.gets(200);
    bench.noPush();
  });

  test("a phone that is here gets the NOTIFY itself", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    unasked(server, alice, waiting("1/0"));
    server.gets(200);
    const notify = mobile.gets("NOTIFY");
    expect(notify.body).toBe(waiting("1/0"));
    mobile.answers(notify, 481);
    server.nothing();
    bench.noPush();
  });

  test("any other NOTIFY that nobody asked for: 481", () => {
    const { bench, server, alice } = scene();
    server.sends(server.request("NOTIFY", alice, { lines: ["Event: presence"] }).text);
    server.gets(481);
    bench.noPush();
  });

  test("not from strangers", () => {
    const { bench, alice } = scene();
    const stranger = bench.addServer({ transport: "tcp", address: "198.51.100.66" });
    unasked(stranger, alice, waiting("2/8"));
    bench.noPush();
  });
});

describe("our own subscription", () => {
  function subscribed(grantedSec = 3_600) {
    const all = scene();
    all.bench.anchor.onRegistration(all.alice.accountId, true);
    all.bench.pass(4_900);
    all.server.nothing();
    all.bench.pass(200);
    const subscribe = all.server.gets("SUBSCRIBE");
    all.server.answers(subscribe, 200, { tag: "vm", lines: [`Expires: ${grantedSec}`] });
    const notify = (state: string, body = "", cseq = all.bench.serial()): void =>
      all.server.sends(
        sipText(
          `NOTIFY ${subscribe.contactUri} SIP/2.0`,
          [
            `Via: SIP/2.0/TCP ${all.server.address}:5060;branch=z9hG4bKmwi${cseq}`,
            `From: ${subscribe.get("To")};tag=vm`,
            `To: ${subscribe.get("From")}`,
            `Call-ID: ${subscribe.get("Call-ID")}`,
            `CSeq: ${cseq} NOTIFY`,
            "Contact: <sip:vm@192.0.2.1>",
            "Event: message-summary",
            `Subscription-State: ${state}`,
            "Content-Type: application/simple-message-summary",
          ],
          body,
        ),
      );
    return { ...all, subscribe, notify };
  }

  test("SUBSCRIBE for a registered account, NOTIFY answered, push", () => {
    const { bench, alice, server, subscribe, notify } = subscribed();
    expect(subscribe.uri).toBe("sip:alice@pbx.example");
    expect(subscribe.get("Event")).toBe("message-summary");
    expect(subscribe.get("Accept")).toBe("application/simple-message-summary");
    expect(subscribe.contactUri).toBe(bench.contactUri(alice));
    notify("active;expires=3600", waiting("1/0"));
    server.gets(200);
    expect(bench.pushes("voicemail", "mobile").text).toBe("1 new, 0 old");
  });

  test("a challenge is answered once for each SUBSCRIBE", () => {
    const { bench, server, alice } = scene();
    bench.anchor.onRegistration(alice.accountId, true);
    bench.pass(5_100);
    for (let n = 0; n < 3; n++) {
      const subscribe = server.gets("SUBSCRIBE");
      expect(subscribe.has("Authorization")).toBe(n > 0);
      server.answers(subscribe, 401);
    }
    bench.pass(60_000);
    server.nothing();
    expect(bench.anchor.sizes().mwi).toBe(0);
  });

  // Kamailio without a presence module routes SUBSCRIBE by its location table, where our own binding stands.
  test("our SUBSCRIBE comes back to us: 482, no phone hears of it, the server is left alone", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    bench.anchor.onRegistration(alice.accountId, true);
    bench.pass(5_100);
    const subscribe = server.gets("SUBSCRIBE");
    const looped = (lines: readonly string[]): void =>
      server.sends(server.request("SUBSCRIBE", alice, { lines: ["Event: message-summary", ...lines] }).text);
    looped([`From: ${subscribe.get("From")}`, `Call-ID: ${subscribe.get("Call-ID")}`]);
    server.gets(482);
    mobile.nothing();
    server.answers(subscribe, 482);
    const bob = bench.addAccount("bob", server, { tablet: {} });
    bench.anchor.onRegistration(bob.accountId, true);
    bench.pass(60_000);
    server.nothing();
    // Somebody else's SUBSCRIBE is the phone's to answer.
    looped([]);
    mobile.gets("SUBSCRIBE");
  });

  test("is refreshed in its dialog before it ends", () => {
    const { bench, server, subscribe } = subscribed(600);
    bench.pass(479_000);
    server.nothing();
    bench.pass(62_000);
    const refresh = server.gets("SUBSCRIBE");
    expect(refresh.get("Call-ID")).toBe(subscribe.get("Call-ID"));
    expect(refresh.cseq).toBe(subscribe.cseq + 1);
    expect(refresh.param("To", "tag")).toBe("vm");
    expect(refresh.uri).toBe("sip:bob@198.51.100.9:5062;transport=tcp");
  });

  test("a server that has forgotten it (481) is asked anew", () => {
    const { bench, server, subscribe } = subscribed(600);
    bench.pass(479_000);
    // Between 80 and 90 % of the time; an answer has 32 s from then.
    for (let sec = 0; sec < 62 && server.inbox.length === 0; sec++) bench.pass(1_000);
    server.answers(server.gets("SUBSCRIBE"), 481);
    bench.pass(100);
    expect(server.gets("SUBSCRIBE").get("Call-ID")).not.toBe(subscribe.get("Call-ID"));
  });

  test("terminated by timeout: asked anew; by rejection: not", () => {
    for (const [reason, again] of [
      ["timeout", 1],
      ["rejected", 0],
    ] as const) {
      const { bench, server, notify } = subscribed();
      notify(`terminated;reason=${reason}`);
      server.gets(200);
      bench.pass(1_000);
      expect(server.inbox.filter((message) => message.method === "SUBSCRIBE")).toHaveLength(again);
    }
  });

  test("423: with the server's minimum", () => {
    const { bench, server, alice } = scene();
    bench.anchor.onRegistration(alice.accountId, true);
    bench.pass(5_100);
    server.answers(server.gets("SUBSCRIBE"), 423, { lines: ["Min-Expires: 7200"] });
    expect(server.gets("SUBSCRIBE").get("Expires")).toBe("7200");
  });

  test("taken back when the account is no longer registered or nobody wants to hear of it", () => {
    for (const end of [
      (all: ReturnType<typeof subscribed>) => all.bench.anchor.onRegistration(all.alice.accountId, false),
      (all: ReturnType<typeof subscribed>) => {
        all.alice.subscriptions = [];
        all.bench.anchor.subscriptionRemoved(all.alice.accountId, all.mobile.deviceId);
      },
      (all: ReturnType<typeof subscribed>) => all.bench.anchor.accountRemoved(all.alice.accountId),
    ]) {
      const all = subscribed();
      end(all);
      expect(all.server.gets("SUBSCRIBE").get("Expires")).toBe("0");
      expect(all.bench.anchor.sizes().mwi).toBe(0);
    }
  });

  test("nothing to take back while the server has not accepted", () => {
    const { bench, server, alice } = scene();
    bench.anchor.onRegistration(alice.accountId, true);
    bench.pass(5_100);
    const subscribe = server.gets("SUBSCRIBE");
    bench.anchor.onRegistration(alice.accountId, false);
    server.answers(subscribe, 200);
    server.nothing();
    expect(bench.anchor.sizes().mwi).toBe(0);
    // The probe is over: the next account may ask.
    bench.anchor.onRegistration(alice.accountId, true);
    bench.pass(5_100);
    server.gets("SUBSCRIBE");
  });

  test("not for an account whose server tells unasked", () => {
    const { bench, server, alice } = scene();
    bench.anchor.onRegistration(alice.accountId, true);
    bench.pass(1_000);
    unasked(server, alice, "Messages-Waiting: no\r\n");
    server.gets(200);
    bench.pass(10_000);
    bench.anchor.onRegistration(alice.accountId, true);
    bench.pass(10_000);
    server.nothing();
  });

  test("not for an account whose devices do not want it", () => {
    const { bench, server, alice } = scene({ mobile: { notify: { voicemail: false } } });
    bench.anchor.onRegistration(alice.accountId, true);
    bench.pass(6_000);
    server.nothing();
  });

  test("a NOTIFY for a subscription of an earlier life begins a new one, and counts", () => {
    const { bench, server, alice } = scene();
    const notify = server.request("NOTIFY", alice, {
      lines: ["To: <sip:alice@pbx.example>;tag=before", "Event: message-summary"],
      body: waiting("3/0"),
    });
    server.sends(notify.text);
    server.gets(200);
    bench.pushes("voicemail", "mobile");
    bench.pass(100);
    server.gets("SUBSCRIBE");
  });

  function many(count: number) {
    const bench = new AnchorBench();
    const server = bench.addServer({ transport: "tcp" });
    const accounts = Array.from({ length: count }, (_, n) => bench.addAccount(`u${n}`, server, { [`d${n}`]: {} }));
    for (const account of accounts) bench.anchor.onRegistration(account.accountId, true);
    return { bench, server, accounts };
  }

  test("one probe at a time until a server accepts, then 20 a second", () => {
    const { bench, server } = many(50);
    bench.pass(6_000);
    const probe = server.gets("SUBSCRIBE");
    server.nothing();
    server.answers(probe, 200, { lines: ["Expires: 3600"] });
    bench.pass(1_000);
    expect(server.inbox.length).toBeGreaterThan(15);
    expect(server.inbox.length).toBeLessThanOrEqual(21);
  });

  test("the store is asked for many accounts at once, and for more only when their turn is near", () => {
    const { bench, server } = many(200);
    using reads = spyOn(bench, "wantVoicemail");
    bench.pass(6_000);
    expect(reads.mock.calls.map(([accountIds]) => accountIds.length)).toEqual([32, 32]);
    server.answers(server.gets("SUBSCRIBE"), 200, { lines: ["Expires: 3600"] });
    bench.pass(3_000);
    expect(reads.mock.calls.length).toBeLessThan(6);
    bench.pass(7_000);
    expect(server.inbox.length).toBeGreaterThan(190);
  });

  test("an account that is no longer registered when its turn comes is not asked for", () => {
    const { bench, server, accounts } = many(3);
    bench.anchor.onRegistration(accounts[1]!.accountId, false);
    using reads = spyOn(bench, "wantVoicemail");
    bench.pass(4_000);
    expect(reads.mock.calls.flatMap(([accountIds]) => accountIds)).toEqual([
      accounts[0]!.accountId,
      accounts[2]!.accountId,
    ]);
    server.nothing();
  });

  test("a server that knows no such event is left alone for hours", () => {
    const { bench, server } = many(50);
    bench.pass(5_100);
    server.answers(server.gets("SUBSCRIBE"), 489);
    bench.pass(3_600_000);
    server.nothing();
    expect(bench.anchor.sizes()).toMatchObject({ mwi: 0, transactions: 0 });
  });

  test("while it is left alone, registrations do not read the store; after that it is asked again", () => {
    const { bench, server, accounts } = many(1);
    bench.pass(5_100);
    server.answers(server.gets("SUBSCRIBE"), 489);
    using reads = spyOn(bench, "wantVoicemail");
    bench.anchor.onRegistration(accounts[0]!.accountId, true);
    bench.pass(mwiServerPauseMs);
    expect(reads).not.toHaveBeenCalled();
    bench.anchor.onRegistration(accounts[0]!.accountId, true);
    bench.pass(6_000);
    expect(reads).toHaveBeenCalled();
    server.gets("SUBSCRIBE");
  });

  test("a silent server too", () => {
    const { bench, server } = many(50);
    bench.pass(40_000);
    server.gets("SUBSCRIBE");
    bench.pass(3_600_000);
    server.nothing();
  });

  test("three accounts without a mailbox and none with one: left alone", () => {
    const { bench, server } = many(50);
    bench.pass(5_000);
    for (let n = 0; n < 3; n++) {
      bench.pass(100);
      server.answers(server.gets("SUBSCRIBE"), 404);
    }
    bench.pass(600_000);
    server.nothing();
  });
});

describe("message-summary bodies, RFC 3842 §5.2", () => {
  const read = (body: string) => {
    const bytes = Buffer.from(sipText("NOTIFY sip:x SIP/2.0", ["Event: message-summary"], body), "latin1");
    const view = new SipView();
    scan(bytes, 0, bytes.length, view);
    return readMessageSummary(view);
  };

  test.each([
    ["Messages-Waiting: yes\r\nMessage-Account: sip:a@b\r\nVoice-Message: 2/8 (0/2)\r\n", "2 new, 8 old"],
    ["messages-waiting : YES\nvoice-message: 4 / 0\n", "4 new, 0 old"],
    ["Messages-Waiting: yes\r\nFax-Message: 1/0\r\n", undefined],
    ["Messages-Waiting: yes\r\nVoice-Message: 99999999999/1\r\n", undefined],
  ])("%j", (body, text) => {
    const summary = read(body);
    expect(summary?.waiting).toBe(true);
    expect(summary === undefined ? "" : summaryText(summary)).toBe(text);
  });

  test("no or nothing", () => {
    expect(read("Messages-Waiting: no\r\n")?.waiting).toBe(false);
    expect(read("Voice-Message: 1/0\r\n")).toBeUndefined();
    expect(read("")).toBeUndefined();
  });
});

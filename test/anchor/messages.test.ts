import { describe, expect, test } from "bun:test";
import { AnchorBench, type DeviceWish } from "../fakes/anchor-bench.ts";

function scene(devices: Readonly<Record<string, DeviceWish>> = { mobile: {} }) {
  const bench = new AnchorBench();
  const server = bench.addServer();
  const alice = bench.addAccount("alice", server, devices);
  const text = (body = "Hello") =>
    server.sends(server.request("MESSAGE", alice, { lines: ["Content-Type: text/plain", "Contact:"], body }).text);
  return { bench, server, alice, mobile: bench.phone("mobile"), tablet: bench.phone("tablet"), text };
}

describe("MESSAGE outside calls, RFC 3428", () => {
  test("to a phone that is here: passed on, its answer back, no push", () => {
    const { bench, server, mobile, text } = scene();
    mobile.opens();
    text("Hi there");
    const message = mobile.gets("MESSAGE");
    expect(message.body).toBe("Hi there");
    expect(message.uri).toBe("sip:alice@pbx.example");
    bench.noPush();
    mobile.answers(message, 200);
    server.gets(200);
    bench.pass(60_000);
    expect(bench.anchor.sizes().messages).toBe(0);
  });

  test("to a sleeping phone: a push, and the 2xx is the phone's own when it comes in time", () => {
    const { bench, server, mobile, text } = scene();
    text();
    const push = bench.pushes("message", "mobile");
    expect(push.from?.uri).toBe("sip:bob@far.example");
    expect(push.callId).toStartWith("call-");
    expect(push.text).toBeUndefined();
    expect(push.call).toMatch(/^[0-9a-f-]{36}$/);
    expect((push.deadlineMs ?? 0) - bench.clock.wallMs()).toBe(25_000);
    server.nothing();
    bench.pass(20_000);
    mobile.opens();
    mobile.answers(mobile.gets("MESSAGE"), 202);
    // The layer's own 100 came before, RFC 4320 §4.1.
    expect(server.inbox.at(-1)?.status).toBe(202);
  });

  test("nobody comes for 25 s: 480, never a 2xx of ours", () => {
    const { bench, server, text } = scene();
    text();
    bench.pass(24_900);
    for (const message of server.inbox.splice(0)) expect(message.status).toBe(100);
    bench.pass(200);
    server.gets(480);
    bench.pass(60_000);
    server.nothing();
  });

  test("a phone that comes after that gets nothing", () => {
    const { bench, mobile, text } = scene();
    text();
    bench.pass(26_000);
    mobile.opens();
    mobile.nothing();
  });

  test("the text in the push for those who want a preview, for no others", () => {
    const { bench, text } = scene({ mobile: { notify: { preview: true } }, tablet: {} });
    text("  Grüße ".replaceAll("ü", "\u00c3\u00bc").replace("ß", "\u00c3\u009f"));
    const pushes = bench.taken("notify");
    expect(pushes.map((push) => [push.targets.map((target) => target.deviceId as string), push.text])).toEqual([
      [["mobile"], "Grüße"],
      [["tablet"], undefined],
    ]);
    expect(pushes[0]?.call).toBe(pushes[1]?.call);
  });

  test("no preview of what is not plain text", () => {
    const { bench, server, alice } = scene({ mobile: { notify: { preview: true } } });
    server.sends(server.request("MESSAGE", alice, { lines: ["Content-Type: message/cpim"], body: "x" }).text);
    expect(bench.pushes("message", "mobile").text).toBeUndefined();
  });

  test("nobody wants pushes about messages and no tunnel is open: 480 at once", () => {
    const { bench, server, text } = scene({ mobile: { notify: { message: false } } });
    text();
    server.gets(480);
    bench.noPush();
  });

  test("several phones: the first 2xx answers, the others get it all the same", () => {
    const { bench, server, mobile, tablet, text } = scene({ mobile: {}, tablet: {} });
    mobile.opens();
    text();
    mobile.answers(mobile.gets("MESSAGE"), 200);
    server.gets(200);
    bench.pushes("message", "tablet");
    bench.pass(5_000);
    tablet.opens();
    tablet.answers(tablet.gets("MESSAGE"), 200);
    server.nothing();
    expect(bench.anchor.sizes().messages).toBe(0);
  });

  test("every phone refuses: the best refusal", () => {
    const { server, mobile, tablet, text } = scene({ mobile: {}, tablet: {} });
    mobile.opens();
    tablet.opens();
    text();
    mobile.answers(mobile.gets("MESSAGE"), 480);
    server.nothing();
    tablet.answers(tablet.gets("MESSAGE"), 415);
    server.gets(415);
  });

  test("the sender is who the account's server says it is", () => {
    const { bench, server, alice } = scene();
    server.sends(server.request("MESSAGE", alice, { lines: ["P-Asserted-Identity: <tel:+4930>"], body: "x" }).text);
    expect(bench.pushes("message", "mobile").from?.uri).toBe("tel:+4930");
  });

  test("a phone that has it and does not answer: 480 in time for the sender", () => {
    const { bench, server, mobile, text } = scene();
    mobile.opens();
    text();
    mobile.gets("MESSAGE");
    bench.pass(30_900);
    for (const message of server.inbox.splice(0)) expect(message.status).toBe(100);
    bench.pass(200);
    server.gets(480);
    bench.pass(10_000);
    expect(bench.anchor.sizes()).toMatchObject({ messages: 0 });
  });

  test("a ninth message that would have to wait: 480", () => {
    const { bench, server, text } = scene();
    for (let n = 0; n < 8; n++) text();
    expect(bench.taken("notify")).toHaveLength(8);
    server.nothing();
    text();
    server.gets(480);
    bench.noPush();
  });

  test("a repeated MESSAGE is one message", () => {
    const { bench, server, alice } = scene();
    const message = server.request("MESSAGE", alice, { lines: ["Content-Type: text/plain"], body: "x" });
    server.sends(message.text);
    server.sends(message.text);
    bench.pushes("message", "mobile");
  });
});

describe("other requests outside calls that only a phone can answer", () => {
  test("REFER (click to dial) and SUBSCRIBE go to one open tunnel", () => {
    const { server, alice, mobile, tablet } = scene({ mobile: {}, tablet: {} });
    mobile.opens();
    tablet.opens();
    for (const method of ["REFER", "SUBSCRIBE", "X-NEW"]) {
      server.sends(server.request(method, alice, { lines: ["Refer-To: <sip:1@x>", "Event: dialog"] }).text);
      mobile.answers(mobile.gets(method), 202);
      server.gets(202);
    }
    tablet.nothing();
  });

  test("its NOTIFYs go back in the dialog that it made", () => {
    const { server, alice, mobile } = scene();
    mobile.opens();
    const refer = server.request("REFER", alice, { lines: ["Refer-To: <sip:1@x>"] });
    server.sends(refer.text);
    const asked = mobile.gets("REFER");
    const accepted = mobile.answers(asked, 202);
    server.gets(202);
    mobile.inAnswered("NOTIFY", refer, accepted, {
      lines: ["Event: refer", "Subscription-State: terminated;reason=noresource"],
    });
    server.answers(server.gets("NOTIFY"), 200);
    mobile.gets(200);
  });

  test("480 while no tunnel is open: nobody is woken for them", () => {
    const { bench, server, alice } = scene();
    server.sends(server.request("REFER", alice).text);
    server.gets(480);
    bench.noWake();
    bench.noPush();
  });

  test("BYE, UPDATE, INFO, PRACK without a dialog: 481", () => {
    const { server, alice, mobile } = scene();
    mobile.opens();
    for (const method of ["BYE", "UPDATE", "INFO", "PRACK"]) {
      server.sends(server.request(method, alice).text);
      server.gets(481);
    }
    mobile.nothing();
  });

  test("OPTIONS of the account's server: 200 without state, with a phone here or not", () => {
    const { bench, server, alice, mobile } = scene();
    mobile.opens();
    // As Kamailio pings: no Max-Forwards, no Contact, no angle brackets.
    server.sends(
      server.request("OPTIONS", alice, {
        lines: ["Max-Forwards:", "Contact:", "From: sip:pinger@pbx.example;tag=1", "To: sip:alice@pbx.example"],
      }).text,
    );
    expect(server.gets(200).get("Allow")).toContain("INVITE");
    mobile.nothing();
    expect(bench.anchor.sizes().transactions).toBe(0);
  });
  test("OPTIONS that requires an extension: 420 with its name (RFC 3261 §8.2.2.3)", () => {
    const { bench, server, alice } = scene();
    server.sends(server.request("OPTIONS", alice, { lines: ["Require: timer, nothingSpecial"] }).text);
    expect(server.gets(420).get("Unsupported")).toBe("timer, nothingSpecial");
    expect(bench.anchor.sizes().transactions).toBe(0);
  });
});

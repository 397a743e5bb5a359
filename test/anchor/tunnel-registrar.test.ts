import { describe, expect, test } from "bun:test";
import { AnchorBench } from "../fakes/anchor-bench.ts";

function scene() {
  const bench = new AnchorBench();
  const server = bench.addServer();
  const alice = bench.addAccount("alice", server, { mobile: {} });
  const mobile = bench.phone("mobile");
  mobile.opens();
  const register = (...lines: string[]) => {
    const own = lines.some((line) => line.startsWith("To:")) ? [] : ["To: <sip:alice@pbx.example>"];
    mobile.request("REGISTER", alice, { to: "sip:pbx.example", lines: [...own, ...lines] });
    return mobile.inbox.shift();
  };
  return { bench, server, alice, mobile, register };
}

describe("REGISTER through the tunnel, RFC 3261 §10.3", () => {
  test("200 with the seconds that our binding has left, Contact echoed, Date", () => {
    const { bench, server, register } = scene();
    const answer = register(
      'Contact: "A" <sip:x@phone.invalid;transport=ws>;+sip.instance="<urn:uuid:1>";reg-id=1;expires=3600',
    );
    expect(answer?.status).toBe(200);
    expect(answer?.all("Contact")).toEqual([
      '"A" <sip:x@phone.invalid;transport=ws>;+sip.instance="<urn:uuid:1>";reg-id=1;expires=500',
    ]);
    expect(answer?.get("Date")).toBe(new Date(bench.clock.wallMs()).toUTCString());
    expect(answer?.param("To", "tag")).toBeDefined();
    server.nothing();
  });

  test("never more than the phone asked for", () => {
    const { register } = scene();
    expect(register("Contact: <sip:x@phone.invalid>", "Expires: 120")?.get("Contact")).toBe(
      "<sip:x@phone.invalid>;expires=120",
    );
  });

  test("a usable time just before our own refresh and while we hold no binding", () => {
    const { alice, register } = scene();
    alice.secondsLeft = 3;
    expect(register("Contact: <sip:x@phone.invalid>")?.get("Contact")).toEndWith(";expires=30");
    alice.secondsLeft = 0;
    expect(register("Contact: <sip:x@phone.invalid>")?.get("Contact")).toEndWith(";expires=60");
  });

  test("without Contact: what is bound", () => {
    const { register } = scene();
    expect(register("Contact:")?.all("Contact")).toEqual([]);
    register("Contact: <sip:x@phone.invalid>");
    expect(register("Contact:")?.all("Contact")).toEqual(["<sip:x@phone.invalid>;expires=500"]);
  });

  test.each<[readonly string[]]>([
    [["Contact: *", "Expires: 0"]],
    [["Contact: <sip:x@phone.invalid>;expires=0"]],
    [["Contact: <sip:x@phone.invalid>", "Expires: 0"]],
  ])("un-REGISTER by %p: the phone is not asked through this tunnel any more", (lines) => {
    const { bench, server, alice, mobile, register } = scene();
    register("Contact: <sip:x@phone.invalid>");
    const answer = register(...lines);
    expect(answer?.status).toBe(200);
    expect(answer?.all("Contact")).toEqual([]);
    server.invites(alice);
    mobile.nothing();
    bench.wakes("mobile");
    // The next tunnel starts anew.
    mobile.opens();
    expect(mobile.gets("INVITE").uri).toBe("sip:alice@pbx.example");
    server.invites(alice);
    mobile.gets("INVITE");
  });

  test("a REGISTER after that makes it reachable again", () => {
    const { server, alice, mobile, register } = scene();
    register("Contact: <sip:x@phone.invalid>;expires=0");
    register("Contact: <sip:x@phone.invalid>");
    server.invites(alice);
    expect(mobile.gets("INVITE").uri).toBe("sip:x@phone.invalid");
    register("Contact: <sip:x@phone.invalid>;expires=0");
    expect(register("Contact:")?.all("Contact")).toEqual([]);
  });

  test("* with anything but Expires: 0 is refused", () => {
    const { register } = scene();
    expect(register("Contact: *", "Expires: 600")?.status).toBe(400);
    expect(register("Contact: *, <sip:x@y>", "Expires: 0")?.status).toBe(400);
  });

  test("for a foreign account: 403, also when it is one's own that asks", () => {
    const { register } = scene();
    expect(register("From: <sip:bob@pbx.example>;tag=1")?.status).toBe(403);
    expect(register("To: <sip:bob@pbx.example>")?.status).toBe(403);
  });
});

describe("push parameters, RFC 8599 §4.1", () => {
  test("provider, token and parameter go upward; the provider is confirmed", () => {
    const { bench, mobile, register } = scene();
    const answer = register("Contact: <sip:x@phone.invalid;pn-provider=fcm;pn-prid=to%3Aken;pn-param=proj>");
    expect(bench.taken("pushParameters")).toEqual([
      { kind: "pushParameters", deviceId: mobile.deviceId, provider: "fcm", prid: "to:ken", param: "proj" },
    ]);
    expect(answer?.get("Feature-Caps")).toBe('*;+sip.pns="fcm"');
  });

  test("none without a token, with control characters, or on un-REGISTER", () => {
    const { bench, register } = scene();
    register("Contact: <sip:x@phone.invalid;pn-provider=fcm>");
    register("Contact: <sip:x@phone.invalid;pn-provider=fcm;pn-prid=a%0d%0ab>");
    register("Contact: <sip:x@phone.invalid;pn-provider=a%22b;pn-prid=ab>");
    register("Contact: <sip:x@phone.invalid;pn-provider=fcm;pn-prid=ab>;expires=0");
    expect(bench.taken("pushParameters")).toEqual([]);
  });
});

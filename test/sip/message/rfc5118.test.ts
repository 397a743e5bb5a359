import { describe, expect, test } from "bun:test";
import { Header } from "../../../src/sip/message/header.ts";
import { addressOf } from "../../../src/sip/message/read-address.ts";
import { countVias, readVia, Via } from "../../../src/sip/message/read-via.ts";
import { validateRequest } from "../../../src/sip/message/validate.ts";
import { parseUriText } from "../../../src/sip/uri.ts";
import { viewOfLines } from "./corpus.ts";

/** The messages of RFC 5118 §4, typed: start line, further lines by name, in the RFC's order where it matters. */
const common = ["Call-ID: SSG9559905523997077@hlau_4100", "Max-Forwards: 70"];
const register = (uri: string) =>
  viewOfLines([
    `REGISTER ${uri} SIP/2.0`,
    "To: sip:user@example.com",
    "From: sip:user@example.com;tag=81x2",
    "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111",
    ...common,
    'Contact: "Caller" <sip:caller@[2001:db8::1]>',
    "CSeq: 98176 REGISTER",
    "Content-Length: 0",
  ]);
const via = new Via();

describe("IPv6, RFC 5118 §4", () => {
  test("4.1: references in Request-URI, Via and Contact", () => {
    const view = register("sip:[2001:db8::10]");
    expect(validateRequest(view)).toEqual({ ok: true });
    expect(parseUriText(view.requestUri())).toMatchObject({ host: "2001:db8::10", port: undefined });
    expect(parseUriText(addressOf(view, Header.contact)!.uri)).toMatchObject({ user: "caller", host: "2001:db8::1" });
    expect(readVia(view, via)).toBe(true);
    expect([via.host(view.bytes), via.port, via.branch(view.bytes)]).toEqual(["[2001:db8::9:1]", -1, "z9hG4bKas3-111"]);
  });

  test("4.2: without brackets it is refused with 400", () => {
    expect(validateRequest(register("sip:2001:db8::10"))).toEqual({
      ok: false,
      status: 400,
      reason: "Malformed Request-URI",
    });
  });

  test("4.3: a port inside the brackets is part of the address", () => {
    const view = register("sip:[2001:db8::10:5070]");
    expect(validateRequest(view)).toEqual({ ok: true });
    expect(parseUriText(view.requestUri())).toMatchObject({ host: "2001:db8::10:5070", port: undefined });
  });

  test("4.4: a port outside the brackets is a port", () => {
    const view = register("sip:[2001:db8::10]:5070");
    expect(validateRequest(view)).toEqual({ ok: true });
    expect(parseUriText(view.requestUri())).toMatchObject({ host: "2001:db8::10", port: 5070 });
  });

  test.each([
    ["BYE", "[2001:db8::9:255]"],
    ["OPTIONS", "2001:db8::9:255"],
  ])("4.5: %s with received=%s", (method, received) => {
    const view = viewOfLines([
      `${method} sip:[2001:db8::10] SIP/2.0`,
      "To: sip:user@example.com;tag=bd76ya",
      "From: sip:user@example.com;tag=81x2",
      `Via: SIP/2.0/UDP [2001:db8::9:1];received=${received};branch=z9hG4bKas3-111`,
      ...common,
      `CSeq: 321 ${method}`,
      "Content-Length: 0",
    ]);
    expect(validateRequest(view)).toEqual({ ok: true });
    expect(readVia(view, via)).toBe(true);
    expect([via.received(view.bytes), via.branch(view.bytes)]).toEqual(["2001:db8::9:255", "z9hG4bKas3-111"]);
  });

  const invite = (lines: readonly string[], sdp: readonly string[]) => {
    const body = sdp.map((line) => `${line}\r\n`).join("");
    return viewOfLines([...lines, ...common, "Content-Type: application/sdp", `Content-Length: ${body.length}`], body);
  };

  test("4.6 and 4.8: addresses of both kinds in the SDP pass as they are", () => {
    const sdp = [
      "v=0",
      "o=bob 280744730 28977631 IN IP4 host.example.com",
      "s=",
      "t=0 0",
      "m=audio 22334 RTP/AVP 0",
      "c=IN IP4 192.0.2.1",
      "m=video 6024 RTP/AVP 107",
      "c=IN IP6 2001:db8::1",
      "a=rtpmap:107 H263-1998/90000",
    ];
    const view = invite(
      [
        "INVITE sip:user@[2001:db8::10] SIP/2.0",
        "To: sip:user@[2001:db8::10]",
        "From: sip:user@example.com;tag=81x2",
        "Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-111",
        'Contact: "Caller" <sip:caller@[2001:db8::20]>',
        "CSeq: 8612 INVITE",
      ],
      sdp,
    );
    expect(validateRequest(view)).toEqual({ ok: true });
    expect(Buffer.from(view.body()).toString()).toBe(`${sdp.join("\r\n")}\r\n`);
  });

  test("4.7: Vias of both kinds", () => {
    const view = viewOfLines([
      "BYE sip:user@host.example.net SIP/2.0",
      "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111",
      "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144",
      "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200",
      "Call-ID: 997077@lau_4100",
      "Max-Forwards: 70",
      "CSeq: 89187 BYE",
      "To: sip:user@example.net;tag=9817--94",
      "From: sip:user@example.com;tag=81x2",
      "Content-Length: 0",
    ]);
    expect(validateRequest(view)).toEqual({ ok: true });
    expect(countVias(view)).toBe(3);
    expect(readVia(view, via)).toBe(true);
    expect(via.port).toBe(6050);
  });

  test("4.9: IPv4-mapped addresses", () => {
    const view = invite(
      [
        "INVITE sip:user@example.com SIP/2.0",
        "To: sip:user@example.com",
        "From: sip:user@east.example.com;tag=81x2",
        "Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19",
        "Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111",
        'Contact: "T. desk phone" <sip:ted@[::ffff:192.0.2.2]>',
        "CSeq: 612 INVITE",
      ],
      ["v=0", "c=IN IP6 ::ffff:192.0.2.2"],
    );
    expect(validateRequest(view)).toEqual({ ok: true });
    expect(parseUriText(addressOf(view, Header.contact)!.uri)?.host).toBe("::ffff:192.0.2.2");
    expect(readVia(view, via)).toBe(true);
    expect([via.host(view.bytes), via.port]).toEqual(["[::ffff:192.0.2.10]", 19_823]);
  });

  test.each(["2001:db8:::192.0.2.1", "2001:db8::192.0.2.1"])("4.10: [%s] is one address", (address) => {
    const view = viewOfLines([
      `OPTIONS sip:user@[${address}] SIP/2.0`,
      `To: sip:user@[${address}]`,
      "From: sip:user@example.com;tag=810x2",
      "Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111",
      ...common,
      "CSeq: 689 OPTIONS",
      "Content-Length: 0",
    ]);
    expect(validateRequest(view)).toEqual({ ok: true });
    expect(parseUriText(view.requestUri())?.host).toBe("2001:db8::192.0.2.1");
  });
});

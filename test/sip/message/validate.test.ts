import { describe, expect, test } from "bun:test";
import { headersMax } from "../../../src/sip/message/limits.ts";
import { isAnswerable, validateRequest, validateResponse } from "../../../src/sip/message/validate.ts";
import { bytesOf, fieldMessages, invite, message, textOf, viewOf } from "./corpus.ts";

const verdictOf = (changes: Readonly<Record<string, string>>) => {
  const verdict = validateRequest(viewOf(invite(changes)));
  return verdict.ok ? "ok" : `${verdict.status} ${verdict.reason}`;
};

describe("requests, RFC 3261 §8.2 and §16.3", () => {
  test.each([
    [{}, "ok"],
    [{ "Max-Forwards": "" }, "ok"],
    [{ "Max-Forwards": "0" }, "ok"],
    [{ "Max-Forwards": "255" }, "ok"],
    [{ "Max-Forwards": "256" }, "400 Bad Max-Forwards"],
    [{ "Max-Forwards": "-1" }, "400 Bad Max-Forwards"],
    [{ "Max-Forwards": "x" }, "400 Bad Max-Forwards"],
    [{ "max-forwards": "1" }, "400 More Than One Max-Forwards"],
    [{ From: "<sip:anna@example.net>" }, "ok"],
    [{ From: "" }, "400 Missing From"],
    [{ To: "" }, "400 Missing To"],
    [{ "Call-ID": "" }, "400 Missing Call-ID"],
    [{ CSeq: "" }, "400 Missing CSeq"],
    [{ Via: "" }, "400 Missing Via"],
    [{ f: "<sip:x@y>" }, "400 More Than One From"],
    [{ t: "<sip:x@y>" }, "400 More Than One To"],
    [{ i: "x" }, "400 More Than One Call-ID"],
    [{ cseq: "1 INVITE" }, "400 More Than One CSeq"],
    [{ "Call-ID": "a b" }, "400 Malformed Call-ID"],
    [{ "Call-ID": ' w@x><"/' }, "ok"],
    [{ CSeq: "1 BYE" }, "400 CSeq Method Mismatch"],
    [{ CSeq: "1 invite" }, "400 CSeq Method Mismatch"],
    [{ CSeq: "4294967296 INVITE" }, "400 Malformed CSeq"],
    [{ CSeq: "x INVITE" }, "400 Malformed CSeq"],
    [{ start: "FOO sip:bob@example.com SIP/2.0", CSeq: "1 FOO" }, "ok"],
    [{ start: "FOO sip:bob@example.com SIP/2.0" }, "501 Not Implemented"],
    [{ Expires: "4294967295" }, "ok"],
    [{ Expires: "4294967296" }, "400 Bad Expires"],
    [{ Expires: "soon" }, "400 Bad Expires"],
    [{ Expires: "1", expires: "2" }, "400 More Than One Expires"],
    [{ "Content-Type": "a/b", c: "c/d" }, "400 More Than One Content-Type"],
    [{ Via: "SIP/2.0/UDP h;;branch=x" }, "400 Malformed Via"],
    [{ Via: "SIP/2.0/UDP h;branch=x, SIP/2.0/UDP g, " }, "400 Malformed Via"],
    [{ From: '"Anna <sip:anna@example.net>;tag=x' }, "400 Malformed From"],
    [{ From: "<sip:anna@example.net>, <sip:x@y>" }, "400 Malformed From"],
    [{ To: "<sip:bob@exa mple.com>" }, "400 Malformed To"],
    [{ To: "<sip:bob@2001:db8::1>" }, "400 Malformed To"],
    [{ To: "<tel:+15550100>" }, "ok"],
    [{ To: "<isbn:2983792873>" }, "ok"],
    [{ To: "bob" }, "400 Malformed To"],
    [{ Contact: "*" }, "400 Malformed Contact"],
    [{ Contact: "<sip:a@b>, <sip:c@d" }, "400 Malformed Contact"],
    [{ Contact: "<sip:a@b>;;" }, "400 Malformed Contact"],
    [{ Contact: "" }, "ok"],
    [{ Route: "<sip:proxy;lr>, <sip:b;lr>" }, "ok"],
    [{ Route: "sip:proxy?x" }, "400 Malformed Route"],
    [{ "Record-Route": "<sip:>" }, "400 Malformed Record-Route"],
    [{ start: "INVITE sips:bob@example.com SIP/2.0" }, "ok"],
    [{ start: "INVITE tel:+15550100 SIP/2.0" }, "ok"],
    [{ start: "INVITE SIP:bob@EXAMPLE.com SIP/2.0" }, "ok"],
    [{ start: "INVITE mailto:bob@example.com SIP/2.0" }, "416 Unsupported URI Scheme"],
    [{ start: "INVITE <sip:bob@example.com> SIP/2.0" }, "400 Malformed Request-URI"],
    [{ start: "INVITE bob SIP/2.0" }, "400 Malformed Request-URI"],
    [{ start: "INVITE * SIP/2.0" }, "400 Malformed Request-URI"],
    [{ start: "INVITE sip:bob@example.com:99999 SIP/2.0" }, "400 Malformed Request-URI"],
    [{ start: "INVITE sip:bob@a@b SIP/2.0" }, "400 Malformed Request-URI"],
    [{ start: "INVITE sip:bob@example.com?Route=%3Csip:x%3E SIP/2.0" }, "400 Headers In Request-URI"],
    [{ start: "INVITE sip:bob@example.com SIP/3.0" }, "505 Version Not Supported"],
    [{ start: "INVITE sip:bob@example.com  SIP/2.0" }, "400 Malformed Message"],
    [{ "Content-Length": "5" }, "400 Bad Content-Length"],
    [{ Subject: "a\nVia: SIP/2.0/UDP evil" }, "400 Bare Line Break"],
    [{ Subject: "a\rb" }, "400 Bare Line Break"],
    [{ Subject: "a\r\n b" }, "ok"],
    [{ Subject: "a\0b" }, "ok"],
    [{ "Bad Name": "x" }, "400 Malformed Message"],
  ] as const)("%j → %s", (changes, expected) => {
    expect(verdictOf(changes)).toBe(expected);
  });

  test("the first header is looked at like the others", () => {
    const [start = "", ...headers] = textOf(invite()).split("\r\n").slice(0, -2);
    expect(validateRequest(viewOf(message([start, "Expires: 5", ...headers]))).ok).toBe(true);
    expect(validateRequest(viewOf(message([start, "Expires: soon", ...headers]))).ok).toBe(false);
  });

  test("a bare line break in the body is the body's business", () => {
    expect(validateRequest(viewOf(invite({}, "a\nb\rc\0")))).toEqual({ ok: true });
  });

  test("the star is the un-REGISTER of all", () => {
    expect(
      verdictOf({ start: "REGISTER sip:example.com SIP/2.0", CSeq: "1 REGISTER", Contact: "*", Expires: "0" }),
    ).toBe("ok");
  });

  test("an incomplete and an overfull message", () => {
    const whole = textOf(invite());
    expect(validateRequest(viewOf(bytesOf(whole.slice(0, -2))))).toEqual({
      ok: false,
      status: 400,
      reason: "Incomplete Message",
    });
    const lines = Array.from({ length: headersMax + 1 }, () => "X: y");
    expect(validateRequest(viewOf(message(["OPTIONS sip:a@b SIP/2.0", ...lines])))).toEqual({
      ok: false,
      status: 513,
      reason: "Message Too Large",
    });
  });

  test("an ACK and a request without a readable Via are never answered, nor is a response", () => {
    expect(isAnswerable(viewOf(invite()))).toBe(true);
    expect(isAnswerable(viewOf(invite({ CSeq: "x" })))).toBe(true);
    expect(isAnswerable(viewOf(invite({ start: "ACK sip:bob@example.com SIP/2.0" })))).toBe(false);
    expect(isAnswerable(viewOf(invite({ Via: "" })))).toBe(false);
    expect(isAnswerable(viewOf(invite({ Via: "SIP/2.0/UDP h;;" })))).toBe(false);
    expect(isAnswerable(viewOf(fieldMessages[0]!))).toBe(false);
  });
});

describe("responses, RFC 3261 §8.1.3 and §18.1.2", () => {
  const good = textOf(fieldMessages[0]!);
  const changed = (from: string | RegExp, to: string) => {
    const text = good.replace(from, to);
    expect(text).not.toBe(good);
    return validateResponse(viewOf(bytesOf(text)));
  };

  test("those of the field are taken", () => {
    expect(validateResponse(viewOf(fieldMessages[0]!))).toBe(true);
    expect(validateResponse(viewOf(fieldMessages[1]!))).toBe(true);
    expect(changed("SIP/2.0 200 OK", "SIP/2.0 200 ")).toBe(true);
  });

  test.each([
    [/(Via: .*)\r\n/, "$1\r\n$1\r\n"],
    [/(Via: )(.*)\r\n/, "$1$2, $2\r\n"],
    [/Via: .*\r\n/, ""],
    [/Via: SIP/, "Via: ;SIP"],
    [/From: .*\r\n/, ""],
    [/(To: .*\r\n)/, "$1$1"],
    [/To: </, 'To: "<'],
    [/Call-ID: .*\r\n/, ""],
    [/CSeq: .*\r\n/, ""],
    [/CSeq: 1827/, "CSeq: 4294967296"],
    [/CSeq: 1827 REGISTER/, "CSeq: 1827"],
    ["200 OK", "2000 OK"],
    ["SIP/2.0 ", "SIP/3.0 "],
    ["Content-Length: 0", "Content-Length: 1"],
    ["Server: ", "Server: a\nX: "],
    ["Server: ", "Server "],
  ] as const)("dropped: %p → %j", (from, to) => {
    expect(changed(from, to)).toBe(false);
  });
});

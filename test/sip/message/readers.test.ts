import { describe, expect, test } from "bun:test";
import { unfold, utf8Text } from "../../../src/sip/message/chars.ts";
import { Header } from "../../../src/sip/message/header.ts";
import { viasMax } from "../../../src/sip/message/limits.ts";
import { Method } from "../../../src/sip/message/method.ts";
import { Address, addressesOf, addressOf, isStar, readAddress, tagOf } from "../../../src/sip/message/read-address.ts";
import { cseqMethodText, readCSeq, readCSeqMethod } from "../../../src/sip/message/read-cseq.ts";
import { listHas, listValues, unsupportedOptions } from "../../../src/sip/message/read-list.ts";
import { readNumber } from "../../../src/sip/message/read-number.ts";
import { parameter, parametersOf } from "../../../src/sip/message/read-parameter.ts";
import { countVias, readVia, topBranch, Via } from "../../../src/sip/message/read-via.ts";
import type { SipView } from "../../../src/sip/message/view.ts";
import { bytesOf, viewOfLines } from "./corpus.ts";

function viewWith(...lines: readonly string[]): SipView {
  return viewOfLines(["OPTIONS sip:a@b SIP/2.0", ...lines, "l: 0"]);
}

describe("CSeq, RFC 3261 §20.16", () => {
  test.each([
    ["1 INVITE", 1, Method.invite, "INVITE"],
    ["0 INVITE", 0, Method.invite, "INVITE"],
    ["0009\r\n  INVITE", 9, Method.invite, "INVITE"],
    ["4294967295 BYE", 4_294_967_295, Method.bye, "BYE"],
    ["4294967296 BYE", -1, Method.bye, "BYE"],
    ["36893488147419103232 BYE", -1, Method.bye, "BYE"],
    ["1 FOO", 1, Method.other, "FOO"],
    ["1 invite", 1, Method.other, "invite"],
    ["-1 INVITE", -1, Method.other, ""],
    ["1INVITE", -1, Method.other, ""],
    ["1", -1, Method.other, ""],
    ["1 ", -1, Method.other, ""],
    ["INVITE 1", -1, Method.other, ""],
    ["1 INVITE x", -1, Method.other, ""],
    ["1 INV,ITE", -1, Method.other, ""],
    ["", -1, Method.other, ""],
    ["0x10 INVITE", -1, Method.other, ""],
  ] as const)("%j", (value, number, method, text) => {
    const view = viewWith(`CSeq: ${value}`);
    expect([readCSeq(view), readCSeqMethod(view), cseqMethodText(view)]).toEqual([number, method, text]);
  });

  test("absent", () => {
    const view = viewWith("To: t");
    expect([readCSeq(view), readCSeqMethod(view), cseqMethodText(view)]).toEqual([-1, Method.other, ""]);
  });
});

describe("numbers, RFC 3261 §20.19 and §20.33", () => {
  test.each([
    ["3600", 3600],
    ["0", 0],
    ["0068", 68],
    ["4294967295", 4_294_967_295],
    ["4294967296", -1],
    ["18000;duration=3600", 18_000],
    ["120 (I'm in a meeting)", 120],
    ["120(x)", 120],
    ["120\r\n (x)", 120],
    ["-1", -1],
    ["", -1],
    ["1x", -1],
    ["1.5", -1],
    ["Thu, 01 Dec 1994 16:00:00 GMT", -1],
  ] as const)("%j", (value, number) => {
    expect(readNumber(viewWith(`Retry-After: ${value}`), Header.retryAfter)).toBe(number);
  });

  test("absent", () => {
    expect(readNumber(viewWith("To: t"), Header.expires)).toBe(-1);
  });
});

describe("Via, RFC 3261 §20.42 and RFC 3581", () => {
  const via = new Via();

  test("all its parts", () => {
    const view = viewWith(
      "Via: SIP/2.0/UDP h.example:5070;rport=5071;received=192.0.2.7;branch=z9hG4bKx;maddr=224.2.0.1 , SIP/2.0/TCP g",
    );
    expect(readVia(view, via)).toBe(true);
    const { bytes } = view;
    expect([via.transport(bytes), via.host(bytes), via.port, via.branch(bytes), via.received(bytes)]).toEqual([
      "UDP",
      "h.example",
      5070,
      "z9hG4bKx",
      "192.0.2.7",
    ]);
    expect([via.hasRport, via.rport, via.multi]).toEqual([true, 5071, true]);
    expect(Buffer.from(bytes.subarray(via.valueFrom, via.valueTo)).toString()).toEndWith("maddr=224.2.0.1");
    expect(topBranch(view)).toBe("z9hG4bKx");
  });

  test("what is absent is told apart", () => {
    const view = viewWith("Via: SIP/2.0/udp [2001:db8::1];RPORT");
    expect(readVia(view, via)).toBe(true);
    expect([
      via.transport(view.bytes),
      via.host(view.bytes),
      via.port,
      via.branch(view.bytes),
      via.received(view.bytes),
    ]).toEqual(["UDP", "[2001:db8::1]", -1, "", undefined]);
    expect([via.hasRport, via.rport, via.multi]).toEqual([true, -1, false]);
    readVia(viewWith("Via: SIP/2.0/UDP h;branch=b"), via);
    expect(via.hasRport).toBe(false);
  });

  test("another Via line makes it one of many", () => {
    expect(readVia(viewWith("Via: SIP/2.0/UDP h", "v: SIP/2.0/UDP g"), via)).toBe(true);
    expect(via.multi).toBe(true);
  });

  test("the first of two branches counts", () => {
    expect(topBranch(viewWith("Via: SIP/2.0/UDP h;branch=one;branch=two"))).toBe("one");
  });

  test.each([
    "SIP/2.0/UDP",
    "SIP/2.0/UDP ",
    "SIP/2.0 h",
    "SIP/2.0/UDP/x h",
    "/2.0/UDP h",
    "SIP/2.0/UDP h;",
    "SIP/2.0/UDP h;;branch=x",
    "SIP/2.0/UDP h;branch=",
    'SIP/2.0/UDP h;branch="x',
    "SIP/2.0/UDP h:99999",
    "SIP/2.0/UDP h:",
    "SIP/2.0/UDP h:-1",
    "SIP/2.0/UDP [::1",
    "SIP/2.0/UDP [::1 ]",
    "SIP/2.0/UDP [::1;x]",
    "SIP/2.0/UDP [::1,x]",
    "SIP/2.0/UDP h,",
    "SIP/2.0/UDP h,,SIP/2.0/UDP g",
    ",SIP/2.0/UDP h",
    "SIP/2.0/UDP h g",
    "SIP/2.0/UDP h;branch=a b",
    "",
  ])("%j is malformed", (value) => {
    const view = viewWith(`Via: ${value}`);
    expect([countVias(view), topBranch(view) === "" || countVias(view) === -1]).toEqual([-1, true]);
  });

  test("values are counted over lines and commas, not inside quotes", () => {
    expect(countVias(viewWith('Via: SIP/2.0/UDP h;x="a,b\\",c", SIP/2.0/UDP g', "v: SIP/2.0/TCP f"))).toBe(3);
    expect(countVias(viewWith("To: t"))).toBe(0);
    const many = Array.from({ length: viasMax }, () => "SIP/2.0/UDP h");
    expect(countVias(viewWith(`Via: ${many.join(",")}`))).toBe(viasMax);
    expect(countVias(viewWith(`Via: ${many.join(",")}`, "v: SIP/2.0/UDP h"))).toBe(-1);
  });
});

describe("parameters, RFC 3261 §25.1", () => {
  const bytes = bytesOf(';a=1 ; B = "x;y,\\"z" ;c;d=[::1];a=2,;e=3');
  const read = (name: string) => parameter(bytes, 0, bytes.length, name);

  test("values, quoted ones without their quotes, the first of equal names, none behind a comma", () => {
    expect([read("a"), read("b"), read("B"), read("c"), read("d"), read("e"), read("f")]).toEqual([
      "1",
      'x;y,"z',
      'x;y,"z',
      "",
      "[::1]",
      undefined,
      undefined,
    ]);
    expect([...parametersOf(bytes, 0, bytes.length)]).toEqual([
      ["a", "1"],
      ["b", 'x;y,"z'],
      ["c", ""],
      ["d", "[::1]"],
    ]);
  });

  test("a value inside quotes is no parameter", () => {
    const tricky = bytesOf(';x=";tag=evil";tag=good');
    expect(parameter(tricky, 0, tricky.length, "tag")).toBe("good");
  });

  test("names from the wire are only names", () => {
    const tricky = bytesOf(";__proto__=1;constructor=2");
    const map = parametersOf(tricky, 0, tricky.length);
    expect([map.get("__proto__"), map.get("constructor"), map.get("toString")]).toEqual(["1", "2", undefined]);
  });
});

describe("addresses, RFC 3261 §20.10", () => {
  const of = (value: string) => addressOf(viewWith(`From: ${value}`), Header.from);
  const params = (entries: Readonly<Record<string, string>> = {}) => new Map(Object.entries(entries));

  test.each([
    ["sip:a@b", undefined, "sip:a@b", {}],
    ["sip:a@b;tag=x", undefined, "sip:a@b", { tag: "x" }],
    ["<sip:a@b;p=q>;tag=x", undefined, "sip:a@b;p=q", { tag: "x" }],
    ["<sip:a@b,c?d>", undefined, "sip:a@b,c?d", {}],
    ['"A, \\"B\\" <c>" <sip:a@b>', 'A, "B" <c>', "sip:a@b", {}],
    ['"A"<sip:a@b>', "A", "sip:a@b", {}],
    ['"" <sip:a@b>', undefined, "sip:a@b", {}],
    ["Anna Maria <sip:a@b>", "Anna Maria", "sip:a@b", {}],
    ["Anna\r\n Maria <sip:a@b>\r\n ;tag=x", "Anna Maria", "sip:a@b", { tag: "x" }],
    ["sip:a@b ; tag = x", undefined, "sip:a@b", { tag: "x" }],
    ["<tel:+1-201-555-0123>;tag=x", undefined, "tel:+1-201-555-0123", { tag: "x" }],
    ['"J\xc3\xbcrgen" <sip:a@b>', "Jürgen", "sip:a@b", {}],
    ["J\xc3\xbcrgen <sip:a@b>", "Jürgen", "sip:a@b", {}],
    ['"J\xfcrgen" <sip:a@b>', "J\xfcrgen", "sip:a@b", {}],
  ] as const)("%j", (value, display, uri, expected) => {
    expect(of(value)).toEqual({ display, uri, params: params(expected) });
  });

  test.each([
    "",
    "<>",
    "<sip:a@b",
    "sip:a@b>",
    '"A <sip:a@b>',
    '"A" sip:a@b',
    '"A"',
    "A",
    "A, B <sip:a@b>",
    "a@b:c <sip:a@b>",
    "< sip:a@b>",
    "<sip:a@b >",
    "<sip:a<b@c>",
    '<sip:"a"@c>',
    "<sip:a@b> x",
    "<sip:a@b><sip:c@d>",
    "<sip:a@b>;",
    "<sip:a@b>;;tag=x",
    "<sip:a@b>;tag=",
    '<sip:a@b>;tag="x',
    "<sip:a@b>;=x",
    "<sip:a@b>,",
    "sip:a@b?x=y",
    "sip:a b",
    ";tag=x",
    ",sip:a@b",
    "sip:a@b\x01",
  ])("%j is malformed", (value) => {
    expect(of(value)).toBeUndefined();
  });

  test("a list is walked value by value", () => {
    const bytes = bytesOf('"a,b" <sip:1@x>;q=1 , <sip:2,y@x>,sip:3@x,<sip:4@x>;expires=5');
    const address = new Address();
    const uris: string[] = [];
    let at = 0;
    do {
      at = readAddress(bytes, at, bytes.length, address);
      expect(address.ok).toBe(true);
      uris.push(Buffer.from(bytes.subarray(address.uriFrom, address.uriTo)).toString());
    } while (at >= 0);
    expect(uris).toEqual(["sip:1@x", "sip:2,y@x", "sip:3@x", "sip:4@x"]);
    expect(parameter(bytes, address.paramsFrom, address.paramsTo, "expires")).toBe("5");
    expect(address.bracketed).toBe(true);
  });

  test("addressesOf takes all lines, and goes on behind a malformed one", () => {
    const view = viewWith("Contact: <sip:1@x>, <sip:2@x>", "m: <sip:bad", "Contact: <sip:3@x>;expires=7", "Contact: *");
    expect(addressesOf(view, Header.contact).map(({ uri }) => uri)).toEqual(["sip:1@x", "sip:2@x", "sip:3@x"]);
  });

  test("the star of an un-REGISTER is no URI in brackets", () => {
    const address = new Address();
    const star = bytesOf(" * ");
    expect(readAddress(star, 0, star.length, address)).toBe(-1);
    expect([address.ok, isStar(star, address)]).toEqual([true, true]);
    const bracketed = bytesOf("<*>");
    readAddress(bracketed, 0, bracketed.length, address);
    expect(isStar(bracketed, address)).toBe(false);
  });

  test("tags", () => {
    expect(tagOf(viewWith("From: <sip:a@b;tag=uri>;TAG=x"), Header.from)).toBe("x");
    expect(tagOf(viewWith("To: <sip:a@b;tag=uri>"), Header.to)).toBeUndefined();
    expect(tagOf(viewWith('To: "x;tag=y" <sip:a@b>'), Header.to)).toBeUndefined();
    expect(tagOf(viewWith("X: y"), Header.to)).toBeUndefined();
    expect(tagOf(viewWith("To: <sip:a@b>;tag"), Header.to)).toBeUndefined();
  });
});

describe("lists, RFC 3261 §7.3.1", () => {
  test("are split at commas outside quotes and brackets, over all lines", () => {
    const view = viewWith("Supported: timer , path,\r\n 100rel", "k: ,x", "Supported:", 'Supported: "a,b";c, <d,e>');
    expect(listValues(view, Header.supported)).toEqual(["timer", "path", "100rel", "x", '"a,b";c', "<d,e>"]);
    expect([listHas(view, Header.supported, "PATH"), listHas(view, Header.supported, "pat")]).toEqual([true, false]);
  });

  test("what is required and not known is listed as it was written", () => {
    const view = viewWith("Require: 100rel, Foo", "Require: Timer");
    expect(unsupportedOptions(view, Header.require, ["timer"])).toEqual(["100rel", "Foo"]);
  });
});

describe("text", () => {
  test("a fold and the white space around it become one space", () => {
    expect([unfold("a"), unfold("a\r\n b"), unfold("a  \r\n\t  b  c"), unfold("a\r\n \r\n b")]).toEqual([
      "a",
      "a b",
      "a b  c",
      "a b",
    ]);
  });

  test("UTF-8 is decoded, what is none stays", () => {
    expect([utf8Text("abc"), utf8Text("\xc3\xa9"), utf8Text("\xe9"), utf8Text("é€")]).toEqual([
      "abc",
      "é",
      "\xe9",
      "é€",
    ]);
  });
});

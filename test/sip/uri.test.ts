import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { escapeUser, parseUriText, sameUri, unescapeUser, uriParam } from "../../src/sip/uri.ts";

describe("URIs, RFC 3261 §19.1.1 and RFC 3966", () => {
  test.each([
    ["sip:a@b", "sip", "a", "b", undefined, "", ""],
    ["SIP:A@B.Example", "sip", "A", "b.example", undefined, "", ""],
    ["sips:b:5061", "sips", undefined, "b", 5061, "", ""],
    ["sip:a:pw@b:1;p=q;r?h=v&i=w", "sip", "a", "b", 1, ";p=q;r", "?h=v&i=w"],
    ["sip:192.0.2.1", "sip", undefined, "192.0.2.1", undefined, "", ""],
    ["sip:a@[2001:DB8::1]:5070;x", "sip", "a", "2001:db8::1", 5070, ";x", ""],
    ["sip:a@[::ffff:192.0.2.10]", "sip", "a", "::ffff:192.0.2.10", undefined, "", ""],
    ["sip:a@[2001:db8:::192.0.2.1]", "sip", "a", "2001:db8::192.0.2.1", undefined, "", ""],
    ["sip:a;b=c?d/e:f@h", "sip", "a;b=c?d/e", "h", undefined, "", ""],
    ["sip:@h", "sip", undefined, "h", undefined, "", ""],
    ["sip:a@my_host.local.", "sip", "a", "my_host.local.", undefined, "", ""],
    ["sip:h?x=y", "sip", undefined, "h", undefined, "", "?x=y"],
    ["tel:+1-201-555-0123;phone-context=x", "tel", "+1-201-555-0123", "", undefined, ";phone-context=x", ""],
    ["sip:a@b:0", "sip", "a", "b", 0, "", ""],
    ["x+1.-y:z", "x+1.-y", "z", "", undefined, "", ""],
    ["urn:service:sos", "urn", "service:sos", "", undefined, "", ""],
  ] as const)("%s", (text, scheme, user, host, port, params, headers) => {
    expect(parseUriText(text)).toMatchObject({ scheme, user, host, port, params, headers });
  });

  test.each([
    "",
    "sip",
    "sip:",
    ":a@b",
    "a@b",
    "x:a<b",
    "x:a>b",
    'x:a"b',
    "x:a\x7fb",
    "x:a b",
    "1sip:a@b",
    "+sip:a@b",
    "s_p:a@b",
    "s/p:a@b",
    "sip:a@",
    "sip:a@b@c",
    "sip::pw@h",
    "sip:a@b:",
    "sip:a@b:65536",
    "sip:a@b:-1",
    "sip:a@b:5x",
    "sip:2001:db8::10",
    "sip:a@2001:db8::10",
    "sip:[2001:db8::10",
    "sip:[2001:db8::1g]",
    "sip:[2001:db8::10]x",
    "sip:[1.2.3.4]",
    "sip:[:::1]",
    "sip:a b@c",
    "sip:a@b c",
    "<sip:a@b>",
    'sip:"a"@b',
    "sip:a%@b",
    "sip:a%4@b",
    "sip:a%zz@b",
    "sip:a@b\r\n",
    "sip:a\0@b",
    "sip:a@-b",
    "sip:a@b..c",
    "sip:a@999.999.999.999",
    "sip:a@1.2.3",
    `sip:a@${"x".repeat(64)}`,
    `sip:a@${"x.".repeat(128)}`,
    "sip:a@b\u0100",
    "tel:",
  ])("%j is none", (text) => {
    expect(parseUriText(text)).toBeUndefined();
  });

  test("parameters are found in any case, first of equals, none by inheritance", () => {
    const uri = parseUriText("sip:a@b;Transport=TCP;lr;x=1;X=2;__proto__=p")!;
    expect(["transport", "LR", "x", "__proto__", "constructor", "y"].map((name) => uriParam(uri, name))).toEqual([
      "TCP",
      "",
      "1",
      "p",
      undefined,
      undefined,
    ]);
  });
});

describe("equality, RFC 3261 §19.1.4", () => {
  // The section's own examples, then ours.
  test.each([
    ["sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"],
    ["sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"],
    ["sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"],
    [
      "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
      "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ],
    [
      "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
      "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ],
    ["sip:a@[2001:DB8::1]", "sip:a@[2001:db8::1]"],
    ["tel:+1", "TEL:+1"],
  ] as const)("%s equals %s", (a, b) => {
    expect([sameUri(a, b), sameUri(b, a), sameUri(parseUriText(a)!, b)]).toEqual([true, true, true]);
  });

  test.each([
    ["SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"],
    ["sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"],
    ["sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"],
    ["sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"],
    ["sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"],
    ["sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"],
    ["sip:a@b", "sips:a@b"],
    ["sip:a@b;x=1", "sip:a@b;x=2"],
    ["sip:a@b;maddr=1.1.1.1", "sip:a@b"],
    ["sip:b", "sip:a@b"],
    ["sip:a:x@b", "sip:a@b"],
    ["sip:a%00@b", "sip:a%00%00@b"],
    ["sip:a%40c@b", "sip:a@b"],
    ["sip:a@b", "nonsense"],
    ["nonsense", "nonsense"],
  ] as const)("%s differs from %s", (a, b) => {
    expect([sameUri(a, b), sameUri(b, a)]).toEqual([false, false]);
  });
});

describe("escapes of the user part, RFC 3261 §19.1.2", () => {
  test("what needs it is escaped", () => {
    expect(escapeUser("a b@c:d%é/;")).toBe("a%20b%40c%3Ad%25%C3%A9/;");
    expect(unescapeUser("a%20b%40%zz%C3%A9")).toBe("a b@%zz\xc3\xa9");
  });

  test("any text survives the way into a URI and back", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "binary" }), (text) => {
        const uri = parseUriText(`sip:${escapeUser(text)}@h`);
        const back = Buffer.from(unescapeUser(uri?.user ?? ""), "latin1").toString("utf8");
        expect(back).toBe(Buffer.from(text, "utf8").toString("utf8"));
      }),
    );
  });
});

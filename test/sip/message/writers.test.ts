import { describe, expect, test } from "bun:test";
import { Header } from "../../../src/sip/message/header.ts";
import { firstLine, maskMessage } from "../../../src/sip/message/mask.ts";
import { rewrite, viaLines } from "../../../src/sip/message/rewrite.ts";
import { ScanResult } from "../../../src/sip/message/view.ts";
import { writeAck, writeCancel } from "../../../src/sip/message/write-ack-cancel.ts";
import { writeResponse } from "../../../src/sip/message/write-response.ts";
import { MessageWriter } from "../../../src/sip/message/writer.ts";
import { bytesOf, invite, textOf, viewOf, viewOfLines } from "./corpus.ts";

const writer = new MessageWriter();
const lines = (bytes: Uint8Array) => textOf(bytes).split("\r\n");

describe("the writer", () => {
  test("grows, and writes latin1", () => {
    const small = new MessageWriter();
    const long = "é".repeat(5000);
    small.text(long);
    small.number(42);
    small.crlf();
    expect(textOf(small.bytes())).toBe(`${long}42\r\n`);
    expect(small.length).toBe(5004);
    small.reset();
    small.text("€");
    expect(textOf(small.copy())).toBe("?");
  });

  test("past its limit it yields nothing, until reset", () => {
    const small = new MessageWriter(4);
    small.text("abcd");
    expect(small.overflowed).toBe(false);
    small.crlf();
    expect([small.overflowed, small.bytes().length, small.copy().length]).toEqual([true, 0, 0]);
    small.slice(bytesOf("xyz"), 0, 2);
    expect(small.bytes().length).toBe(0);
    small.reset();
    small.slice(bytesOf("xyz"), 1, 3);
    expect(textOf(small.bytes())).toBe("yz");
  });

  test("a line cannot become two", () => {
    writer.reset();
    writer.line("X: a\r\nVia: evil\0");
    expect(textOf(writer.bytes())).toBe("X: a  Via: evil \r\n");
  });

  test("long and short slices go over byte for byte", () => {
    const source = Uint8Array.from({ length: 1000 }, (_, i) => i & 255);
    for (const [from, to] of [
      [0, 1000],
      [10, 20],
      [5, 5],
      [7, 3],
      [100, 357],
    ] as const) {
      writer.reset();
      writer.slice(source, from, to);
      expect(writer.copy()).toEqual(source.slice(from, Math.max(from, to)));
    }
  });
});

describe("responses, RFC 3261 §8.2.6", () => {
  const request = viewOf(
    invite({
      Via: "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;rport",
      v: "SIP/2.0/TCP far;branch=z9hG4bKa0",
      "Record-Route": "<sip:p1;lr>,\r\n <sip:p2;lr>",
      Timestamp: "54",
    }),
  );

  test("copies Vias, From, To, Call-ID and CSeq, and adds the tag", () => {
    expect(lines(writeResponse(writer, request, 486, "Busy Here", { toTag: "t1" }))).toEqual([
      "SIP/2.0 486 Busy Here",
      "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;rport",
      "v: SIP/2.0/TCP far;branch=z9hG4bKa0",
      'From: "Anna" <sip:anna@example.net>;tag=f1',
      "To: <sip:bob@example.com>;tag=t1",
      "Call-ID: c1@192.0.2.1",
      "CSeq: 1 INVITE",
      "Content-Length: 0",
      "",
      "",
    ]);
  });

  test("a 100 has no tag and the Timestamp; it and a failure have no Record-Route (§12.1.1)", () => {
    const trying = textOf(writeResponse(writer, request, 100, "Trying", { toTag: "t1" }));
    expect(trying).toContain("To: <sip:bob@example.com>\r\n");
    expect(trying).toContain("Timestamp: 54\r\n");
    expect(trying).not.toContain("Record-Route");
    expect(textOf(writeResponse(writer, request, 180, "Ringing", { toTag: "t1" }))).toContain(
      "Record-Route: <sip:p1;lr>,\r\n <sip:p2;lr>\r\n",
    );
    expect(textOf(writeResponse(writer, request, 200, "OK"))).toContain("Record-Route");
    expect(textOf(writeResponse(writer, request, 302, "Moved"))).not.toContain("Record-Route");
  });

  test("a tag that is there stays alone", () => {
    for (const to of ["<sip:bob@example.com>;tag=old", "sip:bob@example.com ; Tag = old"]) {
      const text = textOf(writeResponse(writer, viewOf(invite({ To: to })), 200, "OK", { toTag: "t1" }));
      expect(text).toContain(`To: ${to}\r\n`);
      expect(text).not.toContain("t1");
    }
    expect(
      textOf(
        writeResponse(writer, viewOf(invite({ To: "<sip:bob@example.com;tag=uri>" })), 200, "OK", { toTag: "t1" }),
      ),
    ).toContain("To: <sip:bob@example.com;tag=uri>;tag=t1\r\n");
  });

  test.each([
    // RFC 3581 §4: rport asks for both.
    ["SIP/2.0/UDP 192.0.2.1:5060;branch=b;rport", "SIP/2.0/UDP 192.0.2.1:5060;rport=9;received=192.0.2.1;branch=b"],
    // §18.2.1: received when sent-by says something else.
    ["SIP/2.0/UDP h.example;branch=b", "SIP/2.0/UDP h.example;received=192.0.2.1;branch=b"],
    ["SIP/2.0/UDP 192.0.2.1;branch=b", "SIP/2.0/UDP 192.0.2.1;branch=b"],
    ["SIP/2.0/UDP 10.0.0.1", "SIP/2.0/UDP 10.0.0.1;received=192.0.2.1"],
    // What the sender claims of itself is not believed.
    ["SIP/2.0/UDP h;received=6.6.6.6;rport=66;branch=b", "SIP/2.0/UDP h;rport=9;received=192.0.2.1;branch=b"],
    ["SIP/2.0/UDP 192.0.2.1 ; branch=b , SIP/2.0/UDP g", "SIP/2.0/UDP 192.0.2.1 ; branch=b , SIP/2.0/UDP g"],
    ["SIP/2.0/UDP h ; branch=b , SIP/2.0/UDP g", "SIP/2.0/UDP h ;received=192.0.2.1; branch=b , SIP/2.0/UDP g"],
  ] as const)("the top Via %j goes back as %j", (sent, back) => {
    const received = { address: "192.0.2.1", port: 9 };
    const [, via] = lines(writeResponse(writer, viewOf(invite({ Via: sent })), 200, "OK", { received }));
    expect(via).toBe(`Via: ${back}`);
  });

  test("IPv6 sources have no brackets (RFC 5118 §4.5)", () => {
    const received = { address: "2001:db8::9", port: 9 };
    const same = viewOf(invite({ Via: "SIP/2.0/UDP [2001:DB8::9];branch=b" }));
    expect(lines(writeResponse(writer, same, 200, "OK", { received }))[1]).toBe(
      "Via: SIP/2.0/UDP [2001:DB8::9];branch=b",
    );
    const other = viewOf(invite({ Via: "SIP/2.0/UDP [2001:db8::1];branch=b" }));
    expect(lines(writeResponse(writer, other, 200, "OK", { received }))[1]).toBe(
      "Via: SIP/2.0/UDP [2001:db8::1];received=2001:db8::9;branch=b",
    );
  });

  test("Contact, headers and body", () => {
    const bytes = writeResponse(writer, request, 200, "OK", {
      contact: "<sip:w@192.0.2.9>",
      headers: ["Allow: INVITE", "X: a\r\nEvil: b"],
      contentType: "text/plain",
      body: "héllo",
    });
    expect(lines(bytes).slice(-7)).toEqual([
      "Contact: <sip:w@192.0.2.9>",
      "Allow: INVITE",
      "X: a  Evil: b",
      "Content-Type: text/plain",
      "Content-Length: 5",
      "",
      "héllo",
    ]);
    expect(viewOf(bytes.slice()).result).toBe(ScanResult.ok);
    expect(textOf(writeResponse(writer, request, 200, "O\r\nK", { body: Uint8Array.of(0, 10) }))).toEndWith(
      "Content-Length: 2\r\n\r\n\0\n",
    );
  });

  // Root cause: a line was taken to end where the next header began, which left out the lines that are none.
  test("a line without colon behind a header is not copied with it", () => {
    const broken = viewOfLines([
      "OPTIONS sip:a@b SIP/2.0",
      "Via: SIP/2.0/UDP h",
      "no colon",
      "Call-ID: c",
      "nor here",
      "CSeq: 1 OPTIONS",
    ]);
    expect(lines(writeResponse(writer, broken, 400, "Bad Request"))).toEqual([
      "SIP/2.0 400 Bad Request",
      "Via: SIP/2.0/UDP h",
      "Call-ID: c",
      "CSeq: 1 OPTIONS",
      "Content-Length: 0",
      "",
      "",
    ]);
  });

  test("what a broken request lacks is left out", () => {
    expect(
      lines(writeResponse(writer, viewOfLines(["INVITE  x SIP/2.0", "From: y"]), 400, "Bad Request", { toTag: "t" })),
    ).toEqual(["SIP/2.0 400 Bad Request", "From: y", "Content-Length: 0", "", ""]);
  });
});

describe("ACK and CANCEL, RFC 3261 §17.1.1.3 and §9.1", () => {
  const sent = viewOf(
    invite({
      Via: "SIP/2.0/UDP us;branch=z9hG4bKours , SIP/2.0/UDP them;branch=z9hG4bKtheirs",
      CSeq: "0007 INVITE",
      Route: "<sip:p1;lr>",
      route: "<sip:p2;lr>",
      Authorization: "Digest x",
    }),
  );
  const common = (method: string, to: string, more: readonly string[] = []) => [
    `${method} sip:bob@example.com SIP/2.0`,
    "Via: SIP/2.0/UDP us;branch=z9hG4bKours",
    "Max-Forwards: 70",
    "Route: <sip:p1;lr>",
    "route: <sip:p2;lr>",
    'From: "Anna" <sip:anna@example.net>;tag=f1',
    `To: ${to}`,
    "Call-ID: c1@192.0.2.1",
    `CSeq: 7 ${method}`,
    ...more,
    "Content-Length: 0",
    "",
    "",
  ];

  test("the ACK has the response's To and the INVITE's all else", () => {
    const response = viewOf(writeResponse(new MessageWriter(), sent, 486, "Busy Here", { toTag: "t9" }));
    expect(lines(writeAck(writer, sent, response)).toSorted()).toEqual(
      common("ACK", "<sip:bob@example.com>;tag=t9").toSorted(),
    );
  });

  test("a response that begins with its To is one too, and without a To the INVITE's is used", () => {
    const bare = viewOfLines(["SIP/2.0 500 x", "To: <sip:bob@example.com>;tag=t9", "l: 0"]);
    expect(textOf(writeAck(writer, sent, bare))).toContain("\r\nTo: <sip:bob@example.com>;tag=t9\r\n");
    expect(textOf(writeAck(writer, sent, viewOfLines(["SIP/2.0 500 x", "l: 0"])))).toContain(
      "\r\nTo: <sip:bob@example.com>\r\n",
    );
  });

  test("the CANCEL has the INVITE's To, and a Reason when there is one", () => {
    expect(lines(writeCancel(writer, sent)).toSorted()).toEqual(common("CANCEL", "<sip:bob@example.com>").toSorted());
    const reason = 'SIP;cause=200;text="Call completed elsewhere"';
    expect(lines(writeCancel(writer, sent, reason)).toSorted()).toEqual(
      common("CANCEL", "<sip:bob@example.com>", [`Reason: ${reason}`]).toSorted(),
    );
    expect(viewOf(writeCancel(writer, sent, reason)).result).toBe(ScanResult.ok);
  });
});

describe("rewriting", () => {
  const body = "v=0\r\n\0\n";
  const head = [
    "INVITE sip:line@us SIP/2.0",
    "v: SIP/2.0/UDP a;branch=1,  SIP/2.0/UDP b;branch=2",
    "X-Odd  :  kept ;\r\n as\tit is",
    "VIA: SIP/2.0/UDP c;branch=3",
    "Record-Route: <sip:p;lr>",
    "Max-Forwards:  0069",
    "From: f",
    "m: <sip:1@x>, <sip:2@x>",
    "Contact: <sip:3@x>",
    "To: t",
    `Content-Length: ${body.length}`,
  ];
  const original = viewOfLines(head, body);
  const edited = (edits: Parameters<typeof rewrite>[1]) => {
    const [top = "", tail] = textOf(rewrite(original, edits, writer)).split("\r\n\r\n");
    expect(tail).toBe(body);
    return top.split("\r\n");
  };
  const headLines = head.flatMap((line) => line.split("\r\n"));
  const without = (...indexes: readonly number[]) => headLines.filter((_, i) => !indexes.includes(i));

  test("without edits every byte stays", () => {
    expect(textOf(rewrite(original, {}, writer))).toBe(textOf(original.bytes));
  });

  test("the Request-URI", () => {
    expect(edited({ requestUri: "sip:phone@x y" })).toEqual(["INVITE sip:phone@x y SIP/2.0", ...headLines.slice(1)]);
    expect(edited({ requestUri: "a\r\nb" })[0]).toBe("INVITE a  b SIP/2.0");
  });

  test("the top Via goes, the second value of its line stays", () => {
    expect(edited({ removeTopVia: true })).toEqual([
      headLines[0]!,
      "Via: SIP/2.0/UDP b;branch=2",
      ...headLines.slice(2),
    ]);
    const single = viewOfLines(["SIP/2.0 200 OK", "Via: SIP/2.0/UDP a", "Via: SIP/2.0/UDP b", "l: 0"]);
    expect(lines(rewrite(single, { removeTopVia: true }, writer))).toEqual([
      "SIP/2.0 200 OK",
      "Via: SIP/2.0/UDP b",
      "l: 0",
      "",
      "",
    ]);
  });

  test("a Via on top, with the old top gone or not", () => {
    expect(edited({ pushVia: "SIP/2.0/UDP us" })).toEqual([
      headLines[0]!,
      "Via: SIP/2.0/UDP us",
      ...headLines.slice(1),
    ]);
    expect(edited({ pushVia: "SIP/2.0/UDP us", removeTopVia: true }).slice(1, 3)).toEqual([
      "Via: SIP/2.0/UDP us",
      "Via: SIP/2.0/UDP b;branch=2",
    ]);
  });

  test("all Vias replaced by another message's lines, or by ours alone", () => {
    const phone = viewOfLines(["INVITE x SIP/2.0", "Via: SIP/2.0/WSS p;\r\n branch=9", "v: SIP/2.0/WSS q", "l: 0"]);
    expect(viaLines(phone)).toBe("Via: SIP/2.0/WSS p;\r\n branch=9\r\nv: SIP/2.0/WSS q\r\n");
    const [first, , ...rest] = without(4);
    expect(edited({ replaceVias: viaLines(phone) })).toEqual([
      first!,
      "Via: SIP/2.0/WSS p;",
      " branch=9",
      "v: SIP/2.0/WSS q",
      ...rest,
    ]);
    expect(edited({ replaceVias: "Via: only" })).toEqual([first!, "Via: only", ...rest]);
    expect(edited({ replaceVias: "", pushVia: "SIP/2.0/UDP us" })).toEqual([first!, "Via: SIP/2.0/UDP us", ...rest]);
  });

  test("a message without Via gets ours first", () => {
    const bare = viewOfLines(["INVITE x SIP/2.0", "To: t", "l: 0"]);
    expect(lines(rewrite(bare, { pushVia: "SIP/2.0/UDP us" }, writer)).slice(0, 3)).toEqual([
      "INVITE x SIP/2.0",
      "Via: SIP/2.0/UDP us",
      "To: t",
    ]);
  });

  test("one Contact in the place of all", () => {
    expect(edited({ contact: "<sip:us>" })).toEqual([
      ...headLines.slice(0, 8),
      "Contact: <sip:us>",
      ...headLines.slice(10),
    ]);
    const none = viewOfLines(["BYE x SIP/2.0", "To: t", "l: 0"]);
    expect(textOf(rewrite(none, { contact: "<sip:us>" }, writer))).not.toContain("Contact");
  });

  test("Max-Forwards in its place, or added", () => {
    expect(edited({ maxForwards: 68 })).toEqual(headLines.with(6, "Max-Forwards: 68"));
    const none = viewOfLines(["BYE x SIP/2.0", "To: t", "l: 0"]);
    expect(textOf(rewrite(none, { maxForwards: 70 }, writer))).toBe(
      "BYE x SIP/2.0\r\nTo: t\r\nl: 0\r\nMax-Forwards: 70\r\n\r\n",
    );
    const response = viewOfLines(["SIP/2.0 200 OK", "To: t", "l: 0"]);
    expect(textOf(rewrite(response, { maxForwards: 70 }, writer))).not.toContain("Max-Forwards");
  });

  test("Record-Route before the others, or added", () => {
    expect(edited({ pushRecordRoute: "<sip:us;lr>" })).toEqual([
      ...headLines.slice(0, 5),
      "Record-Route: <sip:us;lr>",
      ...headLines.slice(5),
    ]);
    const none = viewOfLines(["INVITE x SIP/2.0", "To: t", "l: 0"]);
    expect(textOf(rewrite(none, { pushRecordRoute: "<sip:us;lr>" }, writer))).toContain(
      "\r\nRecord-Route: <sip:us;lr>\r\n",
    );
  });

  test("headers dropped and added", () => {
    expect(edited({ drop: [Header.from, Header.recordRoute], add: ["Reason: a\r\nb", "X: y"] })).toEqual([
      ...without(5, 7),
      "Reason: a  b",
      "X: y",
    ]);
  });

  test("Content-Length is added where there was none, since a stream cannot do without (§18.3)", () => {
    const bare = viewOfLines(["MESSAGE x SIP/2.0", "To: t"], "hello");
    expect(textOf(rewrite(bare, {}, writer))).toBe("MESSAGE x SIP/2.0\r\nTo: t\r\nContent-Length: 5\r\n\r\nhello");
  });

  test("CR LFs before and bytes behind the message stay behind", () => {
    const view = viewOf(bytesOf("\r\n\r\nBYE x SIP/2.0\r\nl: 1\r\n\r\nabc"));
    expect(textOf(rewrite(view, {}, writer))).toBe("BYE x SIP/2.0\r\nl: 1\r\n\r\na");
  });
});

describe("masking", () => {
  test("credentials, passwords, line and push tokens and the body are never shown", () => {
    const view = viewOfLines(
      [
        "REGISTER sip:u:pazz@h;line=secret1 SIP/2.0",
        'Authorization: Digest username="u", response="secret2"',
        "Proxy-Authorization: secret3",
        'Authentication-Info: nextnonce="secret4"',
        "Contact: <sip:u@h;line=secret5;pn-provider=apns;pn-prid=secret6;pn-param=secret7>;expires=1",
        "From: <sip:u:secret8@h>;tag=\x07x",
        'WWW-Authenticate: Digest realm="shown"',
        "Content-Type: text/plain",
        "l: 9",
      ],
      "secret9!!",
    );
    const text = maskMessage(view);
    expect(text).not.toMatch(/secret|pazz/);
    expect(text).toBe(
      [
        "REGISTER sip:u:***@h;line=*** SIP/2.0",
        "Authorization: Digest ***",
        "Proxy-Authorization: ***",
        "Authentication-Info: ***",
        "Contact: <sip:u@h;line=***;pn-provider=apns;pn-prid=***;pn-param=***>;expires=1",
        "From: <sip:u:***@h>;tag= x",
        'WWW-Authenticate: Digest realm="shown"',
        "Content-Type: text/plain",
        "l: 9",
        "",
        "(9 bytes of text/plain)",
        "",
      ].join("\n"),
    );
    expect(firstLine(view)).toBe("REGISTER sip:u:***@h;line=*** SIP/2.0");
    expect(firstLine(viewOfLines(["SIP/2.0 200 O\x01K", "l: 0"]))).toBe("SIP/2.0 200 O K");
  });
});

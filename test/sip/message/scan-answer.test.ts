import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Header } from "../../../src/sip/message/header.ts";
import { readCSeq, readCSeqMethod } from "../../../src/sip/message/read-cseq.ts";
import { readNumber } from "../../../src/sip/message/read-number.ts";
import { readVia, Via } from "../../../src/sip/message/read-via.ts";
import { Answer, scanAnswer } from "../../../src/sip/message/scan-answer.ts";
import { validateResponse } from "../../../src/sip/message/validate.ts";
import { MessageKind, ScanResult, type SipView } from "../../../src/sip/message/view.ts";
import { bytesOf, fieldMessages, message, textOf, tortureCases, viewOf } from "./corpus.ts";

const answer = new Answer();
const via = new Via();

function slice(bytes: Uint8Array, from: number, to: number): string {
  return textOf(bytes.subarray(from, to));
}

function valueOf(view: SipView, id: (typeof Header)[keyof typeof Header]): string {
  const i = view.find(id);
  return i < 0 ? "" : slice(view.bytes, view.valueFrom(i), view.valueTo(i));
}

/** What the quick scan said, by the full scan and the readers. */
function agrees(bytes: Uint8Array): void {
  const view = viewOf(bytes);
  expect([view.result, view.kind, view.status]).toEqual([ScanResult.ok, MessageKind.response, answer.status]);
  expect(view.to).toBe(bytes.length);
  for (const id of [Header.via, Header.from, Header.to, Header.callId, Header.cseq]) expect(view.count(id)).toBe(1);
  for (const id of [Header.contact, Header.authenticationInfo, Header.expires, Header.contentLength]) {
    expect(view.count(id)).toBeLessThanOrEqual(1);
  }
  for (const id of [Header.path, Header.serviceRoute, Header.require]) expect(view.count(id)).toBe(0);
  if (readVia(view, via))
    expect([via.branch(bytes), via.multi]).toEqual([slice(bytes, answer.branchFrom, answer.branchTo), false]);
  expect([readCSeq(view), readCSeqMethod(view)]).toEqual([answer.cseq, answer.method]);
  expect(valueOf(view, Header.contact)).toBe(slice(bytes, answer.contactFrom, answer.contactTo));
  expect(valueOf(view, Header.authenticationInfo)).toBe(slice(bytes, answer.infoFrom, answer.infoTo));
  const challenge = slice(bytes, answer.challengeFrom, answer.challengeTo);
  expect(view.count(Header.wwwAuthenticate) + view.count(Header.proxyAuthenticate)).toBe(
    answer.challengeId === Header.other ? 0 : 1,
  );
  if (answer.challengeId !== Header.other) expect(valueOf(view, answer.challengeId)).toBe(challenge);
  expect([
    readNumber(view, Header.expires),
    readNumber(view, Header.minExpires),
    readNumber(view, Header.retryAfter),
    readNumber(view, Header.flowTimer),
  ]).toEqual([answer.expires, answer.minExpires, answer.retryAfter, answer.flowTimer]);
}

const quick = (bytes: Uint8Array) => scanAnswer(bytes, 0, bytes.length, answer);
const ok = textOf(fieldMessages[0]!);
const changed = (from: string | RegExp, to: string) => {
  const text = ok.replace(from, to);
  expect(text).not.toBe(ok);
  return bytesOf(text);
};

describe("the usual answers to a REGISTER", () => {
  test("a 200 and a 401 are read at once, wherever they stand", () => {
    for (const bytes of fieldMessages.slice(0, 2)) {
      expect(quick(bytes)).toBe(true);
      agrees(bytes);
      const { status, cseq, branchTo } = answer;
      const slab = bytesOf(`\r\n${textOf(bytes)}\r\n\r\n`);
      expect(scanAnswer(slab, 2, 2 + bytes.length, answer)).toBe(true);
      expect([answer.status, answer.cseq, answer.branchTo]).toEqual([status, cseq, branchTo + 2]);
    }
    expect([answer.status, answer.cseq, answer.challengeId]).toEqual([401, 1826, Header.wwwAuthenticate]);
  });

  test.each([
    [/Contact: .*\r\n/, "Expires: 3600\r\n"],
    [/Contact: .*\r\n/, ""],
    ["200 OK", "423 Interval Too Brief\r\nMin-Expires: 60"],
    ["200 OK", "503 x\r\nRetry-After: 120 (busy);duration=9"],
    ["200 OK", "407 x\r\nProxy-Authenticate: Digest realm=x"],
    ["Server: ", 'Authentication-Info: nextnonce="x"\r\nFlow-Timer: 29\r\nX-Other: '],
    ["Via: ", "v: "],
    ["CSeq: 1827", "CSeq: 0"],
    ["Contact: ", "m:  "],
    ["Content-Length: 0\r\n", ""],
    ["Allow: ", "Allow:"],
  ] as const)("%p → %j is usual", (from, to) => {
    const bytes = changed(from, to);
    expect(quick(bytes)).toBe(true);
    agrees(bytes);
  });

  test.each([
    [/(Via: .*)\r\n/, "$1\r\n$1\r\n"],
    [/(Via: .*)\r\n/, "$1, SIP/2.0/UDP h\r\n"],
    [/(Via: .*)\r\n/, "Via: SIP/2.0/UDP h;branch= x\r\n"],
    [/(Via: .*)\r\n/, 'Via: SIP/2.0/UDP h;x=";branch=y";branch=z\r\n'],
    [";branch", ";Branch"],
    [/;branch=[^\r]*/, ""],
    [/;branch=[^\r]*/, ";branch="],
    [/(Contact: .*\r\n)/, "$1$1"],
    [/(To: .*\r\n)/, "$1$1"],
    [/From: .*\r\n/, ""],
    [/CSeq: .*\r\n/, "Flow-Timer: 1\r\n"],
    ["CSeq: 1827 REGISTER", "CSeq: 1827  REGISTER"],
    ["CSeq: 1827 REGISTER", "CSeq: 4294967296 REGISTER"],
    ["CSeq: 1827 REGISTER", "CSeq: 1827 FOO"],
    ["Content-Length: 0", "Content-Length: 1"],
    ["Content-Length: 0", "Content-Length: 00"],
    ["Content-Length: 0", "Content-Length: 0\r\nContent-Length: 0"],
    ["Content-Length: 0", "Content-Length: 0\r\nl: 0"],
    ["Allow: INVITE,", "Allow: INVITE,\r\n"],
    ["Server: ", "Service-Route: <sip:x;lr>\r\nServer: "],
    ["Server: ", "Path: <sip:x;lr>\r\nServer: "],
    ["Server: ", "Require: outbound\r\nServer: "],
    ["Server: ", "Retry-After: x\r\nServer: "],
    ["Server: ", "Flow-Timer: 1\r\nFlow-Timer: 2\r\nServer: "],
    ["Server: ", "WWW-Authenticate: a\r\nProxy-Authenticate: b\r\nServer: "],
    ["Server: ", `${"X: y\r\n".repeat(256)}Server: `],
    ["Server: ", "Server "],
    ["Server: ", "S@rver: "],
    ["Server: ", ": "],
    ["Server: ", "Ser\rver: "],
    ["SIP/2.0 200 OK", "sip/2.0 200 OK"],
    ["SIP/2.0 200 OK", "SIP/2.0 2000 OK"],
    ["SIP/2.0 200 OK", "SIP/2.0 099 OK"],
    ["SIP/2.0 200 OK", "REGISTER sip:a SIP/2.0"],
    [/$/, "x"],
    [/\r\n$/, ""],
  ] as const)("%p → %j is left to the full scan", (from, to) => {
    expect(quick(changed(from, to))).toBe(false);
  });
});

describe("the full scan is the oracle", () => {
  test("for every torture message and every prefix", () => {
    for (const bytes of [...fieldMessages, ...tortureCases.map((one) => one.bytes)]) {
      for (let to = 0; to <= bytes.length; to++) {
        const part = bytes.slice(0, to);
        if (quick(part)) agrees(part);
      }
    }
  });

  const line = fc.constantFrom(
    "Via: SIP/2.0/UDP h;branch=z9hG4bKx",
    "v: SIP/2.0/UDP h:5060;rport=1;branch=z9hG4bKx;received=1.2.3.4",
    "Via: SIP/2.0/UDP h;branch=a;branch=b",
    "Via: SIP/2.0/UDP h;branch=a ;x",
    "From: <sip:a@b>;tag=1",
    "f: x",
    "To: <sip:a@b>",
    "Call-ID: c",
    "i:c",
    "CSeq: 1 REGISTER",
    "CSeq: 1 REGISTER x",
    "CSeq:1 BYE ",
    "Contact: <sip:a@b>;expires=5, <sip:c@d>",
    "m: *",
    "Expires: 60",
    "Expires: 60 ",
    "Expires: x",
    "Min-Expires: 1",
    "Retry-After: 5 (x)",
    "WWW-Authenticate: Digest realm=x",
    "Proxy-Authenticate: Digest realm=x",
    "Authentication-Info: x",
    "Flow-Timer: 3",
    "Content-Length: 0",
    "l: 0",
    "l: 5",
    "Server: x",
    "Subject: x",
    "X-\xe9: y",
    "X : y",
    "X",
    "Allow: a\r\n b",
    "Allow: a\rb\nc",
    "",
  );

  test("for lines in any order", () => {
    const needed = ["Via: SIP/2.0/UDP h;branch=z9hG4bKx", "From: f", "To: t", "Call-ID: c", "CSeq: 1 REGISTER"];
    const lines = fc
      .array(line, { maxLength: 5 })
      .chain((some) => fc.shuffledSubarray([...needed, ...some], { minLength: 4 }));
    let usual = 0;
    fc.assert(
      fc.property(lines, fc.constantFrom("", "", "", "x"), (some, body) => {
        const bytes = message(["SIP/2.0 200 OK", ...some], body);
        if (!quick(bytes)) return;
        usual++;
        agrees(bytes);
      }),
      { numRuns: 3000 },
    );
    expect(usual).toBeGreaterThan(100);
  });

  test("for bytes changed at random", () => {
    const odd = fc.constantFrom(...Array.from('\r\n\t :;,="<>\0aA0-/'));
    let usual = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...fieldMessages),
        fc.array(fc.tuple(fc.nat(), odd), { maxLength: 3 }),
        (bytes, changes) => {
          const part = bytes.slice();
          for (const [at, char] of changes) part[at % part.length] = char.charCodeAt(0);
          if (!quick(part)) return;
          usual++;
          agrees(part);
        },
      ),
      { numRuns: 3000 },
    );
    expect(usual).toBeGreaterThan(300);
  });

  test("and what it takes, validation takes too when addresses and line breaks are sound", () => {
    for (const bytes of fieldMessages.slice(0, 2)) {
      expect([quick(bytes), validateResponse(viewOf(bytes))]).toEqual([true, true]);
    }
  });
});

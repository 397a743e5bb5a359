import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Header, headerIdOf, headerName, type HeaderId } from "../../../src/sip/message/header.ts";
import { headersMax, messageBytesMax } from "../../../src/sip/message/limits.ts";
import { classifyMethod, Method, methodName, methodOf } from "../../../src/sip/message/method.ts";
import { scan, scanHead } from "../../../src/sip/message/scan.ts";
import { MessageKind, ScanResult, SipView } from "../../../src/sip/message/view.ts";
import { bytesOf, fieldMessages, invite, message, tortureCases, viewOf, viewOfLines } from "./corpus.ts";

const start = "OPTIONS sip:a@b SIP/2.0";

/** Everything a view says, offsets relative to the message. */
function said(view: SipView): unknown {
  const by = view.from;
  const headers = [];
  for (let i = 0; i < view.headerCount; i++) {
    headers.push([
      view.id(i),
      view.lineFrom(i) - by,
      view.valueFrom(i) - by,
      view.valueTo(i) - by,
      view.nextLine(i) - by,
    ]);
  }
  return {
    result: view.result,
    kind: view.kind,
    status: view.status,
    method: view.method,
    spans: [
      [view.methodFrom - by, view.methodTo - by],
      [view.uriFrom - by, view.uriTo - by],
      [view.reasonFrom - by, view.reasonTo - by],
      [view.bodyFrom - by, view.bodyTo - by, view.to - by],
    ],
    contentLength: view.contentLength,
    headers,
  };
}

describe("start line, RFC 3261 §7.1 and §7.2", () => {
  test("a request line has method, Request-URI and version", () => {
    const view = viewOf(invite());
    expect(view.result).toBe(ScanResult.ok);
    expect(view.kind).toBe(MessageKind.request);
    expect(view.method).toBe(Method.invite);
    expect([view.methodText(), view.requestUri(), view.status]).toEqual(["INVITE", "sip:bob@example.com", 0]);
  });

  test("a status line has status and reason, and no method", () => {
    const view = viewOfLines(["SIP/2.0 486 Busy Here", "l: 0"]);
    expect(view.result).toBe(ScanResult.ok);
    expect(view.kind).toBe(MessageKind.response);
    expect([view.status, view.reason(), view.method]).toEqual([486, "Busy Here", Method.other]);
  });

  test.each([
    ["SIP/2.0 200", ScanResult.ok],
    ["SIP/2.0 200 ", ScanResult.ok],
    ["sip/2.0 200 OK", ScanResult.ok],
    ["SIP/2.0 99 x", ScanResult.malformed],
    ["SIP/2.0 099 x", ScanResult.malformed],
    ["SIP/2.0 700 x", ScanResult.malformed],
    ["SIP/2.0 2000 x", ScanResult.malformed],
    ["SIP/2.0 -20 x", ScanResult.malformed],
    ["SIP/2.0  200 x", ScanResult.malformed],
    ["SIP/2.0", ScanResult.malformed],
    ["SIP/1.0 200 OK", ScanResult.badVersion],
    ["SIP/2.1 200 OK", ScanResult.badVersion],
    ["SIP/ 200 OK", ScanResult.badVersion],
    ["SIP/", ScanResult.badVersion],
    ["OPTIONS sip:a@b SIP/2.0", ScanResult.ok],
    ["OPTIONS sip:a@b sip/2.0", ScanResult.ok],
    ["options sip:a@b SIP/2.0", ScanResult.ok],
    ["OPTIONS sip:a@b SIP/7.0", ScanResult.badVersion],
    ["OPTIONS sip:a@b SIP/2.00", ScanResult.badVersion],
    ["OPTIONS sip:a@b SIP/2.0 ", ScanResult.malformed],
    ["OPTIONS sip:a@b  SIP/2.0", ScanResult.malformed],
    ["OPTIONS  sip:a@b SIP/2.0", ScanResult.malformed],
    ["OPTIONS\tsip:a@b SIP/2.0", ScanResult.malformed],
    ["OPTIONS sip:a b SIP/2.0", ScanResult.malformed],
    ["OPTIONS SIP/2.0", ScanResult.malformed],
    ["OPTIONS  SIP/2.0", ScanResult.malformed],
    ["OPTIONS sip:a@b ", ScanResult.malformed],
    ["OPTIONS sip:a@b", ScanResult.malformed],
    ["OPTIONS", ScanResult.malformed],
    [" OPTIONS sip:a@b SIP/2.0", ScanResult.malformed],
    ["OPT(IONS sip:a@b SIP/2.0", ScanResult.malformed],
    ["GET / HTTP/1.1", ScanResult.malformed],
  ] as const)("%j", (line, result) => {
    expect(viewOfLines([line, "l: 0"]).result).toBe(result);
  });

  test("a status over 32 bits is no status", () => {
    expect(viewOfLines(["SIP/2.0 4294967496 OK", "l: 0"])).toMatchObject({ result: ScanResult.malformed, status: 0 });
  });

  test("headers are indexed behind a bad start line, so that it can be refused politely", () => {
    const view = viewOfLines(["OPTIONS  sip:a@b SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bKx", "l: 0"]);
    expect(view.result).toBe(ScanResult.malformed);
    expect(view.method).toBe(Method.options);
    expect(view.value(Header.via)).toBe("SIP/2.0/UDP h;branch=z9hG4bKx");
  });

  test("CR LFs before the start line are skipped (§7.5)", () => {
    const bytes = bytesOf(`\r\n\r\n\r\n${start}\r\nl: 0\r\n\r\n`);
    const view = viewOf(bytes);
    expect(view.result).toBe(ScanResult.ok);
    expect(view.from).toBe(6);
    expect(viewOf(bytesOf("\r\n\r\n")).result).toBe(ScanResult.truncated);
    expect(viewOf(bytesOf("\r")).result).toBe(ScanResult.truncated);
  });
});

describe("header lines, RFC 3261 §7.3", () => {
  test("every name of the table is known in any case, long and compact", () => {
    for (const id of Object.values(Header)) {
      if (id === Header.other) continue;
      const name = headerName(id);
      expect([name, headerIdOf(name), headerIdOf(name.toLowerCase()), headerIdOf(name.toUpperCase())]).toEqual([
        name,
        id,
        id,
        id,
      ]);
    }
    const compact = "a b c d e f i j k l m n o r s t u v x y";
    const long = [
      Header.acceptContact,
      Header.referredBy,
      Header.contentType,
      Header.requestDisposition,
      Header.contentEncoding,
      Header.from,
      Header.callId,
      Header.rejectContact,
      Header.supported,
      Header.contentLength,
      Header.contact,
      Header.identityInfo,
      Header.event,
      Header.referTo,
      Header.subject,
      Header.to,
      Header.allowEvents,
      Header.via,
      Header.sessionExpires,
      Header.identity,
    ];
    expect(compact.split(" ").map((letter) => headerIdOf(letter.toUpperCase()))).toEqual(long);
  });

  test("a name is known by all its letters, not by its hash", () => {
    const known = new Map<string, HeaderId>();
    for (const id of Object.values(Header)) if (id !== Header.other) known.set(headerName(id).toLowerCase(), id);
    // Each known name with each one of its characters changed to any other: same length, mostly same first and last.
    for (const name of known.keys()) {
      for (let i = 0; i < name.length; i++) {
        for (let code = 0; code < 256; code++) {
          const other = name.slice(0, i) + String.fromCharCode(code) + name.slice(i + 1);
          const lower = other.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
          if (lower.length > 1) expect(headerIdOf(other)).toBe(known.get(lower) ?? Header.other);
        }
      }
    }
  });

  test("a CR in the place of a hyphen makes no known name", () => {
    const view = viewOf(bytesOf(`${start}\r\nCall\rID: x\r\nMax\rForwards: 1\r\nl: 0\r\n\r\n`));
    expect(view.result).toBe(ScanResult.malformed);
    expect([view.find(Header.callId), view.find(Header.maxForwards)]).toEqual([-1, -1]);
  });

  test("names such as __proto__ and constructor are names like others", () => {
    const view = viewOfLines([start, "__proto__: 1", "constructor: 2", "toString: 3", "l: 0"]);
    expect(view.result).toBe(ScanResult.ok);
    expect([view.id(0), view.id(1), view.id(2)]).toEqual([0, 0, 0]);
    expect(view.text(view.otherNamed("__PROTO__"))).toBe("1");
    expect(view.text(view.otherNamed("constructor"))).toBe("2");
    expect(view.otherNamed("hasOwnProperty")).toBe(-1);
  });

  test.each([
    ["Subject: a", "a"],
    ["Subject:a", "a"],
    ["Subject :a", "a"],
    ["Subject \t : \t a \t ", "a"],
    ["Subject:", ""],
    ["Subject:   ", ""],
    ["Subject:\r\n a", "a"],
    ["Subject: a\r\n b", "a b"],
    ["Subject: a\r\n\t \t b\r\n c", "a b c"],
    ["Subject: a \r\n \r\n b", "a b"],
    ["Subject: a\r\n \r\n ", "a"],
    ["Subject: a:b:c", "a:b:c"],
    ["Subject: a  b", "a  b"],
    ["S: a", "a"],
  ])("the value of %j", (line, value) => {
    for (let padding = 0; padding < 4; padding++) {
      const view = viewOfLines([start, `X: ${"x".repeat(padding)}`, line, "l: 0"]);
      expect(view.result).toBe(ScanResult.ok);
      expect(view.headerCount).toBe(3);
      expect(view.value(Header.subject)).toBe(value);
    }
  });

  test.each(["no colon here", ": no name", " indented: at once", "Na me: x", "Näme: x", "Name\0: x", "(x): y", "@"])(
    "%j is no header; the ones beside it are still there",
    (line) => {
      const view = viewOfLines([start, ...(line.startsWith(" ") ? [] : ["From: f"]), line, "To: t", "l: 0"]);
      expect(view.result).toBe(ScanResult.malformed);
      expect(view.value(Header.to)).toBe("t");
      expect(view.contentLength).toBe(0);
    },
  );

  test("only CR LF ends a line, wherever a CR or LF alone stands", () => {
    for (let padding = 0; padding < 10; padding++) {
      const before = "x".repeat(padding);
      for (const odd of ["\r", "\n", "\n\r", "\r\r", "\n\n", "\rVia: evil", "\nVia: evil", "\r\r\r"]) {
        const view = viewOf(bytesOf(`${start}\r\nSubject: ${before}${odd}y\r\nTo: t\r\nl: 0\r\n\r\n`));
        expect([view.headerCount, view.find(Header.via), view.value(Header.to)]).toEqual([3, -1, "t"]);
      }
    }
  });

  test("a CR before the CR LF belongs to the value's end and is trimmed with it", () => {
    const view = viewOf(bytesOf(`${start}\r\nSubject: a\r\r\nl: 0\r\n\r\n`));
    expect(view.value(Header.subject)).toBe("a");
  });

  test("find, count and otherNamed walk the lines in order", () => {
    const view = viewOfLines([start, "Via: 1", "X-A: 2", "v: 3", "x-a: 4", "VIA: 5", "l: 0"]);
    const first = view.find(Header.via);
    const second = view.find(Header.via, first);
    const third = view.find(Header.via, second);
    expect([first, second, third, view.find(Header.via, third)]).toEqual([0, 2, 4, -1]);
    expect(view.count(Header.via)).toBe(3);
    expect(view.otherNamed("X-a")).toBe(1);
    expect([view.name(0), view.name(1), view.name(2)]).toEqual(["Via", "X-A", "v"]);
  });

  test("the 256 headers allowed are indexed, one more is too many and Content-Length behind it still counts", () => {
    const lines = Array.from({ length: headersMax - 1 }, (_, i) => `X-${i}: ${i}`);
    expect(viewOfLines([start, ...lines, "l: 0"])).toMatchObject({ result: ScanResult.ok, headerCount: headersMax });
    const over = viewOf(message([start, "X: y", ...lines, "X: z", "l: 3"], "abcdef"));
    expect(over).toMatchObject({ result: ScanResult.tooManyHeaders, headerCount: headersMax, contentLength: 3 });
    expect(over.body()).toEqual(bytesOf("abc"));
    expect(over.text(headersMax - 1)).toBe(String(headersMax - 2));
  });
});

describe("body and Content-Length, RFC 3261 §18.3 and §20.14", () => {
  test.each([
    ["Content-Length: 3", ScanResult.ok, "abc"],
    ["Content-Length: 0003", ScanResult.ok, "abc"],
    ["Content-Length:   3   ", ScanResult.ok, "abc"],
    ["l: 3", ScanResult.ok, "abc"],
    ["L:\r\n 3", ScanResult.ok, "abc"],
    ["Content-Length: 0", ScanResult.ok, ""],
    ["Content-Length: 6", ScanResult.ok, "abcdef"],
    ["X: y", ScanResult.ok, "abcdef"],
    ["Content-Length: 7", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: -1", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: +3", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: 3 3", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: 3, 3", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: 3;x", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: 3.0", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: 0x3", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: 3e0", ScanResult.badContentLength, "abcdef"],
    ["Content-Length:", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: 4294967299", ScanResult.badContentLength, "abcdef"], // 2**32 + 3
    ["Content-Length: 4294967328", ScanResult.badContentLength, "abcdef"], // 2**32 + 32, CVE-2026-23457
    ["Content-Length: 18446744073709551619", ScanResult.badContentLength, "abcdef"], // 2**64 + 3
    [`Content-Length: ${"9".repeat(400)}`, ScanResult.badContentLength, "abcdef"],
    ["Content-Length: 3\r\nContent-Length: 3", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: 3\r\nl: 4", ScanResult.badContentLength, "abcdef"],
    ["Content-Length: x\r\nl: 3", ScanResult.badContentLength, "abcdef"],
    ["X-Content-Length: 3", ScanResult.ok, "abcdef"],
  ] as const)("%j", (line, result, body) => {
    const view = viewOf(message([start, line, "To: t"], "abcdef"));
    expect(view.result).toBe(result);
    expect(Buffer.from(view.body()).toString()).toBe(body);
    expect(view.value(Header.to)).toBe("t");
  });

  test("padded as Asterisk pads it", () => {
    const body = "x".repeat(255);
    expect(viewOf(message([start, "Content-Length:   255"], body)).body().length).toBe(255);
    expect(viewOf(message([start, "Content-Length: 0255"], body)).body().length).toBe(255);
  });

  test("the message ends with its body, whatever follows", () => {
    const view = viewOf(message([start, "l: 2"], "abINVITE sip:x SIP/2.0\r\n"));
    expect(Buffer.from(view.bytes.subarray(view.from, view.to)).toString()).toEndWith("\r\n\r\nab");
  });

  test("without the empty line the message is truncated, and what is whole of it indexed", () => {
    const view = viewOf(bytesOf(`${start}\r\nTo: t\r\nFrom: half`));
    expect(view).toMatchObject({ result: ScanResult.truncated, headerCount: 1 });
    expect(view.value(Header.to)).toBe("t");
    expect(view.body().length).toBe(0);
  });

  test("scanHead asks for no body", () => {
    const bytes = message([start, "l: 500"]);
    const view = new SipView();
    expect(scanHead(bytes, 0, bytes.length, view)).toBe(ScanResult.ok);
    expect(view.contentLength).toBe(500);
  });

  test("more than the largest message is refused unread", () => {
    const fits = message([start, "l: 0"], "x".repeat(messageBytesMax - 32 - 1));
    expect(viewOf(fits.subarray(0, messageBytesMax)).result).toBe(ScanResult.ok);
    expect(viewOf(message([start, "l: 0"], "x".repeat(messageBytesMax))).result).toBe(ScanResult.malformed);
  });
});

describe("the view", () => {
  const messages = [...fieldMessages, ...tortureCases.map(({ bytes }) => bytes)];

  test("is the same wherever the message stands in its buffer, whatever stands around it", () => {
    const view = new SipView();
    fc.assert(
      fc.property(
        fc.constantFrom(...messages),
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom("", "\r\n", ":", " ", "\r\n\r\n", "x", "\n"),
        fc.nat(),
        (bytes, before, after, cut) => {
          const part = bytes.slice(0, bytes.length - (cut % 40));
          const slab = new Uint8Array(before.length + part.length + after.length);
          slab.set(before);
          slab.set(part, before.length);
          slab.set(bytesOf(after), before.length + part.length);
          scan(slab, before.length, before.length + part.length, view);
          expect(said(view)).toEqual(said(viewOf(part)));
        },
      ),
    );
  });

  test("kept, it says the same after its buffer has changed", () => {
    for (const bytes of messages) {
      const slab = new Uint8Array(bytes.length + 10);
      slab.set(bytes, 7);
      const view = new SipView();
      scan(slab, 7, 7 + bytes.length, view);
      const before = said(view);
      const kept = view.keep();
      slab.fill(0);
      expect(said(kept)).toEqual(before);
      expect(kept.from).toBe(0);
      expect(kept.bytes).toEqual(bytes.subarray(view.from - 7, view.to - 7));
      expect(said(kept.keep())).toEqual(before);
    }
  });

  test("nothing of the last message is left for the next", () => {
    const view = new SipView();
    for (const first of messages) {
      for (const second of [fieldMessages[0]!, fieldMessages[2]!, bytesOf("x"), bytesOf("")]) {
        scan(first, 0, first.length, view);
        scan(second, 0, second.length, view);
        expect(said(view)).toEqual(said(viewOf(second)));
      }
    }
  });
});

describe("methods, RFC 3261 §7.1", () => {
  test("each is known in upper case only", () => {
    for (const id of Object.values(Method)) {
      if (id === Method.other) continue;
      const name = methodName(id);
      expect(methodOf(name)).toBe(id);
      const bytes = bytesOf(`<${name}>`);
      expect(classifyMethod(bytes, 1, 1 + name.length)).toBe(id);
      expect(classifyMethod(bytesOf(name.toLowerCase()), 0, name.length)).toBe(Method.other);
      expect(classifyMethod(bytes, 1, name.length)).toBe(Method.other);
      expect(classifyMethod(bytesOf(`${name}X`), 0, name.length + 1)).toBe(Method.other);
    }
    expect([methodOf("FOO"), methodOf(""), methodName(Method.other)]).toEqual([Method.other, Method.other, ""]);
  });
});

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Header, headerIdOf, headerName, type HeaderId } from "../../../src/sip/message/header.ts";
import { methodOf } from "../../../src/sip/message/method.ts";
import { addressOf } from "../../../src/sip/message/read-address.ts";
import { rewrite, type Edits } from "../../../src/sip/message/rewrite.ts";
import { validateResponse } from "../../../src/sip/message/validate.ts";
import { ScanResult, type SipView } from "../../../src/sip/message/view.ts";
import { writeResponse } from "../../../src/sip/message/write-response.ts";
import { MessageWriter } from "../../../src/sip/message/writer.ts";
import { bytesOf, fieldMessages, textOf, tortureCases, viewOf } from "./corpus.ts";

const token = fc.string({
  minLength: 1,
  maxLength: 12,
  unit: fc.constantFrom(...Array.from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")),
});
const knownName = fc
  .constantFrom(...Object.values(Header).filter((id) => id !== Header.other && id !== Header.contentLength))
  .map((id) => headerName(id))
  .chain((name) => fc.constantFrom(name, name.toLowerCase(), name.toUpperCase()));
const name = fc.oneof(knownName, token).filter((text) => headerIdOf(text) !== Header.contentLength);
/** Any bytes but CR LF that a line cannot hold; no white space at the ends, where it does not count. */
const value = fc
  .string({ maxLength: 40, unit: fc.nat(255).map((code) => String.fromCharCode(code)) })
  .map((text) => text.replace(/\r\n/g, "  ").replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ""));
const fold = fc.constantFrom("\r\n ", "\r\n\t ", " \r\n  ");
const foldedValue = fc
  .tuple(value, fold, value)
  .map(([a, between, b]) => (a !== "" && b !== "" ? a + between + b : a + b));
const header = fc.record({
  name,
  colon: fc.constantFrom(":", ": ", " :  ", "\t:\t", ":\r\n "),
  value: fc.oneof(value, foldedValue),
  tail: fc.constantFrom("", " ", "\t "),
});
const startLine = fc.oneof(
  fc.record({
    method: fc.oneof(fc.constantFrom("INVITE", "REGISTER", "ACK"), token),
    uri: fc.string({
      minLength: 1,
      maxLength: 30,
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
    }),
  }),
  fc.record({ status: fc.integer({ min: 100, max: 699 }), reason: value.filter((text) => !/[\r\n]/.test(text)) }),
);
const body = fc.uint8Array({ maxLength: 60 });
const message = fc.record({ startLine, headers: fc.array(header, { maxLength: 20 }), body });

type Written = typeof message extends fc.Arbitrary<infer T> ? T : never;

function write({ startLine, headers, body }: Written): Uint8Array {
  const writer = new MessageWriter();
  if ("method" in startLine) writer.text(`${startLine.method} ${startLine.uri} SIP/2.0\r\n`);
  else writer.text(`SIP/2.0 ${startLine.status} ${startLine.reason}\r\n`);
  for (const one of headers) writer.text(`${one.name}${one.colon}${one.value}${one.tail}\r\n`);
  writer.text(`Content-Length: ${body.length}\r\n\r\n`);
  writer.slice(body, 0, body.length);
  return writer.copy();
}

function raw(view: SipView, i: number): string {
  return textOf(view.bytes.subarray(view.valueFrom(i), view.valueTo(i)));
}

/** Every header line with its id, in order. */
function linesOf(view: SipView): [HeaderId, string][] {
  return Array.from({ length: view.headerCount }, (_, i) => [
    view.id(i),
    textOf(view.bytes.subarray(view.lineFrom(i), view.nextLine(i))),
  ]);
}

describe("what is written is read", () => {
  test("start line, each header and the body", () => {
    fc.assert(
      fc.property(message, (written) => {
        const view = viewOf(write(written));
        expect(view.result).toBe(ScanResult.ok);
        const { startLine, headers } = written;
        if ("method" in startLine) {
          expect([view.methodText(), view.requestUri(), view.method]).toEqual([
            startLine.method,
            startLine.uri,
            methodOf(startLine.method),
          ]);
        } else expect([view.status, view.reason()]).toEqual([startLine.status, startLine.reason]);
        expect(view.headerCount).toBe(headers.length + 1);
        for (const [i, one] of headers.entries()) {
          expect([view.name(i), view.id(i), raw(view, i)]).toEqual([one.name, headerIdOf(one.name), one.value]);
        }
        expect(view.body()).toEqual(written.body);
      }),
      { numRuns: 1000 },
    );
  });

  test("an address: display name and URI", () => {
    const display = fc.string({
      maxLength: 20,
      unit: fc.integer({ min: 0x20, max: 0x10ff }).map((code) => String.fromCodePoint(code)),
    });
    fc.assert(
      fc.property(display, (text) => {
        const quoted = Buffer.from(text.replace(/["\\]/g, "\\$&")).toString("latin1");
        const view = viewOf(bytesOf(`INVITE sip:a@b SIP/2.0\r\nFrom: "${quoted}" <sip:a@b;x>;tag=t\r\n\r\n`));
        const found = addressOf(view, Header.from);
        expect(found?.display).toBe(text === "" ? undefined : text);
        expect([found?.uri, found?.params.get("tag")]).toEqual(["sip:a@b;x", "t"]);
      }),
    );
  });
});

describe("rewriting touches what it is told to and nothing else", () => {
  const line = fc.string({
    minLength: 1,
    maxLength: 20,
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
  });
  const edits: fc.Arbitrary<Edits> = fc.record(
    {
      requestUri: line,
      removeTopVia: fc.boolean(),
      pushVia: line,
      contact: line,
      maxForwards: fc.nat(255),
      pushRecordRoute: line,
      drop: fc.subarray([Header.from, Header.route, Header.other, Header.subject, Header.supported] as HeaderId[]),
      add: fc.array(
        line.map((text) => `X-Added: ${text}`),
        { maxLength: 2 },
      ),
    },
    { requiredKeys: [] },
  );
  const known = [...fieldMessages, ...tortureCases.map(({ bytes }) => bytes)].filter(
    (bytes) => viewOf(bytes).result === ScanResult.ok,
  );
  const bytes = fc.oneof(message.map(write), fc.constantFrom(...known));
  const writer = new MessageWriter();

  test("lines that no edit names go over as they are, in order, and so does the body", () => {
    fc.assert(
      fc.property(bytes, edits, (original, edit) => {
        const before = viewOf(original);
        const after = viewOf(rewrite(before, edit, writer).slice());
        expect(after.result).toBe(ScanResult.ok);
        expect(after.body()).toEqual(before.body());
        const touched = new Set<HeaderId>(edit.drop ?? []);
        if (edit.removeTopVia === true || edit.pushVia !== undefined) touched.add(Header.via);
        if (edit.contact !== undefined) touched.add(Header.contact);
        if (edit.maxForwards !== undefined) touched.add(Header.maxForwards);
        if (edit.pushRecordRoute !== undefined) touched.add(Header.recordRoute);
        if (before.contentLength < 0) touched.add(Header.contentLength);
        const untouched = ([id, text]: [HeaderId, string]) => !touched.has(id) && !text.startsWith("X-Added: ");
        expect(linesOf(after).filter(untouched)).toEqual(linesOf(before).filter(untouched));
        for (const id of edit.drop ?? []) if (id !== Header.other) expect(after.find(id)).toBe(-1);
      }),
      { numRuns: 1000 },
    );
  });

  test("an edit and its undoing give the same bytes", () => {
    fc.assert(
      fc.property(bytes, line, (original, via) => {
        const before = viewOf(original);
        const pushed = viewOf(
          rewrite(before, { pushVia: `SIP/2.0/UDP h;branch=${via.replace(/[;,"<>]/g, "x")}` }, writer).slice(),
        );
        const back = rewrite(pushed, { removeTopVia: true }, writer);
        expect(textOf(back)).toBe(textOf(rewrite(before, {}, new MessageWriter())));
      }),
    );
  });
});

describe("every answer that we write can be read", () => {
  const requests = tortureCases.filter(({ kind }) => kind === "request").map(({ bytes }) => viewOf(bytes));

  test("whatever the request, the reason and the options", () => {
    const writer = new MessageWriter();
    const wild = fc.string({ maxLength: 20, unit: fc.nat(300).map((code) => String.fromCharCode(code)) });
    fc.assert(
      fc.property(
        fc.constantFrom(...requests),
        fc.integer({ min: 100, max: 699 }),
        wild,
        wild,
        body,
        (request, status, reason, odd, content) => {
          const bytes = writeResponse(writer, request, status, reason, {
            toTag: "t1",
            contact: `<sip:a@b>;x=${odd}`,
            headers: [`X-Odd: ${odd}`],
            body: content,
            received: { address: "192.0.2.1", port: 5060 },
          });
          const view = viewOf(bytes.slice());
          expect([view.result, view.status]).toEqual([ScanResult.ok, status]);
          expect(view.body()).toEqual(content);
          expect([view.count(Header.contact), view.count(Header.contentLength)]).toEqual([1, 1]);
          expect(view.count(Header.via)).toBe(request.count(Header.via));
        },
      ),
    );
  });

  test("to a good request with one Via it is a good response", () => {
    const request = viewOf(fieldMessages[2]!);
    const bytes = writeResponse(new MessageWriter(), request, 180, "Ringing", {
      toTag: "t",
      received: { address: "::1", port: 1 },
    });
    expect(validateResponse(viewOf(bytes.slice()))).toBe(true);
  });
});

import { describe, expect, test } from "bun:test";
import { defaultFrameLimits, StreamFramer } from "../../../src/sip/message/framing.ts";
import { messageBytesMax } from "../../../src/sip/message/limits.ts";
import { scan } from "../../../src/sip/message/scan.ts";
import { SipView } from "../../../src/sip/message/view.ts";
import { cpuMs } from "../../fakes/cpu-time.ts";
import { bytesOf } from "./corpus.ts";
import { readEverything } from "./read-everything.ts";

/**
 * Messages of 64 KB built to make each loop as long as it gets. The bound is that of one message in the product; a quadratic
 * loop anywhere takes seconds on these. Processor time counts, since the machine is shared.
 */
const stallMsMax = 50;

const start = "INVITE sip:bob@example.com SIP/2.0\r\n";
const usual =
  "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";
const room = messageBytesMax - start.length - usual.length - 20;
const fill = (piece: string, from = "", to = "") =>
  from + piece.repeat(Math.floor((room - from.length - to.length) / piece.length)) + to;

const evil: Readonly<Record<string, string>> = {
  "thousands of headers": fill("a:b\r\n"),
  "thousands of Vias": fill("v:SIP/2.0/UDP h\r\n"),
  "thousands of Contacts": fill("m:<sip:a@b>\r\n"),
  "thousands of Content-Lengths": fill("l:1\r\n"),
  "thousands of lines without colon": fill("a\r\n"),
  "one line without colon": fill("a", "", "\r\n"),
  "lines of hyphens": fill("-\r\n"),
  folds: fill("\r\n ", "Subject: x", "\r\n"),
  "folds in an address": fill("\r\n ", "Contact: a", "<sip:a@b>\r\n"),
  "spaces before a colon": fill(" ", "Subject", ":\r\n"),
  commas: fill(",", "Contact: ", "\r\n"),
  "commas in a Via": fill(",", "Via: SIP/2.0/UDP h", "\r\n"),
  "commas and spaces": fill(" ,", "Supported: ", "\r\n"),
  semicolons: fill(";", "Contact: <sip:a@b>", "\r\n"),
  parameters: fill(";a", "Contact: <sip:a@b>", "\r\n"),
  "parameters of a Via": fill(";a=b", "Via: SIP/2.0/UDP h", "\r\n"),
  "parameters of a URI": fill(";a", "Contact: <sip:a@b", ">\r\n"),
  "headers of a URI": fill("&a=b", "Contact: <sip:a@b?a=b", ">\r\n"),
  "Contacts in one line": fill(",<sip:a@b>", "Contact: <sip:a@b>", "\r\n"),
  "Contacts without brackets": fill(",sip:a@b", "Contact: sip:a@b", "\r\n"),
  "open quotes": fill('"', "Contact: ", "\r\n"),
  "deep quoting": fill("\\\\", 'Contact: "', '" <sip:a@b>\r\n'),
  "a quote never closed": fill('\\"', 'Contact: "', "\r\n"),
  "quotes in a list": fill('"', "Supported: ", "\r\n"),
  "open brackets": fill("<", "Contact: ", "\r\n"),
  "open square brackets": fill("[", "Via: SIP/2.0/UDP ", "\r\n"),
  colons: fill(":", "Contact: <sip:", ">\r\n"),
  "at signs": fill("@", "Contact: <sip:", ">\r\n"),
  schemes: fill("sip:", "Contact: <", ">\r\n"),
  "schemes with passwords": fill("sip:a:b@", "Contact: <", ">\r\n"),
  escapes: fill("%41", "Contact: <sip:", "@h>\r\n"),
  "a host of dots": fill("a.", "Contact: <sip:", ">\r\n"),
  "an IPv6 of colons": fill("1:", "Contact: <sip:[", "]>\r\n"),
  "line parameters": fill(";line=", "Contact: <sip:a@b", ">\r\n"),
  digits: fill("9", "Expires: ", "\r\n"),
  "digits of a length": fill("9", "Content-Length: ", "\r\n"),
  "digits of a CSeq": fill("9", "CSeq: ", " INVITE\r\n"),
  CRs: fill("\r", "Subject: ", "\r\n"),
  LFs: fill("\n", "Subject: ", "\r\n"),
  "CR and fold": fill("\r\r\n ", "Subject: ", "\r\n"),
  NULs: fill("\0", "Subject: ", "\r\n"),
  tabs: fill("\t", "Contact: ", "\r\n"),
};

/** The best of some runs, until one is well within the bound. */
function bestMs(work: () => void): number {
  let best = Infinity;
  for (let run = 0; run < 4 && best > stallMsMax / 10; run++) best = Math.min(best, cpuMs(work, 1));
  return best;
}

describe("the longest message of each kind is read and written in time", () => {
  const view = new SipView();
  for (const [what, headers] of Object.entries(evil)) {
    test(what, () => {
      for (const text of [start + usual + headers + "\r\n", start + headers + usual + "\r\n"]) {
        const bytes = bytesOf(text);
        expect(bytes.length).toBeLessThanOrEqual(messageBytesMax);
        const ms = bestMs(() => {
          scan(bytes, 0, bytes.length, view);
          readEverything(view);
        });
        expect(ms).toBeLessThan(stallMsMax);
      }
    });
  }

  test("as a start line", () => {
    for (const piece of ["a", " ", "sip:", "@", "SIP/2.0 ", "%41", ";a", "\r"]) {
      for (const text of [
        fill(piece),
        `INVITE sip:${fill(piece)}`,
        `INVITE ${fill(piece)} SIP/2.0`,
        `SIP/2.0 200 ${fill(piece)}`,
      ]) {
        const bytes = bytesOf(`${text}\r\n${usual}\r\n`);
        const ms = bestMs(() => {
          scan(bytes, 0, bytes.length, view);
          readEverything(view);
        });
        expect(ms).toBeLessThan(stallMsMax);
      }
    }
  });
});

describe("a stream that drips costs no more than one that flows", () => {
  const quiet = { onMessage: () => {}, onPing: () => {}, onPong: () => {} };

  test.each([
    ["a head that never ends", fill("a: b\r\n")],
    ["CRs", fill("\r")],
    ["CR LF CR without end", fill("\r\n\r", "x")],
    ["one body", `A sip:a SIP/2.0\r\nl: ${room - 100}\r\n\r\n${"x".repeat(room - 100)}`],
    ["small messages", fill("A sip:a SIP/2.0\r\nl: 0\r\n\r\n")],
    ["keep-alives", fill("\r\n")],
  ])("%s, byte by byte", (_, text) => {
    const bytes = Array.from(bytesOf(text), (byte) => Uint8Array.of(byte));
    const ms = bestMs(() => {
      const framer = new StreamFramer(defaultFrameLimits, quiet);
      for (const byte of bytes) framer.push(byte);
    });
    // 64,000 pushes: each under 4 us on average.
    expect(ms).toBeLessThan(250);
  });
});

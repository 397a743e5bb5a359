import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Address, readAddress } from "../../../src/sip/message/read-address.ts";
import { readNumberAt } from "../../../src/sip/message/read-number.ts";
import { Parameter, parametersOf, readParameter } from "../../../src/sip/message/read-parameter.ts";
import { readViaAt, Via } from "../../../src/sip/message/read-via.ts";
import { parseUri, uriOf, UriSpan } from "../../../src/sip/uri.ts";
import { bytesOf } from "./corpus.ts";

/** A reader over a range: what it returns and what it wrote, offsets counted from the range's start. */
type Reader = (bytes: Uint8Array, from: number, to: number) => unknown;

function relative(from: number, result: number | boolean, out: object): unknown {
  // What did not succeed leaves its fields half written; an address says itself whether it did.
  if (result === false || (result === -1 && !(out instanceof Address && out.ok))) return result;
  const fields = Object.entries(out).map(([name, value]: [string, unknown]) => [
    name,
    typeof value === "number" && /(?:From|To)$/.test(name) ? value - from : value,
  ]);
  return [typeof result === "number" && result >= 0 ? result - from : result, fields];
}

const readers: Readonly<Record<string, Reader>> = {
  readAddress: (bytes, from, to) => {
    const out = new Address();
    return relative(from, readAddress(bytes, from, to, out), out);
  },
  readViaAt: (bytes, from, to) => {
    const out = new Via();
    return relative(from, readViaAt(bytes, from, to, out), out);
  },
  readParameter: (bytes, from, to) => {
    const out = new Parameter();
    return relative(from, readParameter(bytes, from, to, out), out);
  },
  parseUri: (bytes, from, to) => {
    const out = new UriSpan();
    return relative(from, parseUri(bytes, from, to, out), out);
  },
  uriOf,
  readNumberAt,
  parametersOf: (bytes, from, to) => [...parametersOf(bytes, from, to)],
};

const values = [
  '"A \\" B" <sip:a:b@[2001:db8::1]:5060;x=y?h=v>;tag="q;\\"r" , sip:c@d;expires=1',
  "sip:a@b;x=1;y",
  "SIP / 2.0 / UDP [2001:db8::9]:5060 ; rport ; received=[::1];branch=z9hG4bKx, SIP/2.0/TCP h",
  ';a=1 ; b = "x;y,\\"z" ;c;d=[::1]',
  "sip:user;par=u%40example.net:pw@example.com.:5061;p;q=r?a=b&c=d",
  "tel:+1-201-555;x=y",
  "120 (x)",
  "18000;duration=3600",
];
const tails = [
  "",
  "@",
  ">",
  '"',
  ",",
  ";",
  "0",
  "9",
  ":",
  "]",
  "=x",
  " ",
  "\r\n",
  "\\",
  "%41",
  "<",
  ".a",
  "-",
  "=",
  ";tag=x",
];

describe("no reader looks outside its range", () => {
  for (const [name, read] of Object.entries(readers)) {
    test(name, () => {
      fc.assert(
        fc.property(
          fc.constantFrom(...values),
          fc.nat(),
          fc.constantFrom(...tails),
          fc.constantFrom("", "\\", '"', "<", "x", ";", "sip:", "\r\n "),
          (value, cut, after, before) => {
            const part = value.slice(0, cut % (value.length + 1));
            const alone = bytesOf(part);
            const slab = bytesOf(before + part + after);
            const inSlab = read(slab, before.length, before.length + part.length);
            expect([part, inSlab]).toEqual([part, read(alone, 0, alone.length)]);
          },
        ),
        { numRuns: 2000 },
      );
    });
  }
});

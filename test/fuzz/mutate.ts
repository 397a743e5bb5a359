import { fieldMessages, invite, bytesOf, tortureCases } from "../sip/message/corpus.ts";
import type { Seeded } from "./seeded.ts";

/** Real messages of the kinds that the product meets, beside RFC 4475. */
const corpus: readonly Uint8Array[] = [
  ...fieldMessages,
  ...tortureCases.map(({ bytes }) => bytes),
  invite({ Contact: "*", start: "REGISTER sip:example.com SIP/2.0", CSeq: "1 REGISTER", Expires: "0" }),
  invite(
    { "Record-Route": "<sip:a;lr>, <sip:b;lr>", Route: "<sip:c;lr>", "P-Asserted-Identity": '"A" <sip:a@b>, <tel:+1>' },
    "v=0\r\n",
  ),
  bytesOf(
    "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKk1;received=[::1];rport=5\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 2 REGISTER\r\n" +
      'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth-int,auth", stale=true\r\nWWW-Authenticate: Digest realm="r", nonce="m", algorithm=MD5, opaque="o"\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
  ),
  bytesOf(
    'SIP/2.0 200 OK\r\nv: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKk2\r\nf: <sip:a@b>;tag=1\r\nt: <sip:a@b>;tag=2\r\ni: c\r\nCSeq: 3 REGISTER\r\nm: <sip:a@h;line=x>;expires=60;+sip.instance="<urn:uuid:1>", <sip:b@h>;expires=5\r\nService-Route: <sip:s;lr>\r\nPath: <sip:p;lr>\r\nAuthentication-Info: nextnonce="z"\r\nFlow-Timer: 25\r\nl: 0\r\n\r\n',
  ),
];

/** Pieces that parsers trip over. */
const pieces = [
  "\r\n",
  "\r",
  "\n",
  "\r\n\r\n",
  "\r\n ",
  "\0",
  "\t",
  " ",
  ":",
  ";",
  ",",
  '"',
  "\\",
  "<",
  ">",
  "@",
  "%",
  "%00",
  "[",
  "]",
  "::",
  "=",
  "?",
  "/",
  "\x7f",
  "\xff",
  "\xc3\xa9",
  "-1",
  "0",
  "256",
  "65536",
  "4294967296",
  "4294967328",
  "18446744073709551616",
  "99999999999999999999999999",
  "1e9",
  "SIP/2.0",
  "SIP/3.0",
  "sip:",
  "sips:",
  "tel:",
  "Via: SIP/2.0/UDP h;branch=z9hG4bKy\r\n",
  "v:",
  "Content-Length: 5\r\n",
  "l: 0\r\n",
  "CSeq: 1 BYE\r\n",
  "Contact: *\r\n",
  ";tag=",
  ";branch=",
  ";received=[::1]",
  ";rport",
  ";lr",
  ";expires=",
  "z9hG4bK",
  "INVITE sip:x@y SIP/2.0\r\n",
  "__proto__",
  "constructor",
];
const largest = 65_535;

/** A message of the corpus, changed one to eight times. Never longer than a datagram. */
export function mutant(random: Seeded): Uint8Array {
  let bytes: Uint8Array = random.pick(corpus);
  for (let left = 1 + random.below(8); left > 0; left--) bytes = change(bytes, random);
  return bytes.length > largest ? bytes.slice(0, largest) : bytes;
}

function change(bytes: Uint8Array, random: Seeded): Uint8Array {
  if (bytes.length === 0) return bytesOf(random.pick(pieces));
  const at = random.below(bytes.length);
  const to = Math.min(bytes.length, at + 1 + random.below(random.below(4) === 0 ? 400 : 12));
  switch (random.below(10)) {
    case 0: {
      const copy = bytes.slice();
      copy[at] = random.below(256);
      return copy;
    }
    case 1: {
      const copy = bytes.slice();
      copy[at]! ^= 1 << random.below(8);
      return copy;
    }
    case 2:
      return joined(bytes.subarray(0, at), bytes.subarray(to));
    case 3:
      return joined(bytes.subarray(0, to), bytes.subarray(at));
    case 4:
      return bytes.slice(0, at);
    case 5: {
      const other = random.pick(corpus);
      return joined(bytes.subarray(0, at), other.subarray(random.below(other.length)));
    }
    case 6: {
      // Much of the same: where quadratic loops show.
      const times = 1 + random.below(random.below(20) === 0 ? 4000 : 20);
      const piece = random.below(2) === 0 ? bytes.slice(at, to) : bytesOf(random.pick(pieces));
      const repeated = new Uint8Array(Math.min(times * piece.length, largest));
      for (let i = 0; i < repeated.length; i++) repeated[i] = piece[i % piece.length]!;
      return joined(bytes.subarray(0, at), repeated, bytes.subarray(at));
    }
    case 7:
      return swappedLines(bytes, random);
    default:
      return joined(
        bytes.subarray(0, at),
        bytesOf(random.pick(pieces)),
        bytes.subarray(random.below(2) === 0 ? at : to),
      );
  }
}

function swappedLines(bytes: Uint8Array, random: Seeded): Uint8Array {
  const lines = Buffer.from(bytes).toString("latin1").split("\r\n");
  const a = random.below(lines.length);
  const b = random.below(lines.length);
  [lines[a], lines[b]] = [lines[b]!, lines[a]!];
  return bytesOf(lines.join("\r\n"));
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

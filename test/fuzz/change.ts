import type { Seeded } from "./seeded.ts";

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

/** `bytes`, changed one to eight times, sometimes by parts of `donors`. Never longer than a datagram. */
export function changed(bytes: Uint8Array, random: Seeded, donors: readonly Uint8Array[]): Uint8Array {
  let now = bytes;
  for (let left = 1 + random.below(8); left > 0; left--) now = change(now, random, donors);
  return now.length > largest ? now.slice(0, largest) : now;
}

function change(bytes: Uint8Array, random: Seeded, donors: readonly Uint8Array[]): Uint8Array {
  if (bytes.length === 0) return latin1(random.pick(pieces));
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
      const other = random.pick(donors);
      return joined(bytes.subarray(0, at), other.subarray(random.below(other.length)));
    }
    case 6: {
      // Much of the same: where quadratic loops show.
      const times = 1 + random.below(random.below(20) === 0 ? 4000 : 20);
      const piece = random.below(2) === 0 ? bytes.slice(at, to) : latin1(random.pick(pieces));
      const repeated = new Uint8Array(Math.min(times * piece.length, largest));
      for (let i = 0; i < repeated.length; i++) repeated[i] = piece[i % piece.length]!;
      return joined(bytes.subarray(0, at), repeated, bytes.subarray(at));
    }
    case 7:
      return swappedLines(bytes, random);
    default:
      return joined(
        bytes.subarray(0, at),
        latin1(random.pick(pieces)),
        bytes.subarray(random.below(2) === 0 ? at : to),
      );
  }
}

function swappedLines(bytes: Uint8Array, random: Seeded): Uint8Array {
  const lines = Buffer.from(bytes).toString("latin1").split("\r\n");
  const a = random.below(lines.length);
  const b = random.below(lines.length);
  [lines[a], lines[b]] = [lines[b]!, lines[a]!];
  return latin1(lines.join("\r\n"));
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

function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

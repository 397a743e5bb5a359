/** HOT. Numbers as RFC 4648 base32 digits in lower case, highest first: what line tokens and branches are written in. */

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
/** Second and first digit of a number of ten bits. */
const lowOf = new Uint8Array(1024);
const highOf = new Uint8Array(1024);
/** Value plus one; 0 for a byte that is no digit. */
const valueOf = new Uint8Array(256);
for (let value = 0; value < 32; value++) {
  valueOf[alphabet.charCodeAt(value)] = value + 1;
}

for (let value = 0; value < 1024; value++) {
  lowOf[value] = alphabet.charCodeAt(value & 31);
  highOf[value] = alphabet.charCodeAt(value >>> 5);
}

/** Digits a 32-bit word takes. */
export const wordDigits = 7;
/** Digits a row number takes: 20 bits. */
export const rowDigits = 4;

/** Writes the low `digits * 5` bits of a 32-bit `value`, signed or not, at bytes[at …). Returns the offset behind. */
export function writeBase32(bytes: Uint8Array, at: number, value: number, digits: number): number {
  let rest = value;
  let i = at + digits;
  // Two digits a look-up.
  for (; i > at + 1; i -= 2) {
    bytes[i - 1] = lowOf[rest & 1023]!;
    bytes[i - 2] = highOf[rest & 1023]!;
    rest >>>= 10;
  }
  if (i > at) bytes[at] = lowOf[rest & 31]!;
  return at + digits;
}

/** Whether bytes[at …) are what `writeBase32` would write. */
export function isBase32(bytes: Uint8Array, at: number, value: number, digits: number): boolean {
  let rest = value;
  let i = at + digits;
  for (; i > at + 1; i -= 2) {
    if (bytes[i - 1] !== lowOf[rest & 1023] || bytes[i - 2] !== highOf[rest & 1023]) return false;
    rest >>>= 10;
  }
  return i === at || bytes[at] === lowOf[rest & 31];
}

/** The unsigned number that `digits` digits at bytes[at …) spell; -1 when one is no digit or it is over 32 bits. */
export function readBase32(bytes: Uint8Array, at: number, digits: number): number {
  let value = 0;
  for (let i = at; i < at + digits; i++) {
    const digit = valueOf[bytes[i] ?? 0]!;
    if (digit === 0) return -1;
    value = value * 32 + digit - 1;
  }
  return value <= 0xffffffff ? value : -1;
}

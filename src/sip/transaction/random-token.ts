import type { Random } from "../../time/random.ts";

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** `length` characters of 5 random bits each, for tags and branches. */
export function randomToken(random: Random, length: number): string {
  const bytes = new Uint8Array(length);
  random.bytes(bytes);
  let token = "";
  for (const byte of bytes) token += alphabet[byte & 31]!;
  return token;
}

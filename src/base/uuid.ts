import { hexHigh, hexLow } from "./hex.ts";

/**
 * UUIDs as the store keeps them: 16 bytes. Text that is not a UUID has no bytes, so an id from the network can be looked up
 * without further checks and finds nothing.
 */
const dash = 45;
/** The dashes stay where they are. */
const written = Buffer.alloc(36, dash);

/** Undefined unless `text` is 36 characters of hexadecimal digits (of either case) and dashes in the usual places. */
export function uuidBytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  return readUuid(text, bytes) ? bytes : undefined;
}

/** The same into the first 16 bytes of `into`; false, and `into` as it comes, when `text` is no UUID. */
export function readUuid(text: string, into: Uint8Array): boolean {
  if (text.length !== 36) return false;
  let at = 0;
  for (let n = 0; n < 16; n++) {
    if (at === 8 || at === 13 || at === 18 || at === 23) {
      if (text.charCodeAt(at) !== dash) return false;
      at++;
    }
    const high = nibble(text.charCodeAt(at));
    const low = nibble(text.charCodeAt(at + 1));
    if (high < 0 || low < 0) return false;
    into[n] = (high << 4) | low;
    at += 2;
  }
  return true;
}

/** Lower-case text of 16 bytes. Made in one piece: a text put together of parts is copied once more by whoever reads it or looks it up. */
export function uuidText(bytes: Uint8Array): string {
  let at = 0;
  for (let n = 0; n < 16; n++) {
    if (n === 4 || n === 6 || n === 8 || n === 10) at++;
    const byte = bytes[n] ?? 0;
    written[at] = hexHigh[byte]!;
    written[at + 1] = hexLow[byte]!;
    at += 2;
  }
  return written.toString("latin1");
}

function nibble(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 102) return code - 87;
  if (code >= 65 && code <= 70) return code - 55;
  return -1;
}

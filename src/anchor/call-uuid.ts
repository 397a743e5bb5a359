import type { CallUuid } from "../base/ids.ts";
import { uuidText } from "../base/uuid.ts";
import type { Random } from "../time/random.ts";

const bytes = new Uint8Array(16);

/** A UUID of version 7 (RFC 9562 §5.7): 48 bits of Unix time in ms, the rest random, so that calls sort by their start. */
export function newCallUuid(random: Random, wallMs: number): CallUuid {
  random.bytes(bytes);
  let time = Math.max(0, Math.floor(wallMs));
  for (let i = 5; i >= 0; i--) {
    bytes[i] = time % 256;
    time = Math.floor(time / 256);
  }
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  return uuidText(bytes) as CallUuid;
}

const tagBytes = new Uint8Array(10);

/** A tag of 80 random bits (RFC 3261 §19.3 wants at least 32). */
export function newTag(random: Random): string {
  random.bytes(tagBytes);
  return Buffer.from(tagBytes).toString("hex");
}

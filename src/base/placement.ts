import type { AccountId } from "./ids.ts";

const zero = 48; // "0"
const dash = 45; // "-"

/**
 * Unsigned 32-bit hash of an account id: FNV-1a over the digits of its text, finished with murmur3's mixer so that the low
 * bits of ids made in one millisecond (UUIDv7) spread too. Kept in the store's `placement` column: it must never change.
 */
export function placementHash(accountId: AccountId): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < accountId.length; at++) {
    const code = accountId.charCodeAt(at);
    if (code !== dash) hash = Math.imul(hash ^ (code - zero), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The shard that owns an account, 0 … shards − 1; the same on every thread and after every restart with as many shards. */
export function placement(accountId: AccountId, shards: number): number {
  return placementHash(accountId) % shards;
}

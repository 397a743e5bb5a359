import { LRUCache } from "lru-cache";
import type { Clock } from "../time/clock.ts";

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Token buckets by key (address, device, account). When more keys come than it remembers, the longest unused is forgotten. */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #perSec: number;
  readonly #buckets: LRUCache<string, Bucket>;

  constructor(options: {
    readonly clock: Clock;
    readonly burst: number;
    readonly perSec: number;
    readonly keysMax: number;
  }) {
    this.#clock = options.clock;
    this.#burst = options.burst;
    this.#perSec = options.perSec;
    this.#buckets = new LRUCache({ max: options.keysMax });
  }

  /** Takes one; returns 0, or the seconds until there is one again (then nothing was taken). */
  take(key: string): number {
    const waitSec = this.waitSec(key);
    if (waitSec === 0) this.#bucket(key).tokens--;
    return waitSec;
  }

  /** Seconds until one could be taken; 0: now. Takes nothing. */
  waitSec(key: string): number {
    const { tokens } = this.#bucket(key);
    return tokens >= 1 ? 0 : (1 - tokens) / this.#perSec;
  }

  #bucket(key: string): Bucket {
    const nowMs = this.#clock.nowMs();
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: this.#burst, atMs: nowMs };
      this.#buckets.set(key, bucket);
      return bucket;
    }
    bucket.tokens = Math.min(this.#burst, bucket.tokens + ((nowMs - bucket.atMs) / 1_000) * this.#perSec);
    bucket.atMs = nowMs;
    return bucket;
  }
}

import { LRUCache } from "lru-cache";
import type { Clock } from "../time/clock.ts";
import type { DnsAnswer, DnsClient, DnsType } from "./dns.ts";

const namesMax = 16_384;
export const ttlFloorSec = 5;
export const ttlCapSec = 3_600;
/** Where the resolver does not tell (SRV, NAPTR); it has a cache of its own that knows. */
const unknownTtlSec = 60;
/** How long "there is no such thing" is believed, and how long "nobody could tell". */
const noneTtlSec = 30;
const failedTtlSec = 5;
/** RFC 8767: when nobody can tell, what was known still serves, for so long after its time and then again for a while. */
const staleMsMax = 3_600_000;
const staleTtlSec = 30;

export interface CachedAnswer {
  readonly answer: DnsAnswer;
  readonly expiresAtMs: number;
}

/** Answers by name and type with their times; a question that is being asked is not asked twice. */
export class DnsCache {
  readonly #client: DnsClient;
  readonly #clock: Clock;
  readonly #known = new LRUCache<string, CachedAnswer>({ max: namesMax });
  readonly #asking = new Map<string, ((cached: CachedAnswer) => void)[]>();

  constructor(client: DnsClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** What is known and fresh. */
  peek(type: DnsType, name: string): CachedAnswer | undefined {
    const known = this.#known.get(keyOf(type, name));
    return known !== undefined && known.expiresAtMs > this.#clock.nowMs() ? known : undefined;
  }

  /** `done` is called once, possibly during the call. */
  ask(type: DnsType, name: string, timeoutMs: number, done: (cached: CachedAnswer) => void): void {
    const key = keyOf(type, name);
    const asking = this.#asking.get(key);
    if (asking !== undefined) {
      asking.push(done);
      return;
    }
    this.#asking.set(key, [done]);
    this.#client.query(type, name, timeoutMs, (answer) => {
      const cached = this.#keep(key, answer);
      const waiting = this.#asking.get(key) ?? [];
      this.#asking.delete(key);
      for (const one of waiting) one(cached);
    });
  }

  #keep(key: string, answer: DnsAnswer): CachedAnswer {
    const nowMs = this.#clock.nowMs();
    const old = this.#known.get(key);
    const useOld = answer.kind === "failed" && old?.answer.kind === "records" && nowMs - old.expiresAtMs < staleMsMax;
    const cached = useOld
      ? { answer: old.answer, expiresAtMs: nowMs + staleTtlSec * 1_000 }
      : { answer, expiresAtMs: nowMs + ttlOf(answer) * 1_000 };
    this.#known.set(key, cached);
    return cached;
  }
}

function ttlOf(answer: DnsAnswer): number {
  switch (answer.kind) {
    case "records":
      return Math.min(Math.max(answer.ttlSec ?? unknownTtlSec, ttlFloorSec), ttlCapSec);
    case "none":
      return noneTtlSec;
    case "failed":
      return failedTtlSec;
    default:
      return answer satisfies never;
  }
}

function keyOf(type: DnsType, name: string): string {
  return `${type} ${name}`;
}

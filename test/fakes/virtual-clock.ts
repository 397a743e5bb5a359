import type { Clock } from "../../src/time/clock.ts";
import type { Random } from "../../src/time/random.ts";

/** 24 November 2026, 12:00 UTC: a wall clock that tests can print. */
const startWallMs = 1_795_521_600_000;

/** A clock that moves only when told. */
export class VirtualClock implements Clock {
  #nowMs: number;
  #wallOffsetMs: number;

  constructor(nowMs = 1000, wallMs = startWallMs) {
    this.#nowMs = nowMs;
    this.#wallOffsetMs = wallMs - nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  /** Moves forward to `nowMs`; never back. */
  moveTo(nowMs: number): void {
    if (nowMs > this.#nowMs) this.#nowMs = nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }

  /** Somebody set the time of day: the wall clock jumps, the monotonic one does not notice. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }
}

/** Randomness that a seed replays (splitmix32). */
export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  #word(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  next(): number {
    return this.#word() / 2 ** 32;
  }

  bytes(into: Uint8Array): void {
    for (let at = 0; at < into.length; at++) into[at] = this.#word() & 255;
  }
}

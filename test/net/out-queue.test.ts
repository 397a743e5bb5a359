import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { OutQueue } from "../../src/net/out-queue.ts";

describe("messages that wait to be written", () => {
  test("come out whole and in order however little is taken at a time", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 40_000 }), { maxLength: 12 });
    const bites = fc.array(fc.integer({ min: 200, max: 50_000 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(sizes, bites, (lengths, taken) => {
        const queue = new OutQueue();
        const all = lengths.map((length, n) => new Uint8Array(length).fill(n + 1));
        for (const message of all) queue.push(message);
        const out: Uint8Array[] = [];
        for (let n = 0, next = queue.next(); next !== undefined; n++, next = queue.next()) {
          const bite = Math.min(taken[n % taken.length] ?? 1, next.length);
          out.push(next.slice(0, bite));
          queue.consume(bite);
          expect(queue.bytes).toBe(
            all.reduce((sum, { length }) => sum + length, 0) - out.reduce((sum, { length }) => sum + length, 0),
          );
        }
        expect(Buffer.compare(Buffer.concat(out), Buffer.concat(all))).toBe(0);
        expect(queue.count).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  test("are joined once, however little is taken at a time", () => {
    const queue = new OutQueue();
    for (let n = 0; n < 60; n++) queue.push(new Uint8Array(1000).fill(n));
    const { buffer } = queue.next()!;
    for (let at = 0; at < 60_000; at++) {
      const next = queue.next()!;
      if (next.buffer !== buffer || next[0] !== Math.floor(at / 1000)) throw new Error(`copied at ${at}`);
      queue.consume(1);
    }
    expect(queue.next()).toBeUndefined();
    queue.push(Uint8Array.of(7));
    expect(queue.next()).toEqual(Uint8Array.of(7));
  });

  test("count until their last byte is written", () => {
    const queue = new OutQueue();
    queue.push(new Uint8Array(10));
    queue.push(new Uint8Array(10));
    queue.consume(9);
    expect(queue.count).toBe(2);
    queue.consume(1);
    expect(queue.count).toBe(1);
    queue.consume(10);
    expect(queue.count).toBe(0);
    expect(queue.next()).toBeUndefined();
  });
});

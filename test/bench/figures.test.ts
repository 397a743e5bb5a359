import { describe, expect, test } from "bun:test";
import { compare, readFigures, smallest } from "../../bench/figures.ts";

describe("figures of benches", () => {
  test("reads mitata's lines and our own, in ns and bytes", () => {
    const text = [
      "benchmark                   avg (min … max) p75 / p99",
      "\u001b[1mscan 200, 594 B\u001b[0m            238.10 ns/iter 240.00 ns",
      "                       (175.05 ns … 1.19 µs) 895.57 ns █",
      "write one                     1.50 µs/iter   1.60 µs",
      "wake, 16 a batch: 1.25 us",
      "memory: 4 KB a row",
      "start with 100000 new accounts: 1,120 ms",
      "no figure here: none",
    ].join("\n");
    expect(readFigures(text)).toEqual({
      "scan 200, 594 B": 175.05,
      "write one": 1_500,
      "wake, 16 a batch": 1_250,
      memory: 4_000,
      "start with N new accounts": 1_120e6,
    });
  });

  test("the least disturbed of several runs counts", () => {
    expect(smallest([{ a: 3, b: 1 }, { a: 2 }])).toEqual({ a: 2, b: 1 });
  });

  test("tells what changed by more than the threshold, either way, and passes over what is new", () => {
    const found = compare({ a: 100, b: 100, c: 100 }, { a: 111, b: 90, c: 105, d: 1 }, 0.1);
    expect(found.map(({ name, verdict }) => `${name} ${verdict}`)).toEqual(["a slower", "b faster", "c same"]);
  });
});

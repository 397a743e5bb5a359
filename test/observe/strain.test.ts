import { describe, expect, test } from "bun:test";
import { Counter, Lane } from "../../src/observe/lanes.ts";
import { Strain, StrainLevel, worstStrain } from "../../src/observe/strain.ts";

function lanesOf(count: number): Lane[] {
  const buffer = new SharedArrayBuffer(Lane.bytes(count));
  return Array.from({ length: count }, (_, lane) => new Lane(buffer, lane));
}

const everyMs = 10;

function strainOf(lane = lanesOf(1)[0]!): Strain {
  return new Strain(lane, everyMs);
}

/** The timer runs so late for so long. */
function late(strain: Strain, lateMs: number, forMs: number): number {
  for (let atMs = 0; atMs < forMs; atMs += everyMs + Math.max(lateMs, 0)) strain.note(lateMs);
  return strain.level;
}

describe("the strain of a thread", () => {
  test("is none for one pause, however long", () => {
    for (const pauseMs of [100, 400, 5_000]) {
      const strain = strainOf();
      late(strain, 1, 1_000);
      strain.note(pauseMs);
      expect(strain.level).toBe(StrainLevel.none);
    }
  });

  test("is none for a timer that is late on a machine with much else to do", () => {
    expect(late(strainOf(), 80, 60_000)).toBe(StrainLevel.none);
  });

  test("begins with timers that run late for seconds, and gets severe", () => {
    const strain = strainOf();
    expect(late(strain, 150, 1_000)).toBe(StrainLevel.none);
    expect(late(strain, 150, 4_000)).toBe(StrainLevel.strained);
    expect(late(strain, 150, 60_000)).toBe(StrainLevel.strained);
    expect(late(strain, 600, 6_000)).toBe(StrainLevel.severe);
  });

  test("ends by itself, later than it begins, so that it does not flutter", () => {
    const strain = strainOf();
    late(strain, 5_000, 60_000);
    expect(late(strain, 150, 10_000)).toBe(StrainLevel.severe);
    expect(late(strain, 60, 10_000)).toBe(StrainLevel.strained);
    expect(late(strain, 0, 5_000)).toBe(StrainLevel.none);
  });

  test("a peak of lateness stands in the lane for a second at least, whenever it comes, and two at most", () => {
    for (let beforeMs = 0; beforeMs <= 1_100; beforeMs += 100) {
      const [lane] = lanesOf(1);
      const strain = strainOf(lane);
      late(strain, 0, beforeMs);
      strain.note(300);
      expect(lane!.get(Counter.loopDelayMs)).toBe(300);
      late(strain, 7, 1_000);
      expect(lane!.get(Counter.loopDelayMs)).toBe(300);
      late(strain, 7, 1_100);
      expect(lane!.get(Counter.loopDelayMs)).toBe(7);
      late(strain, -5, 2_100);
      expect(lane!.get(Counter.loopDelayMs)).toBe(0);
    }
  });

  test("a clock that went back is no strain", () => {
    const strain = strainOf();
    for (let n = 0; n < 10; n++) strain.note(-1e9);
    expect(strain.level).toBe(StrainLevel.none);
    expect(late(strain, 150, 4_000)).toBe(StrainLevel.strained);
  });

  test("stands in the thread's lane; the worst of all lanes counts", () => {
    const lanes = lanesOf(3);
    const [first, second] = lanes.map((lane) => strainOf(lane));
    expect(worstStrain(lanes)).toBe(StrainLevel.none);
    late(first!, 150, 10_000);
    late(second!, 1_000, 60_000);
    expect(lanes.map((lane) => lane.get(Counter.strain))).toEqual([1, 2, 0]);
    expect(worstStrain(lanes)).toBe(StrainLevel.severe);
  });
});

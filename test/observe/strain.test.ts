import { describe, expect, test } from "bun:test";
import { Counter, Lane } from "../../src/observe/lanes.ts";
import { Strain, StrainLevel, worstStrain } from "../../src/observe/strain.ts";

function lanesOf(count: number): Lane[] {
  const buffer = new SharedArrayBuffer(Lane.bytes(count));
  return Array.from({ length: count }, (_, lane) => new Lane(buffer, lane));
}

function note(strain: Strain, lateMs: number, times: number): number {
  for (let n = 0; n < times; n++) strain.note(lateMs);
  return strain.level;
}

describe("the strain of a thread", () => {
  test("is none for one long pause, such as a collection of garbage", () => {
    const strain = new Strain(lanesOf(1)[0]!);
    note(strain, 1, 100);
    expect(note(strain, 400, 1)).toBe(StrainLevel.none);
    expect(note(strain, 1, 100)).toBe(StrainLevel.none);
  });

  test("begins with timers that run late again and again, and gets severe", () => {
    const strain = new Strain(lanesOf(1)[0]!);
    expect(note(strain, 30, 1_000)).toBe(StrainLevel.none);
    expect(note(strain, 100, 20)).toBe(StrainLevel.strained);
    expect(note(strain, 100, 1_000)).toBe(StrainLevel.strained);
    expect(note(strain, 600, 20)).toBe(StrainLevel.severe);
  });

  test("ends by itself, later than it begins, so that it does not flutter", () => {
    const strain = new Strain(lanesOf(1)[0]!);
    note(strain, 5_000, 100);
    expect(note(strain, 100, 100)).toBe(StrainLevel.severe);
    expect(note(strain, 40, 100)).toBe(StrainLevel.strained);
    expect(note(strain, 0, 20)).toBe(StrainLevel.none);
  });

  test("a clock that went back is no strain", () => {
    const strain = new Strain(lanesOf(1)[0]!);
    expect(note(strain, -1e9, 10)).toBe(StrainLevel.none);
    expect(note(strain, 100, 20)).toBe(StrainLevel.strained);
  });

  test("stands in the thread's lane; the worst of all lanes counts", () => {
    const lanes = lanesOf(3);
    const [first, second] = lanes.map((lane) => new Strain(lane));
    expect(worstStrain(lanes)).toBe(StrainLevel.none);
    note(first!, 100, 100);
    note(second!, 1_000, 100);
    expect(lanes.map((lane) => lane.get(Counter.strain))).toEqual([1, 2, 0]);
    expect(worstStrain(lanes)).toBe(StrainLevel.severe);
  });
});

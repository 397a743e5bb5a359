import { describe, expect, test } from "bun:test";
import type { AccountId } from "../../src/base/ids.ts";
import { placement, placementHash } from "../../src/base/placement.ts";

const id = (text: string): AccountId => text as AccountId;

describe("placement of accounts on shards", () => {
  test("the hash stands in databases: these values never change", () => {
    expect(placementHash(id("00000000-0000-0000-0000-000000000000"))).toBe(3_521_442_212);
    expect(placementHash(id("0197c2a4-5b1e-7c3d-8f00-0123456789ab"))).toBe(416_362_247);
  });

  test("every shard gets its share, also of ids made one after another", () => {
    for (const shards of [2, 3, 4, 8, 16]) {
      const perShard = Array.from<number>({ length: shards }).fill(0);
      const ids = 20_000;
      for (let n = 0; n < ids; n++) perShard[placement(id(Bun.randomUUIDv7()), shards)]! += 1;
      const fair = ids / shards;
      for (const count of perShard) expect(Math.abs(count - fair)).toBeLessThan(fair * 0.15);
    }
  });

  test("one shard owns everything", () => {
    expect(placement(id(Bun.randomUUIDv7()), 1)).toBe(0);
  });
});

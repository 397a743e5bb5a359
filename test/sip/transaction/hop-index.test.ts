import { expect, test } from "bun:test";
import type { Hop } from "../../../src/sip/transaction/hop.ts";
import { HopIndex } from "../../../src/sip/transaction/hop-index.ts";

test("a hop knows the items that use it, and forgets those that left", () => {
  const hop = (): Hop => ({ reliable: true, send: () => {} });
  const [a, b] = [hop(), hop()];
  const index = new HopIndex<{ hop: Hop }>();
  const [one, two] = [{ hop: a }, { hop: a }];
  index.add(one);
  index.add(two);
  expect([...index.on(a)]).toEqual([one, two]);
  index.move(one, b);
  expect(one.hop).toBe(b);
  expect([...index.on(a)]).toEqual([two]);
  expect([...index.on(b)]).toEqual([one]);
  index.remove(two);
  expect([...index.on(a)]).toEqual([]);
  index.remove(two);
  index.add(two);
  expect([...index.on(a)]).toEqual([two]);
});

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { batchBytesMax, batchCountMax, DatagramBatch } from "../../src/net/datagram-batch.ts";
import type { PeerId } from "../../src/net/network.ts";

function groupsOf(batch: DatagramBatch): string[][] {
  const groups = batch.group();
  return Array.from({ length: groups }, (_, group) => {
    const entries = [...batch.order.subarray(batch.groupFrom[group], batch.groupFrom[group + 1])];
    return entries.map((entry) => {
      const offset = batch.offset(entry);
      const bytes = batch.bytes.subarray(offset, offset + batch.length(entry));
      return `${batch.peer(entry)} ${Buffer.from(bytes).toString("latin1")}`;
    });
  });
}

describe("datagrams of a burst", () => {
  test("are grouped by peer and length, in the order in which they came", () => {
    const batch = new DatagramBatch();
    const datagram = fc.record({
      peer: fc.integer({ min: 1, max: 5 }),
      text: fc.string({ maxLength: 4, unit: "binary-ascii" }),
    });
    fc.assert(
      fc.property(fc.array(datagram, { maxLength: 200 }), (datagrams) => {
        batch.clear();
        for (const { peer, text } of datagrams) {
          const bytes = Buffer.from(`<${text}>`, "latin1");
          expect(batch.add(peer as PeerId, bytes, 1, bytes.length - 1)).toBe(true);
        }
        const expected = Map.groupBy(datagrams, ({ peer, text }) => `${peer} ${text.length}`);
        expect(groupsOf(batch)).toEqual(
          [...expected.values()].map((group) => group.map(({ peer, text }) => `${peer} ${text}`)),
        );
      }),
    );
  });

  test("say when there is no room: too many, or too many bytes", () => {
    const batch = new DatagramBatch();
    const one = Uint8Array.of(1);
    for (let n = 0; n < batchCountMax; n++) expect(batch.add(1 as PeerId, one, 0, 1)).toBe(true);
    expect(batch.add(1 as PeerId, one, 0, 1)).toBe(false);
    batch.clear();
    const large = new Uint8Array(65_000);
    for (let bytes = large.length; bytes <= batchBytesMax; bytes += large.length) {
      expect(batch.add(1 as PeerId, large, 0, large.length)).toBe(true);
    }
    expect(batch.add(1 as PeerId, large, 0, large.length)).toBe(false);
    expect(batch.count).toBe(Math.floor(batchBytesMax / large.length));
  });
});

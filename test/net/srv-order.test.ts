import { describe, expect, test } from "bun:test";
import { orderServers, type SrvRecord } from "../../src/net/srv-order.ts";
import { SeededRandom } from "../fakes/virtual-clock.ts";

const server = (target: string, priority: number, weight: number, port = 5060): SrvRecord => ({
  type: "SRV",
  target,
  port,
  priority,
  weight,
});

describe("order of servers, RFC 2782", () => {
  test("lower priority first, whatever the weights", () => {
    const records = [server("c", 20, 100), server("a", 1, 0), server("b", 10, 1)];
    for (let seed = 0; seed < 20; seed++) {
      expect(orderServers(records, new SeededRandom(seed)).map(({ target }) => target)).toEqual(["a", "b", "c"]);
    }
  });

  test("within a priority the first is drawn by weight", () => {
    const random = new SeededRandom(7);
    const records = [server("light", 1, 1), server("heavy", 1, 3), server("none", 1, 0)];
    const first = { light: 0, heavy: 0, none: 0 } as Record<string, number>;
    for (let n = 0; n < 10_000; n++) first[orderServers(records, random)[0]?.target ?? ""]! += 1;
    // A draw from 0 to 4: 0 is "none", 1 "light", 2 to 4 "heavy".
    expect(first["none"]).toBeWithin(1_800, 2_200);
    expect(first["light"]).toBeWithin(1_800, 2_200);
    expect(first["heavy"]).toBeWithin(5_700, 6_300);
  });

  test("every server comes once, and all weights 0 are alike", () => {
    const random = new SeededRandom(1);
    const records = ["a", "b", "c", "d"].map((target) => server(target, 5, 0));
    const seen = new Set<string>();
    for (let n = 0; n < 200; n++) {
      const order = orderServers(records, random).map(({ target }) => target);
      expect(order.toSorted()).toEqual(["a", "b", "c", "d"]);
      seen.add(order[0] ?? "");
    }
    expect(seen.size).toBe(4);
  });

  test("a lone dot is no server", () => {
    expect(orderServers([server("", 0, 0), server("a", 1, 0, 0)], new SeededRandom(1))).toEqual([]);
  });
});

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { TimerWheel } from "../../src/time/timer-wheel.ts";

const secondMs = 1000;
const dayMs = 86_400_000;

function fired(wheel: TimerWheel, nowMs: number): number[] {
  const ids: number[] = [];
  wheel.advance(nowMs, (id) => ids.push(id));
  return ids;
}

describe("timer wheel", () => {
  test("fires at its time, not before", () => {
    const wheel = new TimerWheel({ nowMs: 1003, capacity: 4 });
    wheel.arm(2, 1503);
    expect(fired(wheel, 1502)).toEqual([]);
    expect(wheel.isArmed(2)).toBe(true);
    expect(fired(wheel, 1503)).toEqual([2]);
    expect(wheel.isArmed(2)).toBe(false);
    expect(fired(wheel, 10_000)).toEqual([]);
  });

  test("all timers of a tick are told of before the first of them fires", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 8 });
    for (const [id, atMs] of [
      [1, 100],
      [2, 100],
      [3, 50],
      [4, 6_000],
    ] as const) {
      wheel.arm(id, atMs);
    }
    wheel.cancel(2);
    wheel.arm(5, 100);
    const told: string[] = [];
    wheel.advance(
      200,
      (id) => told.push(`fires ${id}`),
      (id) => told.push(`near ${id}`),
    );
    expect(told.slice(0, 2)).toEqual(["near 3", "fires 3"]);
    expect(told.slice(2, 4).toSorted()).toEqual(["near 1", "near 5"]);
    expect(told.slice(4).toSorted()).toEqual(["fires 1", "fires 5"]);
  });

  test("rounds up to ticks of 10 ms", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 4 });
    wheel.arm(0, 501);
    expect(wheel.dueMs(0)).toBe(510);
    expect(fired(wheel, 509.9)).toEqual([]);
    expect(fired(wheel, 510)).toEqual([0]);
  });

  test("arming again moves the timer", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 4 });
    wheel.arm(1, 100);
    wheel.arm(1, 300);
    expect(wheel.size).toBe(1);
    expect(fired(wheel, 290)).toEqual([]);
    expect(fired(wheel, 300)).toEqual([1]);
  });

  test("a cancelled timer does not fire, and may be cancelled twice", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 4 });
    wheel.arm(1, 100);
    wheel.cancel(1);
    wheel.cancel(1);
    expect(wheel.size).toBe(0);
    expect(wheel.nextDueMs()).toBe(Infinity);
    expect(fired(wheel, 1000)).toEqual([]);
  });

  test("a time that is past, or no time at all, fires at the next advance", () => {
    const wheel = new TimerWheel({ nowMs: 5000, capacity: 4 });
    wheel.arm(0, 1);
    wheel.arm(1, 5000);
    wheel.arm(2, Number.NaN);
    wheel.arm(3, -Infinity);
    expect(wheel.nextDueMs()).toBe(5000);
    expect(fired(wheel, 5000).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3]);
  });

  test.each([2550, 2560, 2570, 60 * secondMs, 10_485_750, 10_485_760, 10_485_770, 3 * dayMs, 247 * dayMs])(
    "fires at exactly its tick across the rings: %d ms",
    (afterMs) => {
      // From a start in mid-lap of every ring.
      for (const lead of [0, 10, 2540, 1_234_560, 20_000_000]) {
        const wheel = new TimerWheel({ nowMs: 0, capacity: 4 });
        wheel.advance(lead, () => {});
        wheel.arm(0, lead + afterMs);
        expect(wheel.dueMs(0)).toBe(lead + afterMs);
        expect(fired(wheel, lead + afterMs - 1)).toEqual([]);
        expect(fired(wheel, lead + afterMs)).toEqual([0]);
      }
    },
  );

  test("holds a timer to 2**31 ticks, even Infinity", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 4 });
    const furthest = (2 ** 31 - 1) * 10;
    wheel.arm(0, Infinity);
    wheel.arm(1, 2 ** 45);
    expect(wheel.dueMs(0)).toBe(furthest);
    expect(fired(wheel, furthest - 1)).toEqual([]);
    expect(fired(wheel, furthest).toSorted((a, b) => a - b)).toEqual([0, 1]);
  });

  test("works after more than 2**32 ticks", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 4 });
    const later = 2 ** 32 * 10 + 12_340;
    wheel.advance(later, () => {});
    wheel.arm(0, later + 500);
    wheel.arm(1, later + dayMs);
    expect(wheel.dueMs(0)).toBe(later + 500);
    expect(wheel.nextDueMs()).toBeLessThanOrEqual(later + 500);
    expect(fired(wheel, later + 490)).toEqual([]);
    expect(fired(wheel, later + 500)).toEqual([0]);
    expect(fired(wheel, later + dayMs - 1)).toEqual([]);
    expect(fired(wheel, later + dayMs)).toEqual([1]);
  });

  test("a jump of the clock fires earlier ticks first and does not walk the ticks between", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 8 });
    const at = [240 * dayMs, 30, 5 * dayMs, 2570, 7_200_000];
    for (const [id, ms] of at.entries()) wheel.arm(id, ms);
    const from = performance.now();
    expect(fired(wheel, 2 ** 40)).toEqual([1, 3, 4, 2, 0]);
    // 110 thousand million ticks; walking them would take minutes.
    expect(performance.now() - from).toBeLessThan(1000);
  });

  test("a clock that stands or goes back fires nothing but what is overdue", () => {
    const wheel = new TimerWheel({ nowMs: 1000, capacity: 4 });
    wheel.arm(0, 2000);
    expect(fired(wheel, 1500)).toEqual([]);
    expect(fired(wheel, 300)).toEqual([]);
    expect(fired(wheel, Number.NaN)).toEqual([]);
    wheel.arm(1, 1200);
    expect(fired(wheel, 300)).toEqual([1]);
    expect(fired(wheel, 2000)).toEqual([0]);
  });

  test("what fire arms for the past waits for the next advance, however far the clock jumped", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 4 });
    let count = 0;
    const rearm = (id: number): void => {
      count++;
      wheel.arm(id, count * 10);
    };
    wheel.arm(0, 10);
    wheel.advance(dayMs, rearm);
    expect(count).toBe(1);
    wheel.advance(dayMs, rearm);
    expect(count).toBe(2);
  });

  test("fire may cancel a neighbour of the same tick", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 4 });
    for (let id = 0; id < 4; id++) wheel.arm(id, 100);
    const ids: number[] = [];
    wheel.advance(100, (id) => {
      ids.push(id);
      for (let other = 0; other < 4; other++) wheel.cancel(other);
    });
    expect(ids).toHaveLength(1);
    expect(wheel.size).toBe(0);
  });

  test("a cancelled timer leaves its neighbours in the slot", () => {
    for (const cancelled of [0, 1, 2]) {
      const wheel = new TimerWheel({ nowMs: 0, capacity: 4 });
      for (const id of [1, 0, 2]) wheel.arm(id, 100);
      wheel.cancel(cancelled);
      expect(fired(wheel, 100).toSorted((a, b) => a - b)).toEqual([0, 1, 2].filter((id) => id !== cancelled));
    }
  });

  test("when fire throws the others still fire", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 8 });
    for (let id = 0; id < 6; id++) wheel.arm(id, id < 3 ? 100 : 5000);
    const ids: number[] = [];
    const faulty = (id: number): void => {
      ids.push(id);
      if (ids.length % 2 === 1) throw new Error("fault");
    };
    for (let round = 0; round < 6; round++) {
      try {
        wheel.advance(6000, faulty);
      } catch {
        // The tick's boundary counts it.
      }
    }
    expect(ids.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("grows without losing timers; ids beyond the capacity are a bug", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 16 });
    for (let id = 0; id < 16; id++) wheel.arm(id, 100 * (id + 1));
    expect(() => wheel.arm(16, 1)).toThrow(RangeError);
    expect(() => wheel.cancel(-1)).toThrow(RangeError);
    wheel.ensure(17);
    expect(wheel.capacity).toBe(32);
    wheel.arm(16, 50);
    wheel.arm(17, 3 * dayMs);
    expect([wheel.dueMs(17), wheel.dueMs(15)]).toEqual([3 * dayMs, 1600]);
    expect(() => wheel.isArmed(32)).toThrow(RangeError);
    wheel.ensure(8);
    expect(wheel.capacity).toBe(32);
    expect(fired(wheel, 1600)).toEqual([16, ...Array.from({ length: 16 }, (_, id) => id)]);
  });
});

describe("what is due next", () => {
  test("leads to the timer in a few steps, each of them ahead", () => {
    for (const afterMs of [10, 2560, 70_000, 11_000_000, 30 * dayMs]) {
      const wheel = new TimerWheel({ nowMs: 0, capacity: 1 });
      wheel.advance(2_000_000, () => {});
      let nowMs = 2_000_000;
      wheel.arm(0, nowMs + afterMs);
      for (let steps = 0; wheel.isArmed(0); steps++) {
        expect(steps).toBeLessThan(4);
        expect(wheel.nextDueMs()).toBeGreaterThan(nowMs);
        nowMs = wheel.nextDueMs();
        wheel.advance(nowMs, () => {});
      }
      expect(nowMs).toBe(2_000_000 + afterMs);
    }
  });

  test("an empty wheel jumps any distance at once", () => {
    const wheel = new TimerWheel({ nowMs: 0, capacity: 1 });
    const from = performance.now();
    for (let jumps = 1; jumps < 100; jumps++) wheel.advance(jumps * 2 ** 45, () => {});
    expect(performance.now() - from).toBeLessThan(1000);
  });
});

/** What a timer does when it fires: nothing, or one thing to itself or another. */
interface Deed {
  readonly id: number;
  readonly afterMs: number | "cancel";
}

const ids = 12;
const arbId = fc.nat({ max: ids - 1 });
// Around the boundaries of the rings, and anywhere.
const arbAfterMs = fc.oneof(
  // Often the same slot, so that its list has neighbours.
  fc.constantFrom(50, 60, 3000, 20_000_000),
  fc.integer({ min: -50, max: 100 }),
  fc.integer({ min: 2500, max: 2620 }),
  fc.integer({ min: 0, max: 100_000 }),
  fc.integer({ min: 10_485_700, max: 10_485_800 }),
  fc.integer({ min: 0, max: 40_000_000 }),
  // Under 2**31 ticks: further off the wheel brings a timer nearer.
  fc.integer({ min: 0, max: 2 ** 34 }),
);
const arbDeed = fc.option(
  fc.record<Deed>({ id: arbId, afterMs: fc.oneof(arbAfterMs, fc.constant("cancel" as const)) }),
  { nil: undefined, freq: 2 },
);
const arbStep = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("arm" as const), id: arbId, afterMs: arbAfterMs, deed: arbDeed }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), id: arbId }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("advance" as const),
      byMs: fc.oneof(arbAfterMs, fc.integer({ min: 0, max: 2 ** 38 })),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("next" as const) }) },
);

test("behaves as a list of timers would, whatever fire does to it", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 33 }), fc.array(arbStep, { maxLength: 60 }), (startMs, steps) => {
      const wheel = new TimerWheel({ nowMs: startMs, capacity: ids });
      let nowMs = startMs;
      /** Due tick by id; -1 when it was due already. */
      const model = new Map<number, number>();
      const deeds = new Map<number, Deed | undefined>();
      let doneTick = 0;
      const tickOf = (atMs: number): number => Math.ceil((atMs - startMs) / 10);
      const arm = (id: number, atMs: number): void => {
        wheel.arm(id, atMs);
        model.set(id, tickOf(atMs) <= doneTick ? -1 : tickOf(atMs));
      };
      const advance = (toMs: number): void => {
        const before = doneTick;
        doneTick = Math.max(doneTick, Math.floor((toMs - startMs) / 10));
        const due = new Map([...model].filter(([, tick]) => tick <= doneTick));
        let lastTick = -1;
        wheel.advance(toMs, (id) => {
          expect(due.get(id)).toBeDefined();
          expect(due.get(id)!).toBeGreaterThanOrEqual(lastTick);
          lastTick = due.get(id)!;
          due.delete(id);
          model.delete(id);
          const deed = deeds.get(id);
          if (deed === undefined) return;
          due.delete(deed.id);
          if (deed.afterMs === "cancel") {
            wheel.cancel(deed.id);
            model.delete(deed.id);
          } else arm(deed.id, startMs + before * 10 + deed.afterMs);
        });
        expect([...due]).toEqual([]);
      };
      for (const step of steps) {
        if (step.do === "arm") {
          arm(step.id, nowMs + step.afterMs);
          deeds.set(step.id, step.deed);
        } else if (step.do === "cancel") {
          wheel.cancel(step.id);
          model.delete(step.id);
        } else {
          const next = wheel.nextDueMs();
          nowMs = step.do === "advance" ? nowMs + step.byMs : Math.min(Math.max(next, nowMs), nowMs + 2 ** 36);
          advance(nowMs);
        }
        expect(wheel.size).toBe(model.size);
        for (let id = 0; id < ids; id++) expect(wheel.isArmed(id)).toBe(model.has(id));
        const earliest = Math.min(...[...model.values()].map((tick) => startMs + Math.max(tick, 0) * 10));
        expect(wheel.nextDueMs()).toBeLessThanOrEqual(
          [...model.values()].includes(-1) ? startMs + doneTick * 10 : earliest,
        );
        for (const [id, tick] of model) if (tick >= 0) expect(wheel.dueMs(id)).toBe(startMs + tick * 10);
      }
    }),
    { numRuns: 600 },
  );
});

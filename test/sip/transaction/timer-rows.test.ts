import { describe, expect, test } from "bun:test";
import { type Timed, TimerRows, type TimerSlot } from "../../../src/sip/transaction/timer-rows.ts";
import { VirtualClock } from "../../fakes/virtual-clock.ts";

class Probe implements Timed {
  row = -1;
  readonly fired: TimerSlot[] = [];
  fire(slot: TimerSlot): void {
    this.fired.push(slot);
  }
}

describe("rows of timers", () => {
  test("grow with the records, and each fires its own", () => {
    const clock = new VirtualClock(1000);
    const rows = new TimerRows(clock);
    const probes = Array.from({ length: 500 }, () => new Probe());
    for (const [i, probe] of probes.entries()) {
      rows.add(probe);
      rows.arm(probe, 0, 100 + i * 10);
      rows.arm(probe, 1, 100_000);
    }
    clock.advance(100 + 250 * 10);
    rows.tick(clock.nowMs());
    expect(probes.map(({ fired }) => fired.length)).toEqual(probes.map((_, i) => (i <= 250 ? 1 : 0)));
    clock.advance(100_000);
    rows.tick(clock.nowMs());
    for (const { fired } of probes) expect(fired).toEqual([0, 1]);
  });

  test("are given back with both timers stopped, and used again", () => {
    const clock = new VirtualClock(1000);
    const rows = new TimerRows(clock);
    const first = new Probe();
    rows.add(first);
    const { row } = first;
    rows.arm(first, 0, 100);
    rows.arm(first, 1, 100);
    rows.remove(first);
    expect(first.row).toBe(-1);
    expect(rows.nextDueMs()).toBe(Infinity);
    const second = new Probe();
    rows.add(second);
    expect(second.row).toBe(row);
    clock.advance(1000);
    rows.tick(clock.nowMs());
    expect([first.fired, second.fired]).toEqual([[], []]);
  });
});

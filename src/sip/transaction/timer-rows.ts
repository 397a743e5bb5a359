import type { Clock } from "../../time/clock.ts";
import { TimerWheel } from "../../time/timer-wheel.ts";

/** The two timers of a transaction: 0 repeats something, 1 ends its state. No state of RFC 3261 §17 needs more at a time. */
export type TimerSlot = 0 | 1;

export interface Timed {
  /** Given by `add`; -1 outside. */
  row: number;
  fire(slot: TimerSlot): void;
}

const rowsMin = 64;
const slots = 2;

/** Gives each transaction a row, whose number times two makes the ids of its timers in the wheel. */
export class TimerRows {
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;
  readonly #rows: (Timed | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #fire = (id: number): void => this.#rows[id >>> 1]?.fire((id & 1) as TimerSlot);

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wheel = new TimerWheel({ nowMs: clock.nowMs(), capacity: rowsMin * slots });
  }

  add(record: Timed): void {
    const row = this.#free.pop() ?? this.#rows.length;
    this.#wheel.ensure((row + 1) * slots);
    this.#rows[row] = record;
    record.row = row;
  }

  /** Its timers stop. */
  remove(record: Timed): void {
    const { row } = record;
    this.#wheel.cancel(row * slots);
    this.#wheel.cancel(row * slots + 1);
    this.#rows[row] = undefined;
    this.#free.push(row);
    record.row = -1;
  }

  /** In place of what the slot was armed for. */
  arm(record: Timed, slot: TimerSlot, afterMs: number): void {
    this.#wheel.arm(record.row * slots + slot, this.#clock.nowMs() + afterMs);
  }

  tick(nowMs: number): void {
    this.#wheel.advance(nowMs, this.#fire);
  }

  nextDueMs(): number {
    return this.#wheel.nextDueMs();
  }
}

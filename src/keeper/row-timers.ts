import type { RegistrationIndex } from "../base/ids.ts";
import { TimerWheel } from "../time/timer-wheel.ts";
import type { Ledger } from "./ledger.ts";

/** Each row's one timer, and the time of what is going on: one reading a datagram, command or tick. */
export class RowTimers {
  readonly #ledger: Ledger;
  readonly #wheel: TimerWheel;
  readonly #fire: (id: number) => void;
  readonly #approach: (id: number) => void;
  #nowMs: number;
  readonly #seen = new Int32Array(1);

  constructor(ledger: Ledger, onDue: (row: RegistrationIndex) => void) {
    this.#ledger = ledger;
    this.#nowMs = ledger.clock.nowMs();
    this.#wheel = new TimerWheel({ nowMs: this.#nowMs, capacity: Math.max(ledger.columns.used, 1) });
    this.#fire = (id) => onDue(id as RegistrationIndex);
    this.#approach = (id) => this.#bringNear(id as RegistrationIndex);
  }

  get nowMs(): number {
    return this.#nowMs;
  }
  setNow(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  advance(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#wheel.advance(nowMs, this.#fire, this.#approach);
  }

  /**
   * HOT. All rows of a tick are read before the first is used, so that their cache misses overlap: with many accounts a tenth of what a tick takes.
   * What was read is kept, lest a compiler leaves the reading out.
   */
  #bringNear(row: RegistrationIndex): void {
    const { columns, volatile, arena } = this.#ledger;
    this.#seen[0]! ^= columns.touch(row) ^ volatile.touch(row) ^ (arena.bytes[volatile.entry(row)] ?? 0);
  }

  /** The row's next look, at a monotonic time; persisted as wall time. */
  schedule(row: RegistrationIndex, atMs: number): void {
    this.#ledger.columns.setActMs(row, this.#ledger.wallOf(atMs));
    this.arm(row, atMs);
  }
  unschedule(row: RegistrationIndex): void {
    this.#ledger.columns.setActMs(row, 0);
    this.disarm(row);
  }

  /** HOT. Without a word in the columns: a retransmission, or the end of a binding while its row waits. */
  arm(row: RegistrationIndex, atMs: number): void {
    this.#wheel.ensure(row + 1);
    this.#wheel.arm(row, atMs);
  }
  disarm(row: RegistrationIndex): void {
    this.#wheel.ensure(row + 1);
    this.#wheel.cancel(row);
  }
}

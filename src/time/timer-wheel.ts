/**
 * HOT: 34 ns to arm, 10 ns to cancel, 12 bytes a timer; bench/time/timer-wheel.bench.ts.
 *
 * Three rings of slots, each slot a doubly linked list through typed arrays:
 * - near: 256 slots of one tick (10 ms), 2.56 s;
 * - middle: 4,096 slots of 2.56 s, 2.9 h: wide, so that the refreshes of an hour sit in slots of 2.56 s and no single tick has
 *   to move more than 2.56 s worth of timers;
 * - far: 2,048 slots of 2.9 h, 248 days.
 * When time enters a slot of an outer ring its timers move inward. A bitmap a ring finds the next slot that is not empty, so
 * a jump of the clock costs the slots in use, not the ticks passed.
 */

const tickMs = 10;
const nearBits = 8;
const middleBits = 12;
const farBits = 11;
const nearSlots = 1 << nearBits;
const middleSlots = 1 << middleBits;
const farSlots = 1 << farBits;
const middleShift = nearBits;
const farShift = nearBits + middleBits;
const nearTicks = nearSlots;
const middleTicks = 1 << farShift;
/** Timers further off are held to this many ticks: 248 days. */
const ticksMax = 2 ** 31 - 1;

const middleBase = nearSlots;
const farBase = middleBase + middleSlots;
/** Timers that were due already when they were armed. */
const overdueSlot = farBase + farSlots;
/** Overdue timers that this `advance` fires; what is armed meanwhile waits in `overdueSlot` for the next one. */
const drainSlot = overdueSlot + 1;
const slotCount = drainSlot + 1;

/** End of a list. */
const none = -1;
/** In `previous`: the timer is not armed. Smaller values say which slot's head it is, others the neighbour. */
const unarmed = -1;
const headOf = -2;

const capacityMin = 16;

/**
 * Millions of timers for one owner. Ids are dense numbers that the caller hands out; each id has at most one timer.
 * Times are milliseconds of a monotonic clock, rounded up to ticks of 10 ms: a timer never fires early.
 */
export class TimerWheel {
  readonly #originMs: number;
  /** Ticks since the origin that are done with; a whole number that only grows. */
  #tick = 0;
  /** What is armed for this tick or before is overdue: `#tick`, but within `advance` the tick it is going to. */
  #horizonTick = 0;
  #size = 0;
  #capacity: number;
  #next: Int32Array<ArrayBuffer>;
  #previous: Int32Array<ArrayBuffer>;
  /** Due tick, modulo 2**32: no timer is further off than 2**31, so the uptime has no bound. */
  #due: Uint32Array<ArrayBuffer>;
  readonly #head = new Int32Array(slotCount).fill(none);
  readonly #used = new Uint32Array(Math.ceil(slotCount / 32));

  /** `nowMs`: where the clock stands. `capacity`: ids below it may be armed; see `ensure`. */
  constructor(options: { readonly nowMs: number; readonly capacity: number }) {
    this.#originMs = options.nowMs;
    this.#capacity = Math.max(options.capacity, capacityMin);
    this.#next = new Int32Array(this.#capacity);
    this.#previous = new Int32Array(this.#capacity).fill(unarmed);
    this.#due = new Uint32Array(this.#capacity);
  }

  /** Ids below this may be armed. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Armed timers. */
  get size(): number {
    return this.#size;
  }

  /** Makes room for ids below `capacity`, doubling. Running timers stay. */
  ensure(capacity: number): void {
    if (capacity <= this.#capacity) return;
    let grown = this.#capacity;
    while (grown < capacity) grown *= 2;
    const next = new Int32Array(grown);
    next.set(this.#next);
    const previous = new Int32Array(grown).fill(unarmed, this.#capacity);
    previous.set(this.#previous);
    const due = new Uint32Array(grown);
    due.set(this.#due);
    this.#next = next;
    this.#previous = previous;
    this.#due = due;
    this.#capacity = grown;
  }

  /**
   * Arms timer `id` for `atMs`, in place of what it was armed for. A time that is past fires at the next `advance` (inside
   * `fire`: at the next one, never in this); one further off than 2**31 ticks is brought nearer.
   * @throws RangeError when `id` is not below the capacity.
   */
  arm(id: number, atMs: number): void {
    this.#check(id);
    if (this.#previous[id] === unarmed) this.#size++;
    else this.#unlink(id);
    const tick = Math.ceil((atMs - this.#originMs) / tickMs);
    // The negation takes NaN for a time that is past.
    if (!(tick > this.#horizonTick)) {
      this.#due[id] = this.#tick >>> 0;
      this.#link(id, overdueSlot);
      return;
    }
    const delta = Math.min(tick - this.#tick, ticksMax);
    const due = (this.#tick + delta) >>> 0;
    this.#due[id] = due;
    this.#link(id, slotOf(due, delta));
  }

  /** Stops timer `id`; nothing when it is not armed. */
  cancel(id: number): void {
    this.#check(id);
    if (this.#previous[id] === unarmed) return;
    this.#unlink(id);
    this.#size--;
  }

  isArmed(id: number): boolean {
    this.#check(id);
    return this.#previous[id] !== unarmed;
  }

  /** When timer `id` will fire, rounded up to the tick; Infinity when it is not armed. */
  dueMs(id: number): number {
    if (!this.isArmed(id)) return Infinity;
    // Signed: an overdue timer lies at or behind the current tick.
    const ahead = (this.#due[id]! - (this.#tick >>> 0)) | 0;
    return this.#originMs + (this.#tick + ahead) * tickMs;
  }

  /**
   * Fires what is due at `nowMs`, earlier ticks first (within a tick in no order), each timer at most once. `fire` may arm
   * and cancel any timer. A clock that stands or went back fires the overdue ones only. If `fire` throws, the others
   * are still fired by the next call. `approach` is told of all timers of a tick before the first of them fires; it must
   * leave the wheel alone.
   */
  advance(nowMs: number, fire: (id: number) => void, approach?: (id: number) => void): void {
    const target = Math.max(Math.floor((nowMs - this.#originMs) / tickMs), this.#tick);
    if (!Number.isFinite(target)) return;
    this.#horizonTick = target;
    if (this.#head[overdueSlot] !== none) this.#moveAll(overdueSlot, drainSlot);
    // A throw before may have left some here, too.
    this.#drain(drainSlot, fire);
    while (this.#tick < target) {
      const tick = this.#nextTick(target);
      this.#tick = tick;
      if (((tick >>> 0) & (nearTicks - 1)) === 0) this.#cascade(tick);
      const slot = (tick >>> 0) & (nearSlots - 1);
      if (approach !== undefined) for (let id = this.#head[slot]!; id !== none; id = this.#next[id]!) approach(id);
      this.#drain(slot, fire);
    }
  }

  /** The earliest time at which `advance` may have something to do: perhaps early, never late. Infinity when nothing is armed. */
  nextDueMs(): number {
    if (this.#size === 0) return Infinity;
    if (this.#head[overdueSlot] !== none || this.#head[drainSlot] !== none) return this.#originMs + this.#tick * tickMs;
    return this.#originMs + this.#nextTick(Infinity) * tickMs;
  }

  #check(id: number): void {
    if (!(id >= 0 && id < this.#capacity)) throw new RangeError(`timer ${id} is not below ${this.#capacity}`);
  }

  #link(id: number, slot: number): void {
    const first = this.#head[slot]!;
    this.#next[id] = first;
    this.#previous[id] = headOf - slot;
    if (first === none) this.#used[slot >>> 5]! |= 1 << (slot & 31);
    else this.#previous[first] = id;
    this.#head[slot] = id;
  }

  #unlink(id: number): void {
    const next = this.#next[id]!;
    const previous = this.#previous[id]!;
    if (next !== none) this.#previous[next] = previous;
    if (previous >= 0) this.#next[previous] = next;
    else {
      const slot = headOf - previous;
      this.#head[slot] = next;
      if (next === none) this.#used[slot >>> 5]! &= ~(1 << (slot & 31));
    }
    this.#previous[id] = unarmed;
  }

  #moveAll(from: number, to: number): void {
    for (let id = this.#head[from]!; id !== none; id = this.#head[from]!) {
      this.#unlink(id);
      this.#link(id, to);
    }
  }

  #drain(slot: number, fire: (id: number) => void): void {
    let done = false;
    try {
      for (let id = this.#head[slot]!; id !== none; id = this.#head[slot]!) {
        this.#unlink(id);
        this.#size--;
        fire(id);
      }
      done = true;
    } finally {
      if (!done) this.#abandon(slot);
    }
  }

  /** `fire` threw: what it left in the slot must not wait for a whole lap. */
  #abandon(slot: number): void {
    if (slot !== drainSlot) this.#moveAll(slot, overdueSlot);
  }

  /** Time enters new slots of the outer rings: their timers move inward. */
  #cascade(tick: number): void {
    const low = tick >>> 0;
    if ((low & (middleTicks - 1)) === 0) this.#spread(farBase + ((low >>> farShift) & (farSlots - 1)), low);
    this.#spread(middleBase + ((low >>> middleShift) & (middleSlots - 1)), low);
  }

  #spread(slot: number, low: number): void {
    // Detached first: a timer a whole lap off goes back into this very slot.
    let id = this.#head[slot]!;
    if (id === none) return;
    this.#head[slot] = none;
    this.#used[slot >>> 5]! &= ~(1 << (slot & 31));
    while (id !== none) {
      const next = this.#next[id]!;
      const due = this.#due[id]!;
      this.#link(id, slotOf(due, (due - low) >>> 0));
      id = next;
    }
  }

  /** The next tick, at most `limit`, at which a slot is to be drained or a ring to be spread. */
  #nextTick(limit: number): number {
    const tick = this.#tick;
    const low = tick >>> 0;
    const nearFrom = (low & (nearSlots - 1)) + 1;
    const near = this.#nextUsed(nearFrom, nearSlots);
    if (near >= 0) return Math.min(tick + near - nearFrom + 1, limit);
    const lapEnd = tick + nearSlots - nearFrom + 1;
    // Timers of the near ring in its next lap: stop where it begins.
    if (lapEnd >= limit || this.#nextUsed(0, nearFrom) >= 0) return Math.min(lapEnd, limit);

    const middleFrom = ((low >>> middleShift) & (middleSlots - 1)) + 1;
    const middle = this.#nextUsed(middleBase + middleFrom, middleBase + middleSlots);
    if (middle >= 0) return Math.min(lapEnd + (middle - middleBase - middleFrom) * nearTicks, limit);
    const middleEnd = lapEnd + (middleSlots - middleFrom) * nearTicks;
    if (middleEnd >= limit || this.#nextUsed(middleBase, middleBase + middleFrom) >= 0)
      return Math.min(middleEnd, limit);

    const farFrom = ((low >>> farShift) & (farSlots - 1)) + 1;
    let far = this.#nextUsed(farBase + farFrom, farBase + farSlots);
    if (far < 0) {
      far = this.#nextUsed(farBase, farBase + farFrom);
      if (far >= 0) far += farSlots;
    }
    return far < 0 ? limit : Math.min(middleEnd + (far - farBase - farFrom) * middleTicks, limit);
  }

  /** The first slot of [from, to) that is not empty, or -1. */
  #nextUsed(from: number, to: number): number {
    if (from >= to) return -1;
    let word = from >>> 5;
    const lastWord = (to - 1) >>> 5;
    let bits = this.#used[word]! & (0xffffffff << (from & 31));
    while (bits === 0) {
      if (++word > lastWord) return -1;
      bits = this.#used[word]!;
    }
    const slot = (word << 5) + 31 - Math.clz32(bits & -bits);
    return slot < to ? slot : -1;
  }
}

/** The slot of a timer due at tick `due` (modulo 2**32), `delta` ticks from now. */
function slotOf(due: number, delta: number): number {
  if (delta < nearTicks) return due & (nearSlots - 1);
  if (delta < middleTicks) return middleBase + ((due >>> middleShift) & (middleSlots - 1));
  return farBase + ((due >>> farShift) & (farSlots - 1));
}

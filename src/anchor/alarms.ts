import { TimerWheel } from "../time/timer-wheel.ts";

/** One alarm of `Alarms`; armed until it fires or is cleared, then done for good. */
export class Alarm {
  readonly fire: () => void;
  /** Timer id in the wheel; -1 once done. */
  timer: number;

  constructor(timer: number, fire: () => void) {
    this.timer = timer;
    this.fire = fire;
  }
}

const capacityFirst = 1_024;

/** Callbacks at times, for the cold side: a few per call. Wraps the timer wheel, whose ids it hands out. */
export class Alarms {
  readonly #wheel: TimerWheel;
  readonly #alarms: (Alarm | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #onTimer = (timer: number): void => {
    const alarm = this.#release(timer);
    alarm?.fire();
  };

  constructor(nowMs: number) {
    this.#wheel = new TimerWheel({ nowMs, capacity: capacityFirst });
  }

  /** Alarms that are armed. */
  get size(): number {
    return this.#alarms.length - this.#free.length;
  }

  /** `atMs` on the monotonic clock; the past fires at the next `advance`. */
  set(atMs: number, fire: () => void): Alarm {
    const timer = this.#free.pop() ?? this.#alarms.length;
    this.#wheel.ensure(timer + 1);
    const alarm = new Alarm(timer, fire);
    this.#alarms[timer] = alarm;
    this.#wheel.arm(timer, atMs);
    return alarm;
  }

  /** Nothing when it has fired or was cleared before, or is undefined. */
  clear(alarm: Alarm | undefined): void {
    if (alarm === undefined || alarm.timer < 0) return;
    this.#wheel.cancel(alarm.timer);
    this.#release(alarm.timer);
  }

  advance(nowMs: number): void {
    this.#wheel.advance(nowMs, this.#onTimer);
  }

  #release(timer: number): Alarm | undefined {
    const alarm = this.#alarms[timer];
    if (alarm === undefined) return undefined;
    this.#alarms[timer] = undefined;
    this.#free.push(timer);
    alarm.timer = -1;
    return alarm;
  }
}

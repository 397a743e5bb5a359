import type { WakeAgain } from "../workers/protocol.ts";
import type { CallPushes } from "./call-pushes.ts";
import type { Core } from "./core.ts";
import type { Leg } from "./leg.ts";
import { wakesMax } from "./limits.ts";

/** Pushes that go out by and by: to a phone whose tunnel stays silent, and once more to one that does not come. One at a time for a leg. */
export class LegWakes {
  readonly #core: Core;
  readonly #pushes: CallPushes;
  readonly #isOpen: () => boolean;
  readonly #deadlineMs: number;

  /** `isOpen`: whether the call still waits for an answer; behind `deadlineMs` (monotonic) nobody is woken again. */
  constructor(core: Core, pushes: CallPushes, isOpen: () => boolean, deadlineMs: number) {
    this.#core = core;
    this.#pushes = pushes;
    this.#isOpen = isOpen;
    this.#deadlineMs = deadlineMs;
  }

  /** The first push, unless the phone says a word by then: a tunnel may be a dead socket that nobody has noticed yet. */
  guard(leg: Leg, silenceMs: number): void {
    leg.wake = "due";
    this.#set(leg, silenceMs, () => {
      if (!leg.isHeard && leg.wake === "due") this.#pushes.wake([leg]);
    });
  }

  /** A push at that time, unless the phone opens a tunnel before. The first one for a phone that had an open tunnel, else one more. */
  later(leg: Leg, afterMs: number, why: WakeAgain): void {
    this.callOff(leg);
    if (!leg.wakeable || leg.wakes >= wakesMax) return;
    this.#set(leg, afterMs, () => {
      if (this.#core.nowMs() < this.#deadlineMs) this.#pushes.wake([leg], leg.wakes === 0 ? undefined : why);
    });
  }

  callOff(leg: Leg): void {
    this.#core.alarms.clear(leg.silence);
  }

  #set(leg: Leg, afterMs: number, push: () => void): void {
    this.callOff(leg);
    leg.silence = this.#core.alarms.set(this.#core.nowMs() + afterMs, () => {
      if (!leg.isDone && this.#isOpen()) push();
    });
  }
}

/**
 * Two clocks, injected everywhere so that a test can stand still. `nowMs` is monotonic (timers, time-outs): milliseconds
 * since an arbitrary start, never jumping. `wallMs` is Unix time in milliseconds (what is persisted or shown); it may jump.
 */
export interface Clock {
  nowMs(): number;
  wallMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
};

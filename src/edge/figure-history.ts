import { type RegistrationState, registrationStates } from "../base/records.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Clock } from "../time/clock.ts";

/** One point every so often, an hour of them. */
export const historyStepMs = 10_000;
const pointsMax = 360;

/** What the figures were, oldest first, as columns. */
export interface FigureHistoryView {
  /** Unix seconds. */
  readonly atSec: readonly number[];
  readonly registrations: Readonly<Record<RegistrationState, readonly number[]>>;
  readonly memoryBytes: readonly number[];
  /** Of the slowest shard. */
  readonly loopDelayMs: readonly number[];
}

/** The last hour in memory, so that a page opened now shows it. Its owner calls `sample` every `historyStepMs`. */
export class FigureHistory {
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #at = new Float64Array(pointsMax);
  readonly #memory = new Float64Array(pointsMax);
  readonly #delay = new Float64Array(pointsMax);
  readonly #registrations = registrationStates.map(() => new Uint32Array(pointsMax));
  #samples = 0;

  constructor(metrics: Metrics, clock: Clock) {
    this.#metrics = metrics;
    this.#clock = clock;
  }

  sample(): void {
    const slot = this.#samples++ % pointsMax;
    const now = this.#metrics.registrations();
    this.#at[slot] = this.#clock.wallMs() / 1_000;
    this.#memory[slot] = process.memoryUsage.rss();
    this.#delay[slot] = Math.max(0, ...this.#metrics.perShard().map(({ loopDelayMs }) => loopDelayMs));
    for (const [nth, state] of registrationStates.entries()) this.#registrations[nth]?.fill(now[state], slot, slot + 1);
  }

  view(): FigureHistoryView {
    const count = Math.min(this.#samples, pointsMax);
    const inOrder = (column: Float64Array | Uint32Array): readonly number[] =>
      Array.from({ length: count }, (_, n) => column[(this.#samples - count + n) % pointsMax] ?? 0);
    return {
      atSec: inOrder(this.#at),
      registrations: Object.fromEntries(
        registrationStates.map((state, nth) => [state, inOrder(this.#registrations[nth] ?? new Uint32Array())]),
      ) as FigureHistoryView["registrations"],
      memoryBytes: inOrder(this.#memory),
      loopDelayMs: inOrder(this.#delay),
    };
  }
}

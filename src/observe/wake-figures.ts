/** From the INVITE to the answer: each is measured since the step named first. */
export const wakeSteps = [
  "invite_to_push",
  "push_to_tunnel",
  "tunnel_to_invite",
  "invite_to_ringing",
  "invite_to_answer",
] as const;
export type WakeStep = (typeof wakeSteps)[number];

/** Of the latest wakes quantiles are told exactly. */
const latestMax = 512;

/** Quantiles in ms of the latest, and how many there were since the start. */
interface WakeStepFigures {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** How wakes went: devices that were to be woken, and each step that happened. A step that never did is absent. */
export interface WakeSummary {
  readonly began: number;
  readonly steps: Partial<Record<WakeStep, WakeStepFigures>>;
}

/** How far wakes of one kind get, and how long each step takes. */
export class WakeFigures {
  readonly #latest = new Map<WakeStep, number[]>();
  readonly #counts = new Map<WakeStep, number>();
  #began = 0;

  began(): void {
    this.#began++;
  }

  step(step: WakeStep, durationMs: number): void {
    this.#counts.set(step, this.count(step) + 1);
    const latest = this.#latest.get(step) ?? [];
    latest.push(durationMs);
    if (latest.length > latestMax) latest.shift();
    this.#latest.set(step, latest);
  }

  count(step: WakeStep): number {
    return this.#counts.get(step) ?? 0;
  }

  summary(): WakeSummary {
    return {
      began: this.#began,
      steps: Object.fromEntries(
        [...this.#latest].map(([step, latest]) => {
          const sorted = latest.toSorted((a, b) => a - b);
          const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
          return [step, { count: this.count(step), p50Ms: at(0.5), p99Ms: at(0.99) }];
        }),
      ),
    };
  }
}

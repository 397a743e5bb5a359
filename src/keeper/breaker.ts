/** Refusals within the watch that open the breaker, when they are also most of the last verdicts on new attempts. */
const refusalsToOpen = 20;
const shareToOpen = 0.6;
const watchMs = 60_000;
/** So many make us ask one by one rather than by the hundred. */
const refusalsToBeWary = 5;
const shareToBeWary = 0.25;
/** Weight of the newest verdict in the share of refusals. */
const shareGain = 1 / 16;
const openMsMin = 300_000;
const openMsMax = 3_600_000;
const trialEveryMs = 30_000;

export type BreakerState = "closed" | "open" | "halfOpen";

/**
 * Guards our standing with a registrar: when it refuses many accounts at once, something is wrong with us and not with them, and each
 * further refusal brings a ban nearer. Open, it holds back new attempts; refreshes of bindings that work are never its business. Pure.
 */
export class Breaker {
  #refused = 0;
  #share = 0;
  #sinceMs = 0;
  #openUntilMs = 0;
  #openForMs = openMsMin;
  #trialAtMs = 0;
  #isOpen = false;

  state(nowMs: number): BreakerState {
    if (!this.#isOpen) return "closed";
    return nowMs < this.#openUntilMs ? "open" : "halfOpen";
  }

  /** Refusals come thick: few attempts at a time, until it is clear what is wrong. */
  get isWary(): boolean {
    return this.#refused >= refusalsToBeWary && this.#share > shareToBeWary;
  }

  /** When the next new attempt is let through; 0 when nothing holds it. */
  nextTrialMs(nowMs: number): number {
    if (!this.#isOpen) return 0;
    return Math.max(this.#openUntilMs, this.#trialAtMs, nowMs);
  }

  /** Whether a new attempt may begin; when half open, one now and then. Call only when it will begin. */
  allows(nowMs: number): boolean {
    if (!this.#isOpen) return true;
    if (nowMs < this.#openUntilMs || nowMs < this.#trialAtMs) return false;
    this.#trialAtMs = nowMs + trialEveryMs;
    return true;
  }

  /** A new attempt came to a good end. */
  accepted(nowMs: number): void {
    this.#roll(nowMs);
    this.#share *= 1 - shareGain;
    this.#openForMs = openMsMin;
    this.#isOpen = false;
  }

  /** An account was refused; returns true when this opens the breaker. */
  refused(nowMs: number): boolean {
    this.#roll(nowMs);
    this.#refused++;
    this.#share += (1 - this.#share) * shareGain;
    if (this.#isOpen) {
      if (nowMs < this.#openUntilMs) return false;
      this.#openForMs = Math.min(this.#openForMs * 2, openMsMax);
      this.#openUntilMs = nowMs + this.#openForMs;
      return false;
    }
    if (this.#refused < refusalsToOpen || this.#share < shareToOpen) return false;
    this.#isOpen = true;
    this.#openUntilMs = nowMs + this.#openForMs;
    return true;
  }

  /** An operator says that the cause is gone. */
  close(): void {
    this.#isOpen = false;
    this.#refused = this.#share = 0;
  }

  #roll(nowMs: number): void {
    if (nowMs - this.#sinceMs <= watchMs) return;
    this.#sinceMs = nowMs;
    this.#refused = 0;
  }
}

/** Transactions in flight at a registrar that we know nothing of yet. */
const windowStart = 32;
const windowMin = 2;
const windowMax = 4096;
const rateMaxPerSec = 200_000;
const rateMinPerSec = 1;
/** Seconds of the rate that may leave at once. */
const burstSec = 0.05;
const burstMin = 4;
/** The rate recovers by a tenth each second without complaint. */
const recoveryPerSec = 0.1;
/**
 * Our requests that stand in line at the registrar, as its answers' delay tells: below the first figure we may send more, above the second
 * fewer. A default socket buffer of 208 KiB takes some 160 of them, and there may be other shards.
 */
const queuedLow = 24;
const queuedHigh = 64;
/** Round trips under this are as good as none: clocks tick in milliseconds. */
const rttFloorMs = 1;
/** How long the shortest round trip seen is believed. */
const baseEpochMs = 10_000;
const rttGain = 0.125;
const shrinkOnLoss = 0.7;
const shrinkOnDelay = 0.9;
const lossGain = 0.02;
export const pauseMaxMs = 3_600_000;

/**
 * How much a registrar is asked at once, after RFC 7339's idea that the client holds back: transactions in flight and a rate. Both
 * grow while answers are quick (doubling each round trip at first) and shrink on delay, on loss and when it says that it is
 * overloaded. Pure; times are monotonic milliseconds.
 */
export class Budget {
  #window = windowStart;
  #inFlight = 0;
  /** Growth doubles below this, and is careful above. */
  #threshold = Infinity;
  #ratePerSec = rateMaxPerSec;
  #tokens = burstMin;
  #tokensAtMs: number;
  #pausedUntilMs = 0;
  #smoothedMs = 0;
  #baseMs = Infinity;
  #nextBaseMs = Infinity;
  #baseSinceMs: number;
  #shrunkAtMs = -Infinity;
  #lossRatio = 0;
  /** Answers in this second and the one before: what the registrar can do. */
  #answers = 0;
  #answersBefore = 0;
  #answersSinceMs: number;

  constructor(nowMs: number) {
    this.#tokensAtMs = nowMs;
    this.#baseSinceMs = nowMs;
    this.#answersSinceMs = nowMs;
  }

  get window(): number {
    return Math.floor(this.#window);
  }
  get inFlight(): number {
    return this.#inFlight;
  }
  get ratePerSec(): number {
    return this.#ratePerSec;
  }
  /** Requests that were not answered before their first retransmission, as a moving share. */
  get lossRatio(): number {
    return this.#lossRatio;
  }
  get pausedUntilMs(): number {
    return this.#pausedUntilMs;
  }
  get smoothedRttMs(): number {
    return this.#smoothedMs;
  }

  /** HOT. Whether one more transaction may begin now. */
  mayStart(nowMs: number): boolean {
    if (this.#inFlight >= this.#window || nowMs < this.#pausedUntilMs) return false;
    if (this.#ratePerSec >= rateMaxPerSec) return true;
    this.#refill(nowMs);
    return this.#tokens >= 1;
  }

  started(): void {
    this.#inFlight++;
    if (this.#ratePerSec < rateMaxPerSec) this.#tokens--;
  }

  /** A transaction ended, however. */
  ended(): void {
    if (this.#inFlight > 0) this.#inFlight--;
  }

  /** HOT. An answer came that was no complaint. `rttMs` < 0: the request was sent more than once, its time says nothing (Karn). */
  answered(nowMs: number, rttMs: number): void {
    this.#count(nowMs);
    this.#lossRatio *= 1 - lossGain;
    if (rttMs < 0) return;
    const rtt = Math.max(rttMs, rttFloorMs);
    this.#measure(nowMs, rtt);
    // A window that is not used proves nothing.
    const isUsed = this.#inFlight * 2 >= this.#window;
    const queued = this.#inFlight * (1 - this.#baseMs / this.#smoothedMs);
    if (queued > queuedHigh) {
      this.#threshold = Math.min(this.#threshold, this.#window);
      this.#shrink(nowMs, shrinkOnDelay);
    } else if (isUsed && this.#window < this.#threshold) this.#window = Math.min(this.#window + 1, windowMax);
    else if (isUsed && queued < queuedLow) this.#window = Math.min(this.#window + 8 / this.#window, windowMax);
  }

  /** A request that was first sent at `startedMs` had to be sent again. */
  lost(nowMs: number, startedMs: number): void {
    this.#lossRatio += (1 - this.#lossRatio) * lossGain;
    // What was sent before the last cut tells nothing new.
    if (startedMs < this.#shrunkAtMs) return;
    this.#shrunkAtMs = nowMs;
    this.#window = Math.max(this.#window * shrinkOnLoss, windowMin);
    this.#threshold = this.#window;
  }

  /** 503 or the like. `pauseMs`: send nothing new for so long; 0: only slow down. */
  overloaded(nowMs: number, startedMs: number, pauseMs: number): void {
    this.#count(nowMs);
    if (pauseMs > 0) this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs + Math.min(pauseMs, pauseMaxMs));
    if (startedMs < this.#shrunkAtMs) return;
    this.#shrunkAtMs = nowMs;
    this.#window = Math.max(this.#window * shrinkOnLoss, windowMin);
    this.#threshold = this.#window;
    const measured = Math.max(this.#answers, this.#answersBefore, rateMinPerSec);
    this.#refill(nowMs);
    this.#ratePerSec = Math.max(Math.min(this.#ratePerSec, measured) / 2, rateMinPerSec);
    this.#tokens = Math.min(this.#tokens, this.#burst());
  }

  /** The registrar was away and is back, or another one took over: what was known of it no longer holds. */
  restart(nowMs: number): void {
    this.#window = windowStart;
    this.#threshold = Infinity;
    this.#shrunkAtMs = nowMs;
    this.#baseMs = this.#nextBaseMs = Infinity;
    this.#smoothedMs = 0;
    this.#baseSinceMs = nowMs;
    this.#pausedUntilMs = 0;
  }

  #measure(nowMs: number, rttMs: number): void {
    this.#smoothedMs = this.#smoothedMs === 0 ? rttMs : this.#smoothedMs + (rttMs - this.#smoothedMs) * rttGain;
    if (nowMs - this.#baseSinceMs > baseEpochMs) {
      this.#baseMs = this.#nextBaseMs;
      this.#nextBaseMs = Infinity;
      this.#baseSinceMs = nowMs;
    }
    if (rttMs < this.#nextBaseMs) this.#nextBaseMs = rttMs;
    if (rttMs < this.#baseMs) this.#baseMs = rttMs;
  }

  #shrink(nowMs: number, by: number): void {
    if (nowMs - this.#shrunkAtMs < this.#smoothedMs) return;
    this.#shrunkAtMs = nowMs;
    this.#window = Math.max(this.#window * by, windowMin);
  }

  #burst(): number {
    return Math.max(this.#ratePerSec * burstSec, burstMin);
  }

  #refill(nowMs: number): void {
    const sec = Math.max(nowMs - this.#tokensAtMs, 0) / 1000;
    this.#tokensAtMs = nowMs;
    this.#tokens = Math.min(this.#tokens + sec * this.#ratePerSec, this.#burst());
    if (nowMs - this.#shrunkAtMs > 1000) {
      this.#ratePerSec = Math.min(this.#ratePerSec * (1 + recoveryPerSec * Math.min(sec, 10)), rateMaxPerSec);
    }
  }

  #count(nowMs: number): void {
    if (nowMs - this.#answersSinceMs >= 1000) {
      this.#answersBefore = nowMs - this.#answersSinceMs < 2000 ? this.#answers : 0;
      this.#answers = 0;
      this.#answersSinceMs = nowMs;
    }
    this.#answers++;
  }
}

/** Transactions in flight at a registrar that we know nothing of yet. */
const windowStart = 32;
const windowMin = 2;
const windowMax = 4096;
const rateMaxPerSec = 200_000;
const rateMinPerSec = 1;
/** Seconds of the rate that may leave at once. */
const burstSec = 0.05;
const burstMin = 4;
/** A window is spread over its round trip, a little faster than needed; as many may leave in one burst. */
const paceGain = 1.25;
const paceBurst = 64;
/** The rate recovers by a tenth each second without complaint. */
const recoveryPerSec = 0.1;
/**
 * Our requests that may stand in line at the registrar, as its answers' delay tells. A default socket buffer of 208 KiB takes some 160
 * of them, and there may be other shards. A loss shows that the line was too long; then it is held shorter for some minutes.
 */
const queuedMax = 64;
const queuedMin = 2;
/** Below this share of the line that is allowed we may send more. */
const queuedLowShare = 0.375;
const queuedAfterLoss = 0.6;
const queuedRecoveryPerSec = 0.02;
/** Round trips under this are as good as none: clocks tick in milliseconds. */
const rttFloorMs = 1;
/** How long the shortest round trip seen is believed. */
const baseEpochMs = 10_000;
const baseDrift = 1.25;
const rttGain = 0.125;
/** Of so many answers the quickest tells how long the line is: jitter slows some, a line slows all. */
const sampleSize = 16;
/** Delay that means nothing: clocks tick in milliseconds. */
const slackMs = 1;
const slackShare = 0.01;
/** Growth: half as much again each round trip at first; then an eighth, and no more than 8. */
const fastGrowth = 0.5;
const slowGrowthMax = 8;
const shrinkOnLoss = 0.7;
const shrinkOnDelay = 0.9;
const lossGain = 0.02;
const pauseMsMax = 3_600_000;

/**
 * How much a registrar is asked at once, after RFC 7339's idea that the client holds back: transactions in flight and a rate. Both
 * grow while answers are quick (by half each round trip at first) and shrink on delay, on loss and when it says that it is
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
  #paceTokens = paceBurst;
  #paceAtMs: number;
  #pausedUntilMs = 0;
  #smoothedMs = 0;
  /** The quickest of the last full sample, and of the one that is being taken. */
  #quickestMs = 0;
  #sampleMs = Infinity;
  #sampled = 0;
  #baseMs = Infinity;
  #nextBaseMs = Infinity;
  #baseSinceMs: number;
  #shrunkAtMs = -Infinity;
  #lossRatio = 0;
  #queuedLimit = queuedMax;
  #queuedLimitAtMs: number;
  /** Answers in this second and the one before: what the registrar can do. */
  #answers = 0;
  #answersBefore = 0;
  #answersSinceMs: number;

  constructor(nowMs: number) {
    this.#tokensAtMs = nowMs;
    this.#paceAtMs = nowMs;
    this.#baseSinceMs = nowMs;
    this.#answersSinceMs = nowMs;
    this.#queuedLimitAtMs = nowMs;
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

  /** HOT. Whether one more transaction may begin now. */
  mayStart(nowMs: number): boolean {
    if (this.#inFlight >= this.#window || nowMs < this.#pausedUntilMs) return false;
    if (this.#paceTokens < 1 && !this.#pace(nowMs)) return false;
    if (this.#ratePerSec >= rateMaxPerSec) return true;
    this.#refill(nowMs);
    return this.#tokens >= 1;
  }

  started(): void {
    this.#inFlight++;
    this.#paceTokens--;
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
    const isFast = this.#window < this.#threshold;
    const queued = this.#queued();
    if (queued > this.#queuedLimit) {
      this.#shrink(nowMs, shrinkOnDelay);
      this.#threshold = Math.min(this.#threshold, this.#window);
    } else if (isUsed && isFast) this.#window = Math.min(this.#window + fastGrowth, windowMax);
    else if (isUsed && queued < this.#queuedLimit * queuedLowShare) {
      const perRoundTrip = Math.max(1, Math.min(slowGrowthMax, this.#window / 8));
      this.#window = Math.min(this.#window + perRoundTrip / this.#window, windowMax);
    }
  }

  /** A request that was first sent at `startedMs` had to be sent again. */
  lost(nowMs: number, startedMs: number): void {
    this.#lossRatio += (1 - this.#lossRatio) * lossGain;
    // What was sent before the last cut tells nothing new.
    if (startedMs < this.#shrunkAtMs) return;
    this.#shrunkAtMs = nowMs;
    // Lost with nobody in line (a lossy way, a late turn of our own loop): that says little about how long the line may be.
    const queued = this.#queued();
    const line = queued > queuedMin ? Math.min(this.#queuedLimit, queued) : this.#queuedLimit;
    this.#queuedLimit = Math.max(line * queuedAfterLoss, queuedMin);
    this.#queuedLimitAtMs = nowMs;
    this.#window = Math.max(this.#window * shrinkOnLoss, windowMin);
    this.#threshold = this.#window;
  }

  /** 503 or the like. `pauseMs`: send nothing new for so long; 0: only slow down. */
  overloaded(nowMs: number, startedMs: number, pauseMs: number): void {
    this.#count(nowMs);
    if (pauseMs > 0) this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs + Math.min(pauseMs, pauseMsMax));
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
    this.#smoothedMs = this.#quickestMs = 0;
    this.#baseSinceMs = nowMs;
    this.#pausedUntilMs = 0;
    // The losses of a silence say nothing about the line: held at two it would take minutes to let all back in.
    this.#queuedLimit = queuedMax;
    this.#queuedLimitAtMs = nowMs;
    this.#lossRatio = 0;
  }

  /** Our requests that wait at the registrar rather than travel (Little's law on the delay beyond the shortest seen). */
  #queued(): number {
    const rttMs = this.#quickestMs;
    if (rttMs === 0) return 0;
    const waitMs = rttMs - this.#baseMs - slackMs - this.#baseMs * slackShare;
    return waitMs <= 0 ? 0 : (this.#inFlight * waitMs) / rttMs;
  }

  #measure(nowMs: number, rttMs: number): void {
    this.#smoothedMs = this.#smoothedMs === 0 ? rttMs : this.#smoothedMs + (rttMs - this.#smoothedMs) * rttGain;
    this.#sampleMs = Math.min(this.#sampleMs, rttMs);
    if (++this.#sampled >= sampleSize) {
      this.#quickestMs = this.#sampleMs;
      this.#sampleMs = Infinity;
      this.#sampled = 0;
    }
    if (nowMs - this.#baseSinceMs > baseEpochMs) {
      // A way that became longer is believed bit by bit: it may be our own line that never emptied.
      this.#baseMs = Math.min(this.#nextBaseMs, this.#baseMs * baseDrift + slackMs);
      this.#nextBaseMs = Infinity;
      this.#baseSinceMs = nowMs;
    }
    if (rttMs < this.#nextBaseMs) this.#nextBaseMs = rttMs;
    if (rttMs < this.#baseMs) this.#baseMs = rttMs;
  }

  /** A burst of a whole window would overrun a registrar that the same window, evenly, does not trouble. */
  #pace(nowMs: number): boolean {
    const ms = Math.max(nowMs - this.#paceAtMs, 0);
    this.#paceAtMs = nowMs;
    const perMs = (paceGain * this.#window) / Math.max(this.#smoothedMs, rttFloorMs);
    this.#paceTokens = Math.min(this.#paceTokens + ms * perMs, paceBurst);
    return this.#paceTokens >= 1;
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
      if (this.#queuedLimit < queuedMax) {
        const sec = (nowMs - this.#queuedLimitAtMs) / 1000;
        this.#queuedLimit = Math.min(this.#queuedLimit * (1 + queuedRecoveryPerSec * sec), queuedMax);
        this.#queuedLimitAtMs = nowMs;
      }
      this.#answersBefore = nowMs - this.#answersSinceMs < 2000 ? this.#answers : 0;
      this.#answers = 0;
      this.#answersSinceMs = nowMs;
    }
    this.#answers++;
  }
}

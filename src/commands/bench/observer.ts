import type { CallFigures } from "./caller-process.ts";
import type { Readings } from "./readings.ts";
import type { LoadReport, RestartReport, SilenceReport } from "./report.ts";
import { round } from "./round.ts";
import type { ServerProcess } from "./server-process.ts";
import { type ThreadCpu, threadCpuOf } from "./thread-cpu.ts";

const registeringPollMs = 200;
const pollMs = 1_000;
/** Nothing more registers: give up waiting. */
const standstillMs = 60_000;
/** Nobody has registered when a first REGISTER is given up (Timer F, RFC 3261 §17.1.2.2, and some): nobody answers. */
const firstAnswerMs = 35_000;
/** So many a second register at the very least, or it never ends (grants shorter than a round through all of them). */
const registeredPerSecLeast = 500;
const backPollMs = 100;
/** Refreshes come on average at this share of the time that was granted. */
const refreshShare = 0.85;
/** After a restart, requests are counted for so long. */
const restartWatchMs = 5_000;

export interface Silence {
  readonly fromSec: number;
  readonly sec: number;
  begin(): Promise<void>;
}

/** Watches one server through its metrics and keeps what the report needs. */
export class Observer {
  readonly #server: ServerProcess;
  readonly #count: number;
  readonly #shards: number;
  readonly #empty: Readings;
  readonly #idleUsPerSec: number;
  readonly #expiresSec: number;
  #calls: { readonly from: Readings; readonly to: Readings } | undefined;
  #first: Readings | undefined;
  #allRegistered: Readings | undefined;
  #wallMs: number | undefined;
  #holdFrom: Readings | undefined;
  #holdTo: Readings | undefined;
  #last: Readings;
  #threads: ThreadCpu | undefined;
  #holdFromLogByte = 0;
  #loopDelayMs = 0;
  /** The same, and the main thread's, since all are registered. */
  #loopDelayMsHold = 0;
  #mainDelayMsHold = 0;
  #silence: SilenceReport | undefined;
  #restart: RestartReport | undefined;

  constructor(options: {
    readonly server: ServerProcess;
    readonly count: number;
    readonly shards: number;
    /** A reading of a server without accounts. */
    readonly empty: Readings;
    /** What such a server takes. */
    readonly idleUsPerSec: number;
    /** Asked for, and taken for granted. */
    readonly expiresSec: number;
  }) {
    this.#server = options.server;
    this.#count = options.count;
    this.#shards = options.shards;
    this.#empty = options.empty;
    this.#idleUsPerSec = options.idleUsPerSec;
    this.#expiresSec = options.expiresSec;
    this.#last = options.empty;
  }

  /** Resolves when all are registered or refused, nobody answers, or nothing has moved for a minute. Call it right after `ready`. */
  async untilAllRegistered(onProgress: (registered: number) => void): Promise<void> {
    const startMs = performance.now();
    this.#first = await this.#read();
    let movedAtMs = startMs;
    let before = -1;
    for (;;) {
      const now = await this.#read();
      onProgress(now.registered);
      if (now.registered >= this.#count) {
        this.#wallMs = now.atMs - startMs;
        break;
      }
      if (now.registered !== before) movedAtMs = now.atMs;
      before = now.registered;
      if (now.registered + now.refused >= this.#count) break;
      if (now.registered + now.refused === 0 && now.atMs - startMs > firstAnswerMs) break;
      const isLate = now.atMs - startMs > standstillMs + (this.#count / registeredPerSecLeast) * 1_000;
      if (isLate || now.atMs - movedAtMs > standstillMs) break;
      await Bun.sleep(registeringPollMs);
    }
    this.#allRegistered = this.#last;
    // A peak stands for two seconds at most.
    await Bun.sleep(pollMs * 2.5);
  }

  /** At the last reading. */
  get registered(): number {
    return this.#last.registered;
  }

  /** Watches for `seconds`; a silence, when asked, lies inside. */
  async hold(
    seconds: number,
    options: { readonly silence?: Silence; readonly onSecond: (second: number, registered: number) => void },
  ): Promise<void> {
    this.#holdFrom = await this.#read();
    this.#holdFromLogByte = this.#server.logBytes;
    const startMs = performance.now();
    const endMs = startMs + seconds * 1_000;
    const { silence } = options;
    if (silence !== undefined) {
      await Bun.sleep(silence.fromSec * 1_000);
      await this.#beSilent(silence, endMs);
    }
    for (let second = 1; performance.now() < endMs; second++) {
      await Bun.sleep(Math.min(pollMs, Math.max(endMs - performance.now(), 1)));
      const now = await this.#read();
      options.onSecond(second, now.registered);
    }
  }

  async #beSilent(silence: Silence, endMs: number): Promise<void> {
    await silence.begin();
    const from = await this.#read();
    const silentUntilMs = from.atMs + silence.sec * 1_000;
    let before = from;
    let peak = 0;
    while (performance.now() < silentUntilMs) {
      await Bun.sleep(Math.min(pollMs, Math.max(silentUntilMs - performance.now(), 1)));
      const now = await this.#read();
      const perSec = ((requests(now) - requests(before)) / (now.atMs - before.atMs)) * 1_000;
      if (now.atMs - before.atMs > pollMs / 2) peak = Math.max(peak, perSec);
      before = now;
    }
    const sent = requests(before) - requests(from);
    let allBackMs: number | undefined;
    while (performance.now() < endMs) {
      const now = await this.#read();
      if (now.registered >= this.#count) {
        allBackMs = now.atMs - silentUntilMs;
        break;
      }
      await Bun.sleep(backPollMs);
    }
    const clump = allBackMs === undefined ? undefined : await this.#clump(endMs);
    this.#silence = {
      silentMs: silence.sec * 1_000,
      requests: sent,
      requestsPerSecPeak: Math.round(peak),
      allBackMs: allBackMs === undefined ? undefined : Math.round(allBackMs),
      clump,
    };
  }

  /** Busiest second of the refreshes until the end over their mean. */
  async #clump(endMs: number): Promise<number | undefined> {
    const from = await this.#read();
    let before = from;
    let busiest = 0;
    while (performance.now() + pollMs < endMs) {
      await Bun.sleep(pollMs);
      const now = await this.#read();
      busiest = Math.max(busiest, ((now.refreshes - before.refreshes) / (now.atMs - before.atMs)) * 1_000);
      before = now;
    }
    const mean = ((before.refreshes - from.refreshes) / (before.atMs - from.atMs)) * 1_000;
    return mean > 0 ? round(busiest / mean, 2) : undefined;
  }

  /** Watches for so long while calls come in; their cost is told beside, not in, that of the refreshes. */
  async during(seconds: number, onSecond: (second: number, registered: number) => void): Promise<void> {
    const from = await this.#read();
    this.#holdTo = from;
    const endMs = performance.now() + seconds * 1_000;
    for (let second = 1; performance.now() < endMs; second++) {
      await Bun.sleep(Math.min(pollMs, Math.max(endMs - performance.now(), 1)));
      onSecond(second, (await this.#read()).registered);
    }
    this.#calls = { from, to: this.#last };
  }

  /** The server was killed and another process serves its data: call it right after `ready`. */
  async afterRestart(server: ServerProcess): Promise<void> {
    const first = await server.read();
    await Bun.sleep(restartWatchMs);
    const later = await server.read();
    this.#restart = {
      readyMs: Math.round(server.readyMs),
      registeredAtReady: first.registered,
      sent: requests(later),
      sentUsual: Math.round((2 * this.#count * restartWatchMs) / (this.#expiresSec * 1_000 * refreshShare)),
    };
  }

  report(called: CallFigures | undefined): LoadReport {
    const first = this.#first ?? this.#empty;
    const all = this.#allRegistered ?? first;
    const last = this.#last;
    const hold = this.#hold();
    const perRefresh = (us: number): number => (hold.refreshes === 0 ? 0 : round(us / hold.refreshes, 2));
    return {
      count: this.#count,
      shards: this.#shards,
      registered: last.registered,
      refused: last.refused,
      lapsed: last.lapsed,
      refreshes: last.refreshes,
      retransmissions: last.retransmissions,
      retransmissionsColdStart: all.retransmissions,
      sendsDropped: last.sendsDropped,
      cpuUsPerRegistration: this.#cpuUsPerRegistration(first, all),
      cpuUsPerRefresh: perRefresh(hold.cpuUs),
      cpuUsPerRefreshNet: perRefresh(hold.cpuUs - this.#idleUsPerSec * hold.sec),
      idleCpuPercent: round(this.#idleUsPerSec / 1e4, 2),
      refreshesPerSec: round(hold.refreshes / hold.sec, 1),
      cpuMsByThread: this.#threads,
      bytesPerRegistration: Math.round((last.residentBytes - this.#empty.residentBytes) / this.#count),
      residentBytes: last.residentBytes,
      readyMs: Math.round(this.#server.readyMs),
      wallMsAllRegistered: this.#wallMs === undefined ? undefined : Math.round(this.#wallMs),
      loopDelayMsPeak: round(this.#loopDelayMs, 1),
      loopDelayMsHold: round(this.#loopDelayMsHold, 1),
      mainDelayMsHold: round(this.#mainDelayMsHold, 1),
      gcPauses: this.#server.gcPauses(0),
      gcPausesHold: this.#server.gcPauses(this.#holdFromLogByte),
      silence: this.#silence,
      restart: this.#restart,
      wakeMs: called?.wakeMs,
      tunnelMs: called?.tunnelMs,
      cpuUsPerCall: this.#cpuUsPerCall(called),
      calls: called?.calls,
    };
  }

  /** When some had registered before the first reading, the process's whole time but what an empty one takes stands for it. */
  #cpuUsPerRegistration(first: Readings, all: Readings): number | undefined {
    if (all.registered === 0) return undefined;
    const from = first.registered === 0 ? first : this.#empty;
    return round(Math.max(all.cpuUs - from.cpuUs, 0) / all.registered, 2);
  }

  #hold() {
    const from = this.#holdFrom ?? this.#last;
    const to = this.#holdTo ?? this.#last;
    return {
      sec: Math.max((to.atMs - from.atMs) / 1_000, 0.001),
      cpuUs: to.cpuUs - from.cpuUs,
      refreshes: to.refreshes - from.refreshes,
    };
  }

  /** What a call took: what the same time took before the calls came is taken off. */
  #cpuUsPerCall(called: CallFigures | undefined): number | undefined {
    if (this.#calls === undefined || called === undefined || called.calls.sent === 0) return undefined;
    const { from, to } = this.#calls;
    const hold = this.#hold();
    const others = (hold.cpuUs / hold.sec) * ((to.atMs - from.atMs) / 1_000);
    return Math.round((to.cpuUs - from.cpuUs - others) / called.calls.sent);
  }

  async #read(): Promise<Readings> {
    const now = await this.#server.read();
    this.#last = now;
    this.#threads = threadCpuOf(this.#server.pid) ?? this.#threads;
    this.#loopDelayMs = Math.max(this.#loopDelayMs, now.loopDelayMs);
    if (this.#holdFrom !== undefined) {
      this.#loopDelayMsHold = Math.max(this.#loopDelayMsHold, now.loopDelayMs);
      this.#mainDelayMsHold = Math.max(this.#mainDelayMsHold, now.mainLoopDelayMs);
    }
    return now;
  }
}

function requests(readings: Readings): number {
  return readings.sent + readings.retransmissions;
}

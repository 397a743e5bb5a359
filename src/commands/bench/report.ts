import type { GcPauses } from "./gc-pauses.ts";
import type { ThreadCpu } from "./thread-cpu.ts";

/** What a run of `wakeline bench registrations` found. Times in ms unless the name says otherwise, sizes in bytes. */
export interface LoadReport {
  readonly count: number;
  readonly shards: number;
  /** At the end of the run. */
  readonly registered: number;
  readonly refused: number;
  readonly lapsed: number;
  readonly refreshes: number;
  readonly retransmissions: number;
  /** Until all were registered. */
  readonly retransmissionsColdStart: number;
  readonly sendsDropped: number;
  /** User and system time of the server's whole process; undefined when none registered. */
  readonly cpuUsPerRegistration: number | undefined;
  readonly cpuUsPerRefresh: number;
  /** The same less what the idle process takes in that time. */
  readonly cpuUsPerRefreshNet: number;
  readonly idleCpuPercent: number;
  readonly refreshesPerSec: number;
  /** Of the server at the last reading; undefined but on Linux. */
  readonly cpuMsByThread: ThreadCpu | undefined;
  /** Resident memory with all registered less that of the empty server, a registration. */
  readonly bytesPerRegistration: number;
  readonly residentBytes: number;
  /** From the start of the process with all accounts in its store to `ready`. */
  readonly readyMs: number;
  /** From `ready`; undefined when not all were registered in time. */
  readonly wallMsAllRegistered: number | undefined;
  /** Of a shard, in all the run; the start, when code is cold, has the longest. */
  readonly loopDelayMsPeak: number;
  /** Since all are registered, of a shard and of the main thread. */
  readonly loopDelayMsHold: number;
  readonly mainDelayMsHold: number;
  /** Of the server's garbage collections, all threads together; the second since all are registered. */
  readonly gcPauses: GcPauses;
  readonly gcPausesHold: GcPauses;
  readonly silence: SilenceReport | undefined;
  readonly restart: RestartReport | undefined;
  /** INVITE sent by the caller until the push was read by the webhook. */
  readonly wakeMs: Quantiles | undefined;
  /** WebSocket asked for until the INVITE was there. */
  readonly tunnelMs: Quantiles | undefined;
  /** INVITE, push, tunnel, 486, ACK. */
  readonly cpuUsPerCall: number | undefined;
  readonly calls: CallCounts | undefined;
}

export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface CallCounts {
  readonly sent: number;
  readonly pushed: number;
  readonly answered: number;
}

export interface SilenceReport {
  readonly silentMs: number;
  /** REGISTERs that left while the registrar was silent, retransmissions counted. */
  readonly requests: number;
  readonly requestsPerSecPeak: number;
  /** From its end until all were registered again; undefined when they were not by the end of the run. */
  readonly allBackMs: number | undefined;
  /** Most refreshes of a second over their mean, in the last part of the run: 1 is evenly spread. */
  readonly clump: number | undefined;
}

export interface RestartReport {
  /** From the start of the new process to `ready`. */
  readonly readyMs: number;
  readonly registeredAtReady: number;
  /** REGISTERs of the first 5 s after `ready`, and what an even spread needs: two a refresh, since nonces die with the process. */
  readonly sent: number;
  readonly sentUsual: number;
}

/** The report as one line of JSON; what was not measured is null, so that every key is there. */
export function reportJson(report: LoadReport): string {
  return JSON.stringify(report, (_key, value: unknown) => (value === undefined ? null : value));
}

/** What went wrong, a line each; none when all are registered and none lapsed but for an asked silence. */
export function shortfalls(report: LoadReport, registrar: string): readonly string[] {
  const { registered, count, refused, lapsed } = report;
  const lines: string[] = [];
  if (registered + refused === 0) lines.push(`none of ${count} registered: nothing answers at ${registrar}`);
  else if (registered < count) lines.push(`${registered} of ${count} are registered, ${refused} were refused`);
  if (lapsed > 0 && report.silence === undefined) lines.push(`${lapsed} registrations lapsed`);
  return lines;
}

/** The report as lines for a person. */
export function reportLines(report: LoadReport): readonly string[] {
  const { silence, restart, wakeMs, tunnelMs, calls, cpuMsByThread } = report;
  const number = (value: number, digits = 0): string =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const row = (name: string, value: string): string => `${name.padEnd(28)} ${value}`;
  const pauses = ({ count, totalMs, longestMs }: GcPauses): string =>
    `${number(count)} in ${number(totalMs)} ms, longest ${number(longestMs, 1)} ms`;
  const quantiles = (q: Quantiles): string =>
    `${number(q.p50, 2)} ms median, ${number(q.p99, 2)} ms p99, ${number(q.max, 1)} ms longest`;
  return [
    row("registered", `${number(report.registered)} of ${number(report.count)} on ${report.shards} shards`),
    row("refused / lapsed", `${number(report.refused)} / ${number(report.lapsed)}`),
    row(
      "all registered after",
      report.wallMsAllRegistered === undefined
        ? "never"
        : `${number(report.wallMsAllRegistered / 1_000, 2)} s, ${number(report.retransmissionsColdStart)} retransmissions`,
    ),
    row("ready after", `${number(report.readyMs)} ms`),
    row(
      "CPU a registration",
      report.cpuUsPerRegistration === undefined ? "not measured" : `${number(report.cpuUsPerRegistration, 1)} us`,
    ),
    row(
      "CPU a refresh",
      `${number(report.cpuUsPerRefresh, 1)} us (${number(report.cpuUsPerRefreshNet, 1)} without the idle process's ${number(report.idleCpuPercent, 1)} %)`,
    ),
    ...(cpuMsByThread === undefined
      ? []
      : [
          row(
            "CPU by thread",
            `main ${number(cpuMsByThread.main)} ms, workers ${number(cpuMsByThread.workers)} ms, others ${number(cpuMsByThread.others)} ms`,
          ),
        ]),
    row("refreshes", `${number(report.refreshes)}, ${number(report.refreshesPerSec)} a second`),
    row("retransmissions", number(report.retransmissions)),
    row("sends dropped", number(report.sendsDropped)),
    row(
      "memory",
      `${number(report.bytesPerRegistration)} B a registration, ${number(report.residentBytes / 1e6)} MB in all`,
    ),
    row(
      "longest loop delay",
      `${number(report.loopDelayMsPeak)} ms; once registered ${number(report.loopDelayMsHold)} ms, main thread ${number(report.mainDelayMsHold)} ms`,
    ),
    row("garbage collection pauses", `${pauses(report.gcPauses)}; once registered ${pauses(report.gcPausesHold)}`),
    ...(silence === undefined
      ? []
      : [
          row(
            "sent into the silence",
            `${number(silence.requests)}, at most ${number(silence.requestsPerSecPeak)} a second`,
          ),
          row("all back after it", silence.allBackMs === undefined ? "never" : `${number(silence.allBackMs)} ms`),
          row("busiest second / mean after", silence.clump === undefined ? "not measured" : number(silence.clump, 2)),
        ]),
    ...(restart === undefined
      ? []
      : [
          row("ready after kill -9", `${number(restart.readyMs)} ms, ${number(restart.registeredAtReady)} registered`),
          row("sent in 5 s after it", `${number(restart.sent)}, usual ${number(restart.sentUsual)}`),
        ]),
    ...(calls === undefined
      ? []
      : [row("calls", `${number(calls.sent)} sent, ${number(calls.pushed)} pushed, ${number(calls.answered)} ended`)]),
    ...(wakeMs === undefined ? [] : [row("INVITE to push", quantiles(wakeMs))]),
    ...(report.cpuUsPerCall === undefined ? [] : [row("CPU a call", `${number(report.cpuUsPerCall)} us`)]),
    ...(tunnelMs === undefined ? [] : [row("tunnel to INVITE", quantiles(tunnelMs))]),
  ];
}

import { round } from "./round.ts";

/** Makes JavaScriptCore write a line to stderr at each of its collections. */
export const gcLogEnv = { BUN_JSC_logGC: "1" } as const;

/** How long garbage collections held the threads of a process, all threads together. */
export interface GcPauses {
  readonly count: number;
  readonly totalMs: number;
  readonly longestMs: number;
}

const pause = /\bp=([\d.e-]+)ms/g;
const gcLine = /^(?:\[GC<|GC END|Requesting GC|Collector: )/;

/** Reads what `gcLogEnv` made the process write. A collection may hold its thread several times; each is a pause. */
export function gcPausesOf(log: string): GcPauses {
  let count = 0;
  let totalMs = 0;
  let longestMs = 0;
  for (const [, text] of log.matchAll(pause)) {
    const ms = Number(text);
    if (!Number.isFinite(ms)) continue;
    count++;
    totalMs += ms;
    longestMs = Math.max(longestMs, ms);
  }
  return { count, totalMs: round(totalMs, 1), longestMs: round(longestMs, 1) };
}

/** The last thing that the process said itself; "" when it said nothing. */
export function lastWordsOf(log: string): string {
  return (
    log
      .trim()
      .split("\n")
      .findLast((line) => !gcLine.test(line)) ?? ""
  );
}

import { readdirSync, readFileSync } from "node:fs";

/** User and system time in ms since the process began. `workers`: shards and store. `others`: compiler, garbage collection, allocator. */
export interface ThreadCpu {
  readonly main: number;
  readonly workers: number;
  readonly others: number;
}

/** Linux tells times in hundredths of a second, whatever its own clock. */
const msPerTick = 10;

/** Reads /proc; undefined where there is none, or no such process. */
export function threadCpuOf(pid: number): ThreadCpu | undefined {
  const sums = { main: 0, workers: 0, others: 0 };
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
      // The name stands in parentheses and may hold any of them; utime and stime are the 12th and 13th field behind it.
      const nameEnd = stat.lastIndexOf(")");
      const fields = stat.slice(nameEnd + 2).split(" ");
      const name = stat.slice(stat.indexOf("(") + 1, nameEnd);
      const kind = thread === String(pid) ? "main" : name === "Worker" ? "workers" : "others";
      sums[kind] += (Number(fields[11]) + Number(fields[12])) * msPerTick;
    }
  } catch {
    // A thread that has just ended, or the process itself.
    return undefined;
  }
  return sums;
}

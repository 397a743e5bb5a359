/**
 * Milliseconds of processor time that `work` takes on this thread: what other processes and the collector's own threads take meanwhile does
 * not count, so a bound on it holds beside a busy machine. The best of some runs, for the first ones pay for the compiler.
 */
export function cpuMs(work: () => void, runs = 3): number {
  let best = Infinity;
  for (let run = 0; run < runs; run++) {
    const before = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

/** What a bench printed, by name: nanoseconds for times, bytes for sizes. */
export type Figures = Readonly<Record<string, number>>;

const units: Readonly<Record<string, number>> = {
  ps: 1e-3,
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  B: 1,
  KB: 1e3,
  kB: 1e3,
  MB: 1e6,
};
const ansi = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g");
/** mitata: `name   123.45 ns/iter …`, and under it `(min … max)`. */
const mitataLine = /^(\S.*?)\s+([\d.,]+) (ps|ns|us|µs|ms|s)\/iter/;
const leastLine = /^\s+\(([\d.,]+) (ps|ns|us|µs|ms|s) …/;
/** Our own: `name: 123 ns`; further text may follow. */
const plainLine = /^(\S.*?):? ([\d.,]+) (ns|us|ms|B|KB|kB|MB)\b/;
/** Counts inside names differ from run to run. */
const countInName = /\d{5,}/g;

/**
 * Reads both kinds of lines. Of mitata's the shortest sample counts, and of lines with one name the smallest: what other load
 * disturbed least.
 */
export function readFigures(text: string): Figures {
  const figures: Record<string, number> = {};
  let open: string | undefined;
  for (const raw of text.split("\n")) {
    const line = raw.replace(ansi, "");
    const least = open === undefined ? null : leastLine.exec(line);
    const match = mitataLine.exec(line) ?? plainLine.exec(line);
    const name: string | undefined = least === null ? match?.[1]?.trim().replaceAll(countInName, "N") : open;
    const [value, unit] = least === null ? [match?.[2], match?.[3]] : [least[1], least[2]];
    open = least === null && mitataLine.test(line) ? name : undefined;
    if (name === undefined || value === undefined || unit === undefined) continue;
    const measured = Number(value.replaceAll(",", "")) * (units[unit] ?? 1);
    if (Number.isFinite(measured)) figures[name] = Math.min(measured, figures[name] ?? Infinity);
  }
  return figures;
}

/** Smallest of each figure over several runs. */
export function smallest(runs: readonly Figures[]): Figures {
  const all: Record<string, number> = {};
  for (const run of runs)
    for (const [name, value] of Object.entries(run)) all[name] = Math.min(value, all[name] ?? Infinity);
  return all;
}

export interface Comparison {
  readonly name: string;
  readonly before: number;
  readonly now: number;
  /** now / before. */
  readonly ratio: number;
  readonly verdict: "slower" | "faster" | "same";
}

/** Figures that both sides have; a change of over `threshold` (0.1 is 10 %) is told. */
export function compare(before: Figures, now: Figures, threshold: number): readonly Comparison[] {
  return Object.entries(now).flatMap(([name, value]) => {
    const old = before[name];
    if (old === undefined || old <= 0) return [];
    const ratio = value / old;
    const verdict = ratio > 1 + threshold ? "slower" : ratio < 1 / (1 + threshold) ? "faster" : "same";
    return [{ name, before: old, now: value, ratio, verdict } as const];
  });
}

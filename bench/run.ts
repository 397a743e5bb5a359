/**
 * `bun run bench [path…]`: runs `bench/**` + `/*.bench.ts` whose path contains one of the words given (all without any), one after the
 * other, each in a process of its own.
 *
 *     --save           writes what was measured into bench/baseline.json
 *     --compare        against bench/baseline.json: only where it was written on this machine is that worth much
 *     --against REF    against a git ref, both measured now, in turns: the figure to trust
 *     --rounds N       runs of each bench; of each figure the smallest counts (1; with a comparison 3)
 *
 * Exit code 1 when a bench fails, or a comparison finds something over 10 % slower.
 */
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { $, Glob } from "bun";
import { compare, type Figures, readFigures, smallest } from "./figures.ts";

const root = new URL("..", import.meta.url).pathname;
const baselineFile = join(root, "bench/baseline.json");
const threshold = 0.1;
const benchMsMax = 120_000;

interface Baseline {
  readonly machine: string;
  readonly bun: string;
  readonly at: string;
  /** By file, then by name. */
  readonly figures: Readonly<Record<string, Figures>>;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    save: { type: "boolean", default: false },
    compare: { type: "boolean", default: false },
    against: { type: "string" },
    rounds: { type: "string" },
  },
});
const isComparing = values.compare || values.against !== undefined;
const rounds = Number(values.rounds ?? (isComparing ? 3 : 1));
const files = [...new Glob("bench/**/*.bench.ts").scanSync(root)]
  .filter((file) => positionals.length === 0 || positionals.some((word) => file.includes(word)))
  .toSorted();
if (files.length === 0) {
  process.stderr.write(`no bench is called ${positionals.join(" or ")}\n`);
  process.exit(2);
}

/** Undefined when the bench failed or took too long. */
async function runOne(folder: string, file: string, isLoud: boolean): Promise<Figures | undefined> {
  const child = Bun.spawn([process.execPath, join(folder, file)], {
    cwd: folder,
    stdout: "pipe",
    stderr: isLoud ? "inherit" : "ignore",
    env: { ...process.env, NO_COLOR: "1" },
    timeout: benchMsMax,
  });
  const text = await new Response(child.stdout).text();
  if (isLoud) process.stdout.write(text);
  return (await child.exited) === 0 ? readFigures(text) : undefined;
}

/** The tree of a git ref beside ours, with our dependencies. */
async function folderOf(ref: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "wakeline-against-"));
  await $`git -C ${root} archive ${ref} | tar -x -C ${folder}`.quiet();
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

async function baseline(): Promise<Baseline | undefined> {
  const file = Bun.file(baselineFile);
  return (await file.exists()) ? ((await file.json()) as Baseline) : undefined;
}

/** After each bench, so that one that hangs costs only itself. */
async function save(): Promise<void> {
  const written: Baseline = {
    machine: `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}`,
    bun: Bun.version,
    at: new Date().toISOString(),
    figures: { ...stored?.figures, ...measured },
  };
  await Bun.write(baselineFile, `${JSON.stringify(written, undefined, 2)}\n`);
}

let failed = false;
let slower = 0;
const measured: Record<string, Figures> = {};
const other = values.against === undefined ? undefined : await folderOf(values.against);
const stored = await baseline();
try {
  for (const file of files) {
    process.stdout.write(`\n== ${file}\n`);
    const now: Figures[] = [];
    const before: Figures[] = [];
    for (let round = 0; round < rounds; round++) {
      if (other !== undefined) before.push((await runOne(other, file, false)) ?? {});
      const figures = await runOne(root, file, !isComparing);
      if (figures === undefined) {
        process.stdout.write(`${file} failed\n`);
        failed = true;
        break;
      }
      now.push(figures);
    }
    const figures = smallest(now);
    measured[file] = figures;
    if (values.save) await save();
    if (!isComparing) continue;
    const reference = other === undefined ? (stored?.figures[file] ?? {}) : smallest(before);
    for (const { name, before: old, now: value, ratio, verdict } of compare(reference, figures, threshold)) {
      const mark = verdict === "same" ? " " : verdict === "slower" ? "!" : "+";
      process.stdout.write(`${mark} ${ratio.toFixed(2)}  ${name}: ${old.toPrecision(4)} to ${value.toPrecision(4)}\n`);
      if (verdict === "slower") slower++;
    }
  }
} finally {
  if (other !== undefined) rmSync(other, { recursive: true, force: true });
}
if (slower > 0) process.stdout.write(`\n${slower} figures are over 10 % slower\n`);
process.exit(failed || slower > 0 ? 1 : 0);

import { tellOf } from "./report.ts";
import { play } from "./scenario.ts";
import { type Happening, happenings } from "./talker.ts";

/**
 * `bun test/sim/run.ts [--seconds N | --worlds N] [--seed S] [--calls N] [--rate N] [--all]`: plays seed after seed until the time is over
 * (20 s) or so many are played, the same ones on a slow machine, or a rule is broken; `--all` goes on behind that.
 */
const args = process.argv.slice(2);
const valueOf = (name: string, or: number): number => {
  const at = args.indexOf(name);
  return at < 0 ? or : Number(args[at + 1]);
};
const first = valueOf("--seed", 1);
const calls = valueOf("--calls", 150);
/** Calls a second. */
const ratePerSec = valueOf("--rate", 20);
const worlds = valueOf("--worlds", Infinity);
const untilMs = worlds === Infinity ? performance.now() + valueOf("--seconds", 20) * 1_000 : Infinity;
let broken = 0;
let played = 0;
const happened = new Map<Happening, number>();
let seed = first;
do {
  const began = performance.now();
  const outcome = play(seed, { calls, ratePerSec });
  played += outcome.calls;
  const ms = Math.round(performance.now() - began);
  const { answered, outgoing, world } = outcome;
  console.log(`seed ${seed}: ${outcome.calls} calls, ${answered} answered, ${outgoing} out, ${ms} ms`);
  if (world.violations.length > 0) {
    broken++;
    console.log(tellOf(outcome));
  }
  for (const [happening, times] of world.happened) happened.set(happening, (happened.get(happening) ?? 0) + times);
  seed++;
} while (seed - first < worlds && performance.now() < untilMs && (broken === 0 || args.includes("--all")));
console.log(happenings.map((happening) => `${happening}: ${happened.get(happening) ?? 0}`).join(", "));
console.log(`${seed - first} seeds, ${played} calls, ${broken} seeds with broken rules`);
process.exitCode = broken > 0 ? 1 : 0;

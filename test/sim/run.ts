import { play } from "./scenario.ts";

/** `bun test/sim/run.ts --seconds N [--seed S] [--calls N] [--all]`: plays seed after seed until the time is over or a rule is broken. */
const args = process.argv.slice(2);
const valueOf = (name: string, or: number): number => {
  const at = args.indexOf(name);
  return at < 0 ? or : Number(args[at + 1]);
};
const seconds = valueOf("--seconds", 20);
const first = valueOf("--seed", 1);
const calls = valueOf("--calls", 150);
const untilMs = performance.now() + seconds * 1_000;
let broken = 0;
let played = 0;
let seed = first;
do {
  const began = performance.now();
  const outcome = play(seed, { calls });
  played += outcome.calls;
  const ms = Math.round(performance.now() - began);
  const { violations, ladders } = outcome.world;
  console.log(
    `seed ${seed}: ${outcome.calls} calls, ${outcome.answered} answered, ${outcome.outgoing} out, ${ms} ms; ${violations.length} broken`,
  );
  const seen = new Set<string>();
  for (const { rule, text, callId, atMs } of violations) {
    const kind = `${rule} ${text.slice(0, 12)}`;
    if (seen.has(kind)) continue;
    seen.add(kind);
    console.log(`  ${atMs.toFixed(1)} ${rule}: ${text.slice(0, 2_000)} [${callId}]`);
    if (callId !== "") console.log(ladders.of(callId));
  }
  if (violations.length > 0) {
    broken++;
    console.log(`again: bun test/sim/run.ts --seconds 0 --seed ${seed} --calls ${calls}`);
    if (!args.includes("--all")) break;
  }
  seed++;
} while (performance.now() < untilMs);
console.log(`${seed - first} seeds, ${played} calls, ${broken} seeds with broken rules`);
process.exitCode = broken > 0 ? 1 : 0;

import { parseArgs } from "node:util";
import { check } from "./check.ts";
import { runGuided } from "./guided.ts";
import { mutant } from "./mutate.ts";
import { Seeded } from "./seeded.ts";

/** Messages until the compiler and the heap have settled: what memory does before that is no leak. */
const warmUpCount = 10_000;
/** The most that resident memory may grow after that, however long it runs. */
const grownMbMax = 20;

/**
 * `bun run fuzz --seconds N [--seed N] [--guided]`: mutated messages through everything that reads or writes SIP, until the time is
 * over, one breaks a promise, or memory grows. Each message has a seed of its own; `--seed` with the printed one tries it first.
 * `--guided`: what reaches new code is kept and changed further, see guided.ts.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    seed: { type: "string" },
    guided: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);
const first = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
if (!Number.isFinite(seconds) || !Number.isSafeInteger(first)) {
  console.error("usage: bun run fuzz --seconds N [--seed N] [--guided]");
  process.exit(2);
}
if (values.guided) process.exit(await guided());

const end = performance.now() + seconds * 1000;
let settledMb: number | undefined;
let count = 0;
do {
  if (count === warmUpCount) settledMb = residentMb();
  const seed = first + count;
  const random = new Seeded(seed);
  const bytes = mutant(random);
  try {
    check(bytes, random);
  } catch (cause) {
    console.error(`failing seed ${seed} (${bytes.length} bytes)`);
    complain(bytes, cause);
    console.log(`${count} passed, 1 failed`);
    process.exit(1);
  }
  count++;
} while (performance.now() < end);
const grownMb = settledMb === undefined ? 0 : residentMb() - settledMb;
console.log(
  `seeds ${first} to ${first + count - 1}; resident memory grew by ${grownMb.toFixed(0)} MB after the first ${warmUpCount}`,
);
if (grownMb >= grownMbMax) {
  console.log(`${count} passed, memory grew by ${grownMbMax} MB or more`);
  process.exit(1);
}
console.log(`${count} passed, 0 failed`);

function residentMb(): number {
  Bun.gc(true);
  return process.memoryUsage().rss / 2 ** 20;
}

async function guided(): Promise<number> {
  const outcome = await runGuided(seconds, first);
  switch (outcome.kind) {
    case "noNode":
      console.error(outcome.text);
      return 2;
    case "fault":
      complain(outcome.bytes, outcome.fault);
      console.log(`${outcome.runs - 1} passed, 1 failed`);
      return 1;
    case "fine":
      console.log(`${outcome.kept} messages reached new code, ${outcome.places} places in all`);
      console.log(`${outcome.runs} passed, 0 failed`);
      return 0;
    default:
      return outcome satisfies never;
  }
}

function complain(bytes: Uint8Array, cause: unknown): void {
  console.error(JSON.stringify(Buffer.from(bytes.subarray(0, 1000)).toString("latin1")));
  console.error(cause);
}

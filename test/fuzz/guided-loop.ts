import { Session } from "node:inspector";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { changed } from "./change.ts";
import { Seeded } from "./seeded.ts";

/** What it is told, as JSON in the file that its first argument names. */
interface Task {
  /** Module with `checkPromises`, what is fuzzed: coverage counts in it alone. */
  readonly subject: string;
  readonly seconds: number;
  readonly seed: number;
  /** Messages in base64. */
  readonly corpus: readonly string[];
}

interface Subject {
  readonly checkPromises: (bytes: Uint8Array, random: Seeded) => void;
}

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface Coverage {
  readonly result: readonly {
    readonly url: string;
    readonly functions: readonly { readonly ranges: readonly Range[] }[];
  }[];
}

/**
 * Coverage-guided fuzzing, run by Node: a message that reaches a part of the code (or reaches it more often by a power of two) that none
 * before it did is kept and changed further. Prints one line of JSON: what was run, or the first message that broke a promise.
 */
const task = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Task;
const kept: Uint8Array[] = task.corpus.map((text) => new Uint8Array(Buffer.from(text, "base64")));
const given = kept.length;
const subjectUrl = pathToFileURL(task.subject).href;
const seen = new Set<string>();
const inspector = new Session();
inspector.connect();
inspector.post("Profiler.enable");
inspector.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
const { checkPromises } = (await import(task.subject)) as Subject;

let runs = 0;
for (const bytes of kept) run(bytes, task.seed);
const endMs = performance.now() + task.seconds * 1000;
while (performance.now() < endMs) {
  const seed = task.seed + runs;
  const random = new Seeded(seed);
  // The newest know the least trodden ways.
  const from =
    random.below(2) === 0
      ? random.pick(kept)
      : (kept[kept.length - 1 - random.below(Math.min(kept.length, 32))] ?? kept[0]!);
  const bytes = changed(from, random, kept);
  if (run(bytes, seed)) kept.push(bytes);
}
say({ runs, kept: kept.length - given, places: seen.size });

/** Whether the message has reached anything new. Ends the process when it breaks a promise. */
function run(bytes: Uint8Array, seed: number): boolean {
  runs++;
  try {
    checkPromises(bytes, new Seeded(seed));
  } catch (cause) {
    const fault = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    say({ runs, fault, bytes: Buffer.from(bytes).toString("base64") });
    process.exit(1);
  }
  let isNew = false;
  inspector.post("Profiler.takePreciseCoverage", (_error, coverage) => {
    for (const { url, functions } of (coverage as unknown as Coverage).result) {
      if (url !== subjectUrl) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          // What was left out of a function tells as much: V8 names no part that ran as often as what is around it.
          const often = count === 0 ? "never" : Math.min(Math.floor(Math.log2(count)), 8);
          const place = `${startOffset} ${endOffset} ${often}`;
          if (seen.has(place)) continue;
          seen.add(place);
          isNew = true;
        }
      }
    }
  });
  return isNew;
}

function say(outcome: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify(outcome));
}

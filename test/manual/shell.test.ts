import { describe, expect, test } from "bun:test";
import { Desk } from "./desk.ts";
import { type Fence, fences, fencesOf, pages, placeOf } from "./fences.ts";

const shell = ["sh", "bash", "console"];

/**
 * Commands of the manual that no test runs, and why. They are checked for syntax. What the list names must be in the manual.
 */
const elsewhere: readonly (readonly [page: string, command: RegExp, why: string])[] = [
  ["README.md", /\brun check\b/, "it is what runs this test"],
  ["README.md", /\brun build\b/, "CI builds the program and goes through test/smoke with it"],
  ["bench/README.md", /^bun run bench/, "takes minutes; it measures"],
  ["docs/app-developer.md", /^bun examples\//, "test/sdk/example.test.ts runs it beside a demo"],
  ["docs/performance.md", /./, "the measurement takes an hour; the load tool is run by bench/README.md"],
];
/** Measurements of the manual at a size that a test can wait for. */
const smaller: readonly (readonly [RegExp, string])[] = [
  [/--count \d+/g, "--count 100"],
  [/--expires \d+/g, "--expires 60"],
  [/--seconds \d+/g, "--seconds 1"],
];

/** The fence with the lines that are run elsewhere taken out. */
function runnable(fence: Fence): string {
  return fence.text
    .split("\n")
    .map((line) => (elsewhere.some(([page, command]) => page === fence.file && command.test(line.trim())) ? ":" : line))
    .join("\n");
}

describe("the manual's commands", () => {
  for (const page of pages()) {
    const found = fencesOf(page).filter(({ language }) => shell.includes(language));
    if (found.length === 0) continue;
    test.concurrent(`${page}: followed from top to bottom`, async () => {
      const desk = await Desk.open(smaller);
      try {
        for (const fence of found) {
          const script = runnable(fence);
          if (script.replaceAll(/^[:\s]*(#.*)?$/gm, "") === "") continue;
          await desk.follows(script).catch((cause: Error) => {
            throw new Error(`${placeOf(fence)}: ${cause.message}`);
          });
        }
      } finally {
        await desk.leaves();
      }
    }, 120_000);
  }

  test("are all of them shell", () => {
    const faults = fences(...shell).flatMap((fence) => {
      const { exitCode, stderr } = Bun.spawnSync(["bash", "-n", "-c", fence.text]);
      return exitCode === 0 ? [] : [`${placeOf(fence)}: ${stderr.toString()}`];
    });
    expect(faults).toEqual([]);
  });

  test("that are run elsewhere are still in the manual", () => {
    const all = fences(...shell).flatMap(({ file, text }) =>
      text.split("\n").map((line) => ({ file, line: line.trim() })),
    );
    const gone = elsewhere.filter(
      ([page, command]) => !all.some(({ file, line }) => file === page && command.test(line)),
    );
    expect(gone).toEqual([]);
  });
});

import { describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { check } from "./check.ts";
import { runGuided } from "./guided.ts";
import { mutant } from "./mutate.ts";
import { checkPromises } from "./planted.ts";
import { Seeded } from "./seeded.ts";

describe("mutated messages", () => {
  test("a few thousand of them break no promise", () => {
    for (let seed = 1; seed <= 5000; seed++) {
      const random = new Seeded(seed);
      const bytes = mutant(random);
      try {
        check(bytes, random);
      } catch (cause) {
        throw new Error(`seed ${seed}`, { cause });
      }
    }
  });

  test("a seed gives the same message each time, another seed another one", () => {
    expect(mutant(new Seeded(7))).toEqual(mutant(new Seeded(7)));
    expect(mutant(new Seeded(8))).not.toEqual(mutant(new Seeded(7)));
  });
});

describe("guided by what was reached", () => {
  test("finds a fault three conditions deep, which as many messages without guidance do not", async () => {
    const seed = 600_000;
    const outcome = await runGuided(25, seed, fileURLToPath(new URL("planted.ts", import.meta.url)));
    if (outcome.kind === "noNode") {
      expect(Bun.which("node")).toBeNull();
      return;
    }
    expect(outcome.kind === "fault" ? outcome.fault : outcome).toContain("the planted fault");
    for (let n = 0; n < outcome.runs; n++) checkPromises(mutant(new Seeded(seed + n)));
  });
});

describe("the command", () => {
  const run = (...args: readonly string[]) => {
    const { exitCode, stdout } = Bun.spawnSync([
      process.execPath,
      fileURLToPath(new URL("run.ts", import.meta.url)),
      ...args,
    ]);
    return { exitCode, said: stdout.toString() };
  };

  test("ends with 0 and a count when nothing failed, with 2 when it is not understood", () => {
    const fine = run("--seconds", "0", "--seed", "42");
    expect([fine.exitCode, fine.said.trimEnd().split("\n").at(-1)]).toEqual([0, "1 passed, 0 failed"]);
    expect(run("--seconds", "soon").exitCode).toBe(2);
  });
});

import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const main = join(import.meta.dir, "../../src/main.ts");

describe("wrong usage", () => {
  for (const args of [["serve", "--confg", "x"], ["chek"], ["backup"], ["demo", "--page", "--port", "x"]]) {
    test(`wakeline ${args.join(" ")} is one line on stderr and exit 2`, () => {
      const { exitCode, stderr } = Bun.spawnSync([process.execPath, main, ...args], { timeout: 10_000 });
      expect(exitCode).toBe(2);
      expect(stderr.toString()).toMatch(/^error: .+\n$/);
    });
  }
});

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { repository } from "./post.ts";

/** Event → level, as the source writes them. */
function written(): ReadonlyMap<string, string> {
  const events = new Map<string, string>();
  for (const file of new Glob("**/*.ts").scanSync(join(repository, "src"))) {
    const source = readFileSync(join(repository, "src", file), "utf8");
    for (const [, level = "", event = ""] of source.matchAll(/\.(info|warn|error)\(\s*"([a-z]\w*\.[a-z]\w*)"/g)) {
      events.set(event, level);
    }
  }
  return events;
}

/** The same, as the table of docs/operations.md tells them. */
function told(): ReadonlyMap<string, string> {
  const [, section = ""] = readFileSync(join(repository, "docs/operations.md"), "utf8").split(/^## The log$/m);
  const rows = section.split(/^## /m)[0]?.matchAll(/^\| (`[^|]+) \| ([a-z, ]+) \|/gm) ?? [];
  return new Map(
    [...rows].flatMap(([, names = "", levels = ""]) => {
      const list = levels.split(", ");
      return [...names.matchAll(/`([^`]+)`/g)].map(([, name = ""], n) => [name, list[n] ?? list[0] ?? ""] as const);
    }),
  );
}

test("the operator's manual lists every event of the log with its level, and no other", () => {
  const [source, manual] = [written(), told()];
  expect(source.size).toBeGreaterThan(25);
  expect(Object.fromEntries(manual)).toEqual(Object.fromEntries(source));
});

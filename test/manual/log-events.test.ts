import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { repository } from "./post.ts";

/** Events whose name is put together: src/edge/registrar-news.ts. */
const built: readonly (readonly [string, string])[] = [
  ["registrar.certificateChanged", "warn"],
  ["registrar.certificateRenewed", "info"],
];

/** Event → level, as the source writes them. */
function written(): ReadonlyMap<string, string> {
  const events = new Map<string, string>(built);
  for (const file of new Glob("**/*.ts").scanSync(join(repository, "src"))) {
    const source = readFileSync(join(repository, "src", file), "utf8");
    for (const [, level = "", event = ""] of source.matchAll(/\.(info|warn|error)\(\s*"([a-z]\w*\.[a-z]\w*)"/g)) {
      events.set(event, level);
    }
  }
  return events;
}

test("no other place of the source puts an event's name together", () => {
  const places = [...new Glob("**/*.ts").scanSync(join(repository, "src"))].filter((file) =>
    /[lL]og(?:\.(?:info|warn|error)|\[\w+\])\(\s*[^"\s)]/.test(readFileSync(join(repository, "src", file), "utf8")),
  );
  expect(places).toEqual(["edge/registrar-news.ts"]);
});

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

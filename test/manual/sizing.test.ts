import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { repository } from "./post.ts";

const read = (name: string): string => readFileSync(join(repository, name), "utf8");

test("every measured figure of README and of the sizing table stands in docs/performance.md", () => {
  const [, sizing = ""] = read("docs/operations.md").split("\n## Sizing\n");
  const [, performance = ""] = read("README.md").split("\n## Performance\n");
  const measured = read("docs/performance.md");
  const figures = [sizing, performance].flatMap((section) =>
    [
      ...(section.split("\n## ")[0] ?? "").matchAll(
        /(?<![\w.])(\d[\d.,]*\d|\d)(?= (?:and [\d.]+ )?(?:s|ms|us|B|KB|MB)\b)/g,
      ),
    ].map(([, figure = ""]) => figure),
  );
  expect(figures.length).toBeGreaterThan(15);
  const missing = figures.filter(
    (figure) => !new RegExp(`(?<![\\d.])${RegExp.escape(figure)}(?![\\d]|\\.\\d)`).test(measured),
  );
  expect(missing).toEqual([]);
});

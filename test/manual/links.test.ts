import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { problemCodes } from "../../sdk/src/problem.ts";
import { loadConfig } from "../../src/config/load.ts";
import { pages } from "./fences.ts";
import { repository, wakeline } from "./post.ts";

const read = (page: string): string => readFileSync(join(repository, page), "utf8");

/** The manual, and what else is written for a reader. */
const texts: readonly string[] = [
  ...pages(),
  "CHANGELOG.md",
  "examples/README.md",
  "test/sim/README.md",
  ...readdirSync(join(repository, "docs/adr")).map((name) => `docs/adr/${name}`),
];

/** The text without its fenced blocks. */
function prose(markdown: string): string {
  return markdown.replaceAll(/^([ \t]*)```[\s\S]*?^\1```/gm, "");
}

/** As GitHub makes them of headings. */
function anchorsOf(markdown: string): ReadonlySet<string> {
  const headings = [...prose(markdown).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

test("every link leads to a file of the repository, and to a heading in it", () => {
  const broken = texts.flatMap((page) =>
    [...prose(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
      if (/^[a-z]+:/.test(link)) return [];
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : join(dirname(page), path);
      if (!existsSync(join(repository, target))) return [`${page}: ${link}: no such file`];
      const isThere = anchor === undefined || anchorsOf(read(target)).has(anchor);
      return isThere ? [] : [`${page}: ${link}: no such heading`];
    }),
  );
  expect(broken).toEqual([]);
});

test("every file that a text names is there", () => {
  const folders = [...readdirSync(repository), ...readdirSync(join(repository, "src"))]
    .join("|")
    .replaceAll(".", "\\.");
  const path = new RegExp(`\`((?:${folders})/[\\w./-]+)\``, "g");
  // What a build or a run makes is not in the repository.
  const made = /^(?:dist|data|node_modules)\//;
  const named = texts.flatMap((page) => [...read(page).matchAll(path)].map(([, file = ""]) => ({ page, file })));
  expect(named.length).toBeGreaterThan(100);
  const isThere = (file: string): boolean => ["", "src"].some((from) => existsSync(join(repository, from, file)));
  expect(named.filter(({ file }) => !made.test(file) && !isThere(file))).toEqual([]);
});

test("README leads to every page of docs", () => {
  const text = read("README.md");
  expect(pages().filter((page) => page.startsWith("docs/") && !text.includes(`(${page}`))).toEqual([]);
});

test("README's table of commands is what --help says", () => {
  const { stdout } = Bun.spawnSync([...wakeline, "--help"]);
  const [, list = ""] = stdout.toString().split("Commands:");
  const known = [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name = ""]) => name).filter((name) => name !== "help");
  const told = [...read("README.md").matchAll(/^\| `wakeline .*? \|/gm)].flatMap(([cell]) =>
    [...cell.matchAll(/`wakeline ([a-z]+)/g)].map(([, name = ""]) => name),
  );
  expect([...new Set(told)].toSorted()).toEqual(known.toSorted());
});

test("README's table of keys names every key of the configuration", () => {
  const [, section = ""] = read("README.md").split("## Configuration");
  const config = loadConfig(undefined, {});
  const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const keys = Object.entries(config).flatMap(([name, value]: [string, unknown]) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.keys(value).map(snake)
      : [snake(name)],
  );
  const missing = keys.filter(
    (key) => key !== "file" && !new RegExp(`[.\`\\[]${key}[\`\\]]`).test(section.split("## ")[0] ?? ""),
  );
  expect(missing).toEqual([]);
});

test("the app developer's table of errors names every code that a server answers", () => {
  const [, section = ""] = read("docs/app-developer.md").split("\n## Errors\n");
  const table = section.split("\n## ")[0] ?? "";
  const ownOfThePackage = new Set(["unreachable", "timeout", "aborted", "unknown"]);
  const missing = problemCodes.filter((code) => !ownOfThePackage.has(code) && !table.includes(`\`${code}\``));
  expect(missing).toEqual([]);
});

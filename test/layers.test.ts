import { expect, test } from "bun:test";
import { Glob } from "bun";
import { posix } from "node:path";

/**
 * The layers of ARCHITECTURE.md, lowest first. A folder imports itself and what its line names, nothing else: an arrow
 * upward or a new arrow is a decision, made here first.
 */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  time: ["base"],
  sip: ["base", "time"],
  observe: ["base"],
  config: ["base", "observe"],
  store: ["base", "config", "observe", "time"],
  push: ["base", "config", "observe", "store", "time"],
  net: ["base", "config", "observe", "sip", "time"],
  keeper: ["base", "net", "observe", "sip", "time"],
  anchor: ["base", "net", "observe", "sip", "time"],
  workers: ["anchor", "base", "config", "keeper", "net", "observe", "sip", "store", "time"],
  edge: ["base", "config", "net", "observe", "page", "push", "sip", "store", "time", "workers"],
  page: ["base"],
  demo: ["base", "page", "push", "sip"],
  commands: [
    "base",
    "config",
    "demo",
    "edge",
    "keeper",
    "net",
    "observe",
    "page",
    "push",
    "sip",
    "store",
    "time",
    "workers",
  ],
};
/** Types that cross between pool and shard stand in workers/protocol.ts; the worker entry points by URL in workers/urls.ts;
 * the version in package.json; the demo's phones use the client that apps use. */
const shared = new Set(["workers/protocol.ts", "workers/urls.ts", "../package.json", "../sdk/src/index.ts"]);

const importPattern =
  /^\s*(?:import|export)\b[^"'`;]*?\bfrom\s+["'](\.[^"']+)["']|^\s*import\s+["'](\.[^"']+)["']|import\(\s*["'](\.[^"']+)["']\s*\)/gm;

interface Arrow {
  readonly file: string;
  readonly target: string;
}

async function arrows(): Promise<Arrow[]> {
  const found: Arrow[] = [];
  const root = new URL("../src", import.meta.url).pathname;
  for await (const file of new Glob("**/*.{ts,tsx}").scan(root)) {
    const text = await Bun.file(posix.join(root, file)).text();
    for (const match of text.matchAll(importPattern)) {
      const target = posix.normalize(posix.join(posix.dirname(file), match[1] ?? match[2] ?? match[3] ?? ""));
      found.push({ file, target });
    }
  }
  return found;
}

const all = await arrows();

test("imports point down", () => {
  const faults: string[] = [];
  for (const { file, target } of all) {
    const from = file.split("/")[0] ?? "";
    const to = target.split("/")[0] ?? "";
    if (file === "main.ts" || from === to || shared.has(target)) continue;
    if (!(mayImport[from] ?? []).includes(to)) faults.push(`${file} imports ${target}`);
  }
  expect(faults).toEqual([]);
});

test("ARCHITECTURE.md tells the same layers", async () => {
  const page = await Bun.file(new URL("../ARCHITECTURE.md", import.meta.url)).text();
  const [, section = ""] = page.split("\n## Layers\n");
  const told = [...section.matchAll(/^\| `(\w+)\/` \|.*\| ([^|]+) \|$/gm)].map(
    ([, folder = "", names = ""]) => [folder, names.match(/\b[a-z]+\b(?!\/)/g)?.toSorted() ?? []] as const,
  );
  expect(Object.fromEntries(told)).toEqual(
    Object.fromEntries(Object.entries(mayImport).map(([folder, names]) => [folder, names.toSorted()])),
  );
});

test("no file imports itself by a circle", () => {
  const graph = new Map<string, string[]>();
  for (const { file, target } of all) graph.set(file, [...(graph.get(file) ?? []), target]);
  const state = new Map<string, "open" | "closed">();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === "closed") return;
    if (state.get(file) === "open") {
      circles.push([...path.slice(path.indexOf(file)), file].join(" → "));
      return;
    }
    state.set(file, "open");
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    state.set(file, "closed");
  };
  for (const file of graph.keys()) visit(file, []);
  expect(circles).toEqual([]);
});

test("sip is pure: no Bun API but hashing, no sockets, no timers", async () => {
  const faults: string[] = [];
  const root = new URL("../src/sip", import.meta.url).pathname;
  for await (const file of new Glob("**/*.ts").scan(root)) {
    const text = await Bun.file(posix.join(root, file)).text();
    if (/node:(net|dgram|tls|fs|http|dns)|setTimeout|setInterval|Bun\.(?!MD5|SHA|CryptoHasher)/.test(text))
      faults.push(file);
  }
  expect(faults).toEqual([]);
});

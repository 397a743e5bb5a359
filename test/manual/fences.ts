import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { repository } from "./post.ts";

/** A fenced block of the manual. */
export interface Fence {
  /** Path of its file, from the repository's root. */
  readonly file: string;
  readonly line: number;
  /** First word after the fence, "" for none. */
  readonly language: string;
  readonly text: string;
}

/** Every page that a reader is meant to follow. The ADRs tell of decisions and have no commands. */
export function pages(): readonly string[] {
  const docs = readdirSync(join(repository, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md") && !name.startsWith("adr/"))
    .map((name) => `docs/${name}`);
  return ["README.md", "ARCHITECTURE.md", "sdk/README.md", "bench/README.md", ...docs.sort()];
}

export function fencesOf(file: string, markdown = readFileSync(join(repository, file), "utf8")): readonly Fence[] {
  const fences: Fence[] = [];
  let open: { readonly indent: string; readonly line: number; readonly language: string; lines: string[] } | undefined;
  for (const [at, line] of markdown.split("\n").entries()) {
    const [, indent = "", language = ""] = /^(\s*)```(\S*)/.exec(line) ?? [];
    if (!line.trimStart().startsWith("```")) {
      open?.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
    } else if (open === undefined) {
      open = { indent, line: at + 1, language, lines: [] };
    } else {
      fences.push({ file, line: open.line, language: open.language, text: open.lines.join("\n") });
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`${file}:${open.line}: a fence that is not closed`);
  return fences;
}

/** All fences of the manual in these languages. */
export function fences(...languages: readonly string[]): readonly Fence[] {
  return pages()
    .flatMap((page) => fencesOf(page))
    .filter(({ language }) => languages.includes(language));
}

export function placeOf({ file, line }: Fence): string {
  return `${file}:${line}`;
}

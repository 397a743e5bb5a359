import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fencesOf, pages } from "../manual/fences.ts";
import { repository } from "../manual/post.ts";

test("the service worker of docs/guides/web.md is the demo's, which Chromium runs", () => {
  const [worker] = fencesOf("docs/guides/web.md").filter(({ language }) => language === "js");
  expect(worker?.text.trim()).toBe(readFileSync(join(repository, "src/demo/page/service-worker.js"), "utf8").trim());
});

/** GitHub's way from a heading to its anchor. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");
}

test("links of the pages for app developers lead somewhere", () => {
  const own = pages().filter((page) => /^(?:docs\/guides\/|docs\/app-developer|docs\/push|sdk\/)/.test(page));
  expect(own.length).toBeGreaterThan(6);
  const broken = own.flatMap((page) => {
    const text = readFileSync(join(repository, page), "utf8").replaceAll(/```[\s\S]*?```/g, "");
    return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1] ?? "")
      .filter((target) => !/^https?:/.test(target))
      .filter((target) => {
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? join(repository, page) : join(repository, dirname(page), path);
        if (!existsSync(file)) return true;
        if (anchor === undefined) return false;
        const headings = readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm);
        return ![...headings].some(([, heading = ""]) => anchorOf(heading) === anchor);
      })
      .map((target) => `${page}: ${target}`);
  });
  expect(broken).toEqual([]);
});

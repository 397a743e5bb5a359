import { describe, expect, test } from "bun:test";
import { pageHandler } from "../../src/page/handler.ts";

function get(path: string, headers: Record<string, string> = {}): Promise<Response | undefined> {
  return pageHandler(new Request(`http://127.0.0.1${path}`, { headers }));
}

async function must(path: string, headers?: Record<string, string>): Promise<Response> {
  const response = await get(path, headers);
  if (response === undefined) throw new Error(`no page at ${path}`);
  return response;
}

describe("files of the operator's page, from source", () => {
  test("the page is asked for each time, its files are kept for ever under hashed names", async () => {
    const page = await must("/");
    expect(page.headers.get("content-type")).toStartWith("text/html");
    expect(page.headers.get("cache-control")).toBe("no-cache");
    const html = await page.text();
    const files = [...html.matchAll(/(?:src|href)="\.?(\/[^"]+)"/g)].map(([, path]) => path ?? "");
    expect(files.map((path) => path.replace(/^.*\./, "")).sort()).toEqual(["css", "js", "svg"]);
    for (const path of files) {
      const file = await must(path);
      expect(path).toMatch(/-[0-9a-z]{8}\.\w+$/);
      expect(file.headers.get("cache-control")).toContain("immutable");
      expect((await file.text()).length).toBeGreaterThan(0);
    }
  });

  test("nothing stands inline that the policy would have to allow, nothing comes from elsewhere", async () => {
    const html = await (await must("/")).text();
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/);
    expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  });

  test("answers 304 to who has it, nothing at all for other paths", async () => {
    const etag = (await must("/")).headers.get("etag") ?? "";
    expect((await must("/", { "if-none-match": etag })).status).toBe(304);
    expect((await must("/", { "if-none-match": '"old"' })).status).toBe(200);
    for (const path of ["/start.tsx", "/index.html", "/page.css"]) expect(await get(path)).toBeUndefined();
  });
});

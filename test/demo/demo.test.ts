import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";

test("the demo tells its whole story and says so", async () => {
  const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
  const child = Bun.spawn([process.execPath, main, "demo"], { stdout: "pipe", stderr: "pipe" });
  const [out, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  expect(out).toContain("every step happened");
  expect(out).toContain("push call");
  expect(out).toContain("push cancel");
  expect(out).not.toContain("✗");
  expect(code).toBe(0);
}, 60_000);

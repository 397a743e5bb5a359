import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const log = join(import.meta.dir, "../../src/observe/log.ts");

/** What a program writes to stderr when it logs these fields, as lines. */
function logged(fields: string): string[] {
  const script = `import { openLog, startLog } from ${JSON.stringify(log)}; startLog("info"); openLog("main").warn("test.event", ${fields});`;
  const { stderr } = Bun.spawnSync([process.execPath, "-e", script]);
  return stderr.toString().trimEnd().split("\n");
}

describe("a line of the log", () => {
  test("never shows a field that is named as a secret is", () => {
    const names = [
      "password",
      "secret",
      "ha1",
      "hash",
      "token",
      "ticket",
      "authorization",
      "key",
      "nonce",
      "body",
      "sdp",
    ];
    const fields = Object.fromEntries(
      names.flatMap((name) => [
        [name, "hidden"],
        [name.toUpperCase(), "hidden"],
      ]),
    );
    const [line = ""] = logged(JSON.stringify({ ...fields, account: "shown" }));
    expect(line).toContain('"account":"shown"');
    expect(line).not.toContain("hidden");
  });

  test("is one line, whatever is in it, and under 4 KiB", () => {
    const lines = logged(
      `{ reason: "a\\r\\n{\\"event\\":\\"forged\\"}", long: "x".repeat(10_000), cause: new Error("of\\nmany\\nlines") }`,
    );
    expect(lines).toHaveLength(1);
    expect(lines[0]?.length).toBeLessThan(4_096);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ event: "test.event", level: "warning" });
  });
});

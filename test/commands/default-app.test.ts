import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withDefaultApp } from "../../src/commands/default-app.ts";
import { loadConfig } from "../../src/config/load.ts";

test("on embedded defaults one app can enrol, with a key that stays the same and is nobody else's to read", () => {
  const folder = mkdtempSync(join(tmpdir(), "wakeline-"));
  try {
    const config = loadConfig(undefined, { WAKELINE_DATA_DIR: folder });
    const first = withDefaultApp(config);
    const key = readFileSync(first.keyFile, "utf8").trim();
    expect(first.config.apps[0]?.keySha256).toBe(createHash("sha256").update(key).digest("hex"));
    expect(statSync(first.keyFile).mode & 0o777).toBe(0o600);
    expect(withDefaultApp(config).config.apps).toEqual(first.config.apps);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

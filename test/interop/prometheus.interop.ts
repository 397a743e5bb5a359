import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { alertsFile, alertTestsFile, expressions } from "../manual/promql.ts";
import { requireProgram, tempFolder } from "./lab/program.ts";

const promtool = requireProgram("/usr/bin/promtool", "prometheus");

function asks(...args: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([promtool, ...args]);
  const said = stdout.toString() + stderr.toString();
  if (exitCode !== 0) throw new Error(said);
  return said;
}

test("Prometheus takes the alert rules", () => {
  expect(asks("check", "rules", alertsFile)).toContain("SUCCESS");
});

test("each alert rule is quiet before its cause and fires after it", () => {
  expect(asks("test", "rules", alertTestsFile)).toContain("SUCCESS");
});

test("Prometheus reads every expression of the dashboard", () => {
  const folder = tempFolder("promtool");
  try {
    const file = join(folder.path, "rules.yml");
    const rules = expressions().map(({ expr }, n) => ({ record: `dashboard:expression:${n}`, expr }));
    writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] })); // JSON is YAML
    expect(asks("check", "rules", file)).toContain(`${rules.length} rules found`);
  } finally {
    folder.remove();
  }
});

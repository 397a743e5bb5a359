import { statSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../config/config.ts";
import { problem, type Finding } from "./finding.ts";

/** No clock can be right before this program was written. */
const writtenAtMs = Date.UTC(2026, 10, 1);
const slackMs = 5 * 60_000;

/** A wrong clock breaks certificates, providers' tokens and registrations; what can be told here without asking anyone. */
export function checkClock(config: Config, nowMs: number): readonly Finding[] {
  const now = new Date(nowMs).toISOString();
  if (nowMs < writtenAtMs) {
    return [
      problem(
        `clock: it is ${now} here, which is past: set the clock (NTP), or certificates and push tokens will be refused`,
      ),
    ];
  }
  const files = [config.file, join(config.dataDir, "wakeline.db"), join(config.dataDir, "wakeline.db-wal")];
  for (const file of files) {
    const changedMs = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false })?.mtimeMs;
    if (changedMs !== undefined && changedMs > nowMs + slackMs) {
      const at = new Date(changedMs).toISOString();
      return [problem(`clock: it is ${now} here, but ${file} was written at ${at}: the clock went back; set it (NTP)`)];
    }
  }
  return [];
}

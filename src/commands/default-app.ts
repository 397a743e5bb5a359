import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AppConfig, Config } from "../config/config.ts";

const defaultAppId = "com.example.phone";

/**
 * On embedded defaults nobody could enrol, so there is one app to try things with: its key is generated once and kept in the data folder
 * (mode 0600), its push is Web Push, the one provider that needs nobody's credentials. Loopback only, like all of the defaults. The folder has to be there.
 */
export function withDefaultApp(config: Config): { readonly config: Config; readonly keyFile: string } {
  const keyFile = join(config.dataDir, "app.key");
  if (!existsSync(keyFile)) {
    writeFileSync(keyFile, `wl_${randomBytes(32).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
  }
  const key = readFileSync(keyFile, "utf8").trim();
  const app: AppConfig = {
    id: defaultAppId,
    keySha256: createHash("sha256").update(key).digest("hex"),
    jwksUrl: undefined,
    issuer: undefined,
    audience: undefined,
    apns: undefined,
    fcm: undefined,
    webpush: { subject: "mailto:postmaster@localhost" },
    webhook: undefined,
  };
  return { config: Object.freeze({ ...config, apps: Object.freeze([app]) }), keyFile };
}

import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../config/load.ts";
import type { DemoServer } from "../demo/story.ts";
import { freePorts } from "./free-ports.ts";
import { startServer } from "./server.ts";

const app = "com.example.demo";

/**
 * A whole server on loopback with one app whose pushes go to `webhookUrl` or by Web Push, in a temporary folder that `stop` removes. `ownPort`:
 * where phones find it; a free port without it.
 */
export async function startDemoServer(
  webhookUrl: string,
  ownPort?: number,
): Promise<DemoServer & { stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "wakeline-demo-"));
  const appKey = randomBytes(24).toString("base64url");
  const file = join(folder, "wakeline.toml");
  const port = ownPort ?? (await freePorts());
  await Bun.write(
    file,
    `public_url = "http://127.0.0.1:${port}"
[http]
listen = "127.0.0.1:${port}"
[operator]
listen = "127.0.0.1:0"
[sip]
listen = "127.0.0.1"
port = 0
shards = 1
egress_allow = ["127.0.0.0/8"]
[[apps]]
id = "${app}"
key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"
webpush = { subject = "mailto:demo@example.com" }
webhook = { url = "${webhookUrl}", secret = "${randomBytes(16).toString("hex")}" }
`,
  );
  const server = await startServer(loadConfig(file, {}), { logLevel: "error" });
  return {
    publicUrl: server.publicUrl,
    operatorUrl: `http://127.0.0.1:${server.operatorPort}`,
    app,
    appKey,
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

import { randomBytes, createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../config/load.ts";
import { tellStory } from "../demo/story.ts";
import { terminalLadder } from "../demo/terminal-ladder.ts";
import type { CommandIo } from "./io.ts";
import { startServer } from "./server.ts";

const app = "com.example.demo";

/** `wakeline demo`: the whole story in one process on loopback, in a temporary folder. Exit code 0 when every step happened. */
export async function runDemo(io: CommandIo): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "wakeline-demo-"));
  const appKey = randomBytes(24).toString("base64url");
  let stop: (() => Promise<void>) | undefined;
  const ladder = terminalLadder(
    (line) => io.out(line),
    () => performance.now(),
  );
  ladder.head();
  try {
    const outcome = await tellStory(ladder, async (webhookUrl) => {
      const file = join(folder, "wakeline.toml");
      const port = freePort();
      await Bun.write(
        file,
        [
          'data_dir = "./data"',
          `public_url = "http://127.0.0.1:${port}"`,
          "[http]",
          `listen = "127.0.0.1:${port}"`,
          "[operator]",
          'listen = "127.0.0.1:0"',
          "[sip]",
          'listen = "127.0.0.1"',
          "port = 0",
          "shards = 1",
          'egress_allow = ["127.0.0.0/8"]',
          "[[apps]]",
          `id = "${app}"`,
          `key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"`,
          `webhook = { url = "${webhookUrl}", secret = "${randomBytes(16).toString("hex")}" }`,
          "",
        ].join("\n"),
      );
      const server = await startServer(loadConfig(file, {}), { logLevel: "error" });
      stop = () => server.stop();
      return { publicUrl: server.publicUrl, app, appKey };
    });
    io.out(
      outcome.ok
        ? `every step happened (${outcome.steps})`
        : `stopped after ${outcome.steps} steps, at: ${outcome.failed ?? ""}`,
    );
    return outcome.ok ? 0 : 1;
  } finally {
    await stop?.();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A TCP port that nobody listens on; the server's public URL must name it before the server is there. */
function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

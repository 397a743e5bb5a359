import { randomBytes, createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../config/load.ts";
import { tellStory } from "../demo/story.ts";
import { terminalLadder } from "../demo/terminal-ladder.ts";
import { startServer } from "./server.ts";

const app = "com.example.demo";

/** `wakeline demo`: the whole story in one process on loopback, in a temporary folder. Exit code 0 when every step happened. */
export async function runDemo(io: { readonly write: (line: string) => void }): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "wakeline-demo-"));
  const appKey = randomBytes(24).toString("base64url");
  let stop: (() => Promise<void>) | undefined;
  const ladder = terminalLadder(io.write, () => performance.now());
  ladder.head();
  try {
    const outcome = await tellStory(ladder, async (webhookUrl) => {
      const file = join(folder, "wakeline.toml");
      await Bun.write(
        file,
        [
          'data_dir = "./data"',
          "[http]",
          'listen = "127.0.0.1:0"',
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
    io.write(
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

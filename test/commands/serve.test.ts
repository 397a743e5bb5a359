import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { folder } from "./fixtures.ts";

const main = join(import.meta.dir, "../../src/main.ts");
const quiet =
  '[http]\nlisten = "127.0.0.1:0"\n[operator]\nlisten = "127.0.0.1:0"\n[sip]\nlisten = "127.0.0.1"\nport = 0\nshards = 1\n';

/** The first line that holds `text`; reading ends there. */
async function lineWith(stream: ReadableStream<Uint8Array>, text: string): Promise<string> {
  let heard = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    heard += decoder.decode(chunk, { stream: true });
    const line = heard
      .split("\n")
      .slice(0, -1)
      .find((each) => each.includes(text));
    if (line !== undefined) return line;
  }
  throw new Error(`ended without "${text}": ${heard}`);
}

describe("wakeline serve", () => {
  test("a configuration that SIGHUP cannot take is named by line, and the server goes on until SIGTERM", async () => {
    using place = folder();
    const file = place.write("wakeline.toml", quiet);
    const server = Bun.spawn([process.execPath, main, "serve", "--config", file], { stdout: "pipe", stderr: "pipe" });
    try {
      await lineWith(server.stdout, "ready");
      place.write("wakeline.toml", `${quiet}prot = 1\n[wake]\nrin = "x"\n`);
      server.kill("SIGHUP");
      const { cause } = JSON.parse(await lineWith(server.stderr, "server.reloadFailed")) as { cause: string };
      expect(cause).toMatch(
        /wakeline\.toml:9: unknown key sip\.prot; did you mean sip\.port\?; .+:11: unknown key wake\.rin/,
      );
    } finally {
      server.kill("SIGTERM");
    }
    expect(await server.exited).toBe(0);
  });
});

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
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
  test("a port that another program has is told by its key, exit code 1", async () => {
    using place = folder();
    const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const udp = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const taken = `127.0.0.1:${other.port}`;
    const tries: readonly (readonly [string, string])[] = [
      [quiet.replace("127.0.0.1:0", taken), `http.listen: TCP port ${other.port}`],
      [
        quiet.replace('[operator]\nlisten = "127.0.0.1:0"', `[operator]\nlisten = "${taken}"`),
        `operator.listen: TCP port ${other.port}`,
      ],
      [quiet.replace("port = 0", `port = ${udp.port}`), `sip.port (shard 0): UDP port ${udp.port}`],
    ];
    for (const [toml, words] of tries) {
      const file = place.write("wakeline.toml", toml);
      const server = Bun.spawn([process.execPath, main, "serve", "--config", file], {
        stdout: "ignore",
        stderr: "pipe",
      });
      const lines = (await new Response(server.stderr).text()).trim().split("\n");
      expect(lines.at(-1)).toBe(`${words} on 127.0.0.1 is in use by another program: stop that or choose another port`);
      expect(await server.exited).toBe(1);
    }
    other.stop(true);
    udp.close();
  });

  test("a data folder that cannot be made is named by its key, exit code 2", async () => {
    using place = folder();
    const file = place.write("wakeline.toml", `data_dir = "./taken/data"\n${quiet}`);
    place.write("taken", "a file");
    const server = Bun.spawn([process.execPath, main, "serve", "--config", file], { stdout: "ignore", stderr: "pipe" });
    expect((await new Response(server.stderr).text()).split("\n")[0]).toContain("taken/data cannot be made: ENOTDIR");
    expect(await server.exited).toBe(2);
  });

  test("a crash leaves no core file, in which passwords would be", async () => {
    using place = folder();
    const file = place.write("wakeline.toml", quiet);
    const server = Bun.spawn([process.execPath, main, "serve", "--config", file], { stdout: "pipe", stderr: "ignore" });
    try {
      await lineWith(server.stdout, "ready");
      const limits = readFileSync(`/proc/${server.pid}/limits`, "utf8");
      expect(limits).toMatch(/^Max core file size +0 +0 /m);
    } finally {
      server.kill("SIGTERM");
    }
    expect(await server.exited).toBe(0);
  });

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

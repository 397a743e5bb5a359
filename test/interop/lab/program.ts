import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const endMsMax = 8_000;
const linesMax = 200_000;

/** A program that a test started; everything it prints is kept as lines. Ended by its own process, never by name. */
export interface Program {
  readonly pid: number;
  readonly lines: readonly string[];
  readonly exited: Promise<number>;
  isRunning(): boolean;
  signal(name: NodeJS.Signals): void;
  /** Asks it to end, forces it when it does not; resolves when it is gone. */
  end(signal?: NodeJS.Signals): Promise<number>;
}

/** What still runs when a run ends, a failed one say, ends with it. */
const running = new Set<Bun.Subprocess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Throws when the program is not installed: a missing server is a failure, never a skip. */
export function requireProgram(path: string, debianPackage: string): string {
  if (!existsSync(path)) throw new Error(`${path} is missing: apt-get install ${debianPackage}`);
  return path;
}

export function startProgram(
  command: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Program {
  const child = Bun.spawn([...command], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  running.add(child);
  void child.exited.then(() => running.delete(child));
  const lines: string[] = [];
  void collect(child.stdout, lines);
  void collect(child.stderr, lines);
  return {
    pid: child.pid,
    lines,
    exited: child.exited,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    signal: (name) => child.kill(name),
    async end(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), endMsMax);
      const code = await child.exited;
      clearTimeout(timer);
      return code;
    },
  };
}

async function collect(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
  const decoder = new TextDecoder("latin1");
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    if (lines.length < linesMax) lines.push(...parts);
  }
  if (rest !== "") lines.push(rest);
}

/** An empty folder of its own; `remove` deletes it. */
export function tempFolder(name: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `wakeline-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

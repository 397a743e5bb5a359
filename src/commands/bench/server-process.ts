import type { Subprocess } from "bun";
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { gcLogEnv, type GcPauses, gcPausesOf, lastWordsOf } from "./gc-pauses.ts";
import { Readings } from "./readings.ts";

const readyMsMax = 120_000;
const readMsMax = 10_000;

/** Command line of this very program: with the compiled one there is no script to name. */
export function ownCommand(): readonly string[] {
  return Bun.main.startsWith("/$bunfs") ? [process.execPath] : [process.execPath, Bun.main];
}

const children = new Set<Subprocess>();

/** Ends what this run has started, at once. */
export function endChildren(): void {
  for (const child of children) child.kill("SIGKILL");
}

/** Notes a process as this run's for as long as it lives. */
export function adopt<Child extends Subprocess>(child: Child): Child {
  children.add(child);
  void child.exited.then(() => children.delete(child));
  return child;
}

/** `wakeline serve` as a process of its own, measured from outside by its metrics. */
export class ServerProcess {
  readonly #process: Subprocess<"ignore", "pipe", Bun.BunFile>;
  readonly #metricsUrl: string;
  readonly #logFile: string;
  /** From the start of the process to its `ready`. */
  readonly readyMs: number;

  private constructor(
    process: Subprocess<"ignore", "pipe", Bun.BunFile>,
    metricsUrl: string,
    logFile: string,
    readyMs: number,
  ) {
    this.#process = process;
    this.#metricsUrl = metricsUrl;
    this.#logFile = logFile;
    this.readyMs = readyMs;
  }

  /** Rejects with an Error when the server ends or stays silent before it is ready, with its last words. */
  static async start(configFile: string, operator: string): Promise<ServerProcess> {
    const logFile = join(dirname(configFile), `server-${Date.now()}.log`);
    const startMs = performance.now();
    const child = adopt(
      Bun.spawn([...ownCommand(), "serve", "--config", configFile], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: Bun.file(logFile),
        env: { ...process.env, NODE_ENV: "production", ...gcLogEnv },
      }),
    );
    const ready = await readyLine(child);
    if (!ready) {
      child.kill("SIGKILL");
      throw new Error(`the server did not become ready: ${lastWordsOf(await Bun.file(logFile).text())}`);
    }
    return new ServerProcess(child, `http://${operator}/metrics`, logFile, performance.now() - startMs);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Bytes that the server has written to its log: `gcPauses` since then leaves out what was before. */
  get logBytes(): number {
    return statSync(this.#logFile).size;
  }

  /** Of all its threads, since its log had `sinceByte` bytes. */
  gcPauses(sinceByte: number): GcPauses {
    return gcPausesOf(readFileSync(this.#logFile).toString("latin1", sinceByte));
  }

  /** Rejects when the server is gone. */
  async read(): Promise<Readings> {
    const response = await fetch(this.#metricsUrl, { signal: AbortSignal.timeout(readMsMax) });
    return Readings.parse(await response.text(), performance.now());
  }

  /** Ends it as a power cut would, or in order. */
  async stop(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.#process.kill(signal);
    await this.#process.exited;
  }
}

async function readyLine(child: Subprocess<"ignore", "pipe", Bun.BunFile>): Promise<boolean> {
  const timer = setTimeout(() => child.kill("SIGKILL"), readyMsMax);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      text += value;
      if (!/^ready$/m.test(text)) continue;
      // What it says later must not fill the pipe.
      void drain(reader);
      return true;
    }
  } finally {
    clearTimeout(timer);
  }
}

async function drain(reader: { read(): Promise<{ done: boolean }> }): Promise<void> {
  while (!(await reader.read()).done);
}

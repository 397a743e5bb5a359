import type { Subprocess } from "bun";
import { join } from "node:path";
import type { AccountId } from "../../base/ids.ts";
import type { CallCounts, Quantiles } from "./report.ts";
import { adopt, ownCommand } from "./server-process.ts";

/** Accounts that are called; the rest only stays registered. */
const calledMax = 20_000;
const startMsMax = 30_000;

export interface CallFigures {
  readonly wakeMs: Quantiles | undefined;
  readonly tunnelMs: Quantiles | undefined;
  readonly calls: CallCounts;
}

/** What the caller's process is told, as JSON in a file. */
export interface CallerOrder {
  readonly ratePerSec: number;
  readonly webhookPort: number;
  /** Where calls come from: the registrar's host. */
  readonly host: string;
  readonly sipPort: number;
  readonly shards: number;
  readonly dataDir: string;
  readonly userTemplate: string;
  /** Number of each called account, and its id. */
  readonly called: readonly (readonly [number, AccountId])[];
}

/** Caller, webhook and phones in a process of their own, so that neither the server nor its figures bear their cost. */
export class CallerProcess {
  readonly #process: Subprocess<"ignore", "pipe", "inherit">;
  readonly #reader: ReturnType<typeof readerOf>;
  #rest = "";

  private constructor(process: Subprocess<"ignore", "pipe", "inherit">) {
    this.#process = process;
    this.#reader = readerOf(process);
  }

  /** Rejects with an Error when it cannot start; its own words are on stderr. */
  static async start(
    options: Omit<CallerOrder, "called"> & { readonly accountIds: readonly AccountId[] },
  ): Promise<CallerProcess> {
    const { accountIds, ...order } = options;
    const every = Math.max(1, Math.floor(accountIds.length / calledMax));
    const called = accountIds.flatMap((id, n) => (n % every === 0 ? [[n, id] as const] : []));
    const file = join(options.dataDir, "caller.json");
    await Bun.write(file, JSON.stringify({ ...order, called }), { mode: 0o600 });
    const child = adopt(
      Bun.spawn([...ownCommand(), "bench", "caller", file], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "inherit",
      }),
    );
    const caller = new CallerProcess(child);
    const timer = setTimeout(() => child.kill("SIGKILL"), startMsMax);
    try {
      if ((await caller.#line()) !== "calling") throw new Error("the caller did not start");
    } finally {
      clearTimeout(timer);
    }
    return caller;
  }

  /** Ends the calls; undefined when the process is gone. */
  async finish(): Promise<CallFigures | undefined> {
    this.#process.kill("SIGTERM");
    const line = await this.#line();
    await this.#process.exited;
    return line === undefined ? undefined : (JSON.parse(line) as CallFigures);
  }

  async #line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return line;
      }
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      this.#rest += value;
    }
  }
}

function readerOf(child: Subprocess<"ignore", "pipe", "inherit">) {
  return child.stdout.pipeThrough(new TextDecoderStream()).getReader();
}

import { resolve } from "node:path";
import { StoreFault } from "../store/faults.ts";
import { restoreFrom } from "../store/restore.ts";
import { choreConfigOrFaults, type Environment } from "./config-file.ts";
import type { CommandIo } from "./io.ts";

/** `wakeline restore FILE`: puts a backup in place while no server runs, and says what follows. Returns the exit code. */
export function runRestore(
  args: { readonly config: string | undefined; readonly file: string; readonly force: boolean },
  io: CommandIo,
  env: Environment = process.env,
): number {
  const config = choreConfigOrFaults(args.config, env, io, false);
  if (config === undefined) return 2;
  const { dataDir, masterKey } = config;
  try {
    const { accounts, devices } = restoreFrom({ dataDir, file: resolve(args.file), masterKey, env, force: args.force });
    io.out(
      `${dataDir} holds ${counted(accounts, "account")} and ${counted(devices, "device")} again, as of the backup`,
    );
    io.out("what was added, changed or deleted since then is as it was: phones set it right when they next subscribe");
    io.out(
      "next: wakeline serve; accounts whose binding is not known here any more are registered anew, within each budget",
    );
    return 0;
  } catch (cause) {
    if (!(cause instanceof StoreFault)) throw cause;
    io.err(`restore: ${cause.message}`);
    return 1;
  }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

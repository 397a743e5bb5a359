import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { choreConfigOrFaults, type Environment } from "./config-file.ts";
import type { CommandIo } from "./io.ts";
import { callOperator, OperatorCallError } from "./operator-call.ts";

/** `wakeline backup FILE`: the running server writes a copy of its database, secrets as ciphertext. Returns the exit code. */
export async function runBackup(
  args: { readonly config: string | undefined; readonly file: string },
  io: CommandIo,
  env: Environment = process.env,
): Promise<number> {
  const config = choreConfigOrFaults(args.config, env, io);
  if (config === undefined) return 2;
  const file = resolve(args.file);
  if (existsSync(file)) {
    io.err(`backup: ${file} exists; a backup never overwrites`);
    return 1;
  }
  try {
    await callOperator(config, "POST", "/operator/v1/backup", { file });
    const place = config.masterKey.slice(config.masterKey.indexOf(":") + 1);
    io.out(`${file} written; to be of use it needs the master key (${place}): keep that elsewhere`);
    return 0;
  } catch (cause) {
    if (!(cause instanceof OperatorCallError)) throw cause;
    io.err(`backup: ${cause.message}`);
    return 1;
  }
}

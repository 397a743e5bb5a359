import { createHash, randomBytes } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { ConfigError } from "../config/config.ts";
import { faultLines } from "../config/fault-lines.ts";
import { loadConfig } from "../config/load.ts";
import { createMasterKeyFile } from "../store/master-key.ts";
import { defaultConfigFile } from "./config-file.ts";
import { defaultAnswers, initFile, type Ask } from "./init-file.ts";
import type { CommandIo } from "./io.ts";

/**
 * `wakeline init`: writes a commented configuration and the master key, both of mode 0600, never over a file that exists.
 * Prints the enrolment key of the first app, which is kept nowhere else. Asks on a terminal unless `yes`. Returns the exit
 * code.
 */
export async function runInit(
  args: { readonly config: string | undefined; readonly yes: boolean },
  io: CommandIo,
  ask?: Ask,
): Promise<number> {
  const file = resolve(args.config ?? defaultConfigFile);
  if (existsSync(file)) {
    io.err(`init: ${file} exists and is left as it is`);
    return 1;
  }
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  const asking = ask ?? (isTerminal && !args.yes ? (await import("./init-prompts.ts")).askOnTerminal : undefined);
  const answers = args.yes || asking === undefined ? defaultAnswers : await asking(defaultAnswers);
  if (answers === undefined) {
    io.err("init: given up, nothing was written");
    return 1;
  }
  const enrolmentKey = `wl_${randomBytes(32).toString("base64url")}`;
  const keySha256 = createHash("sha256").update(enrolmentKey).digest("hex");
  const keyFile = resolve(dirname(file), "data", "master.key");
  try {
    mkdirSync(dirname(file), { recursive: true });
    const isNewKey = !existsSync(keyFile);
    if (isNewKey) createMasterKeyFile(keyFile);
    writeNew(file, initFile({ ...answers, keySha256 }));
    io.out(`${file} written`);
    io.out(
      isNewKey
        ? `${keyFile} written: keep a copy elsewhere, without it no password can be read`
        : `${keyFile} was there and is kept`,
    );
  } catch (cause) {
    io.err(`init: ${cause instanceof Error ? cause.message : String(cause)}`);
    return 1;
  }
  io.out("");
  io.out(`The enrolment key of ${answers.appId}, shown this once; the app enrols with it as bearer token:`);
  io.out(`  ${enrolmentKey}`);
  io.out("");
  const left = faultsOf(file);
  for (const line of left) io.out(`still to do: ${line}`);
  io.out(`next: wakeline check, then wakeline serve`);
  return 0;
}

function writeNew(file: string, text: string): void {
  const descriptor = openSync(file, "wx", 0o600);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** What the answers leave to do, such as a certificate that is not there yet. */
function faultsOf(file: string): readonly string[] {
  try {
    loadConfig(file, {});
    return [];
  } catch (cause) {
    if (cause instanceof ConfigError) return faultLines(cause, file);
    throw cause;
  }
}

import { existsSync } from "node:fs";
import { ConfigError, type ChoreConfig, type Config } from "../config/config.ts";
import { faultLines } from "../config/fault-lines.ts";
import { loadChoreConfig, loadConfig } from "../config/load.ts";
import type { CommandIo } from "./io.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export const defaultConfigFile = "wakeline.toml";

/** The file that `--config` names, else the one in the present folder, else none. */
export function configFile(given: string | undefined): string | undefined {
  return given ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
}

/** The configuration, or undefined after each of its faults was written as a line. */
export function configOrFaults(given: string | undefined, env: Environment, io: CommandIo): Config | undefined {
  return readOrFaults(loadConfig, given, env, io);
}

/** The same for a chore, which needs less: see `loadChoreConfig`. */
export function choreConfigOrFaults(
  given: string | undefined,
  env: Environment,
  io: CommandIo,
  calls = true,
): ChoreConfig | undefined {
  return readOrFaults((file, from) => loadChoreConfig(file, from, calls), given, env, io);
}

function readOrFaults<Read>(
  read: (file: string | undefined, env: Environment) => Read,
  given: string | undefined,
  env: Environment,
  io: CommandIo,
): Read | undefined {
  const file = configFile(given);
  try {
    return read(file, env);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    for (const line of faultLines(cause, file)) io.err(line);
    return undefined;
  }
}

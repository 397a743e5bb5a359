import { relative } from "node:path";
import type { ConfigError } from "./config.ts";

/** One line a fault, as compilers write them: `wakeline.toml:12: sip.port must be …`. `file` is the one that was read, if any. */
export function faultLines(error: ConfigError, file: string | undefined): readonly string[] {
  const short = file === undefined ? undefined : relative(process.cwd(), file);
  const name = short === undefined || short.startsWith("..") ? file : short;
  return error.faults.map(({ line, text }) => {
    if (name === undefined || line === undefined) return `configuration: ${text}`;
    return `${name}:${line}: ${text}`;
  });
}

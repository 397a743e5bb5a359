import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { claimPorts } from "./claim-ports.ts";
import { type Program, requireProgram, startProgram, tempFolder } from "./program.ts";

const scenarios = join(import.meta.dir, "..", "sipp");
const timeoutSec = 30;

export interface Sipp {
  readonly port: number;
  readonly callId: string;
  /** Waits for the end; throws with what SIPp logged unless the scenario went through. Returns the messages it saw, as it traced them. */
  finished(): Promise<string>;
  /** Messages so far. */
  messages(): string;
  end(): Promise<void>;
}

let calls = 0;

/** Runs one call of a scenario in test/interop/sipp against `server`, calling (or awaited as) `user`. */
export async function startSipp(
  scenario: string,
  options: {
    readonly server: string;
    readonly user: string;
    readonly keys?: Readonly<Record<string, string>>;
    readonly transport?: "u1" | "t1";
    readonly auth?: { readonly username: string; readonly password: string };
  },
): Promise<Sipp> {
  const binary = requireProgram("/usr/bin/sipp", "sip-tester");
  const folder = tempFolder("sipp");
  const port = await claimPorts();
  const callId = `sipp-${process.pid}-${++calls}-${port}`;
  const keys = Object.entries(options.keys ?? {}).flatMap(([name, value]) => ["-key", name, value]);
  const auth = options.auth === undefined ? [] : ["-au", options.auth.username, "-ap", options.auth.password];
  const program: Program = startProgram(
    [
      binary,
      "-sf",
      join(scenarios, `${scenario}.xml`),
      "-s",
      options.user,
      ...flags({
        "-i": "127.0.0.1",
        "-p": String(port),
        "-t": options.transport ?? "u1",
        "-m": "1",
        "-cid_str": callId,
        "-timeout": String(timeoutSec),
        "-message_file": "messages.log",
        "-error_file": "errors.log",
      }),
      "-nostdin",
      "-timeout_error",
      "-trace_msg",
      "-trace_err",
      ...keys,
      ...auth,
      options.server,
    ],
    { cwd: folder.path, env: { TERM: "dumb" } },
  );
  const read = (name: string): string => {
    const path = join(folder.path, name);
    return existsSync(path) ? readFileSync(path, "latin1") : "";
  };
  return {
    port,
    callId,
    messages: () => read("messages.log"),
    async finished() {
      const code = await program.exited;
      const messages = read("messages.log");
      const errors = readdirSync(folder.path)
        .filter((name) => name.includes("errors"))
        .map(read)
        .join("\n");
      const printed = program.lines.slice(-30).join("\n");
      folder.remove();
      if (code !== 0)
        throw new Error(`sipp ${scenario} ended with ${code}\n${errors}\n${messages === "" ? printed : messages}`);
      return messages;
    },
    async end() {
      await program.end("SIGKILL");
      folder.remove();
    },
  };
}

function flags(values: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(values).flat();
}

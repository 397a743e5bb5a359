import { choreConfigOrFaults, type Environment } from "./config-file.ts";
import type { CommandIo } from "./io.ts";
import { callOperator, OperatorCallError, record } from "./operator-call.ts";

/** `wakeline keys rotate`: a new data key, every secret sealed anew in the running server. Returns the exit code. */
export async function runKeysRotate(
  args: { readonly config: string | undefined },
  io: CommandIo,
  env: Environment = process.env,
): Promise<number> {
  const config = choreConfigOrFaults(args.config, env, io);
  if (config === undefined) return 2;
  try {
    const answer = record(await callOperator(config, "POST", "/operator/v1/keys/rotate"));
    const count = typeof answer.secrets === "number" ? answer.secrets : 0;
    io.out(`${count} ${count === 1 ? "secret" : "secrets"} sealed under a new key; the old key is gone`);
    return 0;
  } catch (cause) {
    if (!(cause instanceof OperatorCallError)) throw cause;
    io.err(`keys rotate: ${cause.message}`);
    return 1;
  }
}

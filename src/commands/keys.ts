import type { ChoreConfig } from "../config/config.ts";
import { StoreFault } from "../store/faults.ts";
import { rotateMasterKey } from "../store/master-rotation.ts";
import { choreConfigOrFaults, type Environment } from "./config-file.ts";
import type { CommandIo } from "./io.ts";
import { callOperator, OperatorCallError, record } from "./operator-call.ts";

/**
 * `wakeline keys rotate`: a new data key, every secret sealed anew in the running server; with `master` a new master key on the
 * data folder of a stopped one. Returns the exit code.
 */
export async function runKeysRotate(
  args: { readonly config: string | undefined; readonly master?: boolean },
  io: CommandIo,
  env: Environment = process.env,
): Promise<number> {
  const isMaster = args.master === true;
  const config = choreConfigOrFaults(args.config, env, io, !isMaster);
  if (config === undefined) return 2;
  if (isMaster) return rotateMaster(config, io);
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

function rotateMaster({ dataDir, masterKey }: ChoreConfig, io: CommandIo): number {
  try {
    const previous = rotateMasterKey(dataDir, masterKey);
    io.out(`${masterKey.slice("file:".length)} holds a new master key: keep a copy elsewhere`);
    io.out(`${previous} holds the old one, which opens the backups made until now: move it to where they are kept`);
    io.out("next: wakeline serve, which seals every secret under a new data key; then make a new backup");
    return 0;
  } catch (cause) {
    if (!(cause instanceof StoreFault)) throw cause;
    io.err(`keys rotate: ${cause.message}`);
    return 1;
  }
}

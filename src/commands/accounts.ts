import type { ChoreConfig } from "../config/config.ts";
import { traceAccount, traceMinutesDefault, type TraceWishes } from "./accounts-trace.ts";
import { choreConfigOrFaults, type Environment } from "./config-file.ts";
import type { CommandIo } from "./io.ts";
import { callOperator, OperatorCallError, record } from "./operator-call.ts";

const pageSize = 200;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface AccountsArgs {
  readonly config: string | undefined;
  readonly action: "list" | "show" | "remove" | "trace";
  /** show, remove, trace: an account's id, or `user@domain` when only one account has it. list: text that username or domain contain. */
  readonly account?: string | undefined;
  readonly json?: boolean | undefined;
  /** Of trace. */
  readonly trace?: TraceWishes | undefined;
}

/** `wakeline accounts list|show|remove|trace`, on the running server. Returns the exit code. */
export async function runAccounts(args: AccountsArgs, io: CommandIo, env: Environment = process.env): Promise<number> {
  if (args.action !== "list" && (args.account ?? "") === "") {
    io.err(`accounts ${args.action}: name an account by its id or user@domain`);
    return 2;
  }
  const config = choreConfigOrFaults(args.config, env, io);
  if (config === undefined) return 2;
  try {
    if (args.action === "list") return await list(config, args, io);
    const id = await idOf(config, args.account ?? "");
    if (args.action === "show") {
      io.out(JSON.stringify(await callOperator(config, "GET", `/operator/v1/accounts/${id}`), undefined, 2));
    } else if (args.action === "trace") {
      await traceAccount(config, id, args.trace ?? { minutes: traceMinutesDefault, messages: false }, io);
    } else {
      await callOperator(config, "DELETE", `/operator/v1/accounts/${id}`);
      io.out(`${args.account} removed: its password and its calls are erased, its binding is being withdrawn`);
    }
    return 0;
  } catch (cause) {
    if (!(cause instanceof OperatorCallError)) throw cause;
    const words = cause.status === 404 ? `there is no account ${args.account ?? ""}` : cause.message;
    io.err(`accounts ${args.action}: ${words}`);
    return 1;
  }
}

interface Listed {
  readonly id: string;
  readonly aor: string;
  readonly app: string;
  readonly state: string;
  readonly devices: number;
  readonly whole: unknown;
}

async function list(config: ChoreConfig, args: AccountsArgs, io: CommandIo): Promise<number> {
  let count = 0;
  for await (const accounts of pages(config, args.account)) {
    count += accounts.length;
    for (const account of accounts) io.out(args.json === true ? JSON.stringify(account.whole) : lineOf(account));
  }
  if (args.json !== true && count === 0) io.out("no accounts");
  return 0;
}

function lineOf({ id, aor, app, state, devices }: Listed): string {
  return `${id}  ${aor.padEnd(32)}  ${state.padEnd(13)}  ${devices} ${devices === 1 ? "device " : "devices"}  ${app}`;
}

async function idOf(config: ChoreConfig, account: string): Promise<string> {
  if (uuid.test(account)) return account.toLowerCase();
  const found: Listed[] = [];
  const user = account.slice(0, Math.max(0, account.lastIndexOf("@")));
  for await (const accounts of pages(config, user === "" ? account : user)) {
    found.push(...accounts.filter((one) => one.aor.toLowerCase() === account.toLowerCase()));
  }
  const [first, ...others] = found;
  if (first === undefined) throw new OperatorCallError(`there is no account ${account}`, 404);
  if (others.length > 0) {
    throw new OperatorCallError(
      `several apps have ${account}: name one by its id (${found.map((one) => one.id).join(", ")})`,
    );
  }
  return first.id;
}

async function* pages(config: ChoreConfig, text: string | undefined): AsyncGenerator<readonly Listed[]> {
  for (let after: string | undefined; ;) {
    const query = new URLSearchParams({ limit: String(pageSize) });
    if (text !== undefined && text !== "") query.set("q", text);
    if (after !== undefined) query.set("after", after);
    const answer = await callOperator(config, "GET", `/operator/v1/accounts?${query.toString()}`);
    if (!Array.isArray(answer))
      throw new OperatorCallError("the server's answer is not a list: is it of another version?");
    if (answer.length === 0) return;
    const accounts = answer.map(listed);
    yield accounts;
    after = accounts.at(-1)?.id;
  }
}

function listed(value: unknown): Listed {
  const account = record(value);
  const text = (field: unknown): string => (typeof field === "string" ? field : "?");
  return {
    id: text(account.id),
    aor: `${text(account.username)}@${text(account.domain)}`,
    app: text(account.app),
    state: text(record(account.registration).state),
    devices: typeof account.devices === "number" ? account.devices : 0,
    whole: value,
  };
}

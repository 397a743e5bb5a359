import { Command, CommanderError } from "commander";
import { runAccounts } from "./commands/accounts.ts";
import { runBackup } from "./commands/backup.ts";
import { runCheck } from "./commands/check.ts";
import { runDemo } from "./commands/demo.ts";
import { runInit } from "./commands/init.ts";
import { processIo } from "./commands/io.ts";
import { runKeysRotate } from "./commands/keys.ts";
import { probeSenders } from "./commands/probe-senders.ts";
import { runServe } from "./commands/serve.ts";
import { version } from "./commands/version.ts";

/** Entry of the program: command line in, one command run, its exit code out (0 fine, 1 the work failed, 2 wrong usage or config). */
interface ConfigOption {
  readonly config?: string;
}

let exitCode = 0;
const io = processIo;

/** A command that takes `--config`. */
function command(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .option("-c, --config <file>", "configuration file; without it ./wakeline.toml when there is one");
}

const program = new Command("wakeline")
  .description(
    "A push server for SIP phones: registers for a sleeping phone, wakes it for a call, relays the signalling.",
  )
  .version(version, "-V, --version")
  .exitOverride();

command(program, "serve", "run the server").action(async (options: ConfigOption) => {
  exitCode = await runServe({ config: options.config }, io);
});

command(program, "init", "write a commented wakeline.toml and keys; never overwrites")
  .option("-y, --yes", "ask nothing, take the defaults", false)
  .action(async (options: ConfigOption & { readonly yes: boolean }) => {
    exitCode = await runInit({ config: options.config, yes: options.yes }, io);
  });

command(
  program,
  "check",
  "say what is wrong with configuration, keys, certificates, names, ports and push credentials",
).action(async (options: ConfigOption) => {
  exitCode = await runCheck({ config: options.config }, io, { probePush: probeSenders });
});

program
  .command("demo")
  .description("the whole story in one process: server, registrar, caller, phone")
  .action(async () => {
    exitCode = await runDemo(io);
  });

const accounts = program.command("accounts").description("accounts of the running server");
command(accounts, "list [text]", "a line each; text that username or domain contain")
  .option("--json", "as JSON")
  .action(async (account: string | undefined, options: ConfigOption & { readonly json?: boolean }) => {
    exitCode = await runAccounts({ ...options, config: options.config, action: "list", account }, io);
  });
for (const action of ["show", "remove"] as const) {
  command(accounts, `${action} <account>`, `${action} one, by its id or user@domain`)
    .option("--json", "as JSON")
    .action(async (account: string, options: ConfigOption & { readonly json?: boolean }) => {
      exitCode = await runAccounts({ ...options, config: options.config, action, account }, io);
    });
}

const keys = program.command("keys").description("keys of the vault");
command(keys, "rotate", "make a new key and encrypt every secret under it").action(async (options: ConfigOption) => {
  exitCode = await runKeysRotate({ config: options.config }, io);
});

command(program, "backup <file>", "a consistent copy of the running server's database, secrets as ciphertext").action(
  async (file: string, options: ConfigOption) => {
    exitCode = await runBackup({ config: options.config, file }, io);
  },
);

try {
  await program.parseAsync();
} catch (cause) {
  if (cause instanceof CommanderError) {
    // commander has said what is wrong; help and version are no errors.
    exitCode = cause.exitCode === 0 ? 0 : 2;
  } else {
    io.err(cause instanceof Error ? cause.message : String(cause));
    exitCode = 1;
  }
}
process.exit(exitCode);

import { Command, CommanderError, Help, InvalidArgumentError } from "commander";
import { traceMinutesDefault, traceMinutesMax, type TraceWishes } from "./commands/accounts-trace.ts";
import { runAccounts } from "./commands/accounts.ts";
import { runBackup } from "./commands/backup.ts";
import { type BenchRegistrationsOptions, runBenchRegistrations } from "./commands/bench.ts";
import { runBenchCaller } from "./commands/bench/caller.ts";
import { runCheck } from "./commands/check.ts";
import { runDemo } from "./commands/demo.ts";
import { runInit } from "./commands/init.ts";
import { processIo } from "./commands/io.ts";
import { runKeysRotate } from "./commands/keys.ts";
import { runRestore } from "./commands/restore.ts";
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

function portOf(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new InvalidArgumentError("A port is a whole number from 0 to 65535.");
  }
  return port;
}

function minutesOf(text: string): number {
  const minutes = Number(text);
  if (!Number.isInteger(minutes) || minutes < 0 || minutes > traceMinutesMax) {
    throw new InvalidArgumentError(`Minutes are a whole number from 0 to ${traceMinutesMax}.`);
  }
  return minutes;
}

const program = new Command("wakeline")
  .description(
    "A push server for SIP phones: registers for a sleeping phone, wakes it for a call, relays the signalling.",
  )
  .version(version, "-V, --version")
  .configureHelp({
    // That a switch is off by default goes without saying.
    optionDescription: (option) =>
      option.defaultValue === false ? option.description : new Help().optionDescription(option),
  })
  .configureOutput({ outputError: (text, write) => write(`${text.trim().replaceAll(/\s*\n\s*/g, " ")}\n`) })
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
  .option("--page", "serve a page with two browser phones instead, until stopped", false)
  .option("--port <port>", "port of the page; 0: any that is free", portOf, 8070)
  .action(async (options: { readonly page: boolean; readonly port: number }) => {
    exitCode = await runDemo({ page: options.page, port: options.port }, io);
  });

const accounts = program.command("accounts").description("accounts of the running server");
command(accounts, "list [text]", "a line each; [text]: how a username begins, @ and how a domain begins, or both")
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
command(accounts, "trace <account>", "what passes for one, drawn as a ladder while it happens")
  .option("--minutes <n>", "how long; 0: only what was traced before", minutesOf, traceMinutesDefault)
  .option("--messages", "each message, masked, under its arrow", false)
  .action(async (account: string, options: ConfigOption & TraceWishes) => {
    exitCode = await runAccounts({ config: options.config, action: "trace", account, trace: options }, io);
  });

const keys = program.command("keys").description("keys that passwords are encrypted under");
command(keys, "rotate", "make a new data key and encrypt every secret under it, while the server runs")
  .option("--master", "make a new master key instead, while the server is stopped", false)
  .action(async (options: ConfigOption & { readonly master: boolean }) => {
    exitCode = await runKeysRotate({ config: options.config, master: options.master }, io);
  });

command(program, "backup <file>", "a consistent copy of the running server's database, secrets as ciphertext").action(
  async (file: string, options: ConfigOption) => {
    exitCode = await runBackup({ config: options.config, file }, io);
  },
);

command(program, "restore <file>", "put a backup in the place of the database, while the server is stopped")
  .option("--force", "replace the database that is there", false)
  .action((file: string, options: ConfigOption & { readonly force: boolean }) => {
    exitCode = runRestore({ config: options.config, file, force: options.force }, io);
  });

const bench = program.command("bench").description("measure this machine");
bench
  .command("registrations")
  .description("register accounts of a load registrar, keep them refreshed, measure")
  .requiredOption("--registrar <host:port>", "where they register; bench/load/registrar.ts is one")
  .option("--count <n>", "accounts", Number, 10_000)
  .option("--user-template <text>", "user names", "u%06d")
  .option("--password-template <text>", "their passwords", "p%06d")
  .option("--domain <name>", "domain of the addresses of record; without it the registrar's host")
  .option("--expires <sec>", "expiry asked for, in seconds", Number, 600)
  .option("--seconds <sec>", "how long to watch once all are registered", Number, 30)
  .option("--calls <rate>", "INVITEs a second; the registrar must be on this machine", Number, 0)
  .option("--silence <sec>", "tell the load registrar to be silent for so long in the middle", Number, 0)
  .option("--shards <n>", "shards; 0 is one a core", Number, 0)
  .option("--kill", "at the end kill -9 the server and measure its return", false)
  .option("--keep", "leave the data folder", false)
  .option("--json", "one line of JSON", false)
  .action(async (options: BenchRegistrationsOptions) => {
    exitCode = await runBenchRegistrations(options, io);
  });
bench.command("caller <file>", { hidden: true }).action(async (file: string) => {
  exitCode = await runBenchCaller(file);
});

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

import { mkdirSync } from "node:fs";
import { ConfigError, type Config } from "../config/config.ts";
import { faultLines } from "../config/fault-lines.ts";
import { loadConfig } from "../config/load.ts";
import { checkPorts } from "./check/ports.ts";
import { configFile, configOrFaults } from "./config-file.ts";
import { forbidCoreFiles } from "./core-files.ts";
import { withDefaultApp } from "./default-app.ts";
import type { CommandIo } from "./io.ts";
import { startServer, type RunningServer } from "./server.ts";
import { notifySystemd, watchdogMs } from "./systemd.ts";

const portRefusal = /\bin use\b|EADDRINUSE|EACCES|EADDRNOTAVAIL/i;

/**
 * `wakeline serve`: runs until SIGTERM or SIGINT, which drain; a second signal ends at once. SIGHUP reads certificates, app keys and
 * push credentials again. Returns the exit code, 2 for a configuration that cannot be used.
 */
export async function runServe(args: { readonly config: string | undefined }, io: CommandIo): Promise<number> {
  forbidCoreFiles();
  const read = configOrFaults(args.config, process.env, io);
  if (read === undefined) return 2;
  try {
    mkdirSync(read.dataDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    io.err(`data_dir: ${read.dataDir} cannot be made: ${cause instanceof Error ? cause.message : String(cause)}`);
    return 2;
  }
  const byDefault = read.file === undefined && read.apps.length === 0 ? withDefaultApp(read) : undefined;
  const config = byDefault?.config ?? read;
  if (config.file === undefined) {
    io.out("no wakeline.toml here: running on embedded defaults (./data, loopback only; `wakeline init` writes one)");
    for (const { id } of byDefault?.config.apps ?? []) {
      io.out(`app      ${id} enrols with the key in ${byDefault?.keyFile ?? ""} (Web Push only)`);
    }
  }
  let finish: (code: number) => void = () => {};
  const finished = new Promise<number>((resolve) => {
    finish = resolve;
  });
  let isDraining = false;
  const drain = (): void => {
    if (isDraining) return finish(1);
    isDraining = true;
    notifySystemd("STOPPING=1", `draining, at most ${config.drainSec} s`);
    server.log.info("server.draining", { drainSec: config.drainSec });
    void server.drain().then(() => finish(0));
  };
  const opened = await started(config, drain, io);
  if (opened === undefined) return 1;
  const server = opened;
  process.on("SIGTERM", drain);
  process.on("SIGINT", drain);
  process.on("SIGHUP", () => {
    void reload();
  });
  async function reload(): Promise<void> {
    try {
      const next = loadConfig(configFile(args.config), process.env);
      await server.reload(byDefault === undefined ? next : withDefaultApp(next).config);
      server.log.info("server.reloaded");
    } catch (cause) {
      const faults = cause instanceof ConfigError ? faultLines(cause, configFile(args.config)).join("; ") : undefined;
      server.log.error("server.reloadFailed", {
        cause: faults ?? (cause instanceof Error ? cause.message : String(cause)),
      });
    }
  }

  const { http, operator, sip } = config;
  io.out(
    `phones   ${http.tlsCert === undefined ? "http" : "https"}://${authority(http.listen.host, server.publicPort)}  (${server.publicUrl})`,
  );
  io.out(`operator http://${authority(operator.listen.host, server.operatorPort)}`);
  server.shards.forEach((shard, n) => {
    const tls = shard.tlsPort === 0 ? "" : `, tls ${shard.tlsPort}`;
    const listen = sip.listen.map((address) => authority(address, shard.udpPort)).join(" ");
    io.out(
      `sip      ${listen} udp and tcp${tls}  (shard ${n}, ${shard.accounts} accounts, bursts by ${shard.sendPath})`,
    );
  });
  io.out("ready");
  const accounts = server.shards.reduce((sum, shard) => sum + shard.accounts, 0);
  notifySystemd("READY=1", `serving ${accounts} accounts on ${server.shards.length} shards`);
  const everyMs = watchdogMs();
  const watchdog = everyMs === undefined ? undefined : setInterval(() => notifySystemd("WATCHDOG=1"), everyMs);
  const code = await finished;
  clearInterval(watchdog);
  await server.stop();
  return code;
}

/** The system's word for a port that cannot be had names no key of the configuration: then each such port is told by its key. */
async function started(config: Config, onDrain: () => void, io: CommandIo): Promise<RunningServer | undefined> {
  try {
    return await startServer(config, { logLevel: "info", onDrain });
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    const findings = portRefusal.test(words) ? await checkPorts(config) : [];
    const problems = findings.filter(({ level }) => level === "problem");
    if (problems.length === 0) throw cause;
    for (const { text } of problems) io.err(text);
    return undefined;
  }
}

function authority(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

import { availableParallelism } from "node:os";
import { startLog } from "../observe/log.ts";
import { fillStore } from "./bench/accounts.ts";
import { type CallFigures, CallerProcess } from "./bench/caller-process.ts";
import { Observer } from "./bench/observer.ts";
import type { Readings } from "./bench/readings.ts";
import { reportJson, reportLines, shortfalls } from "./bench/report.ts";
import { makeRunFolder, type RunFolder } from "./bench/run-folder.ts";
import { endChildren, ServerProcess } from "./bench/server-process.ts";
import { askSilence } from "./bench/silence.ts";
import { isTemplate } from "./bench/template.ts";
import { freePorts } from "./free-ports.ts";
import type { CommandIo } from "./io.ts";

/** How long an empty server is watched for its own cost. */
const idleMs = 3_000;
const settleMs = 1_500;

export interface BenchRegistrationsOptions {
  readonly registrar: string;
  readonly count: number;
  readonly userTemplate: string;
  readonly passwordTemplate: string;
  readonly domain: string | undefined;
  readonly expires: number;
  readonly seconds: number;
  readonly calls: number;
  readonly silence: number;
  readonly shards: number;
  readonly kill: boolean;
  readonly keep: boolean;
  readonly json: boolean;
}

/**
 * `wakeline bench registrations`: a server of its own in its own process, N accounts in its store, one registrar. Measures until all
 * are registered, then for `seconds`. Exit code 0 when all are registered at the end and none lapsed (but for an asked silence).
 */
export async function runBenchRegistrations(options: BenchRegistrationsOptions, io: CommandIo): Promise<number> {
  const wrong = faultOf(options);
  if (wrong !== undefined) {
    io.err(wrong);
    return 2;
  }
  startLog("error");
  const shards = options.shards > 0 ? options.shards : availableParallelism();
  const { host } = placeOf(options.registrar);
  const webhookPort = await freePorts();
  const folder = await makeRunFolder({
    registrarHost: host,
    shards,
    webhookUrl: `http://127.0.0.1:${webhookPort}/push`,
  });
  // The server is a child of ours: it must not outlive an impatient operator.
  const quit = (): void => {
    endChildren();
    folder.remove();
    process.exit(130);
  };
  process.once("SIGINT", quit);
  process.once("SIGTERM", quit);
  try {
    return await measure(options, shards, webhookPort, folder, io);
  } finally {
    process.off("SIGINT", quit);
    process.off("SIGTERM", quit);
    if (options.keep) io.err(`kept ${folder.path}`);
    else folder.remove();
  }
}

async function measure(
  options: BenchRegistrationsOptions,
  shards: number,
  webhookPort: number,
  folder: RunFolder,
  io: CommandIo,
): Promise<number> {
  const { host, port } = placeOf(options.registrar);
  const progress = progressLine(options.json);
  let server: ServerProcess | undefined;
  let caller: CallerProcess | undefined;
  try {
    progress("the empty server");
    const { empty, idleUsPerSec } = await watchEmpty(folder);
    const accountIds = await fillStore(
      folder.dataDir,
      {
        count: options.count,
        userTemplate: options.userTemplate,
        passwordTemplate: options.passwordTemplate,
        domain: options.domain ?? host,
        proxy: options.registrar,
        expiresSec: options.expires,
      },
      (written) => progress("accounts written", written, options.count),
    );
    server = await ServerProcess.start(folder.configFile, folder.operator);
    const observer = new Observer({
      server,
      count: options.count,
      shards,
      empty,
      expiresSec: options.expires,
      idleUsPerSec,
    });
    await observer.untilAllRegistered((registered) => progress("registered", registered, options.count));
    // With nobody registered there is nothing to watch: no calls, no silence, no return.
    const isWatched = observer.registered > 0;
    const onSecond = (second: number, registered: number): void =>
      progress(`second ${second}: registered`, registered, options.count);
    // The second half is for the calls, so that a refresh's cost stays its own.
    const quietSec = options.calls > 0 ? options.seconds / 2 : options.seconds;
    if (isWatched)
      await observer.hold(quietSec, {
        ...(options.silence === 0
          ? {}
          : {
              silence: {
                fromSec: quietSec / 4,
                sec: options.silence,
                begin: () => askSilence(host, port, options.silence),
              },
            }),
        onSecond,
      });
    let called: CallFigures | undefined;
    if (isWatched && options.calls > 0) {
      caller = await CallerProcess.start({
        ratePerSec: options.calls,
        webhookPort,
        host,
        sipPort: folder.sipPort,
        shards,
        dataDir: folder.dataDir,
        userTemplate: options.userTemplate,
        accountIds,
      });
      await observer.during(options.seconds - quietSec, onSecond);
      called = await caller.finish();
      caller = undefined;
    }
    if (isWatched && options.kill) {
      progress("kill -9");
      await server.stop("SIGKILL");
      server = await ServerProcess.start(folder.configFile, folder.operator);
      await observer.afterRestart(server);
    }
    const report = observer.report(called);
    progress("");
    if (options.json) io.out(reportJson(report));
    else for (const line of reportLines(report)) io.out(line);
    const wrong = shortfalls(report, options.registrar);
    for (const line of wrong) io.err(line);
    return wrong.length === 0 ? 0 : 1;
  } finally {
    await caller?.finish();
    await server?.stop("SIGKILL");
  }
}

/** What a server without accounts takes: the zero of what follows. */
async function watchEmpty(folder: RunFolder): Promise<{ readonly empty: Readings; readonly idleUsPerSec: number }> {
  const server = await ServerProcess.start(folder.configFile, folder.operator);
  try {
    await Bun.sleep(settleMs);
    const empty = await server.read();
    await Bun.sleep(idleMs);
    const idle = await server.read();
    return { empty, idleUsPerSec: ((idle.cpuUs - empty.cpuUs) / (idle.atMs - empty.atMs)) * 1_000 };
  } finally {
    await server.stop("SIGTERM");
  }
}

function placeOf(registrar: string): { readonly host: string; readonly port: number } {
  const colon = registrar.lastIndexOf(":");
  return { host: registrar.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(registrar.slice(colon + 1)) };
}

function faultOf(options: BenchRegistrationsOptions): string | undefined {
  const { host, port } = placeOf(options.registrar);
  if (host === "" || !Number.isInteger(port) || port < 1 || port > 65_535) return "--registrar is HOST:PORT";
  if (!Number.isInteger(options.count) || options.count < 1 || options.count > 1_000_000)
    return "--count is 1 to 1000000";
  if (options.count > 1 && !isTemplate(options.userTemplate)) return "--user-template needs a number, as u%06d";
  if (!(options.expires >= 1 && options.expires <= 86_400)) return "--expires is 1 to 86400 seconds";
  if (!(options.seconds >= 1)) return "--seconds is at least 1";
  if (!(options.calls >= 0) || !(options.silence >= 0)) return "--calls and --silence are numbers from 0";
  if (!Number.isInteger(options.shards) || options.shards < 0 || options.shards > 64) return "--shards is 0 to 64";
  return undefined;
}

/** A bar on a terminal, nothing elsewhere. An empty text wipes it. */
function progressLine(isQuiet: boolean): (text: string, done?: number, all?: number) => void {
  if (isQuiet || !process.stderr.isTTY) return () => {};
  return (text, done, all) => {
    let bar = "";
    if (done !== undefined && all !== undefined) {
      const filled = Math.round((Math.min(done, all) / all) * 30);
      bar = ` [${"#".repeat(filled)}${" ".repeat(30 - filled)}] ${done}/${all}`;
    }
    process.stderr.write(`\r\x1b[K${text}${bar}`);
  };
}

/**
 * What a server that comes back costs, at scale: N accounts in a server within this process, a registrar beside it.
 *
 *     bun bench/load/registrar.ts --port 5070 --all-bindings &
 *     bun bench/load/restarts.ts --registrar 127.0.0.1:5070 --count 100000 [--expires 600]
 *
 * One JSON line a step: a shard's thread ends; the server is back on the same files; one column file is lost; one shard more. Each tells when
 * the server (the shard) was ready, when all were registered, what left meanwhile and in its busiest second, and how many users have more
 * than one Contact at the registrar at the end: 0, or an old one was left behind.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fillStore } from "../../src/commands/bench/accounts.ts";
import { Readings } from "../../src/commands/bench/readings.ts";
import { makeRunFolder } from "../../src/commands/bench/run-folder.ts";
import { type RunningServer, startServer } from "../../src/commands/server.ts";
import { loadConfig } from "../../src/config/load.ts";
import { startLog } from "../../src/observe/log.ts";
import type { ShardThread } from "../../src/workers/pool.ts";
import { spawnShard } from "../../src/workers/spawn-shard.ts";

const { values } = parseArgs({
  options: {
    registrar: { type: "string", default: "127.0.0.1:5070" },
    count: { type: "string", default: "100000" },
    expires: { type: "string", default: "600" },
    shards: { type: "string", default: "2" },
  },
});
const count = Number(values.count);
const shards = Number(values.shards);
const [host = "", port = ""] = values.registrar.split(":");
const standstillMs = 120_000;
const pollMs = 100;
/** A shard that has just started has not looked at its rows yet: so many times in a row all must be there. */
const calmPolls = 5;

startLog("error");
// One port more: a shard comes.
const folder = await makeRunFolder({ registrarHost: host, shards: shards + 1, webhookUrl: "http://127.0.0.1:9/" });
const threads: { thread: ShardThread; goneAtMs: number; onReady: (() => void) | undefined }[] = [];

async function start(shardCount: number): Promise<{ readonly server: RunningServer; readonly readyMs: number }> {
  const text = (await Bun.file(folder.configFile).text()).replace(/^shards = \d+$/m, `shards = ${shardCount}`);
  await Bun.write(folder.configFile, text);
  const config = loadConfig(folder.configFile, {});
  const startedMs = performance.now();
  const server = await startServer(config, {
    logLevel: "error",
    spawn: (options, events) => {
      const slot = (threads[options.shard] ??= {
        thread: { post() {}, terminate() {} },
        goneAtMs: 0,
        onReady: undefined,
      });
      slot.thread = spawnShard(options, {
        ...events,
        onEvents: (told) => {
          events.onEvents(told);
          if (told.some(({ kind }) => kind === "ready")) slot.onReady?.();
        },
        onGone: (reason) => {
          slot.goneAtMs = performance.now();
          events.onGone(reason);
        },
      });
      return slot.thread;
    },
  });
  return { server, readyMs: performance.now() - startedMs };
}

async function read(): Promise<Readings> {
  const response = await fetch(`http://${folder.operator}/metrics`);
  return Readings.parse(await response.text(), performance.now());
}

/** Contacts at the registrar: users with one, users with several. */
async function bindings(): Promise<{ readonly one: number; readonly several: number }> {
  const told = Promise.withResolvers<string>();
  const socket = await Bun.udpSocket({ socket: { data: (_socket, bytes) => told.resolve(bytes.toString()) } });
  socket.send("wakeline-bindings", Number(port), host);
  const text = await told.promise;
  socket.close();
  return JSON.parse(text) as { one: number; several: number };
}

/**
 * Waits until all are registered, nobody is on the way and no old Contact is left; what left meanwhile, and the most in a second. `from`: what
 * the counters began at.
 */
async function untilAll(
  from: number,
): Promise<{ readonly allMs: number; readonly sent: number; readonly peakPerSec: number; readonly several: number }> {
  const startedMs = performance.now();
  let [peak, before, beforeMs] = [0, from, startedMs];
  for (let calm = 0; ;) {
    const now = await read();
    const sent = now.sent + now.retransmissions;
    if (now.atMs - beforeMs >= 1_000 || calm > 0) {
      peak = Math.max(peak, ((sent - before) / Math.max(now.atMs - beforeMs, 1_000)) * 1_000);
      [before, beforeMs] = [sent, now.atMs];
    }
    const isThere = now.registered === count && now.get('wakeline_registrations{state="registering"}') === 0;
    const { one, several } = isThere ? await bindings() : { one: 0, several: 0 };
    calm = isThere && one === count ? calm + 1 : 0;
    if (calm === calmPolls || now.atMs - startedMs > standstillMs) {
      const allMs = Math.round(now.atMs - startedMs - (calmPolls - 1) * pollMs);
      return { allMs, sent: sent - from, peakPerSec: Math.round(peak), several };
    }
    await Bun.sleep(pollMs);
  }
}

function tell(step: string, figures: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify({ step, count, ...figures }));
}

await fillStore(folder.dataDir, {
  count,
  userTemplate: "u%06d",
  passwordTemplate: "p%06d",
  domain: host,
  proxy: values.registrar,
  expiresSec: Number(values.expires),
});

let life = await start(shards);
tell("cold start", { readyMs: Math.round(life.readyMs), ...(await untilAll(0)) });

const first = threads[0];
if (first === undefined) throw new Error("no shard");
const before = await read();
const back = new Promise<number>((resolve) => {
  // From when the pool hears of it: how long a thread takes to end on demand is no matter.
  first.onReady = () => resolve(performance.now() - first.goneAtMs);
});
first.thread.terminate();
const readyMs = Math.round(await back);
first.onReady = undefined;
tell("a shard's thread ends", { readyMs, ...(await untilAll(before.sent + before.retransmissions)) });

await life.server.stop();
life = await start(shards);
tell("back on the same files", { readyMs: Math.round(life.readyMs), ...(await untilAll(0)) });

await life.server.stop();
rmSync(join(folder.dataDir, "shard-0.columns"));
life = await start(shards);
tell("a column file is lost", { readyMs: Math.round(life.readyMs), ...(await untilAll(0)) });

await life.server.stop();
life = await start(shards + 1);
tell("one shard more", { readyMs: Math.round(life.readyMs), ...(await untilAll(0)) });

await life.server.stop();
folder.remove();
process.exit(0);

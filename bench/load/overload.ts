/**
 * What a server does that is asked for more than it can: new phones at up to twice the rate it bears, calls beside them, refreshes meanwhile.
 *
 *     bun bench/load/registrar.ts --port 5070 --expires 60 &
 *     BUN_CONFIG_MAX_HTTP_REQUESTS=65000 bun bench/load/overload.ts --registrar 127.0.0.1:5070 [--count 10000] [--seconds 15] [--calls 50]
 *
 * Without that variable Bun's fetch holds 256 requests at once, and the line is here. First as many new phones as answers allow (32 at once): the rate that it bears. Then twice that rate, whether answers come or not, with calls.
 * Then silence, until one more phone is taken. A phone is two requests: a device, and a subscription that its registrar accepts. One JSON
 * line a step.
 */
import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { fillStore } from "../../src/commands/bench/accounts.ts";
import { CallerProcess } from "../../src/commands/bench/caller-process.ts";
import { loadApp, makeRunFolder } from "../../src/commands/bench/run-folder.ts";
import { endChildren, ServerProcess } from "../../src/commands/bench/server-process.ts";
import { startLog } from "../../src/observe/log.ts";

const appKey = "the key of the load";
const requestMsMax = 20_000;
const atOnce = 32;
const settleMs = 3_000;
/** Of 32 at once one that is turned away comes again after this. */
const shedMs = 1_000;
const recoverMsMax = 60_000;

interface Answer {
  readonly status: number;
  readonly ms: number;
}

/** New phones, counted by what became of them. */
class Phones {
  readonly #url: string;
  readonly #registrar: string;
  #next: number;
  taken = 0;
  shed = 0;
  failed = 0;
  readonly takenMs: number[] = [];
  readonly shedMs: number[] = [];

  constructor(url: string, registrar: string, from: number) {
    this.#url = url;
    this.#registrar = registrar;
    this.#next = from;
  }

  get next(): number {
    return this.#next;
  }

  /** One phone enrols and subscribes. */
  async one(): Promise<void> {
    const n = this.#next++;
    const startedMs = performance.now();
    const push = { provider: "webhook", token: `overload-${n}` };
    const device = await this.#post("/v1/devices", appKey, n, { app: loadApp, push });
    if (device.status !== 201) return this.#count(device);
    const { token } = device.body as { token: string };
    const [username, password] = ["u", "p"].map((prefix) => `${prefix}${String(n).padStart(6, "0")}`);
    const account = { username, password, domain: "127.0.0.1", proxy: this.#registrar, transport: "udp" };
    const { status } = await this.#post("/v1/subscriptions", token, n, { account });
    this.#count({ status, ms: performance.now() - startedMs });
  }

  #count({ status, ms }: Answer): void {
    if (status === 201) {
      this.taken++;
      this.takenMs.push(ms);
    } else if (status === 503) {
      this.shed++;
      this.shedMs.push(ms);
    } else this.failed++;
  }

  async #post(path: string, bearer: string, n: number, body: unknown): Promise<Answer & { readonly body: unknown }> {
    const startedMs = performance.now();
    try {
      const response = await fetch(`${this.#url}${path}`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${bearer}`,
          "content-type": "application/json",
          // Each phone from an address of its own, through a proxy: the limit of one address is another matter.
          "x-forwarded-for": `198.18.${(n >> 8) & 255}.${n & 255}`,
        },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(requestMsMax),
      });
      return { status: response.status, ms: performance.now() - startedMs, body: await response.json() };
    } catch {
      return { status: 0, ms: performance.now() - startedMs, body: undefined };
    }
  }
}

function quantile(sorted: readonly number[], share: number): number | undefined {
  const value = sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)];
  return value === undefined ? undefined : Math.round(value);
}

function quantiles(values: readonly number[]) {
  const sorted = values.toSorted((a, b) => a - b);
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
}

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: {
      registrar: { type: "string", default: "127.0.0.1:5070" },
      count: { type: "string", default: "10000" },
      seconds: { type: "string", default: "15" },
      calls: { type: "string", default: "50" },
    },
  });
  const [count, seconds, calls] = [values.count, values.seconds, values.calls].map(Number) as [number, number, number];
  const shards = 2;
  const [host = ""] = values.registrar.split(":");
  startLog("error");
  const webhook = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const webhookPort = webhook.port;
  webhook.stop(true);
  const folder = await makeRunFolder({
    registrarHost: host,
    shards,
    webhookUrl: `http://127.0.0.1:${webhookPort}/push`,
  });
  const config = (await Bun.file(folder.configFile).text())
    .replace(/^key = .*$/m, `key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"`)
    .replace("[http]\n", '[http]\ntrusted_proxies = ["127.0.0.1"]\n');
  await Bun.write(folder.configFile, config);
  const url = /^public_url = "(.*)"$/m.exec(config)?.[1] ?? "";
  const accountIds = await fillStore(folder.dataDir, {
    count,
    userTemplate: "u%06d",
    passwordTemplate: "p%06d",
    domain: host,
    proxy: values.registrar,
    expiresSec: 600,
  });
  const server = await ServerProcess.start(folder.configFile, folder.operator);
  try {
    while ((await server.read()).registered < count) await Bun.sleep(200);
    const phones = new Phones(url, values.registrar, count);

    const closed = await during(server, phones, seconds, async (untilMs) => {
      const worker = async (): Promise<void> => {
        while (performance.now() < untilMs) {
          const { shed } = phones;
          await phones.one();
          if (phones.shed > shed) await Bun.sleep(shedMs);
        }
      };
      await Promise.all(Array.from({ length: atOnce }, worker));
    });
    const bears = closed.takenPerSec;
    console.log(JSON.stringify({ step: `${atOnce} at once`, ...closed }));
    await Bun.sleep(settleMs);

    for (const [step, factor] of [
      ["half of that, with calls", 0.5],
      ["twice that, with calls", 2],
    ] as const) {
      const caller = await CallerProcess.start({
        ratePerSec: calls,
        webhookPort,
        host,
        sipPort: folder.sipPort,
        shards,
        dataDir: folder.dataDir,
        userTemplate: "u%06d",
        accountIds,
      });
      const crowd = new Phones(url, values.registrar, phones.next + (factor === 2 ? 100_000 : 0));
      const open = await during(server, crowd, seconds, async (untilMs, fromMs) => {
        const running = new Set<Promise<void>>();
        for (let sent = 0; performance.now() < untilMs;) {
          const due = Math.floor(((performance.now() - fromMs) / 1_000) * bears * factor);
          for (; sent < due; sent++) {
            const one: Promise<void> = crowd.one().finally(() => running.delete(one));
            running.add(one);
          }
          await Bun.sleep(5);
        }
        await Promise.all(running);
      });
      const called = await caller.finish();
      console.log(JSON.stringify({ step, offeredPerSec: Math.round(bears * factor), ...open, ...called }));
      if (factor !== 2) await Bun.sleep(settleMs);
    }

    const endedMs = performance.now();
    const last = new Phones(url, values.registrar, 900_000);
    while (last.taken === 0 && performance.now() - endedMs < recoverMsMax) {
      await last.one();
      await Bun.sleep(50);
    }
    const calm = await server.read();
    console.log(
      JSON.stringify({
        step: "after",
        takenAfterMs: Math.round(performance.now() - endedMs),
        strain: calm.get("wakeline_strain"),
        registered: calm.registered,
        lapsed: calm.lapsed,
      }),
    );
  } finally {
    await server.stop("SIGKILL");
    folder.remove();
  }
}

/** What came of `drive`, with what the server counted and how quickly it answered a probe meanwhile. */
async function during(
  server: ServerProcess,
  phones: Phones,
  seconds: number,
  drive: (untilMs: number, fromMs: number) => Promise<void>,
) {
  const before = await server.read();
  const fromMs = performance.now();
  const probeMs: number[] = [];
  let strain = 0;
  let loopDelayMs = 0;
  const end = new AbortController();
  const probing = (async (): Promise<void> => {
    while (!end.signal.aborted) {
      const askedMs = performance.now();
      const now = await server.read();
      probeMs.push(performance.now() - askedMs);
      strain = Math.max(strain, now.get("wakeline_strain"));
      loopDelayMs = Math.max(loopDelayMs, now.loopDelayMs);
      await Bun.sleep(200);
    }
  })();
  await drive(fromMs + seconds * 1_000, fromMs);
  const tookSec = (performance.now() - fromMs) / 1_000;
  end.abort();
  await probing;
  const after = await server.read();
  return {
    takenPerSec: Math.round(phones.taken / tookSec),
    taken: phones.taken,
    shed: phones.shed,
    failed: phones.failed,
    takenMs: quantiles(phones.takenMs),
    shedMs: quantiles(phones.shedMs),
    metricsMs: quantiles(probeMs),
    strain,
    shardLoopDelayMs: Math.round(loopDelayMs),
    callsShed: after.get("wakeline_calls_shed_total") - before.get("wakeline_calls_shed_total"),
    refreshes: after.refreshes - before.refreshes,
    lapsed: after.lapsed - before.lapsed,
  };
}

// The server and the caller are this very program, started again by their command.
if (process.argv[2] === "serve" || process.argv[2] === "bench") await import("../../src/main.ts");
else {
  process.once("SIGINT", () => {
    endChildren();
    process.exit(130);
  });
  await run();
  process.exit(0);
}

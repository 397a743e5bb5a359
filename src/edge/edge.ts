import { readFileSync } from "node:fs";
import type { Config } from "../config/config.ts";
import type { Log } from "../observe/log.ts";
import type { FaultPlace, Metrics } from "../observe/metrics.ts";
import type { PushGateway } from "../push/types.ts";
import type { Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";
import type { EgressRule } from "./account-input.ts";
import { AppKeys } from "./app-keys.ts";
import { Callers } from "./callers.ts";
import { DeviceTokens } from "./device-tokens.ts";
import { Devices } from "./devices.ts";
import { Dispatcher } from "./dispatcher.ts";
import { FigureHistory, historyStepMs } from "./figure-history.ts";
import { Leases, leaseSweepMs } from "./leases.ts";
import { LiveCalls } from "./live-calls.ts";
import { operatorApp, summaryOf, type OperatorParts } from "./operator-app.ts";
import { OperatorFeed } from "./operator-feed.ts";
import { OperatorListener, type PageHandler } from "./operator-listener.ts";
import { PeerAddresses } from "./peer-address.ts";
import { phoneApp } from "./phone-app.ts";
import { plainPage } from "./plain-page.ts";
import { PublicListener, tunnelPath, type Certificate } from "./public-listener.ts";
import { RegistrarNews } from "./registrar-news.ts";
import { Receipts } from "./receipts.ts";
import type { Shards, TunnelSink } from "./shards.ts";
import { Subscriptions } from "./subscriptions.ts";
import { Tickets } from "./tickets.ts";
import { TunnelDoor } from "./tunnel-door.ts";
import { Tunnels } from "./tunnels.ts";
import { Turns } from "./turns.ts";

const tickMs = 1_000;
const sweepMs = 60_000;
const beatMs = 15_000;

export interface EdgeOptions {
  readonly config: Config;
  readonly store: Store;
  readonly shards: Shards;
  readonly gateway: PushGateway;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  readonly egress: EgressRule;
  /** Where SIP requests come from, as told to apps; empty when unknown. */
  readonly egressAddresses: readonly string[];
  readonly vapidPublicKey: string | undefined;
  /** The operator asked to drain. */
  readonly onDrain: () => void;
  /** The operator's page; without it, the summary in plain. */
  readonly page?: PageHandler;
  /** False in tests, which call `tick` and `sweep` themselves. */
  readonly timers?: boolean;
}

export interface Edge {
  readonly publicPort: number;
  readonly operatorPort: number;
  readonly sink: TunnelSink;
  /** Takes every event of the pool. */
  readonly dispatcher: Dispatcher;
  /** Not ready any more; what runs goes on. */
  drain(): void;
  /** Closes listeners and tunnels. */
  stop(): Promise<void>;
  /** Reads certificates again and takes the apps of a configuration that was read again. Throws when a certificate cannot be read. */
  reload(config: Config): void;
  /** Once a second: pings and silence of tunnels. */
  tick(): void;
  /** Every few minutes: leases. Resolves when done; never rejects. */
  sweepLeases(): Promise<void>;
}

type Parts = Awaited<ReturnType<typeof makeParts>>;

/** What the edge is made of, before anything listens. Rejects when the store's keys are damaged. */
async function makeParts(options: EdgeOptions) {
  const { config, store, shards, gateway, metrics, clock, log, egress } = options;
  const { limits } = config;
  const publicUrl = config.publicUrl.replace(/\/+$/, "");
  const tunnelUrl = `${publicUrl.replace(/^http/, "ws")}${tunnelPath}`;
  const tokens = await DeviceTokens.open(store, clock);
  const appKeys = new AppKeys(config.apps, clock);
  const feed = new OperatorFeed(clock);
  const news = new RegistrarNews({ store, feed, metrics, clock, log });
  const calls = new LiveCalls(clock, metrics);
  const receipts = new Receipts(log, metrics);
  const tickets = new Tickets(clock, options.random);
  const tunnels = new Tunnels({ store, shards, calls, feed, metrics, clock, log });
  const subscriptions = new Subscriptions({
    store,
    shards,
    turns: new Turns(),
    clock,
    limits,
    egress,
    accountsChanged: (deviceId) => tunnels.accountsChanged(deviceId),
  });
  const devices = new Devices({
    store,
    appKeys,
    tokens,
    subscriptions,
    gateway,
    receipts,
    clock,
    egress,
    limits,
    closeTunnel: (deviceId, code, reason) => tunnels.closeDevice(deviceId, code, reason),
  });
  const dispatcher = new Dispatcher({
    store,
    shards,
    gateway,
    sink: tunnels,
    tickets,
    calls,
    receipts,
    subscriptions,
    feed,
    news,
    metrics,
    clock,
    log,
    tunnelUrl,
  });
  return {
    publicUrl,
    tunnelUrl,
    tokens,
    appKeys,
    feed,
    news,
    calls,
    receipts,
    tickets,
    tunnels,
    subscriptions,
    devices,
    dispatcher,
    leases: new Leases({ store, devices, subscriptions, dispatcher, clock, log, leaseDays: limits.leaseDays }),
    callers: new Callers({ store, tokens, clock }),
    history: new FigureHistory(metrics, clock),
  };
}

/** Starts both listeners. Rejects when one cannot listen, a certificate cannot be read, or the store's keys are damaged. */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { config, store, shards, metrics, clock, log, version } = options;
  const startedAtMs = clock.wallMs();
  const parts = await makeParts(options);
  const { tokens, tunnels, feed, appKeys } = parts;
  let isDraining = false;
  const drain = (): void => {
    isDraining = true;
  };

  const listener = listenForPhones(options, parts);
  const operatorListener = await listenOrStop(
    listener,
    {
      store,
      shards,
      subscriptions: parts.subscriptions,
      tokens,
      tunnels,
      feed,
      news: parts.news,
      history: parts.history,
      metrics,
      clock,
      log,
      version,
      startedAtMs,
      token: config.operator.token,
      isDraining: () => isDraining,
      onDrain: () => {
        drain();
        options.onDrain();
      },
    },
    options,
  );
  metrics.watch({
    tunnels: () => tunnels.size,
    restarts: () => shards.load().reduce((sum, { restarts }) => sum + restarts, 0),
  });
  const sweepLeases = guarded(options, "sweep", () => parts.leases.sweep());
  parts.history.sample();
  const timers = options.timers === false ? [] : startTimers(options, parts, sweepLeases);

  return {
    publicPort: listener.port,
    operatorPort: operatorListener.port,
    sink: tunnels,
    dispatcher: parts.dispatcher,
    drain,
    async stop() {
      for (const timer of timers) clearInterval(timer);
      feed.close();
      tunnels.closeAll();
      await Promise.all([listener.stop(), operatorListener.stop()]);
    },
    reload(next) {
      appKeys.replace(next.apps);
      const certificate = certificateOf(next);
      if (certificate !== undefined) listener.replaceCertificate(certificate);
    },
    tick: () => tunnels.tick(),
    sweepLeases,
  };
}

/** The first listener: phones, their tunnels, and whoever looks for the server. */
function listenForPhones(options: EdgeOptions, parts: Parts): PublicListener {
  const { config, store, metrics, clock, log, version } = options;
  const { callers, devices, subscriptions, calls, receipts, tickets, tunnels, tokens } = parts;
  return new PublicListener(
    {
      listen: config.http.listen,
      app: phoneApp({ store, callers, devices, subscriptions, calls, receipts, metrics, clock, log, version }),
      callers,
      peers: new PeerAddresses(config.http.trustedProxies),
      door: new TunnelDoor({ callers, tickets, tunnels, store }),
      tunnels,
      tokens,
      facts: {
        version,
        publicUrl: parts.publicUrl,
        tunnelUrl: parts.tunnelUrl,
        egressAddresses: options.egressAddresses,
        vapidPublicKey: options.vapidPublicKey,
      },
      metrics,
      store,
      random: options.random,
      log,
    },
    certificateOf(config),
  );
}

/** What is to be done again and again. */
function startTimers(options: EdgeOptions, parts: Parts, sweepLeases: () => Promise<void>) {
  const { tunnels, tickets, calls, history, feed } = parts;
  const every = (ms: number, where: FaultPlace, work: () => void) => {
    const guardedWork = guarded(options, where, work);
    return setInterval(() => void guardedWork(), ms);
  };
  return [
    every(tickMs, "tunnel", () => tunnels.tick()),
    every(sweepMs, "sweep", () => {
      tickets.sweep();
      calls.sweep();
    }),
    setInterval(() => void sweepLeases(), leaseSweepMs(options.config.limits.leaseDays)),
    every(beatMs, "operator", () => feed.beat()),
    every(historyStepMs, "operator", () => history.sample()),
  ];
}

/** The work as something that never rejects: a fault is counted and logged, and the next time it is tried again. */
function guarded({ metrics, log }: EdgeOptions, where: FaultPlace, work: () => void | Promise<void>) {
  return async (): Promise<void> => {
    try {
      await work();
    } catch (cause) {
      metrics.fault(where);
      log.error("sweep.fault", { where, cause });
    }
  };
}

/** The second listener; when it cannot listen, the first one does not stay behind. */
async function listenOrStop(
  listener: PublicListener,
  parts: OperatorParts,
  { config, page, metrics, log }: EdgeOptions,
): Promise<OperatorListener> {
  try {
    return new OperatorListener({
      listen: config.operator.listen,
      app: operatorApp(parts),
      page: page ?? plainPage(() => summaryOf(parts)),
      hasToken: config.operator.token !== undefined,
      metrics,
      log,
    });
  } catch (cause) {
    await listener.stop();
    throw cause;
  }
}

function certificateOf({ http }: Config): Certificate | undefined {
  if (http.tlsCert === undefined || http.tlsKey === undefined) return undefined;
  return { cert: readFileSync(http.tlsCert, "utf8"), key: readFileSync(http.tlsKey, "utf8") };
}

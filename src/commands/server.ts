import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { placement } from "../base/placement.ts";
import type { Config, HostPort } from "../config/config.ts";
import { startEdge, type Edge } from "../edge/edge.ts";
import { EgressPolicy } from "../net/egress.ts";
import { type OwnSocket, ownSockets, socketsOf } from "../net/own-sockets.ts";
import type { TlsMaterial } from "../net/trust.ts";
import { Lane } from "../observe/lanes.ts";
import { openLog, startLog, type Log } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { Strain } from "../observe/strain.ts";
import { pageHandler } from "../page/handler.ts";
import { createGateway } from "../push/gateway.ts";
import { openSenders } from "../push/senders.ts";
import { storedVapidKeys } from "../push/vapid-keys.ts";
import { unusableCertificates } from "./check/certificates.ts";
import { urlPolicy } from "./url-policy.ts";
import { type OpenStore, openStore } from "../store/open.ts";
import { type Clock, systemClock } from "../time/clock.ts";
import { systemRandom } from "../time/random.ts";
import { Pool } from "../workers/pool.ts";
import type { Event } from "../workers/protocol.ts";
import type { LogLevel } from "../workers/shard-start.ts";
import { spawnShard } from "../workers/spawn-shard.ts";
import { version } from "./version.ts";

const strainEveryMs = 50;

type ShardReady = Extract<Event, { kind: "ready" }>;

export interface RunningServer {
  readonly publicUrl: string;
  readonly publicPort: number;
  readonly operatorPort: number;
  readonly shards: readonly ShardReady[];
  readonly log: Log;
  /** No new calls; resolves when running calls have ended or `drain_sec` is over. */
  drain(): Promise<void>;
  /** Ends everything at once; columns are mapped, so nothing is lost. */
  stop(): Promise<void>;
  /** Takes certificates, app keys and push credentials of a configuration that was read again. */
  reload(config: Config): Promise<void>;
}

/**
 * The server: store, shards, push and edge put together. Rejects with an Error in the operator's words when a part cannot start;
 * what had started is stopped again. `onDrain`: the operator asked to drain through the API.
 */
export async function startServer(
  config: Config,
  options: {
    readonly logLevel: LogLevel;
    readonly env?: Readonly<Record<string, string | undefined>>;
    readonly onDrain?: () => void;
    /** In place of a worker thread as it is: tests end one. */
    readonly spawn?: typeof spawnShard;
  },
): Promise<RunningServer> {
  startLog(options.logLevel);
  const log = openLog("main");
  const clock = systemClock;
  const env = options.env ?? process.env;
  const closers: (() => Promise<void> | void)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).toReversed()) await close();
  };

  try {
    refuseUnusable(config);
    const store = await openStore({ dataDir: config.dataDir, masterKey: config.masterKey, env, log, clock });
    closers.push(() => store.close());

    const lanes = new SharedArrayBuffer(Lane.bytes(config.sip.shards + 1));
    const laneList = Array.from({ length: config.sip.shards }, (_, shard) => new Lane(lanes, shard));
    const main = new Lane(lanes, config.sip.shards);
    const metrics = new Metrics({ lanes: laneList, main, startedAtMs: clock.wallMs() });
    closers.push(watchStrain(main, clock));

    const policy = new EgressPolicy({ allow: config.sip.egressAllow, own: literal(config.sip.advertise), clock });
    const { vapid, senders, gateway } = await openPushes(config, { store, policy, metrics, clock, log });
    closers.push(async () => {
      await gateway.close();
      await senders.close();
    });

    let edge: Edge | undefined;
    // Of the latest reload: a shard may be started again long after.
    let tls = sipTls(config);
    const shardOptions = {
      kind: "start",
      shards: config.sip.shards,
      config,
      lanes,
      vaultKeys: store.vaultKeys,
      logLevel: options.logLevel,
    } as const;
    const spawn = options.spawn ?? spawnShard;
    const pool = new Pool({
      shards: config.sip.shards,
      placement,
      spawn: (shard, events) => spawn({ ...shardOptions, shard, tls }, events),
      sink: (event) => edge?.dispatcher.onEvent(event),
      clock,
      log,
    });
    closers.push(() => pool.stop());
    const listening = (sockets: readonly OwnSocket[]): void => {
      for (const { address, port } of sockets) policy.addListening(address, port);
      pool.listening(sockets);
    };
    listening(ownSockets(config));
    const shards = await pool.start();

    edge = await startEdge({
      config,
      store,
      shards: pool,
      gateway,
      metrics,
      clock,
      random: systemRandom,
      log,
      version,
      egress: (address, port) => {
        const verdict = policy.verdict(address, port);
        return verdict.allowed ? undefined : verdict.text;
      },
      egressAddresses: literal(config.sip.advertise),
      vapidPublicKey: vapid.publicKey,
      onDrain: options.onDrain ?? (() => {}),
      page: pageHandler,
    });
    const started = edge;
    closers.push(() => started.stop());
    listening(socketsOfAnyPort(config, started, shards));
    void senders.warm();

    return {
      publicUrl: config.publicUrl,
      publicPort: edge.publicPort,
      operatorPort: edge.operatorPort,
      shards,
      log,
      async drain() {
        started.drain();
        await pool.drain(config.drainSec * 1_000);
      },
      stop: closeAll,
      async reload(next) {
        refuseUnusable(next);
        started.reload(next);
        // Which sockets there are is settled at the start: without a TLS listener there is nothing to renew.
        if (tls !== undefined) {
          tls = sipTls(next) ?? tls;
          pool.reload(tls);
        }
        for (const fault of await senders.reload(next.apps)) log.error("push.unusable", { ...fault });
        void senders.warm();
      },
    };
  } catch (cause) {
    await closeAll();
    throw cause;
  }
}

/** The way to the push providers. Sends what it can: credentials that cannot be used are logged. */
async function openPushes(
  config: Config,
  parts: {
    readonly store: OpenStore;
    readonly policy: EgressPolicy;
    readonly metrics: Metrics;
    readonly clock: Clock;
    readonly log: Log;
  },
) {
  const { store, policy, metrics, clock, log } = parts;
  const vapid = await storedVapidKeys(store);
  const senders = await openSenders(config.apps, {
    vapid,
    allowUrl: urlPolicy(policy),
    allowLoopbackHttp: isLoopback(config.http.listen),
    clock,
    log,
  });
  for (const fault of senders.faults) log.error("push.unusable", { ...fault });
  const gateway = createGateway({
    senders: senders.table,
    store,
    clock,
    random: systemRandom,
    log,
    metrics: metrics.pushes,
  });
  return { vapid, senders, gateway };
}

function literal(address: string | undefined): readonly string[] {
  return address !== undefined && isIP(address) !== 0 ? [address] : [];
}

/** Sockets whose ports the system has chosen. */
function socketsOfAnyPort(
  { http, operator, sip }: Config,
  { publicPort, operatorPort }: Edge,
  shards: readonly ShardReady[],
): readonly OwnSocket[] {
  const sipPorts = sip.port === 0 ? shards.flatMap(({ udpPort, tcpPort }) => [udpPort, tcpPort]) : [];
  return [
    ...(http.listen.port === 0 ? socketsOf({ host: http.listen.host, port: publicPort }) : []),
    ...(operator.listen.port === 0 ? socketsOf({ host: operator.listen.host, port: operatorPort }) : []),
    ...sipPorts.flatMap((port) => sip.listen.map((address) => ({ address, port }))),
  ];
}

function isLoopback(listen: HostPort): boolean {
  return listen.host === "localhost" || listen.host === "::1" || listen.host.startsWith("127.");
}

/** Before a listener takes them: its own error would name no file. Throws. */
function refuseUnusable(config: Config): void {
  const faults = unusableCertificates(config);
  if (faults.length > 0) throw new Error(faults.join("; "));
}

/** The certificate of the shards' TLS listeners: their own, else that of HTTP (RFC 5922). */
function sipTls({ sip, http }: Config): TlsMaterial | undefined {
  const cert = sip.tlsCert ?? http.tlsCert;
  const key = sip.tlsKey ?? http.tlsKey;
  if (sip.tlsPort === 0 || cert === undefined || key === undefined) return undefined;
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}

/** Notes how late the main thread's timer runs; returns what ends it. */
function watchStrain(lane: Lane, clock: Clock): () => void {
  const strain = new Strain(lane, strainEveryMs);
  let dueAtMs = clock.nowMs() + strainEveryMs;
  const timer = setInterval(() => {
    const nowMs = clock.nowMs();
    strain.note(nowMs - dueAtMs);
    dueAtMs = nowMs + strainEveryMs;
  }, strainEveryMs);
  return () => clearInterval(timer);
}

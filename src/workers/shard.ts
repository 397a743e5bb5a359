import { join } from "node:path";
import { openColumnsFile } from "../keeper/columns-file.ts";
import { SystemDnsClient } from "../net/dns.ts";
import { EgressPolicy } from "../net/egress.ts";
import { DnsLocator } from "../net/locator.ts";
import { openNetwork, type LiveNetwork } from "../net/network-live.ts";
import type { TlsMaterial } from "../net/trust.ts";
import { Counter, Lane } from "../observe/lanes.ts";
import { openLog, startLog } from "../observe/log.ts";
import { Strain, StrainLevel } from "../observe/strain.ts";
import { openDirectory } from "../store/directory.ts";
import { systemClock } from "../time/clock.ts";
import { systemRandom } from "../time/random.ts";
import type { Command, Event } from "./protocol.ts";
import { ShardCore } from "./shard-core.ts";
import type { ShardStart } from "./shard-start.ts";

/** Entry of a shard worker: real sockets, the mapped file and the thread's clock around one ShardCore. */
declare const self: Worker;

/** The wheel's tick: nothing here is due with a finer grain. */
const tickMs = 10;

let core: ShardCore | undefined;
let network: LiveNetwork | undefined;
let policy: EgressPolicy | undefined;
/** Commands that came while the sockets were being opened. */
let early: Command[] = [];

/** Events of one turn of the loop go up in one message. */
let batch: Event[] = [];
let isFlushing = false;

function flush(): void {
  isFlushing = false;
  const events = batch;
  batch = [];
  self.postMessage(events);
}

function emit(event: Event): void {
  batch.push(event);
  if (isFlushing) return;
  isFlushing = true;
  setImmediate(flush);
}

self.onmessage = (message: MessageEvent<ShardStart | readonly Command[]>) => {
  const { data } = message;
  if (!("kind" in data)) {
    for (const command of data) run(command);
    return;
  }
  start(data).catch((cause: unknown) => {
    emit({ kind: "startFailed", reason: cause instanceof Error ? cause.message : String(cause) });
  });
};

function run(command: Command): void {
  if (core === undefined) {
    early.push(command);
    return;
  }
  if (command.kind === "reload") reload(command.tls);
  else if (command.kind === "ownSockets") {
    for (const { address, port } of command.sockets) policy?.addListening(address, port);
  } else core.command(command);
  sendSoon();
}

let isSending = false;

/** What this turn of the loop has queued leaves in one burst at its end, not at the next tick. */
function sendSoon(): void {
  if (isSending || network?.isPending !== true) return;
  isSending = true;
  setImmediate(() => {
    isSending = false;
    network?.flush();
  });
}

/** The operator may have renewed half of the pair: then the old certificate goes on. */
function reload(tls: TlsMaterial): void {
  try {
    network?.reloadTls(tls);
  } catch (cause) {
    openLog("shard").error("certificate.refused", { cause: cause instanceof Error ? cause.message : String(cause) });
  }
}

async function start(options: ShardStart): Promise<void> {
  const { config, shard } = options;
  const { sip, wake } = config;
  startLog(options.logLevel);
  const log = openLog(`shard ${shard}`);
  const clock = systemClock;
  const lane = new Lane(options.lanes, shard);
  const main = new Lane(options.lanes, options.shards);
  const strain = new Strain(lane, tickMs);
  const egress = new EgressPolicy({
    allow: sip.egressAllow,
    own: sip.advertise === undefined ? [] : [sip.advertise],
    clock,
  });
  policy = egress;
  const port = sip.port === 0 ? 0 : sip.port + shard;
  // The network reports to the core, which needs the network: the first message cannot come before this turn has ended.
  let receiver: ShardCore | undefined;
  const opened = await openNetwork({
    listen: sip.listen,
    udpPort: port,
    tcpPort: port,
    tlsPort: options.tls === undefined ? undefined : sip.tlsPort + shard,
    tls: options.tls,
    caFile: sip.caFile,
    advertise: sip.advertise,
    natAddress: sip.natAddress,
    egress,
    lane,
    clock,
    receiver: {
      onMessage: (bytes, from, to, source) => {
        receiver?.onMessage(bytes, from, to, source);
        sendSoon();
      },
      onPeerDown: (peer, reason) => receiver?.onPeerDown(peer, reason),
      onServerCertificate: (certificate) => receiver?.onServerCertificate(certificate),
    },
  });
  network = opened;
  log.info("udp.opened", { port: opened.udpPort, bursts: opened.sendPath, ...opened.udpBuffers });
  const columns = openColumnsFile(join(config.dataDir, `shard-${shard}.columns`));
  log.info("columns.opened", { rows: columns.size, torn: columns.torn, clean: columns.wasClean });
  receiver = new ShardCore({
    clock,
    random: systemRandom,
    network: opened,
    locator: new DnsLocator({
      dns: new SystemDnsClient(sip.resolver),
      egress,
      clock,
      random: systemRandom,
      ipv4: sip.listen.some((address) => !address.includes(":")),
      ipv6: sip.listen.some((address) => address.includes(":")),
    }),
    directory: openDirectory({
      dataDir: config.dataDir,
      vaultKeys: options.vaultKeys,
      shards: options.shards,
      shard,
    }),
    columns,
    lane,
    log,
    settings: { deadlineSec: wake.deadlineSec, ring: wake.ring, userAgent: sip.userAgent, shard },
    uplink: { emit },
    // Every call is work for the main thread as well: pushes and tunnels.
    isOverloaded: () => strain.level === StrainLevel.severe || main.get(Counter.strain) === StrainLevel.severe,
  });
  core = receiver;
  const accounts = receiver.start();
  // Before the first tick: nothing has left yet.
  const commands = early;
  early = [];
  for (const command of commands) run(command);
  let dueAtMs = clock.nowMs() + tickMs;
  setInterval(() => {
    const nowMs = clock.nowMs();
    strain.note(nowMs - dueAtMs);
    dueAtMs = nowMs + tickMs;
    receiver?.tick(nowMs);
  }, tickMs);
  emit({
    kind: "ready",
    udpPort: opened.udpPort,
    tcpPort: opened.tcpPort,
    tlsPort: opened.tlsPort,
    accounts,
    sendPath: opened.sendPath,
  });
}

/**
 * `bun run attack [PATH_TO_WAKELINE]`: the figures of docs/security.md, measured against the running program over loopback: floods, slow
 * connections, torture messages. About two minutes. Says each figure beside its bound; exit 1 when one is missed. The machine's load
 * counts here, other than in the tests.
 */
import { connect, type Socket } from "node:net";
import { loadavg } from "node:os";
import { tortureCases } from "../../sip/message/corpus.ts";
import { until } from "../../interop/lab/wait.ts";
import { Caller, percentile } from "./caller.ts";
import { appKey, Target } from "./target.ts";

const floodSec = 10;
const floodPerSec = 5_000;
const slowConnections = 2_000;
let failed = 0;
let passed = 0;

function report(what: string, value: string, holds: boolean): void {
  if (holds) passed++;
  else failed++;
  console.log(`${holds ? "ok  " : "FAIL"} ${what}: ${value}`);
}

const target = await Target.open(process.argv[2]);
const caller = await Caller.open(target);
try {
  console.log(`load ${loadavg()[0]?.toFixed(1)} on ${navigator.hardwareConcurrency} cores, Bun ${Bun.version}`);
  for (let n = 0; n < 50; n++) await caller.trying();
  await flood();
  await torture();
  await slow();
  const faults = await target.metric("wakeline_faults_total");
  report("faults counted", String(faults), faults === 0);
  report("restarts of shards", String(await target.metric("wakeline_shard_restarts_total")), target.isRunning);
} finally {
  caller.close();
  await target.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

/** INVITEs for nobody from another address, while the account is called and health is asked. */
async function flood(): Promise<void> {
  const socket = await Bun.udpSocket({ hostname: "127.0.0.2", port: 0, socket: { data: () => void answers++ } });
  let answers = 0;
  let sent = 0;
  const startMs = performance.now();
  const cpuBefore = await target.cpuSec();
  const memory: number[] = [];
  const health: number[] = [];
  const trying: (number | undefined)[] = [];
  const invite = (n: number): string =>
    `INVITE sip:x${n}@127.0.0.1:${target.sip} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:${socket.port};branch=z9hG4bKf${n};rport\r\nMax-Forwards: 70\r\nFrom: <sip:bob@far.example>;tag=f${n}\r\nTo: <sip:x${n}@127.0.0.1>\r\nCall-ID: flood-${n}\r\nCSeq: 1 INVITE\r\nContact: <sip:bob@127.0.0.2>\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n`;
  const pump = setInterval(() => {
    const due = Math.min(floodSec * floodPerSec, ((performance.now() - startMs) / 1_000) * floodPerSec);
    const burst: (string | number)[] = [];
    for (; sent < due && burst.length < 3 * 500; sent++) burst.push(invite(sent), target.sip, "127.0.0.1");
    if (burst.length > 0) socket.sendMany(burst);
  }, 2);
  while (performance.now() - startMs < floodSec * 1_000) {
    trying.push(await caller.trying());
    health.push(await target.healthMs());
    if (trying.length % 40 === 0) memory.push(await target.residentMb());
    await Bun.sleep(20);
  }
  clearInterval(pump);
  socket.close();
  const heard = trying.filter((ms) => ms !== undefined);
  const cores = ((await target.cpuSec()) - cpuBefore) / floodSec;
  const half = memory[memory.length >> 1] ?? 0;
  report(`unknown INVITEs sent in ${floodSec} s`, String(sent), sent > floodSec * floodPerSec * 0.9);
  report("answers to them", String(answers), answers === 0);
  report(
    "health meanwhile, p99 under 100 ms",
    `${percentile(health, 0.99).toFixed(1)} ms`,
    percentile(health, 0.99) < 100,
  );
  const tails = `p50 ${percentile(heard, 0.5).toFixed(1)}, p99 ${percentile(heard, 0.99).toFixed(1)}, worst ${Math.max(...heard).toFixed(1)} ms`;
  report(`a call's 100 meanwhile, ${trying.length} calls`, tails, heard.length === trying.length);
  report("processor meanwhile, calls included", `${cores.toFixed(2)} cores`, true);
  const growth = (memory.at(-1) ?? 0) - half;
  report(
    "resident memory in the second half, grows under 20 MB",
    `${half.toFixed(0)} MB, ${growth.toFixed(1)} more`,
    growth < 20,
  );
}

/** RFC 4475 and messages of 60 kB, by UDP and TCP; after each a call must get its 100. */
async function torture(): Promise<void> {
  const large = [
    `INVITE ${target.contact} SIP/2.0\r\n${"a: b\r\n".repeat(10_000)}\r\n`,
    `INVITE ${target.contact} SIP/2.0\r\nVia: ${"SIP/2.0/UDP h;branch=z,".repeat(2_500)}\r\n\r\n`,
    `SIP/2.0 401 No\r\n${'WWW-Authenticate: Digest realm="a", nonce="b"\r\n'.repeat(1_300)}\r\n`,
    `INVITE ${target.contact} SIP/2.0\r\nSubject: x${"\r\n ".repeat(20_000)}\r\n\r\n`,
    `INVITE ${target.contact} SIP/2.0\r\nContact: "${'\\"'.repeat(29_000)}\r\n\r\n`,
  ].map((text) => Buffer.from(text, "latin1"));
  const messages = [...tortureCases.map(({ bytes }) => Buffer.from(bytes)), ...large];
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const after: number[] = [];
  let lost = 0;
  for (const bytes of messages) {
    socket.send(bytes, target.sip, "127.0.0.1");
    const ms = await caller.trying();
    if (ms === undefined) lost++;
    else after.push(ms);
    const stream = await opened(target.sip);
    stream.write(bytes);
    const again = await caller.trying();
    if (again === undefined) lost++;
    else after.push(again);
    stream.destroy();
  }
  socket.close();
  const worst = Math.max(...after);
  report(`RFC 4475 and 60 kB by UDP and TCP, ${messages.length * 2} messages; calls lost`, String(lost), lost === 0);
  // Wall time, so what else runs on the machine is in it; the tests hold the bound of 50 ms by processor time.
  report(
    "a call's 100 right behind any of them",
    `p99 ${percentile(after, 0.99).toFixed(1)}, worst ${worst.toFixed(1)} ms`,
    worst < 1_000,
  );
}

/** Half-sent and dripping connections, on SIP and on HTTP. */
async function slow(): Promise<void> {
  const memoryBefore = await target.residentMb();
  const begun = performance.now();
  const open: Socket[] = [];
  const pieces = ["INVITE sip:x SIP/2.0\r\nVia: ", "OPTIONS sip:x SIP/2.0\r\nl: 5000\r\n\r\nhalf", ""];
  for (let n = 0; n < slowConnections; n++) {
    const socket = await opened(target.sip, `127.0.${1 + (n % 40)}.1`);
    if (n % 3 < 2) socket.write(pieces[n % 3] ?? "");
    open.push(socket);
  }
  const drip = setInterval(() => {
    for (const [n, socket] of open.entries()) if (n % 2 === 0 && n % 3 < 2 && !socket.destroyed) socket.write("a");
  }, 2_000);
  const perConnection = (((await target.residentMb()) - memoryBefore) * 1_000) / slowConnections;
  report(
    `${slowConnections} half-sent, dripping and idle connections, under 20 kB each`,
    `${perConnection.toFixed(1)} kB`,
    perConnection < 20,
  );
  const before = performance.now();
  const newcomer = await opened(target.sip);
  newcomer.write(
    `OPTIONS ${target.contact} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKn\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:u1@b>\r\nCall-ID: newcomer\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n`,
  );
  await new Promise<void>((resolve) => newcomer.once("data", () => resolve()).once("close", () => resolve()));
  report(
    "a newcomer is served within 1 s",
    `${(performance.now() - before).toFixed(0)} ms`,
    performance.now() - before < 1_000,
  );
  const https = await Promise.all([
    opened(target.http),
    opened(target.http).then((socket) => begin(socket, "GET / HTTP/1.1\r\n")),
    opened(target.http).then((socket) =>
      begin(
        socket,
        `POST /v1/devices HTTP/1.1\r\nHost: x.example\r\nAuthorization: Bearer ${appKey}\r\nContent-Length: 60000\r\n\r\n`,
      ),
    ),
  ]);
  const httpDrip = setInterval(() => {
    if (!https[1].destroyed) https[1].write("X: a\r\n");
    if (!https[2].destroyed) https[2].write("a");
  }, 1_000);
  const unfinished = open.filter((_, n) => n % 3 < 2);
  const gone = (): number => unfinished.filter((socket) => socket.destroyed).length / unfinished.length;
  await until("nine in ten are gone", () => gone() >= 0.9, { msMax: 90_000 }).catch(() => undefined);
  const sec = (performance.now() - begun) / 1_000;
  report(
    "half-sent and dripping, nine in ten gone within 60 s",
    `${(gone() * 100).toFixed(0)} % after ${sec.toFixed(0)} s`,
    gone() >= 0.9 && sec < 60,
  );
  await until("HTTP lets go", () => https.every((socket) => socket.destroyed), { msMax: 60_000 }).catch(
    () => undefined,
  );
  report(
    "HTTP: idle, dripping head, dripping body are cut",
    String(https.map((socket) => socket.destroyed)),
    https.every((socket) => socket.destroyed),
  );
  clearInterval(drip);
  clearInterval(httpDrip);
  for (const socket of [...open, newcomer, ...https]) socket.destroy();
}

function begin(socket: Socket, text: string): Socket {
  socket.write(text);
  return socket;
}

function opened(port: number, localAddress = "127.0.0.1"): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress }, () => resolve(socket));
    socket.on("data", () => undefined);
    socket.on("error", reject);
  });
}

import { readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { AccountId } from "../../base/ids.ts";
import { placement } from "../../base/placement.ts";
import { openColumns, type Columns } from "../../keeper/columns.ts";
import { lineToken } from "../../keeper/names.ts";
import type { CallerOrder, CallFigures } from "./caller-process.ts";
import type { Quantiles } from "./report.ts";
import { expandTemplate } from "./template.ts";

/** Sends are spread over the second in steps of this. */
const stepMs = 10;
/** After the last INVITE, what is under way may end. */
const endMs = 2_000;
const callsMax = 1_000_000;

interface RunningCall {
  readonly invite: string;
  readonly sentAtMs: number;
  readonly port: number;
  pushed: boolean;
}

/** A call's push as the webhook gets it; of it only what the phone needs. */
interface Push {
  readonly payload: { readonly kind: string; readonly callId?: string; readonly tunnel?: string };
}

/**
 * Hidden command `bench caller FILE`: sends INVITEs at a rate to the line tokens that the shards' columns hold, takes the pushes as
 * the webhook, opens the tunnel of each as its phone would and declines with 486. One process, one clock. Says `calling`, and at
 * SIGTERM its figures as one JSON line.
 */
export async function runBenchCaller(file: string): Promise<number> {
  const order = JSON.parse(readFileSync(file, "utf8")) as CallerOrder;
  const targets = targetsOf(order);
  const running = new Map<string, RunningCall>();
  const wakes: number[] = [];
  const tunnels: number[] = [];
  let sent = 0;
  let answered = 0;

  const socket = await Bun.udpSocket({
    hostname: order.host,
    port: 0,
    socket: {
      data(_socket, bytes) {
        const text = bytes.toString("latin1");
        const status = Number(text.slice(8, 11));
        if (!text.startsWith("SIP/2.0 ") || status < 200) return;
        const callId = header(text, "Call-ID");
        const call = running.get(callId);
        if (call === undefined) return;
        // The ACK to a final answer other than 2xx repeats Via, From, Request-URI of the INVITE (RFC 3261 §17.1.1.3).
        const ack = call.invite
          .replace(/^INVITE /, "ACK ")
          .replace("CSeq: 1 INVITE", "CSeq: 1 ACK")
          .replace(/^To: .*$/m, `To: ${header(text, "To")}`)
          .replace(/^Contact: .*\r\n/m, "");
        socket.send(Buffer.from(ack, "latin1"), call.port, order.host);
        answered++;
        running.delete(callId);
      },
    },
  });
  const self = `${order.host}:${socket.port}`;

  const webhook = Bun.serve({
    hostname: "127.0.0.1",
    port: order.webhookPort,
    async fetch(request) {
      const atMs = performance.now();
      const { payload } = (await request.json()) as Push;
      const call = running.get(payload.callId ?? "");
      if (payload.kind === "call" && call !== undefined && !call.pushed) {
        call.pushed = true;
        wakes.push(atMs - call.sentAtMs);
        if (payload.tunnel !== undefined) openTunnel(payload.tunnel);
      }
      return new Response(null, { status: 204 });
    },
  });

  function openTunnel(url: string): void {
    const startMs = performance.now();
    const tunnel = new WebSocket(url, "sip");
    tunnel.binaryType = "arraybuffer";
    tunnel.addEventListener("message", ({ data }) => {
      const text = typeof data === "string" ? data : Buffer.from(data as ArrayBuffer).toString("latin1");
      if (text.startsWith("INVITE ")) {
        tunnels.push(performance.now() - startMs);
        tunnel.send(decline(text));
      } else if (text.startsWith("ACK ")) tunnel.close();
    });
  }

  let due = 0;
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    due = Math.min(due + ((nowMs - lastMs) * order.ratePerSec) / 1_000, order.ratePerSec);
    lastMs = nowMs;
    for (; due >= 1 && sent < callsMax; due--) {
      const target = targets[sent % targets.length];
      if (target === undefined) return;
      const callId = `${crypto.randomUUID()}@${self}`;
      const invite = inviteOf(target.uri, callId, self);
      running.set(callId, { invite, sentAtMs: performance.now(), port: target.port, pushed: false });
      socket.send(Buffer.from(invite, "latin1"), target.port, order.host);
      sent++;
    }
  }, stepMs);
  writeSync(1, "calling\n");

  await new Promise<void>((resolve) => process.once("SIGTERM", resolve));
  clearInterval(timer);
  await Bun.sleep(endMs);
  socket.close();
  await webhook.stop(true);
  const figures: CallFigures = {
    wakeMs: quantiles(wakes),
    tunnelMs: quantiles(tunnels),
    calls: { sent, pushed: wakes.length, answered },
  };
  writeSync(1, `${JSON.stringify(figures)}\n`);
  return 0;
}

/** Contact of each called account, read from a copy of the columns: whoever opens the file itself is its owner. */
function targetsOf(order: CallerOrder): readonly { readonly uri: string; readonly port: number }[] {
  const columns = new Map<number, Columns>();
  return order.called.flatMap(([n, accountId]: readonly [number, AccountId]) => {
    const shard = placement(accountId, order.shards);
    let own = columns.get(shard);
    if (own === undefined) {
      own = openColumns(new Uint8Array(readFileSync(join(order.dataDir, `shard-${shard}.columns`))));
      columns.set(shard, own);
    }
    const row = own.find(accountId);
    if (row === undefined) return [];
    const port = order.sipPort + shard;
    const user = expandTemplate(order.userTemplate, n);
    return [{ uri: `sip:${user}@${order.host}:${port};transport=udp;line=${lineToken(own, row)}`, port }];
  });
}

function inviteOf(uri: string, callId: string, self: string): string {
  const sdp =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\na=sendrecv\r\n";
  return [
    `INVITE ${uri} SIP/2.0`,
    `Via: SIP/2.0/UDP ${self};branch=z9hG4bK${callId.slice(0, 18)};rport`,
    "Max-Forwards: 70",
    `From: "Caller" <sip:caller@${self}>;tag=${callId.slice(0, 8)}`,
    `To: <${uri.split(";")[0] ?? uri}>`,
    `Call-ID: ${callId}`,
    "CSeq: 1 INVITE",
    `Contact: <sip:caller@${self}>`,
    "Content-Type: application/sdp",
    `Content-Length: ${sdp.length}`,
    "",
    sdp,
  ].join("\r\n");
}

/** 486 with all that a response copies (RFC 3261 §8.2.6.2). */
function decline(invite: string): string {
  const vias = [...invite.matchAll(/^Via: .*$/gim)].map(([line]) => line.trimEnd());
  return [
    "SIP/2.0 486 Busy Here",
    ...vias,
    `From: ${header(invite, "From")}`,
    `To: ${header(invite, "To")};tag=${crypto.randomUUID().slice(0, 8)}`,
    `Call-ID: ${header(invite, "Call-ID")}`,
    `CSeq: ${header(invite, "CSeq")}`,
    "Content-Length: 0",
    "",
    "",
  ].join("\r\n");
}

function header(text: string, name: string): string {
  const at = text.indexOf(`\r\n${name}: `);
  return at < 0 ? "" : text.slice(at + name.length + 4, text.indexOf("\r\n", at + 2));
}

function quantiles(values: readonly number[]): Quantiles | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 1_000) / 1_000;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

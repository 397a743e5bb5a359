/**
 * A registrar for load, in a process of its own: verifies every MD5 digest (RFC 2617 §3.2.2), keeps bindings, knows whose lapsed.
 *
 *     bun bench/load/registrar.ts --port 5070 [--host 127.0.0.1] [--count 1000000] [--user-template u%06d]
 *       [--password-template p%06d] [--expires 0] [--silent-from SEC --silent-for SEC] [--each-challenged] [--all-bindings]
 *
 * `--all-bindings` keeps every Contact of a user and lists all in its 200, as registrars do; without it the newest is the only one.
 * A datagram `wakeline-bindings` is answered with how many users have one Contact, and how many have several.
 * `--expires` grants so many seconds whatever is asked; 0 grants what is asked. `--each-challenged` gives each nonce one use, as
 * Kamailio's `one_time_nonce` does. A datagram `wakeline-silence SEC` makes it deaf for so long: it still counts. SIGTERM prints
 * what it saw as one JSON line.
 */
import { parseArgs } from "node:util";
import { randomBytes } from "node:crypto";
import { writeSync } from "node:fs";
import { expandTemplate } from "../../src/commands/bench/template.ts";
import { EgressPolicy } from "../../src/net/egress.ts";
import { openNetwork } from "../../src/net/network-live.ts";
import type { PeerId, Source } from "../../src/net/network.ts";
import { Lane } from "../../src/observe/lanes.ts";
import { systemClock } from "../../src/time/clock.ts";

const { values } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "5070" },
    count: { type: "string", default: "1000000" },
    "user-template": { type: "string", default: "u%06d" },
    "password-template": { type: "string", default: "p%06d" },
    expires: { type: "string", default: "0" },
    "silent-from": { type: "string", default: "0" },
    "silent-for": { type: "string", default: "0" },
    "each-challenged": { type: "boolean", default: false },
    "all-bindings": { type: "boolean", default: false },
  },
});
const count = Number(values.count);
const grantedSec = Number(values.expires);
const realm = "load.example";
const secret = randomBytes(8).toString("hex");
const startMs = performance.now();

/** Numbers of the users by name: the digits of a template are where its name ends. */
const userPrefix = values["user-template"].replace(/%\d*d.*$/, "");
/** HA1 in hex, made when a user is first seen. */
const ha1: (string | undefined)[] = [];
/** When each binding ends, ms since start; 0: none. */
const expiresMs = new Float64Array(count);
const lastUse = new Uint32Array(count);
/** With `--all-bindings`: Contacts of each user, URIs in brackets. */
const contacts: string[][] = [];

const seen = {
  received: 0,
  challenged: 0,
  accepted: 0,
  /** Contacts that went by `expires=0` beside another. */
  cleaned: 0,
  removed: 0,
  refused: 0,
  unknown: 0,
  /** Bindings that had run out when they were renewed. */
  lapsed: 0,
  /** Requests that came while silent, and the most in a second of it. */
  intoSilence: 0,
  intoSilencePeak: 0,
  peakPerSec: 0,
};
const silentFromSec = Number(values["silent-from"]);
let silentFromMs = silentFromSec > 0 ? silentFromSec * 1_000 : Infinity;
let silentUntilMs = silentFromSec > 0 ? silentFromMs + Number(values["silent-for"]) * 1_000 : 0;
let secondAtMs = 0;
let inSecond = 0;

const ha2 = new Map<string, string>();
const md5 = (text: string): string => Bun.MD5.hash(text, "hex");

/** Value of `name=` in a Digest header, without its quotes; "" when it is not there. */
function parameter(header: string, name: string): string {
  let at = header.indexOf(`${name}=`);
  // `nonce=` stands in `cnonce=` too.
  while (at > 0 && header.charCodeAt(at - 1) !== 0x20 && header.charCodeAt(at - 1) !== 0x2c) {
    at = header.indexOf(`${name}=`, at + 1);
  }
  if (at < 0) return "";
  const from = at + name.length + 1;
  if (header.charCodeAt(from) === 0x22) return header.slice(from + 1, header.indexOf('"', from + 1));
  const to = header.indexOf(",", from);
  return to < 0 ? header.slice(from).trim() : header.slice(from, to).trim();
}

function line(text: string, name: string): string {
  const at = text.indexOf(`\r\n${name}: `);
  return at < 0 ? "" : text.slice(at + 2, text.indexOf("\r\n", at + 2));
}

function userOf(to: string): number {
  const from = to.indexOf("sip:") + 4;
  const end = to.indexOf("@", from);
  const user = to.slice(from, end);
  if (!user.startsWith(userPrefix)) return -1;
  const n = Number.parseInt(user.slice(userPrefix.length), 10);
  return n >= 0 && n < count ? n : -1;
}

/** Whether `auth` proves user n; "stale" when only the nonce is to be blamed. */
function verdict(n: number, auth: string): "proves" | "stale" | "refused" {
  const uri = parameter(auth, "uri");
  const nonce = parameter(auth, "nonce");
  const nc = parameter(auth, "nc");
  const user = expandTemplate(values["user-template"], n);
  const own = (ha1[n] ??= md5(`${user}:${realm}:${expandTemplate(values["password-template"], n)}`));
  let uriHash = ha2.get(uri);
  if (uriHash === undefined) {
    uriHash = md5(`REGISTER:${uri}`);
    if (ha2.size < 1_000) ha2.set(uri, uriHash);
  }
  const cnonce = parameter(auth, "cnonce");
  if (md5(`${own}:${nonce}:${nc}:${cnonce}:auth:${uriHash}`) !== parameter(auth, "response")) return "refused";
  if (!nonce.startsWith(secret)) return "stale";
  const use = Number.parseInt(nc, 16);
  if (values["each-challenged"] && use > 1) return "stale";
  // A repeated count is a retransmission here: the request is the same (RFC 2617 §3.2.2.1 lets a server be so kind).
  if (!values["each-challenged"] && use < lastUse[n]!) return "stale";
  lastUse[n] = use;
  return "proves";
}

function answer(text: string, status: string, further: string): Buffer {
  const via = line(text, "Via").replace(";rport", `;rport=${source.port};received=${source.address}`);
  const to = line(text, "To");
  return Buffer.from(
    `SIP/2.0 ${status}\r\n${via}\r\n${line(text, "From")}\r\n${to};tag=6ab0f1\r\n${line(text, "Call-ID")}\r\n${line(text, "CSeq")}\r\n${further}Server: load\r\nContent-Length: 0\r\n\r\n`,
    "latin1",
  );
}

function challenge(text: string, isStale: boolean): Buffer {
  seen.challenged++;
  const nonce = `${secret}${values["each-challenged"] ? randomBytes(8).toString("hex") : "0123456789abcdef"}`;
  return answer(
    text,
    "401 Unauthorized",
    `WWW-Authenticate: Digest realm="${realm}", nonce="${nonce}", algorithm=MD5, qop="auth"${isStale ? ", stale=true" : ""}\r\n`,
  );
}

/** The answer to a REGISTER; undefined for what is none. */
function respond(text: string, nowMs: number): Buffer | undefined {
  // Who asks for waiting messages hears that we know none (RFC 6665 §4.1.2.4).
  if (text.startsWith("SUBSCRIBE ")) return answer(text, "489 Bad Event", "");
  if (!text.startsWith("REGISTER ")) return undefined;
  const n = userOf(line(text, "To"));
  if (n < 0) {
    seen.unknown++;
    return answer(text, "404 Not Found", "");
  }
  const auth = line(text, "Authorization");
  if (auth === "") return challenge(text, false);
  const judged = verdict(n, auth);
  if (judged === "stale") {
    lastUse[n] = 0;
    return challenge(text, true);
  }
  if (judged === "refused") {
    seen.refused++;
    return answer(text, "403 Forbidden", "");
  }
  const contact = line(text, "Contact");
  if (contact === "") return answer(text, "200 OK", "");
  const asked = Number.parseInt(line(text, "Expires").slice(9), 10);
  const isRemoval = asked === 0 || (contact.endsWith("expires=0") && !contact.includes(", <"));
  if (isRemoval) {
    seen.removed++;
    expiresMs[n] = 0;
    return answer(text, "200 OK", "");
  }
  const sec = grantedSec > 0 ? grantedSec : asked;
  if (expiresMs[n]! > 0 && expiresMs[n]! < nowMs) seen.lapsed++;
  expiresMs[n] = nowMs + sec * 1_000;
  seen.accepted++;
  const listed = values["all-bindings"] ? bind(n, contact, sec) : `${contact};expires=${sec}\r\n`;
  return answer(text, "200 OK", listed);
}

/** Takes the Contacts of a REGISTER and lists what the user has then. */
function bind(n: number, header: string, sec: number): string {
  const own = (contacts[n] ??= []);
  for (const value of header.slice("Contact: ".length).split(", <")) {
    const uri = value.slice(value.startsWith("<") ? 1 : 0, value.indexOf(">"));
    const at = own.indexOf(uri);
    if (value.endsWith(";expires=0")) {
      if (at >= 0) {
        own.splice(at, 1);
        seen.cleaned++;
      }
    } else if (at < 0) own.push(uri);
  }
  return own.map((uri) => `Contact: <${uri}>;expires=${sec}\r\n`).join("");
}

const source = { address: "", port: 0 };
const peerOf = new Map<number, PeerId>();
let isFlushing = false;

function flush(): void {
  isFlushing = false;
  network.flush();
}

function onDatagram(bytes: Uint8Array, at: number, to: number, from: Source): void {
  const nowMs = performance.now() - startMs;
  source.address = from.address;
  source.port = from.port;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + at, to - at).toString("latin1");
  if (text.startsWith("wakeline-silence ")) {
    silentFromMs = nowMs;
    silentUntilMs = nowMs + Number(text.slice(17)) * 1_000;
    network.reply(from, Buffer.from("wakeline-silence ok"));
    return;
  }
  if (text === "wakeline-bindings") {
    const several = contacts.filter((own) => own.length > 1).length;
    network.reply(
      from,
      Buffer.from(JSON.stringify({ one: contacts.filter((own) => own.length === 1).length, several })),
    );
    return;
  }
  seen.received++;
  if (nowMs - secondAtMs >= 1_000) {
    secondAtMs = nowMs;
    inSecond = 0;
  }
  inSecond++;
  if (inSecond > seen.peakPerSec) seen.peakPerSec = inSecond;
  if (nowMs >= silentFromMs && nowMs < silentUntilMs) {
    seen.intoSilence++;
    if (inSecond > seen.intoSilencePeak) seen.intoSilencePeak = inSecond;
    return;
  }
  const reply = respond(text, nowMs);
  if (reply === undefined) return;
  let peer = peerOf.get(from.port);
  if (peer === undefined) {
    peer = network.peer({ transport: "udp", address: from.address, port: from.port });
    peerOf.set(from.port, peer);
  }
  network.queue(peer, reply, 0, reply.length);
  if (isFlushing) return;
  isFlushing = true;
  setImmediate(flush);
}

const network = await openNetwork({
  listen: [values.host],
  udpPort: Number(values.port),
  egress: new EgressPolicy({ allow: ["127.0.0.0/8", `${values.host}/32`], own: [], clock: systemClock }),
  lane: new Lane(new ArrayBuffer(Lane.bytes(1)), 0),
  clock: systemClock,
  receiver: { onMessage: (bytes, at, to, from) => onDatagram(bytes, at, to, from), onPeerDown() {} },
});

function finish(): void {
  const nowMs = performance.now() - startMs;
  const bound = expiresMs.reduce((sum, atMs) => sum + (atMs > nowMs ? 1 : 0), 0);
  const used = process.cpuUsage();
  const cpuSec = Math.round((used.user + used.system) / 1e4) / 100;
  writeSync(1, `${JSON.stringify({ ...seen, bound, cpuSec })}\n`);
  process.exit(0);
}
process.on("SIGTERM", finish);
process.on("SIGINT", finish);
process.stderr.write(`registrar at ${values.host}:${network.udpPort}, bursts by ${network.sendPath}\n`);

import { createHash, createHmac } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningServer, startServer } from "../../src/commands/server.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { ShardThread } from "../../src/workers/pool.ts";
import { spawnShard } from "../../src/workers/spawn-shard.ts";
import { jsonCall } from "../fakes/json-call.ts";
import type { SipText } from "../fakes/sip-text.ts";
import { claimPorts } from "../interop/lab/claim-ports.ts";
import type { Delivered, Push } from "../interop/lab/pushes.ts";
import { until } from "../interop/lab/wait.ts";
import { Inbox } from "./inbox.ts";
import { Provider } from "./provider.ts";
import {
  dialogRequest,
  type DialogSide,
  type Extra,
  newRequest,
  nextSerial,
  type Party,
  responseTo,
  sameTransaction,
  SipInbox,
} from "./sip.ts";

const app = "com.example.integration";
const appKey = "integration-enrolment-key-0123456789abcdef";
const webhookSecret = "integration-webhook-secret-0123456789";

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface LabOptions {
  readonly ring?: "on_push" | "on_device" | "immediate";
  readonly deadlineSec?: number;
  /** Further keys of the app's table; files that they name stand in the folder. */
  readonly app?: (folder: string) => readonly string[];
}

/** Wakeline with everything around it: a SIP server, a push relay, phones. All on loopback. */
export class Lab {
  readonly provider: Provider;
  readonly folder: string;
  readonly #server: RunningServer;
  readonly #relay: ReturnType<typeof Bun.serve>;
  readonly #pushes: Inbox<Delivered>;
  readonly #phones: Phone[] = [];
  /** Push tokens of apps that were removed: 410. */
  readonly dead: Set<string>;
  readonly #threads: Set<ShardThread>;

  private constructor(parts: {
    provider: Provider;
    folder: string;
    server: RunningServer;
    relay: ReturnType<typeof Bun.serve>;
    pushes: Inbox<Delivered>;
    dead: Set<string>;
    threads: Set<ShardThread>;
  }) {
    this.provider = parts.provider;
    this.folder = parts.folder;
    this.#server = parts.server;
    this.#relay = parts.relay;
    this.#pushes = parts.pushes;
    this.dead = parts.dead;
    this.#threads = parts.threads;
  }

  static async open(options: LabOptions = {}): Promise<Lab> {
    const folder = mkdtempSync(join(tmpdir(), "wakeline-integration-"));
    const pushes = new Inbox<Delivered>("the push relay", ({ token, payload }) => `${payload.kind} for ${token}`);
    const dead = new Set<string>();
    const relay = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: async (request) => {
        const body = await request.text();
        const [, at = "", hex = ""] =
          /^t=(\d+),v1=([0-9a-f]+)$/.exec(request.headers.get("wakeline-signature") ?? "") ?? [];
        if (createHmac("sha256", webhookSecret).update(`${at}.${body}`).digest("hex") !== hex)
          return new Response(null, { status: 401 });
        const delivered = JSON.parse(body) as Delivered;
        if (dead.has(delivered.token)) return new Response(null, { status: 410 });
        pushes.push(delivered);
        return new Response(null, { status: 204 });
      },
    });
    const http = await claimPorts();
    const file = join(folder, "wakeline.toml");
    writeFileSync(
      file,
      `data_dir = "./data"
public_url = "http://127.0.0.1:${http}"
drain_sec = 0
[http]
listen = "127.0.0.1:${http}"
[operator]
listen = "127.0.0.1:0"
[sip]
listen = "127.0.0.1"
port = 0
shards = 2
egress_allow = ["127.0.0.0/8"]
[wake]
deadline_sec = ${options.deadlineSec ?? 20}
ring = "${options.ring ?? "on_push"}"
[[apps]]
id = "${app}"
key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"
webhook = { url = "http://127.0.0.1:${relay.port}/push", secret = "${webhookSecret}" }
${(options.app?.(folder) ?? []).join("\n")}
`,
    );
    const provider = await Provider.open();
    const threads = new Set<ShardThread>();
    const spawn: typeof spawnShard = (start, events) => {
      const thread = spawnShard(start, events);
      threads.add(thread);
      return thread;
    };
    const server = await startServer(loadConfig(file, {}), { logLevel: "error", env: {}, spawn });
    return new Lab({ provider, folder, server, relay, pushes, dead, threads });
  }

  async close(): Promise<void> {
    for (const phone of this.#phones) await phone.closes();
    await this.#server.stop();
    await this.#relay.stop(true);
    this.provider.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Every shard's thread ends, as by a fault; resolves once all have come back. */
  async killShards(): Promise<void> {
    const killed = [...this.#threads];
    this.#threads.clear();
    for (const thread of killed) thread.terminate();
    await until(
      "the shards are ready",
      async () =>
        this.#threads.size === killed.length &&
        (await fetch(`http://127.0.0.1:${this.#server.operatorPort}/health/ready`)).ok,
    );
  }

  get url(): string {
    return this.#server.publicUrl;
  }

  /** UDP and TCP port of each shard. */
  get sipPorts(): readonly number[] {
    return this.#server.shards.map(({ udpPort }) => udpPort);
  }
  get httpPort(): number {
    return this.#server.publicPort;
  }
  get operatorPort(): number {
    return this.#server.operatorPort;
  }

  /** The server runs in this process, so what a test does without a pause holds it up: it is asked again then. */
  async http(method: string, path: string, token: string, body?: unknown): Promise<Answer> {
    const { status, body: answer } = await jsonCall(this.url + path, method, token, body);
    return { status, body: (answer ?? {}) as Answer["body"] };
  }

  async operator(path: string, body?: unknown): Promise<unknown> {
    const init =
      body === undefined
        ? {}
        : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    return (await fetch(`http://127.0.0.1:${this.#server.operatorPort}${path}`, init)).json();
  }

  async operatorText(path: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.#server.operatorPort}${path}`)).text();
  }

  /** Samples of /metrics, name with labels → value. */
  async metrics(): Promise<Map<string, number>> {
    const text = await (await fetch(`http://127.0.0.1:${this.#server.operatorPort}/metrics`)).text();
    const samples = new Map<string, number>();
    for (const line of text.split("\n")) {
      const at = line.lastIndexOf(" ");
      if (at > 0 && !line.startsWith("#")) samples.set(line.slice(0, at), Number(line.slice(at + 1)));
    }
    return samples;
  }

  /** A device, with a push token of its own at the webhook unless said. */
  async phone(push?: {
    readonly provider: string;
    readonly token: string;
    readonly alertToken?: string;
  }): Promise<Phone> {
    const pushToken = push?.token ?? `phone-${nextSerial()}`;
    const { status, body } = await this.http("POST", "/v1/devices", appKey, {
      app,
      push: push ?? { provider: "webhook", token: pushToken },
    });
    if (status !== 201) throw new Error(`enrolment answered ${status}: ${JSON.stringify(body)}`);
    const phone = new Phone(this, pushToken, String(body.token));
    this.#phones.push(phone);
    return phone;
  }

  /** A new account of the provider, and its password. */
  account(wishes: Readonly<Record<string, unknown>> = {}): AccountInput {
    const username = `u${nextSerial()}`;
    const password = `secret-of-${username}`;
    this.provider.addAccount(username, password);
    return { username, domain: this.provider.domain, password, proxy: this.provider.host, transport: "udp", ...wishes };
  }

  /** A phone whose account Wakeline holds registered. */
  async sleeper(wishes: Readonly<Record<string, unknown>> = {}): Promise<{ phone: Phone; account: AccountInput }> {
    const account = this.account(wishes);
    const phone = await this.phone();
    await phone.sleeps(account);
    return { phone, account };
  }

  nextPush(pushToken: string, kind: string): Promise<Push> {
    return this.#pushes
      .next(`push ${kind} for ${pushToken}`, ({ token, payload }) => token === pushToken && payload.kind === kind)
      .then(({ payload }) => payload);
  }

  /** Pushes for the token that no test has taken. */
  pushesLeft(pushToken: string): string[] {
    return this.#pushes.left.filter((label) => label.endsWith(` for ${pushToken}`));
  }

  /** Files below the data folder in which the text stands. */
  filesWith(text: string): string[] {
    return readdirSync(join(this.folder, "data"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => readFileSync(path).includes(text));
  }
}

export interface AccountInput {
  readonly username: string;
  readonly domain: string;
  readonly password: string;
  readonly proxy: string;
  readonly [wish: string]: unknown;
}

/** A device, its subscriptions and its tunnel, with a SIP stack that says what a test has it say. */
export class Phone implements Party {
  readonly pushToken: string;
  readonly token: string;
  readonly sentBy = "WS phone.invalid";
  readonly inbox: SipInbox;
  readonly #lab: Lab;
  /** In SIP: a push token may hold what SIP forbids. */
  readonly #name = `phone-${nextSerial()}`;
  #subscription = "";
  #socket: WebSocket | undefined;

  constructor(lab: Lab, pushToken: string, token: string) {
    this.#lab = lab;
    this.pushToken = pushToken;
    this.token = token;
    this.inbox = new SipInbox(this.#name);
  }

  get contact(): string {
    return `sip:${this.#name}@phone.invalid;transport=ws`;
  }
  get subscription(): string {
    return this.#subscription;
  }

  // ---- HTTP

  http(method: string, path: string, body?: unknown): Promise<Answer> {
    return this.#lab.http(method, path, this.token, body);
  }

  async subscribes(account: AccountInput, more: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    const answer = await this.http("POST", "/v1/subscriptions", { account, presence: "foreground", ...more });
    if (answer.status === 201) this.#subscription = String(answer.body.id);
    return answer;
  }

  presence(presence: "background" | "foreground", waitSec = 5): Promise<Answer> {
    return this.http("PUT", `/v1/subscriptions/${this.#subscription}/presence`, { presence, waitSec });
  }

  /** Subscribes and waits until Wakeline is registered in its place. */
  async sleeps(account: AccountInput, more: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const subscribed = await this.subscribes(account, more);
    if (subscribed.status !== 201) throw new Error(`subscription answered ${JSON.stringify(subscribed)}`);
    const { status, body } = await this.presence("background");
    if (status !== 200 || (body.registration as { state: string }).state !== "registered")
      throw new Error(`not registered: ${status} ${JSON.stringify(body.registration)}`);
  }

  push(kind: string): Promise<Push> {
    return this.#lab.nextPush(this.pushToken, kind);
  }

  callState(call: string | undefined): Promise<Answer> {
    return this.http("GET", `/v1/calls/${call}`);
  }

  /** Asks until the call is so: the shard answers the server before the main thread has heard of it. */
  async callBecomes(call: string | undefined, state: string): Promise<void> {
    let last: unknown;
    await until(
      `the call is ${state}`,
      async () => {
        last = (await this.callState(call)).body.state;
        return last === state;
      },
      { detail: () => String(last) },
    );
  }

  /** The device's call list once it has that many lines: another thread writes it. */
  journal(lines: number): Promise<readonly Readonly<Record<string, unknown>>[]> {
    let body: unknown;
    return until(
      `${lines} calls in the list`,
      async () => {
        body = (await this.http("GET", "/v1/calls")).body;
        return Array.isArray(body) && body.length >= lines && body;
      },
      { detail: () => JSON.stringify(body) },
    );
  }

  // ---- tunnel

  /** Opens a tunnel, by the URL of a push or with the device's token; what comes goes to the phone's one inbox. */
  async opens(url = `${this.#lab.url.replace(/^http/, "ws")}/v1/tunnel?token=${this.token}`): Promise<WebSocket> {
    const socket = new WebSocket(url, "sip");
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      this.inbox.push(
        typeof data === "string"
          ? Buffer.from(data).toString("latin1")
          : Buffer.from(data as ArrayBuffer).toString("latin1"),
        true,
      );
    });
    const opened = Promise.withResolvers<void>();
    socket.addEventListener("open", () => opened.resolve(), { once: true });
    socket.addEventListener("error", () => opened.reject(new Error("the tunnel did not open")), { once: true });
    await opened.promise;
    this.#socket = socket;
    return socket;
  }

  /** Resolves once the shard of the account has heard this phone: its tunnel is known there. */
  async isHere(account: AccountInput): Promise<void> {
    const ask = this.sends(account, "OPTIONS", `sip:${account.domain}`);
    await this.gets("200 OPTIONS", ask.get("Call-ID"));
  }

  /** The network is gone: the socket ends without a close frame. */
  loses(): void {
    const socket = this.#socket as (WebSocket & { terminate(): void }) | undefined;
    this.#socket = undefined;
    socket?.terminate();
  }

  /** Resolves once the server has seen it go. */
  async closes(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return;
    const closed = new Promise<void>((resolve) => socket.addEventListener("close", () => resolve(), { once: true }));
    socket.close();
    await closed;
  }

  gets(name: string, callId?: string): Promise<SipText> {
    return this.inbox.gets(name, callId);
  }

  send(message: SipText): void {
    if (this.#socket === undefined) throw new Error("no tunnel");
    this.#socket.send(Buffer.from(message.text, "latin1"));
  }

  sends(account: AccountInput, method: string, to: string, extra: Extra = {}): SipText {
    const from = `<sip:${account.username}@${account.domain}>`;
    const request = newRequest(this, method, to, { from, to: method === "REGISTER" ? from : `<${to}>` }, extra);
    this.send(request);
    return request;
  }

  answersTo(request: SipText, status: number, extra: Extra = {}): SipText {
    const response = responseTo(this, request, status, `${this.#name}tag`, extra);
    this.send(response);
    return response;
  }

  inDialog(method: string, side: DialogSide, cseq: number, extra: Extra = {}): SipText {
    const request = dialogRequest(this, method, side, cseq, extra);
    this.send(request);
    return request;
  }

  acksFailure(invite: SipText, answer: SipText): void {
    this.send(sameTransaction("ACK", invite, answer.get("To")));
  }

  cancels(invite: SipText): void {
    this.send(sameTransaction("CANCEL", invite, invite.get("To")));
  }
}

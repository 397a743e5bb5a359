import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { AppConfig, Config } from "../../src/config/config.ts";
import { startEdge, type Edge, type EdgeOptions } from "../../src/edge/edge.ts";
import { Counter, Lane } from "../../src/observe/lanes.ts";
import { silentLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { FakeGateway } from "../fakes/fake-gateway.ts";
import { FakeShards } from "../fakes/fake-shards.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { SeededRandom, VirtualClock } from "../fakes/virtual-clock.ts";

export const appId = "com.example.phone";
export const appKey = "an enrolment key of high entropy: 7d0c9a4e";

export function app(more: Partial<AppConfig> = {}): AppConfig {
  return {
    id: appId,
    keySha256: createHash("sha256").update(appKey).digest("hex"),
    jwksUrl: undefined,
    issuer: undefined,
    audience: undefined,
    apns: {
      keyFile: "AuthKey.p8",
      keyId: "K",
      teamId: "T",
      topic: appId,
      endpoint: undefined,
      caFile: undefined,
    },
    fcm: { serviceAccountFile: "sa.json", endpoint: undefined, tokenEndpoint: undefined, caFile: undefined },
    webpush: { subject: "mailto:ops@example.com" },
    webhook: { url: "http://127.0.0.1:1/push", secret: "s" },
    ...more,
  };
}

export function configOf(more: Partial<Config> = {}): Config {
  return {
    file: undefined,
    dataDir: "./data",
    publicUrl: "https://push.example.com",
    masterKey: "file:./data/master.key",
    drainSec: 30,
    http: { listen: { host: "127.0.0.1", port: 0 }, tlsCert: undefined, tlsKey: undefined, trustedProxies: [] },
    operator: { listen: { host: "127.0.0.1", port: 0 }, token: undefined },
    sip: {
      listen: ["0.0.0.0"],
      port: 5060,
      tlsPort: 0,
      tlsCert: undefined,
      tlsKey: undefined,
      advertise: undefined,
      shards: 1,
      userAgent: "Wakeline",
      egressAllow: [],
      resolver: [],
      caFile: undefined,
      natAddress: undefined,
    },
    wake: { deadlineSec: 40, ring: "on_push" },
    limits: { accountsPerDevice: 16, devicesPerAccount: 8, leaseDays: 14 },
    apps: [app()],
    ...more,
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The JSON of the body; undefined when there is none. */
  readonly body: unknown;
}

/** What stands at a dotted path of an answer's body, as text; "" when nothing does. */
export function at(answer: Answer, path: string): string {
  let value = answer.body;
  for (const part of path.split(".")) value = (Object(value) as Record<string, unknown>)[part];
  return typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
}

/** The fields that a problem names, sorted. */
export function faultFields(answer: Answer): readonly string[] {
  const { errors } = Object(answer.body) as { errors?: readonly { readonly field: string }[] };
  return (errors ?? []).map(({ field }) => field).sort();
}

/** One phone of the bench: its token and ids. */
export interface Phone {
  readonly deviceId: string;
  readonly token: string;
}

/** A real edge on free ports, over fakes and a clock that stands still. */
export class EdgeBench implements AsyncDisposable {
  readonly edge: Edge;
  readonly clock: VirtualClock;
  readonly store: MemoryStore;
  readonly shards: FakeShards;
  readonly gateway: FakeGateway;
  readonly metrics: Metrics;
  readonly lane: Lane;
  drains = 0;

  private constructor(
    edge: Edge,
    parts: Pick<EdgeBench, "clock" | "store" | "shards" | "gateway" | "metrics" | "lane">,
  ) {
    this.edge = edge;
    this.clock = parts.clock;
    this.store = parts.store;
    this.shards = parts.shards;
    this.gateway = parts.gateway;
    this.metrics = parts.metrics;
    this.lane = parts.lane;
  }

  static async open(config: Partial<Config> = {}, more: Partial<EdgeOptions> = {}): Promise<EdgeBench> {
    const clock = new VirtualClock();
    const lane = new Lane(new SharedArrayBuffer(Lane.bytes(1)), 0);
    const parts = {
      clock,
      store: new MemoryStore(),
      shards: new FakeShards(),
      gateway: new FakeGateway(),
      metrics: new Metrics({ lanes: [lane], startedAtMs: clock.wallMs() }),
      lane,
    };
    let drains = (): void => {};
    const edge = await startEdge({
      config: configOf(config),
      random: new SeededRandom(1),
      log: silentLog,
      version: "0.0.0-test",
      egress: (address) => (/^(?:10|127|192)\.|^(?:::1|fe80)/.test(address) ? `${address} is not public` : undefined),
      egressAddresses: ["203.0.113.7"],
      vapidPublicKey: "BPublic",
      onDrain: () => drains(),
      timers: false,
      ...parts,
      ...more,
    });
    const bench = new EdgeBench(edge, parts);
    drains = () => bench.drains++;
    return bench;
  }

  get url(): string {
    return `http://127.0.0.1:${this.edge.publicPort}`;
  }

  /** Sets a counter of the one shard. */
  count(name: keyof typeof Counter, value: number): void {
    this.lane.set(Counter[name] ?? 0, value);
  }

  call(
    method: string,
    path: string,
    token?: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return request(`${this.url}${path}`, method, token, body, headers);
  }

  operator(
    method: string,
    path: string,
    token?: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return request(`http://127.0.0.1:${this.edge.operatorPort}${path}`, method, token, body, headers);
  }

  /** Enrols a phone with a webhook. */
  async phone(push: unknown = { provider: "webhook", token: "hook-1" }): Promise<Phone> {
    const answer = await this.call("POST", "/v1/devices", appKey, { app: appId, push });
    if (answer.status !== 201) throw new Error(`enrolment answered ${answer.status}: ${answer.text}`);
    return answer.body as Phone;
  }

  /** Subscribes an account; returns the answer. */
  subscribe(phone: Phone, account: Record<string, unknown> = {}, more: Record<string, unknown> = {}): Promise<Answer> {
    return this.call("POST", "/v1/subscriptions", phone.token, {
      account: { username: "alice", domain: "sip.example.com", password: "secret-of-alice", ...account },
      ...more,
    });
  }

  async metric(series: string): Promise<number | undefined> {
    const line = (await this.metrics.text()).split("\n").find((one) => one.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.edge.stop();
  }
}

async function request(
  url: string,
  method: string,
  token: string | undefined,
  body: unknown,
  headers: Record<string, string>,
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson && text !== "" ? JSON.parse(text) : undefined,
  };
}

/** Bytes in, bytes out: for requests that no client library would send. */
export class RawSocket {
  readonly #socket: Socket;
  received: Buffer = Buffer.alloc(0);
  isClosed = false;
  #waiting: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => {
      this.received = Buffer.concat([this.received, Buffer.from(bytes)]);
      this.#notice();
    });
    socket.on("close", () => {
      this.isClosed = true;
      this.#notice();
    });
    socket.on("error", () => {});
  }

  static async open(port: number): Promise<RawSocket> {
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new RawSocket(socket);
  }

  write(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Stops reading: what is sent to us stays where it is. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.isClosed) throw new Error(`closed after ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.isClosed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  get text(): string {
    return this.received.toString("latin1");
  }

  /** The head of an HTTP response, once it is whole. */
  async head(): Promise<string> {
    await this.until(() => this.text.includes("\r\n\r\n"));
    return this.text.slice(0, this.text.indexOf("\r\n\r\n"));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #notice(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

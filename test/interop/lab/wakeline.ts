import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { jsonCall } from "../../fakes/json-call.ts";
import { claimPorts } from "./claim-ports.ts";
import { type Program, startProgram, tempFolder } from "./program.ts";
import { until } from "./wait.ts";

const app = "com.example.lab";
const appKey = "lab-enrolment-key-with-enough-entropy-0123456789abcdef";
const shards = 2;
/** What accounts with natEmulation show as their own address. */
export const natAddress = "192.168.77.20";

export interface WakelineOptions {
  readonly pushUrl: string;
  readonly deadlineSec?: number;
  readonly drainSec?: number;
  readonly ring?: "on_push" | "on_device" | "immediate";
  /** Certificate and key of the shards' TLS listeners, PEM; without it there is none. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** PEM of a CA that registrars' certificates come from. */
  readonly ca?: string;
}

export type AccountInput = Readonly<Record<string, unknown>> & { readonly username: string; readonly domain: string };

interface Registration {
  readonly mode: string;
  readonly state: "idle" | "registering" | "registered" | "retrying" | "refused" | "unregistering";
  readonly expiresAt?: string;
  readonly lastStatus?: number;
  readonly lastReason?: string;
  readonly nextAttemptAt?: string;
  readonly transport?: string;
}

export interface Subscription {
  readonly id: string;
  readonly presence: string;
  readonly registration: Registration;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** A running Wakeline and its two HTTP surfaces. */
export interface Wakeline {
  readonly url: string;
  readonly operatorUrl: string;
  readonly sipPort: number;
  program(): Program;
  call(method: string, path: string, token: string, body?: unknown): Promise<HttpAnswer>;
  enrol(pushToken: string): Promise<EnrolledDevice>;
  /** The value of a sample in /metrics, as `name` or `name{label="value"}`; 0 when it is not there. */
  metric(sample: string): Promise<number>;
  /** Every sample, name with labels → value. */
  metrics(): Promise<ReadonlyMap<string, number>>;
  operator(path: string): Promise<unknown>;
  /** Files of its folder, its configuration aside, in which the text stands. */
  folderContains(text: string): readonly string[];
  /** Power cut of the process alone: SIGKILL, and the same folder and ports again. */
  killAndRestart(): Promise<void>;
  stop(): Promise<number>;
}

/** A device as its app sees it. */
export class EnrolledDevice {
  readonly id: string;
  readonly token: string;
  readonly pushToken: string;
  readonly #server: Wakeline;

  constructor(server: Wakeline, fields: { readonly id: string; readonly token: string; readonly pushToken: string }) {
    this.#server = server;
    this.id = fields.id;
    this.token = fields.token;
    this.pushToken = fields.pushToken;
  }

  get tunnelUrl(): string {
    return `${this.#server.url.replace(/^http/, "ws")}/v1/tunnel?token=${this.token}`;
  }

  request(method: string, path: string, body?: unknown): Promise<HttpAnswer> {
    return this.#server.call(method, path, this.token, body);
  }

  async subscribe(account: AccountInput, presence: "background" | "foreground" = "foreground"): Promise<Subscription> {
    return expectStatus(await this.request("POST", "/v1/subscriptions", { account, presence }), 201) as Subscription;
  }

  async subscription(id: string): Promise<Subscription> {
    return expectStatus(await this.request("GET", `/v1/subscriptions/${id}`), 200) as Subscription;
  }

  async setPresence(id: string, presence: "background" | "foreground"): Promise<Subscription> {
    const answer = await this.request("PUT", `/v1/subscriptions/${id}/presence`, { presence, waitSec: 10 });
    return expectStatus(answer, 200) as Subscription;
  }

  /** Subscribes and waits until Wakeline is registered in the phone's place. */
  async sleepWith(account: AccountInput): Promise<Subscription> {
    const { id } = await this.subscribe(account);
    const subscription = await this.setPresence(id, "background");
    if (subscription.registration.state !== "registered") {
      throw new Error(`not registered: ${JSON.stringify(subscription.registration)}`);
    }
    return subscription;
  }

  async remove(id: string): Promise<void> {
    expectStatus(await this.request("DELETE", `/v1/subscriptions/${id}`), 204);
  }

  async callState(call: string): Promise<string> {
    const body = expectStatus(await this.request("GET", `/v1/calls/${call}`), 200) as { readonly state: string };
    return body.state;
  }

  /** Waits until the server says that of the call. */
  untilCallState(call: string, state: string): Promise<string> {
    let last = "";
    return until(
      `call ${state}`,
      async () => {
        last = await this.callState(call);
        return last === state ? last : undefined;
      },
      { detail: () => `it is ${last}` },
    );
  }
}

function expectStatus({ status, body }: HttpAnswer, wanted: number): unknown {
  if (status !== wanted) throw new Error(`answered ${status}, not ${wanted}: ${JSON.stringify(body)}`);
  return body;
}

/** The compiled program that is under test: run.ts builds it once and names it in WAKELINE_BINARY. */
export function binaryUnderTest(): string {
  const binary = process.env.WAKELINE_BINARY;
  if (binary === undefined || !existsSync(binary)) {
    throw new Error("WAKELINE_BINARY names no program: use `bun run interop`, which builds it");
  }
  return binary;
}

export async function startWakeline(options: WakelineOptions): Promise<Wakeline> {
  const binary = binaryUnderTest();
  const folder = tempFolder("server");
  const [http, sip] = [await claimPorts(2), await claimPorts(shards * 2)];
  const config = join(folder.path, "wakeline.toml");
  for (const [name, text] of [
    ["cert.pem", options.tls?.cert],
    ["key.pem", options.tls?.key],
    ["ca.pem", options.ca],
  ] as const) {
    if (text !== undefined) writeFileSync(join(folder.path, name), text, { mode: 0o600 });
  }
  writeFileSync(config, configText(options, http, sip), { mode: 0o600 });
  let program = await start();

  async function start(): Promise<Program> {
    const started = startProgram([binary, "serve", "--config", config], { cwd: folder.path });
    const tail = (): string => started.lines.slice(-20).join("\n");
    await until(
      "Wakeline is ready",
      () => {
        if (!started.isRunning()) throw new Error(`Wakeline ended:\n${tail()}`);
        return started.lines.includes("ready");
      },
      { detail: tail },
    );
    return started;
  }

  const operatorUrl = `http://127.0.0.1:${http + 1}`;
  const server: Wakeline = {
    url: `http://127.0.0.1:${http}`,
    operatorUrl,
    sipPort: sip,
    program: () => program,
    call: (method, path, token, body) => jsonCall(server.url + path, method, token, body),
    async enrol(pushToken) {
      const answer = await server.call("POST", "/v1/devices", appKey, {
        app,
        push: { provider: "webhook", token: pushToken },
      });
      const { deviceId, token } = expectStatus(answer, 201) as { readonly deviceId: string; readonly token: string };
      return new EnrolledDevice(server, { id: deviceId, token, pushToken });
    },
    async metrics() {
      const text = await (await fetch(`${operatorUrl}/metrics`)).text();
      const samples = new Map<string, number>();
      for (const line of text.split("\n")) {
        const at = line.lastIndexOf(" ");
        if (at > 0 && !line.startsWith("#")) samples.set(line.slice(0, at), Number(line.slice(at + 1)));
      }
      return samples;
    },
    metric: async (sample) => (await server.metrics()).get(sample) ?? 0,
    operator: async (path) => (await fetch(operatorUrl + path)).json(),
    folderContains: (text) =>
      readdirSync(folder.path, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .filter((path) => path !== config && readFileSync(path).includes(text)),
    async killAndRestart() {
      await program.end("SIGKILL");
      program = await start();
    },
    async stop() {
      const code = await program.end();
      folder.remove();
      return code;
    },
  };
  return server;
}

function configText(options: WakelineOptions, http: number, sip: number): string {
  const isTls = options.tls !== undefined;
  return `data_dir = "./data"
public_url = "http://127.0.0.1:${http}"
drain_sec = ${options.drainSec ?? 0}

[http]
listen = "127.0.0.1:${http}"

[operator]
listen = "127.0.0.1:${http + 1}"

[sip]
listen = "127.0.0.1"
port = ${sip}
shards = ${shards}
egress_allow = ["127.0.0.0/8"]
nat_address = "${natAddress}"
${isTls ? `tls_port = ${sip + shards}\ntls_cert = "cert.pem"\ntls_key = "key.pem"` : ""}
${options.ca === undefined ? "" : 'ca_file = "ca.pem"'}

[wake]
deadline_sec = ${options.deadlineSec ?? 20}
ring = "${options.ring ?? "on_push"}"

[[apps]]
id = "${app}"
key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"
webhook = { url = "${options.pushUrl}", secret = "lab-webhook-secret-0123456789abcdef" }
`;
}

import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Provider } from "../../integration/provider.ts";
import { freePorts } from "../../../src/commands/free-ports.ts";
import { type Program, startProgram, tempFolder } from "../../interop/lab/program.ts";
import { until } from "../../interop/lab/wait.ts";

const app = "com.example.attacked";
export const appKey = "live-attack-enrolment-key-0123456789abcdef";
const root = join(import.meta.dir, "../../..");

/** The running program with one registered account whose server is `provider`; everything on loopback. */
export class Target {
  readonly provider: Provider;
  readonly http: number;
  readonly operator: number;
  /** UDP and TCP of the account's shard. */
  readonly sip: number;
  /** The account's Contact at its server: what an INVITE for it names. */
  readonly contact: string;
  readonly deviceToken: string;
  readonly #program: Program;
  readonly #close: () => void;

  private constructor(parts: {
    readonly provider: Provider;
    readonly http: number;
    readonly sip: number;
    readonly contact: string;
    readonly deviceToken: string;
    readonly program: Program;
    readonly close: () => void;
  }) {
    this.provider = parts.provider;
    this.http = parts.http;
    this.operator = parts.http + 1;
    this.sip = parts.sip;
    this.contact = parts.contact;
    this.deviceToken = parts.deviceToken;
    this.#program = parts.program;
    this.#close = parts.close;
  }

  /** `binary`: a built program; undefined: the sources. */
  static async open(binary: string | undefined): Promise<Target> {
    const folder = tempFolder("attacked");
    const http = await freePorts(3);
    const sip = await freePorts(2);
    const relay = Bun.serve({
      hostname: "127.0.0.1",
      port: http + 2,
      fetch: () => new Response(null, { status: 204 }),
    });
    const file = join(folder.path, "wakeline.toml");
    writeFileSync(
      file,
      `public_url = "http://127.0.0.1:${http}"
drain_sec = 0
[http]
listen = "127.0.0.1:${http}"
[operator]
listen = "127.0.0.1:${http + 1}"
[sip]
listen = "127.0.0.1"
port = ${sip}
shards = 1
egress_allow = ["127.0.0.0/8"]
[[apps]]
id = "${app}"
key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"
webhook = { url = "http://127.0.0.1:${relay.port}/push", secret = "live-attack-webhook-secret-0123456789" }
`,
    );
    const command = binary === undefined ? [process.execPath, join(root, "src/main.ts")] : [resolve(binary)];
    const program = startProgram([...command, "serve", "--config", file], { cwd: folder.path });
    await until("serve says ready", () => program.lines.includes("ready"), { detail: () => program.lines.join("\n") });
    const provider = await Provider.open();
    provider.addAccount("u1", "secret");
    const call = async (path: string, token: string, body: unknown): Promise<Record<string, unknown>> => {
      const init = { method: "POST", headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(body) };
      for (;;) {
        const response = await fetch(`http://127.0.0.1:${http}${path}`, init);
        const answer = (await response.json()) as Record<string, unknown>;
        if (response.status < 300) return answer;
        // A busy machine makes it wait; anything else is a failed run.
        if (answer["code"] !== "overloaded") throw new Error(`${path} answered ${JSON.stringify(answer)}`);
        await Bun.sleep(500);
      }
    };
    const device = await call("/v1/devices", appKey, { app, push: { provider: "webhook", token: "phone" } });
    const deviceToken = String(device["token"]);
    const account = {
      username: "u1",
      domain: provider.domain,
      password: "secret",
      proxy: provider.host,
      transport: "udp",
    };
    await call("/v1/subscriptions", deviceToken, { account });
    await until("the account is registered", () => provider.isBound("u1"));
    const contact = /<([^>]+)>/.exec(provider.registersOf("u1").at(-1)?.get("Contact") ?? "")?.[1] ?? "";
    const close = (): void => {
      provider.close();
      void relay.stop(true);
      folder.remove();
    };
    return new Target({ provider, http, sip, contact, deviceToken, program, close });
  }

  async close(): Promise<void> {
    await this.#program.end();
    this.#close();
  }

  get isRunning(): boolean {
    return this.#program.isRunning();
  }

  /** One sample of /metrics. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.operator}/metrics`)).text();
    return text
      .split("\n")
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  residentMb(): Promise<number> {
    return this.metric("process_resident_memory_bytes").then((bytes) => bytes / 1e6);
  }

  cpuSec(): Promise<number> {
    return this.metric("process_cpu_seconds_total");
  }

  /** Milliseconds until health answers. */
  async healthMs(): Promise<number> {
    const before = performance.now();
    await (await fetch(`http://127.0.0.1:${this.operator}/health/live`)).text();
    return performance.now() - before;
  }
}

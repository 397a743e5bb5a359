import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Inbox } from "../integration/inbox.ts";
import { Provider } from "../integration/provider.ts";
import { freePorts } from "../../src/commands/free-ports.ts";
import { type Program, startProgram, tempFolder } from "../interop/lab/program.ts";
import { stepMsMax, until } from "../interop/lab/wait.ts";

const app = "com.example.drill";
const appKey = "drill-enrolment-key-0123456789abcdef-0123456789";

export const repository = join(import.meta.dir, "../..");

/** `wakeline` as the manual means it: the program of this source tree. */
export const wakeline: readonly string[] = [process.execPath, join(repository, "src/main.ts")];

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/**
 * A server as an operator runs it: a process of its own on a folder of its own, with a SIP server that one account registers at and
 * a push relay that one phone is woken through. Everything is on loopback.
 */
export class Post implements AsyncDisposable {
  readonly provider: Provider;
  readonly folder: string;
  readonly url: string;
  readonly operatorUrl: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #relay: ReturnType<typeof Bun.serve>;
  readonly #pushes = new Inbox<string>("the push relay", (kind) => kind);
  readonly #removeFolder: () => void;
  #program: Program | undefined;
  #token = "";

  private constructor(provider: Provider, port: number) {
    const folder = tempFolder("drill");
    this.provider = provider;
    this.folder = folder.path;
    this.#removeFolder = () => folder.remove();
    this.url = `http://127.0.0.1:${port}`;
    this.operatorUrl = `http://127.0.0.1:${port + 1}`;
    this.#env = { DRILL_PUSH_SECRET: "drill-push-secret-0123456789" };
    this.#relay = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async (request) => {
        const { payload } = (await request.json()) as { readonly payload: { readonly kind: string } };
        this.#pushes.push(payload.kind);
        return new Response(null, { status: 204 });
      },
    });
    writeFileSync(
      join(this.folder, "wakeline.toml"),
      `data_dir = "./data"
public_url = "${this.url}"
master_key = "file:./keys/master.key"
drain_sec = 0
[http]
listen = "127.0.0.1:${port}"
[operator]
listen = "127.0.0.1:${port + 1}"
[sip]
listen = "127.0.0.1"
port = ${port + 2}
shards = 2
egress_allow = ["127.0.0.0/8"]
[[apps]]
id = "${app}"
key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"
webhook = { url = "http://127.0.0.1:${this.#relay.port}/push", secret = "env:DRILL_PUSH_SECRET" }
`,
    );
  }

  static async open(): Promise<Post> {
    return new Post(await Provider.open(), await freePorts(6));
  }

  /** Starts the server; `program` is another one than this tree's. */
  async starts(program: readonly string[] = wakeline): Promise<void> {
    const started = startProgram([...program, "serve"], { cwd: this.folder, env: this.#env });
    this.#program = started;
    await until("serve is ready", () => started.lines.includes("ready"), { detail: () => started.lines.join("\n") });
  }

  /** Another configuration from the next start on. */
  configures(edit: (toml: string) => string): void {
    const file = join(this.folder, "wakeline.toml");
    writeFileSync(file, edit(readFileSync(file, "utf8")));
  }

  /** Its exit code. */
  async ends(signal: "SIGTERM" | "SIGKILL"): Promise<number> {
    return (await this.#program?.end(signal)) ?? -1;
  }

  /** A command beside the server, without the server's environment. */
  async runs(...args: readonly string[]): Promise<Outcome> {
    const child = Bun.spawn([...wakeline, ...args], {
      cwd: this.folder,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, out, err };
  }

  /** A phone enrols, and its account is registered in its place. Returns the subscription's id. */
  async sleeper(username: string): Promise<string> {
    const password = `secret-of-${username}`;
    this.provider.addAccount(username, password);
    const device = await this.#post("/v1/devices", appKey, { app, push: { provider: "webhook", token: "phone" } });
    this.#token = String(device.token);
    const { domain, host: proxy } = this.provider;
    const account = { username, domain, password, proxy, transport: "udp" };
    const { id } = await this.#post("/v1/subscriptions", this.#token, { account, presence: "background" });
    await this.registered(String(id));
    return String(id);
  }

  /** Resolves once the subscription is registered at the SIP server. */
  async registered(subscription: string): Promise<void> {
    let last: unknown;
    await until(
      "the account is registered",
      async () => {
        const headers = { authorization: `Bearer ${this.#token}` };
        const response = await fetch(`${this.url}/v1/subscriptions/${subscription}`, { headers });
        last = ((await response.json()) as { readonly registration?: unknown }).registration;
        return (last as { readonly state?: string } | undefined)?.state === "registered";
      },
      { detail: () => JSON.stringify(last) },
    );
  }

  /** Resolves once a push of this kind has come to the phone's provider. */
  async push(kind: string): Promise<void> {
    await this.#pushes.next(`push ${kind}`, (one) => one === kind, stepMsMax);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program?.end("SIGKILL");
    await this.#relay.stop(true);
    this.provider.close();
    this.#removeFolder();
  }

  async #post(path: string, token: string, body: unknown): Promise<Readonly<Record<string, unknown>>> {
    const response = await fetch(`${this.url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as Readonly<Record<string, unknown>>;
    if (response.status !== 201) throw new Error(`${path} answered ${response.status}: ${JSON.stringify(answer)}`);
    return answer;
  }
}

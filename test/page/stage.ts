import { createHash } from "node:crypto";
import { join } from "node:path";
import type { PushPayload } from "../../src/push/types.ts";
import { DemoPhone } from "../../src/demo/phone.ts";
import { DemoRegistrar } from "../../src/demo/registrar.ts";
import { openDemoWebhook } from "../../src/demo/story.ts";
import { DemoUa, type UaCall } from "../../src/demo/ua.ts";
import { jsonCall } from "../fakes/json-call.ts";
import { claimPorts } from "../interop/lab/claim-ports.ts";
import { startProgram, tempFolder } from "../interop/lab/program.ts";
import { until } from "../interop/lab/wait.ts";

const app = "com.example.stage";
const appKey = "stage-enrolment-key-with-enough-entropy-0123456789";
const domain = "stage.example";

/** A running server with a registrar, a sleeping phone and a caller around it, for an operator's page to look at. */
export interface Stage {
  readonly operatorUrl: string;
  /** Bob calls, the phone wakes, answers, and one of them hangs up when the returned function is called. */
  answeredCall(): Promise<() => Promise<void>>;
  /** Bob gives up before the phone is awake. */
  cancelledCall(): Promise<void>;
  /** An account whose password the registrar does not take. */
  refusedAccount(username: string): Promise<void>;
  /** An account whose server does not answer. */
  silentAccount(username: string): Promise<void>;
  /** The server is killed and started again on the same folder. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** `command`: the program before its arguments. `token`: the operator's; without it the listener is open. */
export async function openStage(command: readonly string[], token?: string): Promise<Stage> {
  const closers: (() => unknown)[] = [];
  const folder = tempFolder("page");
  const [http, sip, silent] = [await claimPorts(2), await claimPorts(2), await claimPorts(1)];
  const webhook = openDemoWebhook(() => {});
  const passwords = new Map(["alice", "bob", "carol", "dave"].map((user) => [user, crypto.randomUUID()]));
  const registrar = await DemoRegistrar.open({ host: "127.0.0.1", port: 0, domain, passwords });
  const bobSocket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (_socket, bytes) => bob.receive(bytes) },
  });
  const bob = new DemoUa({
    user: "bob",
    domain,
    password: passwords.get("bob") ?? "",
    sentBy: () => `UDP 127.0.0.1:${bobSocket.port}`,
    contact: () => `sip:bob@127.0.0.1:${bobSocket.port}`,
    isReliable: false,
    send: (text) => void bobSocket.send(Buffer.from(text, "latin1"), registrar.port, registrar.host),
  });
  const publicUrl = `http://127.0.0.1:${http}`;
  const config = join(folder.path, "wakeline.toml");
  await Bun.write(config, configText({ http, sip, webhookUrl: webhook.url, token }));
  const start = () => startProgram([...command, "serve", "--config", config], { cwd: folder.path });
  let program = start();
  const ready = () =>
    until("the server is ready", () => program.lines.includes("ready"), {
      detail: () => program.lines.slice(-20).join("\n"),
    });
  closers.push(
    () => folder.remove(),
    () => webhook.close(),
    () => registrar.close(),
    () => bobSocket.close(),
    () => bob.close(),
    () => program.end(),
  );
  await ready();

  let ringing: (call: UaCall) => void = () => {};
  const phone = new DemoPhone({
    publicUrl,
    account: {
      username: "alice",
      domain,
      password: passwords.get("alice") ?? "",
      proxy: `127.0.0.1:${registrar.port}`,
    },
    onMessage: () => {},
    onCall: (call) => ringing(call),
  });
  closers.push(() => phone.closeTunnel());
  await untilTaken("the phone enrols", () => phone.enrol(app, appKey, "stage-phone"));
  await untilTaken("the phone subscribes", () => phone.subscribe());
  await phone.setPresence("background");
  await bob.register(300);

  const subscribe = async (account: Readonly<Record<string, unknown>>): Promise<void> => {
    const device = await post(`${publicUrl}/v1/devices`, appKey, {
      app,
      name: `Phone of ${String(account.username)}`,
      push: { provider: "webhook", token: `stage-${String(account.username)}` },
    });
    await post(`${publicUrl}/v1/subscriptions`, (device as { token: string }).token, {
      account: { domain, transport: "udp", ...account },
      presence: "background",
    });
  };

  return {
    operatorUrl: `http://127.0.0.1:${http + 1}`,
    async answeredCall() {
      const call = bob.call("alice");
      const wake: PushPayload = await webhook.next("call");
      const incoming = new Promise<UaCall>((resolve) => {
        ringing = resolve;
      });
      await phone.openTunnel(wake);
      const atPhone = await incoming;
      atPhone.acts.ring();
      await call.until("provisional", ({ status }) => status === 180);
      atPhone.acts.answer();
      await call.until("answered");
      await atPhone.until("answered");
      return async () => {
        call.acts.bye();
        await Promise.all([call.until("ended"), atPhone.until("ended")]);
        phone.closeTunnel();
      };
    },
    async cancelledCall() {
      const call = bob.call("alice");
      await webhook.next("call");
      call.acts.cancel();
      await call.until("failed");
      await webhook.next("cancel");
    },
    refusedAccount: (username) =>
      subscribe({ username, password: "not the password", proxy: `127.0.0.1:${registrar.port}` }),
    silentAccount: (username) => subscribe({ username, password: "any", proxy: `127.0.0.1:${silent}` }),
    async restart() {
      await program.end("SIGKILL");
      program = start();
      await ready();
    },
    async stop() {
      for (const close of closers.toReversed()) await close();
    },
  };
}

/** A server that does not keep up, as it may on a busy machine, is asked again. */
async function untilTaken(what: string, ask: () => Promise<void>): Promise<void> {
  await until(what, async () => {
    try {
      await ask();
      return true;
    } catch (cause) {
      if (String(cause).includes('"overloaded"')) return false;
      throw cause;
    }
  });
}

async function post(url: string, bearer: string, body: unknown): Promise<unknown> {
  const answer = await jsonCall(url, "POST", bearer, body);
  if (answer.status >= 300) throw new Error(`POST ${url} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

function configText({
  http,
  sip,
  webhookUrl,
  token,
}: {
  readonly http: number;
  readonly sip: number;
  readonly webhookUrl: string;
  readonly token: string | undefined;
}): string {
  return `data_dir = "./data"
public_url = "http://127.0.0.1:${http}"
drain_sec = 0

[http]
listen = "127.0.0.1:${http}"

[operator]
listen = "127.0.0.1:${http + 1}"
${token === undefined ? "" : `token = "${token}"`}

[sip]
listen = "127.0.0.1"
port = ${sip}
shards = 2
egress_allow = ["127.0.0.0/8"]

[[apps]]
id = "${app}"
key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"
webhook = { url = "${webhookUrl}", secret = "stage-webhook-secret-0123456789abcdef" }
`;
}

/**
 * A phone in one file: enrols, hands its SIP account over, sleeps until a push comes, opens the tunnel and prints what comes through it.
 *
 * `bun examples/answer-a-call.ts http://127.0.0.1:8070` is one more phone of Bob beside those of a running `bun run demo`. Without an address it
 * takes WAKELINE_SERVER, WAKELINE_APP, WAKELINE_APP_KEY, SIP_USER, SIP_DOMAIN, SIP_PASSWORD, SIP_PROXY, and reads pushes from stdin, a JSON a
 * line, as a push relay would pass them on.
 */
import { createInterface } from "node:readline";
import { jsSipSocket, readPush, Tunnel, WakelineDevice } from "../sdk/src/index.ts"; // in your app: "@wakeline/client"

interface Settings {
  readonly server: string;
  readonly app: string;
  readonly appKey: string;
  readonly username: string;
  readonly domain: string;
  readonly password: string;
  readonly proxy: string;
}

/** What a running demo gives away for its own phones. */
interface DemoSettings {
  readonly server: string;
  readonly app: string;
  readonly appKey: string;
  readonly accounts: readonly { user: string; domain: string; password: string; proxy: string }[];
}

const [, , demo] = process.argv;
const pushToken = `example-${crypto.randomUUID()}`;
const { server, app, appKey, username, domain, password, proxy } = await settings();

const device = await WakelineDevice.enrol({ server, app, appKey, push: { provider: "webhook", token: pushToken } });
const subscription = await device.subscribe({ username, domain, password, proxy });
const pushes = demo === undefined ? createInterface({ input: process.stdin }) : await demoPushes(demo);
const { state } = await device.setPresence(subscription.id, "background");
console.log(`asleep, ${state}`);

for await (const delivered of pushes) {
  const payload = readPush(delivered);
  if (payload === undefined) continue;
  console.log(`push: ${payload.kind}${payload.from === undefined ? "" : ` from ${payload.from.uri}`}`);
  device.acknowledge(payload).catch(console.error);
  const decision = await device.decideCall(payload);
  if (decision.kind !== "ring") continue;
  // Here an app gives the tunnel to its SIP stack: jsSipSocket(tunnel), or sipJsTransport(TransportState, tunnel).
  const tunnel = new Tunnel({ url: decision.tunnel, fallbackUrl: device.tunnelUrl() });
  const socket = jsSipSocket(tunnel);
  socket.ondata = (message) => console.log(`through the tunnel: ${String(message).split("\r\n")[0] ?? ""}`);
  socket.connect();
}
await device.leave();

async function settings(): Promise<Settings> {
  if (demo !== undefined) {
    const { accounts, ...own } = (await (await fetch(`${demo}/settings.json`)).json()) as DemoSettings;
    const bob = accounts.find(({ user }) => user === "bob");
    if (bob === undefined) throw new Error("the demo has no Bob");
    return { ...own, ...bob, username: bob.user };
  }
  const env = (name: string): string => process.env[name] ?? "";
  return {
    server: env("WAKELINE_SERVER"),
    app: env("WAKELINE_APP"),
    appKey: env("WAKELINE_APP_KEY"),
    username: env("SIP_USER"),
    domain: env("SIP_DOMAIN"),
    password: env("SIP_PASSWORD"),
    proxy: env("SIP_PROXY"),
  };
}

/** The demo tells its pages of every push; ours are those for our token. */
async function demoPushes(url: string): Promise<AsyncIterable<unknown>> {
  const { body } = await fetch(`${url}/events`);
  if (body === null) throw new Error("the demo tells nothing");
  return (async function* () {
    let rest = "";
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
      rest += chunk;
      const events = rest.split("\n\n");
      rest = events.pop() ?? "";
      for (const event of events) {
        const data = /^event: push\ndata: (.*)$/m.exec(event)?.[1];
        const { token, payload } = JSON.parse(data ?? "{}") as { readonly token?: string; readonly payload?: unknown };
        if (token === pushToken) yield payload;
      }
    }
  })();
}

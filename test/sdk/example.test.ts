import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { startDemoServer } from "../../src/commands/demo-server.ts";
import { openDemoPage } from "../../src/demo/page-server.ts";
import { DemoUa } from "../../src/demo/ua.ts";
import { claimPorts } from "../interop/lab/claim-ports.ts";
import { domain, openWorld } from "./world.ts";

const example = fileURLToPath(new URL("../../examples/answer-a-call.ts", import.meta.url));
const wanted = "through the tunnel: INVITE sip:";

function start(args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}) {
  return Bun.spawn([process.execPath, example, ...args], {
    env: { ...process.env, ...env },
    stdin: "pipe",
    stdout: "pipe",
  });
}

/** What the example has said once the INVITE is there; `onAsleep` is called when it sleeps. */
async function follow(child: ReturnType<typeof start>, onAsleep: () => void): Promise<string> {
  let seen = "";
  for await (const chunk of child.stdout) {
    const before = seen;
    seen += Buffer.from(chunk).toString();
    if (seen.includes("asleep, registered\n") && !before.includes("asleep, registered\n")) onAsleep();
    if (seen.includes(wanted)) break;
  }
  return seen;
}

test("examples/answer-a-call.ts sleeps, wakes by the push on its stdin and gets the INVITE", async () => {
  let onPush: (text: string) => void = () => {};
  const world = await openWorld((text) => onPush(text));
  const child = start([], {
    WAKELINE_SERVER: world.server,
    WAKELINE_APP: world.app,
    WAKELINE_APP_KEY: world.appKey,
    SIP_USER: "alice",
    SIP_DOMAIN: domain,
    SIP_PASSWORD: world.passwords.get("alice"),
    SIP_PROXY: `127.0.0.1:${world.registrar.port}`,
  });
  onPush = (text) => {
    void child.stdin.write(`${text}\n`);
    void child.stdin.flush();
  };
  try {
    const seen = await follow(child, () => world.bob.call("alice"));
    expect(seen).toContain("push: call from sip:bob@");
    expect(seen).toContain(`${wanted}alice@`);
  } finally {
    child.kill();
    await child.exited;
    await world.close();
  }
}, 60_000);

test("examples/answer-a-call.ts is one more phone of Bob beside a running demo", async () => {
  let stop: () => Promise<void> = async () => {};
  const page = await openDemoPage(0, async (webhookUrl) => {
    const server = await startDemoServer(webhookUrl, await claimPorts());
    stop = () => server.stop();
    return server;
  });
  const { accounts } = (await (await fetch(`${page.url}/settings.json`)).json()) as {
    readonly accounts: readonly { user: string; domain: string; password: string; proxy: string }[];
  };
  const account = accounts.find(({ user }) => user === "alice");
  if (account === undefined) throw new Error("no Alice");
  const [host = "", port = ""] = account.proxy.split(":");
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (_socket, bytes) => alice.receive(bytes) },
  });
  const alice = new DemoUa({
    ...account,
    sentBy: () => `UDP 127.0.0.1:${socket.port}`,
    contact: () => `sip:alice@127.0.0.1:${socket.port}`,
    isReliable: false,
    send: (text) => socket.send(Buffer.from(text, "latin1"), Number(port), host),
  });
  const child = start([page.url]);
  try {
    expect(await follow(child, () => alice.call("bob"))).toContain(`${wanted}bob@`);
  } finally {
    child.kill();
    await child.exited;
    alice.close();
    socket.close();
    await page.close();
    await stop();
  }
}, 60_000);

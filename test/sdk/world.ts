import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../../src/commands/server.ts";
import { loadConfig } from "../../src/config/load.ts";
import { openDemoRegistrar, type DemoRegistrar } from "../../src/demo/registrar.ts";
import { openDemoWebhook } from "../../src/demo/story.ts";
import { DemoUa } from "../../src/demo/ua.ts";

const app = "com.example.sdk";
export const domain = "sdk.example";

/** A whole server on loopback in a temporary folder, a registrar with alice and bob, and bob's phone. */
export interface World {
  readonly server: string;
  readonly app: string;
  readonly appKey: string;
  readonly registrar: DemoRegistrar;
  readonly passwords: ReadonlyMap<string, string>;
  readonly webhook: ReturnType<typeof openDemoWebhook>;
  readonly bob: DemoUa;
  close(): Promise<void>;
}

export async function openWorld(onPush: (text: string) => void = () => {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "wakeline-sdk-"));
  const passwords = new Map([
    ["alice", "wonderland"],
    ["bob", "builder"],
  ]);
  const registrar = await openDemoRegistrar({ host: "127.0.0.1", port: 0, domain, passwords });
  const webhook = openDemoWebhook((payload) => onPush(JSON.stringify(payload)));
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (_socket, bytes) => bob.receive(bytes) },
  });
  const bob = new DemoUa({
    user: "bob",
    domain,
    password: "builder",
    sentBy: () => `UDP 127.0.0.1:${socket.port}`,
    contact: () => `sip:bob@127.0.0.1:${socket.port}`,
    isReliable: false,
    send: (text) => socket.send(Buffer.from(text, "latin1"), registrar.port, registrar.host),
  });
  const appKey = randomBytes(24).toString("base64url");
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  const file = join(folder, "wakeline.toml");
  await Bun.write(
    file,
    `public_url = "http://127.0.0.1:${port}"
[http]
listen = "127.0.0.1:${port}"
[operator]
listen = "127.0.0.1:0"
[sip]
listen = "127.0.0.1"
port = 0
shards = 1
egress_allow = ["127.0.0.0/8"]
[[apps]]
id = "${app}"
key = "sha256:${createHash("sha256").update(appKey).digest("hex")}"
webhook = { url = "${webhook.url}", secret = "test" }
`,
  );
  const running = await startServer(loadConfig(file, {}), { logLevel: "error" });
  return {
    server: running.publicUrl,
    app,
    appKey,
    registrar,
    passwords,
    webhook,
    bob,
    async close() {
      bob.close();
      socket.close();
      await running.stop();
      registrar.close();
      webhook.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

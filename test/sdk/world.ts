import type { Fetch } from "../../sdk/src/index.ts";
import { startDemoServer } from "../../src/commands/demo-server.ts";
import { DemoRegistrar } from "../../src/demo/registrar.ts";
import { openDemoWebhook } from "../../src/demo/story.ts";
import { DemoUa, type UaCall } from "../../src/demo/ua.ts";
import { claimPorts } from "../interop/lab/claim-ports.ts";

export const domain = "sdk.example";

/** A whole server on loopback in a temporary folder, a registrar with alice and bob, and bob's phone. */
export interface World {
  readonly server: string;
  readonly app: string;
  readonly appKey: string;
  /**
   * For devices of tests. The server runs in the test's own process, so what a test does without a pause holds it up, and it refuses who comes
   * new: it is asked again sooner than it says.
   */
  readonly fetch: Fetch;
  readonly registrar: DemoRegistrar;
  readonly passwords: ReadonlyMap<string, string>;
  readonly webhook: ReturnType<typeof openDemoWebhook>;
  readonly bob: DemoUa;
  /** The next call that reaches bob. */
  bobsCall(): Promise<UaCall>;
  close(): Promise<void>;
}

export async function openWorld(onPush: (text: string) => void = () => {}): Promise<World> {
  const passwords = new Map([
    ["alice", "wonderland"],
    ["bob", "builder"],
  ]);
  const registrar = await DemoRegistrar.open({ host: "127.0.0.1", port: 0, domain, passwords });
  const waiting: ((call: UaCall) => void)[] = [];
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
    onCall: (call) => waiting.shift()?.(call),
  });
  const running = await startDemoServer(webhook.url, await claimPorts());
  return {
    server: running.publicUrl,
    app: running.app,
    appKey: running.appKey,
    async fetch(url, init) {
      for (;;) {
        const answer = await fetch(url, init);
        const isBusy = answer.status === 503 && (await answer.clone().text()).includes('"overloaded"');
        if (!isBusy) return answer;
        await Bun.sleep(50);
      }
    },
    registrar,
    passwords,
    webhook,
    bob,
    bobsCall: () => new Promise((resolve) => waiting.push(resolve)),
    async close() {
      bob.close();
      socket.close();
      await running.stop();
      registrar.close();
      webhook.close();
    },
  };
}

import { expect, test } from "bun:test";
import { startServer } from "../../src/commands/server.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Event } from "../../src/workers/protocol.ts";
import type { ShardThreadEvents } from "../../src/workers/pool.ts";
import type { ShardStart } from "../../src/workers/shard-start.ts";
import { createTestAuthority } from "../fakes/certificates.ts";
import { folder } from "./fixtures.ts";

const toml = `[http]
listen = "127.0.0.1:0"
[operator]
listen = "127.0.0.1:0"
[sip]
listen = "127.0.0.1"
port = 0
tls_port = 5061
tls_cert = "cert.pem"
tls_key = "key.pem"
shards = 1
`;
const ready: Event = { kind: "ready", udpPort: 1, tcpPort: 1, tlsPort: 1, accounts: 0, sendPath: "gso" };

// Root cause: what a shard starts with was read once, at the start of the server.
test("a shard that is started again after a reload has the new certificate", async () => {
  using place = folder();
  const authority = createTestAuthority();
  const renew = (): string => {
    const { cert, key } = authority.issue(["sip.example.net"]);
    place.write("cert.pem", cert);
    place.write("key.pem", key);
    return cert;
  };
  const lives: { readonly start: ShardStart; readonly events: ShardThreadEvents }[] = [];
  let onLife = (): void => {};
  const first = renew();
  const file = place.write("wakeline.toml", toml);
  const server = await startServer(loadConfig(file, {}), {
    logLevel: "error",
    env: {},
    spawn: (start, events) => {
      lives.push({ start, events });
      queueMicrotask(() => events.onEvents([ready]));
      onLife();
      return { post: () => {}, terminate: () => {} };
    },
  });
  expect(lives[0]?.start.tls?.cert).toBe(first);
  const second = renew();
  await server.reload(loadConfig(file, {}));
  const nextLife = new Promise<void>((resolve) => (onLife = resolve));
  lives[0]?.events.onGone("killed by the test");
  await nextLife;
  expect(lives[1]?.start.tls?.cert).toBe(second);
  await server.stop();
});

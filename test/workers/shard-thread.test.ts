import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/load.ts";
import { Lane } from "../../src/observe/lanes.ts";
import { silentLog } from "../../src/observe/log.ts";
import { openStore } from "../../src/store/open.ts";
import { systemClock } from "../../src/time/clock.ts";
import type { Event } from "../../src/workers/protocol.ts";
import { spawnShard } from "../../src/workers/spawn-shard.ts";
import { closedAfterEach } from "../fakes/closing.ts";

const closing = closedAfterEach();
// A shard that is started again is told tunnels and sockets in the turn of its start, long before its sockets are open.
test("a shard runs the commands that came before it was ready", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wakeline-shard-"));
  closing.push(() => rmSync(folder, { recursive: true }));
  const config = loadConfig(undefined, {
    WAKELINE_DATA_DIR: folder,
    WAKELINE_SIP__PORT: "0",
    WAKELINE_SIP__SHARDS: "1",
  });
  const { dataDir, masterKey } = config;
  const store = await openStore({ dataDir, masterKey, env: {}, log: silentLog, clock: systemClock });
  closing.push(() => store.close());
  const kinds = await new Promise<string[]>((resolve, reject) => {
    const heard: string[] = [];
    const thread = spawnShard(
      {
        kind: "start",
        shard: 0,
        shards: 1,
        config,
        lanes: new SharedArrayBuffer(Lane.bytes(2)),
        tls: undefined,
        vaultKeys: store.vaultKeys,
        logLevel: "error",
      },
      {
        onEvents: (events: readonly Event[]) => {
          for (const { kind } of events) heard.push(kind);
          if (heard.includes("ready")) resolve(heard);
        },
        onGone: (reason) => reject(new Error(reason)),
      },
    );
    thread.post([{ kind: "registrarsQuery", requestId: 1 }]);
    closing.push(() => thread.terminate());
  });
  expect(kinds).toEqual(["registrars", "ready"]);
});

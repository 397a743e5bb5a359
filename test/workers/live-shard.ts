import type { Directory } from "../../src/base/records.ts";
import { columnsBytes, openColumns } from "../../src/keeper/columns.ts";
import { EgressPolicy } from "../../src/net/egress.ts";
import type { Endpoint } from "../../src/net/network.ts";
import { openNetwork } from "../../src/net/network-live.ts";
import type { Lane } from "../../src/observe/lanes.ts";
import { silentLog } from "../../src/observe/log.ts";
import { systemClock } from "../../src/time/clock.ts";
import { systemRandom } from "../../src/time/random.ts";
import type { Event } from "../../src/workers/protocol.ts";
import { ShardCore } from "../../src/workers/shard-core.ts";
import { VirtualLocator } from "../fakes/virtual-network.ts";
import { newLane } from "../fakes/wire-recorder.ts";

const tickMs = 10;

export interface LiveShard {
  readonly core: ShardCore;
  readonly lane: Lane;
  readonly close: () => void;
}

/** A shard on real sockets and real time, whose registrar `virtual.test` is at `servers`. Not started: `core.start()` does that. */
export async function openLiveShard(options: {
  readonly address: string;
  readonly servers: readonly Endpoint[];
  readonly directory: Directory;
  readonly onEvent: (event: Event) => void;
  /** Listens for streams too, and trusts these authorities. */
  readonly caFile?: string;
}): Promise<LiveShard> {
  const { address, servers, directory, onEvent, caFile } = options;
  const lane = newLane();
  let core: ShardCore | undefined;
  const network = await openNetwork({
    listen: [address],
    udpPort: 0,
    ...(caFile === undefined ? {} : { tcpPort: 0, caFile }),
    egress: new EgressPolicy({ allow: ["127.0.0.0/8", "::1"] }),
    clock: systemClock,
    lane,
    receiver: {
      onMessage: (bytes, from, to, source) => core?.onMessage(bytes, from, to, source),
      onPeerDown: (peer, reason) => core?.onPeerDown(peer, reason),
    },
  });
  const locator = new VirtualLocator();
  locator.set("virtual.test", servers);
  const shard = new ShardCore({
    clock: systemClock,
    random: systemRandom,
    network,
    locator,
    directory,
    columns: openColumns(new ArrayBuffer(columnsBytes(8))),
    lane,
    log: silentLog,
    uplink: { emit: onEvent },
    settings: { deadlineSec: 40, ring: "on_device", userAgent: "Wakeline", shard: 0 },
  });
  core = shard;
  const timer = setInterval(() => shard.tick(systemClock.nowMs()), tickMs);
  return {
    core: shard,
    lane,
    close: () => {
      clearInterval(timer);
      network.close();
    },
  };
}

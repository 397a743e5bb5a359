import { afterEach, expect, test } from "bun:test";
import type { AccountId } from "../../src/base/ids.ts";
import { columnsBytes, openColumns } from "../../src/keeper/columns.ts";
import { EgressPolicy } from "../../src/net/egress.ts";
import { openNetwork } from "../../src/net/network-live.ts";
import { Counter } from "../../src/observe/lanes.ts";
import { silentLog } from "../../src/observe/log.ts";
import { systemClock } from "../../src/time/clock.ts";
import { systemRandom } from "../../src/time/random.ts";
import type { Event } from "../../src/workers/protocol.ts";
import { ShardCore } from "../../src/workers/shard-core.ts";
import { answerTo } from "../attacks/attack-bench.ts";
import { SipText } from "../fakes/sip-text.ts";
import { VirtualLocator } from "../fakes/virtual-network.ts";
import { newLane, openTestNetwork, turnsUntil } from "../fakes/wire-recorder.ts";
import { accountOf, VirtualDirectory } from "../keeper/bench-shard.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).toReversed()) close();
});

/** A UDP port of loopback where nobody listens. */
async function closedPort(): Promise<number> {
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1" });
  const { port } = socket;
  socket.close();
  return port;
}

test("ICMP: a server whose host says that nobody listens is passed over within the attempt, real sockets (RFC 3263 §4.3)", async () => {
  const { network: far, recorder } = await openTestNetwork();
  closing.push(() => far.close());
  recorder.onEach = ({ text, source }) => {
    const request = new SipText(text);
    const lines = [`Contact: ${request.get("Contact")};expires=600`];
    far.reply(source, Buffer.from(answerTo(request, 200, lines), "latin1"));
  };
  let core: ShardCore | undefined;
  const lane = newLane();
  const network = await openNetwork({
    listen: ["127.0.0.1"],
    udpPort: 0,
    egress: new EgressPolicy({ allow: ["127.0.0.0/8"] }),
    clock: systemClock,
    lane,
    receiver: {
      onMessage: (bytes, from, to, source) => core?.onMessage(bytes, from, to, source),
      onPeerDown: (peer, reason) => core?.onPeerDown(peer, reason),
    },
  });
  closing.push(() => network.close());
  const locator = new VirtualLocator();
  locator.set("virtual.test", [
    { transport: "udp", address: "127.0.0.1", port: await closedPort() },
    { transport: "udp", address: "127.0.0.1", port: far.udpPort },
  ]);
  const directory = new VirtualDirectory();
  directory.put(accountOf(1));
  const states: [AccountId, string][] = [];
  core = new ShardCore({
    clock: systemClock,
    random: systemRandom,
    network,
    locator,
    directory,
    columns: openColumns(new ArrayBuffer(columnsBytes(8))),
    lane,
    log: silentLog,
    uplink: {
      emit: (event: Event) => {
        if (event.kind === "registrationChanged") states.push([event.accountId, event.status.state]);
      },
    },
    settings: { deadlineSec: 40, ring: "on_device", userAgent: "Wakeline", shard: 0 },
  });
  core.start();
  const shard = core;
  const timer = setInterval(() => shard.tick(systemClock.nowMs()), 10);
  closing.push(() => clearInterval(timer));
  await turnsUntil(() => states.length > 0);
  // Of one attempt, and long before silence would have told: that takes two retransmissions and 3.5 s.
  expect(lane.get(Counter.registerRetransmitted)).toBeLessThan(2);
  expect(states).toEqual([[accountOf(1).accountId, "registered"]]);
  expect(recorder.messages).toHaveLength(1);
});

import { expect, test } from "bun:test";
import type { AccountId } from "../../src/base/ids.ts";
import { Counter } from "../../src/observe/lanes.ts";
import { answerTo } from "../attacks/attack-bench.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { SipText } from "../fakes/sip-text.ts";
import { openTestNetwork, turnsUntil } from "../fakes/wire-recorder.ts";
import { accountOf, VirtualDirectory } from "../keeper/bench-shard.ts";
import { openLiveShard } from "./live-shard.ts";

const closing = closedAfterEach();
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
  const directory = new VirtualDirectory();
  directory.put(accountOf(1));
  const states: [AccountId, string][] = [];
  const { core, lane, close } = await openLiveShard({
    address: "127.0.0.1",
    servers: [
      { transport: "udp", address: "127.0.0.1", port: await closedPort() },
      { transport: "udp", address: "127.0.0.1", port: far.udpPort },
    ],
    directory,
    onEvent: (event) => {
      if (event.kind === "registrationChanged") states.push([event.accountId, event.status.state]);
    },
  });
  closing.push(close);
  core.start();
  await turnsUntil(() => states.length > 0);
  // Of one attempt, and long before silence would have told: that takes two retransmissions and 3.5 s.
  expect(lane.get(Counter.registerRetransmitted)).toBeLessThan(2);
  expect(states).toEqual([[accountOf(1).accountId, "registered"]]);
  expect(recorder.messages).toHaveLength(1);
});

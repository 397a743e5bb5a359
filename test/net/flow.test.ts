import { expect, test } from "bun:test";
import { type FlowOwner, type FlowSocket, StreamFlow } from "../../src/net/flow.ts";
import type { ConnectionId } from "../../src/net/network.ts";
import { inboundQueueBytesMax, readBudgetBytes } from "../../src/net/stream-limits.ts";
import { requestOf } from "../fakes/wire-recorder.ts";

test("one connection has 64 KiB a turn of the loop, however much has come at once", async () => {
  let messages = 0;
  const done = Promise.withResolvers<void>();
  const asked: string[] = [];
  const owner: FlowOwner = {
    nowMs: () => 0,
    onFlowCertified() {},
    onFlowMessage: () => {
      if (++messages === 200) done.resolve();
    },
    onFlowPing: () => {},
    onFlowFault: () => {},
    onFlowHeld: () => {},
    onFlowClosed: () => {},
  };
  const flow = new StreamFlow({
    id: 1 as ConnectionId,
    transport: "tcp",
    peer: undefined,
    address: "192.0.2.1",
    port: 5060,
    serverName: undefined,
    queueBytesMax: inboundQueueBytesMax,
    owner,
  });
  const socket = { setNoDelay: () => {}, pause: () => asked.push("pause"), resume: () => asked.push("resume") };
  flow.onSocketOpen(socket as unknown as FlowSocket);
  flow.onData(Buffer.from(requestOf(1_000).repeat(200)));
  // Somebody else's turn.
  expect(messages).toBe(Math.floor(readBudgetBytes / 1_000));
  expect(asked).toEqual(["pause"]);
  await done.promise;
  expect(asked).toEqual(["pause", "resume"]);
});

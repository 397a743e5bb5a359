import { describe, expect, test } from "bun:test";
import { AcceptedFlows } from "../../src/net/accepted-flows.ts";
import { type FlowOwner, StreamFlow } from "../../src/net/flow.ts";
import type { ConnectionId } from "../../src/net/network.ts";
import { cutsMax, idleMs, inboundHeldBytesMax, inboundMax, inboundPerAddressMax } from "../../src/net/stream-limits.ts";

/** Flows without sockets: what is tested is who goes. */
function setUp() {
  const accepted = new AcceptedFlows();
  const cut: { readonly id: number; readonly reason: string }[] = [];
  let id = 0;
  const owner: FlowOwner = {
    nowMs: () => 0,
    onFlowCertified() {},
    onFlowMessage() {},
    onFlowPing() {},
    onFlowFault() {},
    onFlowHeld: (flow, bytes) => accepted.held(flow, bytes),
    onFlowClosed: (flow, reason) => {
      cut.push({ id: flow.id, reason });
      accepted.remove(flow);
    },
  };
  const accept = (address: string): StreamFlow | undefined => {
    if (!accepted.admit(address)) return undefined;
    const flow = new StreamFlow({
      id: ++id as ConnectionId,
      transport: "tcp",
      peer: undefined,
      address,
      port: 1,
      serverName: undefined,
      queueBytesMax: 1,
      owner,
    });
    accepted.add(flow);
    return flow;
  };
  const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));
  return { accepted, accept, cut, turn };
}

describe("room for accepted connections", () => {
  test("at the cap of one address its oldest unproven connection goes, no other's", async () => {
    const { accepted, accept, cut, turn } = setUp();
    accept("192.0.2.9");
    for (let n = 0; n < inboundPerAddressMax; n++) accept("192.0.2.1");
    const first = 2;
    expect(accept("192.0.2.1")).toBeDefined();
    await turn();
    expect(cut).toEqual([{ id: first, reason: "too many connections" }]);
    expect(accepted.count).toBe(inboundPerAddressMax + 1);
  });

  test("proven connections are never cut for a newcomer, who is then refused and counted", () => {
    const { accepted, accept } = setUp();
    for (let n = 0; n < inboundPerAddressMax; n++) {
      const flow = accept("192.0.2.1");
      if (flow !== undefined) accepted.prove(flow, 0);
    }
    expect(accept("192.0.2.1")).toBeUndefined();
    expect(accepted.refused).toBe(1);
    expect(accept("192.0.2.2")).toBeDefined();
  });

  test("at the cap of all, the oldest unproven goes, whoever's", async () => {
    const { accepted, accept, cut, turn } = setUp();
    const proven = accept("192.0.2.1");
    if (proven !== undefined) accepted.prove(proven, 0);
    for (let n = 1; n < inboundMax; n++) accept(`10.0.${n >> 8}.${n & 255}`);
    expect(accept("192.0.2.2")).toBeDefined();
    await turn();
    expect(cut.map(({ id }) => id)).toEqual([2]);
    expect(accepted.count).toBe(inboundMax);
  });

  test("at the cap of all, where all are proven, the household that has most gives its oldest up", async () => {
    const { accepted, accept, cut, turn } = setUp();
    const proven = (address: string): void => {
      const flow = accept(address);
      if (flow !== undefined) accepted.prove(flow, 0);
    };
    for (let n = 0; n < 50; n++) proven(`10.9.0.${n}`);
    // One IPv6 household has all of its /64, so the cap of one address does not hold it.
    for (let n = 50; n < inboundMax; n++) proven(`2001:db8::${n.toString(16)}`);
    expect(accepted.count).toBe(inboundMax);
    proven("192.0.2.1");
    proven("192.0.2.2");
    await turn();
    expect(cut.map(({ id }) => id)).toEqual([51, 52]);
    expect(accepted.count).toBe(inboundMax);
    // Their own newcomers get no room by it.
    expect(accept("2001:db8::ffff")).toBeUndefined();
  });

  test("where everybody has one proven connection, a newcomer is refused and counted", () => {
    const { accepted, accept } = setUp();
    for (let n = 0; n < inboundMax; n++) {
      const flow = accept(`10.${n >> 8}.${n & 255}.1`);
      if (flow !== undefined) accepted.prove(flow, 0);
    }
    expect(accept("192.0.2.1")).toBeUndefined();
    expect(accepted.refused).toBe(1);
  });

  test("unfinished messages of all together are bounded: who goes beyond is cut, unless proven", async () => {
    const { accepted, accept, cut, turn } = setUp();
    const [first, second, third] = [accept("192.0.2.1"), accept("192.0.2.2"), accept("192.0.2.3")];
    if (first === undefined || second === undefined || third === undefined) throw new Error("not accepted");
    accepted.prove(second, 0);
    accepted.held(first, inboundHeldBytesMax);
    accepted.held(second, 1);
    accepted.held(third, 1);
    await turn();
    expect(cut.map(({ id }) => id)).toEqual([third.id]);
  });

  test("thousands that are due together go a part at a time, the oldest first", async () => {
    const { accepted, accept, cut, turn } = setUp();
    for (let n = 0; n < cutsMax + 10; n++) accept(`10.0.${n >> 8}.${n & 255}`);
    accepted.checkTime(idleMs);
    await turn();
    expect(cut.map(({ id }) => id)).toEqual(Array.from({ length: cutsMax }, (_, n) => n + 1));
    accepted.checkTime(idleMs);
    await turn();
    expect(accepted.count).toBe(0);
  });
});

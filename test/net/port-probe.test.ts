import { describe, expect, test } from "bun:test";
import type { Endpoint, PeerId } from "../../src/net/network.ts";
import { PortProbe } from "../../src/net/port-probe.ts";
import { VirtualClock } from "../fakes/virtual-clock.ts";

function setUp() {
  const clock = new VirtualClock();
  const opened: { readonly port: number; readonly down: (reason: string) => void; isClosed: boolean }[] = [];
  const downs: string[] = [];
  const probe = new PortProbe({
    clock,
    endpoint: (peer) => ({ transport: "udp", address: "192.0.2.1", port: peer }),
    onDown: (peer, reason) => downs.push(`${peer} ${reason}`),
    open: ({ port }: Endpoint, down) => {
      const one = { port, down, isClosed: false };
      opened.push(one);
      return Promise.resolve({ close: () => (one.isClosed = true) });
    },
  });
  return { clock, opened, downs, probe };
}

const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));
const peer = (id: number) => id as PeerId;

describe("whom an ICMP error is about", () => {
  test("those sent to lately are asked, once each; the one that nobody listens at is down", async () => {
    const { probe, opened, downs } = setUp();
    for (const id of [5, 5, 6, 5, 7]) probe.sentTo(peer(id));
    probe.onError();
    await turn();
    expect(opened.map(({ port }) => port).toSorted((a, b) => a - b)).toEqual([5, 6, 7]);
    opened.find(({ port }) => port === 6)?.down("port unreachable");
    opened.find(({ port }) => port === 6)?.down("port unreachable");
    expect(downs).toEqual(["6 port unreachable"]);
    expect(opened.map(({ isClosed, port }) => isClosed === (port === 6))).toEqual([true, true, true]);
    probe.close();
    expect(opened.every(({ isClosed }) => isClosed)).toBe(true);
  });

  test("nobody is asked again at once, nor more than a few at a time", async () => {
    const { probe, opened, clock } = setUp();
    for (let id = 1; id <= 20; id++) probe.sentTo(peer(id));
    probe.onError();
    probe.onError();
    await turn();
    expect(opened).toHaveLength(8);
    probe.close();
    probe.onError();
    await turn();
    expect(opened).toHaveLength(16);
    probe.close();
    clock.advance(10_000);
    probe.onError();
    await turn();
    expect(opened).toHaveLength(24);
    probe.close();
  });
});

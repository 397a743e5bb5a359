import { describe, expect, test } from "bun:test";
import type { ConnectionId, PeerId, Source } from "../../src/net/network.ts";
import type { NetworkOptions } from "../../src/net/network-live.ts";
import { trialConnectMs } from "../../src/net/stream-limits.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { RawServer } from "../fakes/raw-stream.ts";
import { openTestNetwork, requestOf, type TestNetwork, turnsUntil } from "../fakes/wire-recorder.ts";

const closing = closedAfterEach();
const request = Buffer.from(requestOf(400), "latin1");

async function open(options: Partial<NetworkOptions> = {}): Promise<TestNetwork> {
  const one = await openTestNetwork(options);
  closing.push(() => one.network.close());
  return one;
}

function serve(): RawServer {
  const server = new RawServer();
  closing.push(() => server.close());
  return server;
}

describe("our address on the way to a peer, design rule 8", () => {
  test("has the port where we listen for that transport", async () => {
    const { network } = await open({ tcpPort: 0 });
    const endpoint = { address: "127.0.0.1", port: 5060 };
    expect(network.localAddress(network.peer({ transport: "udp", ...endpoint }), false)).toEqual({
      host: "127.0.0.1",
      port: network.udpPort,
    });
    expect(network.localAddress(network.peer({ transport: "tcp", ...endpoint }), false)).toEqual({
      host: "127.0.0.1",
      port: network.tcpPort,
    });
  });

  test("has the connection's own port where we do not listen, known once it is open", async () => {
    const { network } = await open();
    const server = serve();
    const peer = network.peer({ transport: "tcp", address: "127.0.0.1", port: server.port });
    expect(network.localAddress(peer, false)).toBeUndefined();
    await turnsUntil(() => network.localAddress(peer, false) !== undefined);
    const own = network.localAddress(peer, false);
    expect(own?.host).toBe("127.0.0.1");
    network.send(peer, request);
    await server.until(() => server.received.length === request.length);
    expect(server.streams).toHaveLength(1);
    expect(own?.port).toBe(server.streams[0]?.socket?.remotePort ?? 0);
  });

  test("has the private address with NAT emulation, and what is advertised without", async () => {
    const { network } = await open({ advertise: "push.example.com", natAddress: "10.1.1.1" });
    const peer = network.peer({ transport: "udp", address: "127.0.0.1", port: 5060 });
    expect(network.localAddress(peer, true)).toEqual({ host: "10.1.1.1", port: network.udpPort });
    expect(network.localAddress(peer, false)).toEqual({ host: "push.example.com", port: network.udpPort });
  });

  test("a peer that there is no way to is down", async () => {
    const { network, recorder } = await open({
      listen: ["0.0.0.0"],
      findRoute: () => Promise.reject(new Error("ENETUNREACH")),
    });
    const peer = network.peer({ transport: "udp", address: "8.8.8.8", port: 5060 });
    expect(network.localAddress(peer, false)).toBeUndefined();
    await recorder.down();
    expect(recorder.downs).toEqual([{ peer, reason: "no route" }]);
  });
});

describe("whose message it is", () => {
  const source = (transport: Source["transport"], address: string, port = 9_999, connection = 0): Source => ({
    transport,
    address,
    port,
    connection: connection as ConnectionId,
  });

  test("a UDP peer's by its address, from any port and by any transport", async () => {
    const { network } = await open();
    const peer = network.peer({ transport: "udp", address: "127.0.0.1", port: 5060 });
    expect(network.isFrom(peer, source("udp", "127.0.0.1"))).toBe(true);
    expect(network.isFrom(peer, source("tcp", "127.0.0.1"))).toBe(true);
    expect(network.isFrom(peer, source("udp", "127.0.0.2"))).toBe(false);
    expect(network.isFrom(0 as PeerId, source("udp", "0.0.0.0"))).toBe(false);
  });

  test("a TCP or TLS peer's never by a weaker transport, which is easily forged", async () => {
    const { network } = await open();
    const tcp = network.peer({ transport: "tcp", address: "127.0.0.1", port: 5060 });
    const tls = network.peer({ transport: "tls", address: "127.0.0.1", port: 5061, serverName: "a.example" });
    expect(network.isFrom(tcp, source("udp", "127.0.0.1"))).toBe(false);
    expect(network.isFrom(tcp, source("tcp", "127.0.0.1"))).toBe(true);
    expect(network.isFrom(tls, source("tcp", "127.0.0.1"))).toBe(false);
    expect(network.isFrom(tls, source("udp", "127.0.0.1"))).toBe(false);
    expect(network.isFrom(tls, source("tls", "127.0.0.1"))).toBe(true);
  });
});

describe("requests too large for UDP, RFC 3261 §18.1.1", () => {
  test("go to the same host by TCP, until TCP is refused", async () => {
    const { network, recorder, clock } = await open();
    const server = serve();
    const udp = network.peer({ transport: "udp", address: "127.0.0.1", port: server.port });
    const twin = network.largeTransport(udp);
    if (twin === undefined) throw new Error("no TCP");
    expect(network.endpoint(twin)).toEqual({ transport: "tcp", address: "127.0.0.1", port: server.port });
    const large = Buffer.from(requestOf(5_000), "latin1");
    network.send(twin, large);
    await server.until(() => server.received.length === large.length);
    clock.advance(5_000);
    server.streams[0]?.end();
    await recorder.down();
    expect(network.largeTransport(udp)).toBe(twin);
    server.close();
    network.send(twin, large);
    await recorder.down(2);
    expect(network.largeTransport(udp)).toBeUndefined();
    clock.advance(600_000);
    expect(network.largeTransport(udp)).toBe(twin);
  });

  test("do not wait for a firewall that drops what asks for TCP", async () => {
    const { network, recorder, clock } = await open();
    const server = serve();
    const udp = network.peer({ transport: "udp", address: "127.0.0.1", port: server.port });
    const twin = network.largeTransport(udp);
    if (twin === undefined) throw new Error("no TCP");
    network.send(twin, request);
    // Still opening, for the loop has not turned since.
    clock.advance(trialConnectMs);
    network.sweep();
    await recorder.down();
    expect(network.largeTransport(udp)).toBeUndefined();
  });

  test("have no other way to a peer of TCP", async () => {
    const { network } = await open();
    expect(
      network.largeTransport(network.peer({ transport: "tcp", address: "127.0.0.1", port: 5060 })),
    ).toBeUndefined();
  });
});

describe("the network as a whole", () => {
  test("off is off: no port, and nothing is sent", async () => {
    const { network, count } = await open({ udpPort: undefined });
    expect([network.udpPort, network.tcpPort, network.tlsPort]).toEqual([0, 0, 0]);
    expect(network.send(network.peer({ transport: "udp", address: "127.0.0.1", port: 5060 }), request)).toBe("failed");
    expect(count("sendsDropped")).toBe(1);
  });

  test("nobody is nobody", async () => {
    const { network, count } = await open();
    const nobody = network.peer({ transport: "udp", address: "a.example", port: 5060 });
    expect(nobody).toBe(0 as PeerId);
    expect(network.send(nobody, request)).toBe("failed");
    network.queue(nobody, request, 0, request.length);
    network.keepAlive(nobody);
    network.flush();
    expect(count("sendsDropped")).toBe(2);
  });

  test("its own sockets are nobody to send to", async () => {
    const { network } = await open({ tcpPort: 0 });
    for (const transport of ["udp", "tcp"] as const) {
      expect(network.send(network.peer({ transport, address: "127.0.0.1", port: network.udpPort }), request)).toBe(
        "failed",
      );
    }
  });

  test("after close nothing is reported", async () => {
    const { network, recorder } = await open();
    const server = serve();
    network.send(network.peer({ transport: "tcp", address: "127.0.0.1", port: server.port }), request);
    network.close();
    await server.until(() => server.streams.length === 1 && server.streams[0]?.isClosed === true);
    expect(recorder.downs).toEqual([]);
  });

  test("time limits are looked at by itself", async () => {
    const { network, clock } = await open({ tcpPort: 0, sweepMs: 1 });
    const socket = await Bun.connect({ hostname: "127.0.0.1", port: network.tcpPort, socket: { data() {} } });
    await turnsUntil(() => network.connections().accepted === 1);
    clock.advance(120_000);
    await turnsUntil(() => network.connections().accepted === 0);
    socket.terminate();
  });

  test("it runs in a worker, with the fast path", async () => {
    const worker = new Worker(new URL("../fakes/net-worker.ts", import.meta.url));
    const told = await new Promise<unknown>((resolve) =>
      worker.addEventListener("message", ({ data }) => resolve(data)),
    );
    worker.terminate();
    expect(told).toEqual({ sendPath: "gso", received: 100, dropped: 0 });
  });
});

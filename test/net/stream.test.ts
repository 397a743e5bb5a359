import { describe, expect, test } from "bun:test";
import { EgressPolicy } from "../../src/net/egress.ts";
import type { PeerId } from "../../src/net/network.ts";
import type { NetworkOptions } from "../../src/net/network-live.ts";
import {
  connectMs,
  headMs,
  idleMs,
  inboundPerAddressMax,
  messageMs,
  outboundIdleMs,
  outboundQueueBytesMax,
  pongMs,
  provenIdleMs,
  readBudgetBytes,
  redialFloorMs,
  stalledMs,
} from "../../src/net/stream-limits.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { connectRaw, RawServer, type RawStream } from "../fakes/raw-stream.ts";
import { openTestNetwork, requestOf, type TestNetwork, turnsUntil } from "../fakes/wire-recorder.ts";

const closing = closedAfterEach();

async function open(options: Partial<NetworkOptions> = {}): Promise<TestNetwork> {
  const one = await openTestNetwork({ tcpPort: 0, ...options });
  closing.push(() => one.network.close());
  return one;
}

function serve(options: ConstructorParameters<typeof RawServer>[0] = {}): RawServer {
  const server = new RawServer(options);
  closing.push(() => server.close());
  return server;
}

async function connect(to: TestNetwork): Promise<RawStream> {
  const stream = await connectRaw(to.network.tcpPort);
  closing.push(() => stream.socket?.terminate());
  return stream;
}

const tcpPeer = (from: TestNetwork, port: number): PeerId =>
  from.network.peer({ transport: "tcp", address: "127.0.0.1", port });
const received = (by: TestNetwork) => by.recorder.messages.map(({ text }) => text);
const bytesOf = (text: string) => Buffer.from(text, "latin1");
const request = requestOf(400);

/** Sends one request and waits until the server has it. */
async function firstSend(
  from: TestNetwork,
  server: RawServer,
): Promise<{ readonly peer: PeerId; readonly stream: RawStream }> {
  const peer = tcpPeer(from, server.port);
  from.network.send(peer, bytesOf(request));
  await server.until(() => server.received.length >= request.length);
  const stream = server.streams[0];
  if (stream === undefined) throw new Error("no connection");
  return { peer, stream };
}

describe("TCP connections to peers, RFC 3261 §18 and RFC 5923", () => {
  test("are opened on the first send and shared by all that follow", async () => {
    const from = await open();
    const to = await open();
    const peer = tcpPeer(from, to.network.tcpPort);
    const all = Array.from({ length: 50 }, (_, n) => requestOf(300 + n, `m${n}`));
    expect(from.network.send(peer, bytesOf(all[0] ?? ""))).toBe("queued");
    for (const text of all.slice(1)) from.network.send(peer, bytesOf(text));
    await to.recorder.received(all.length);
    expect(received(to)).toEqual(all);
    const connections = new Set(to.recorder.messages.map(({ source }) => source.connection));
    expect(connections.size).toBe(1);
    expect(connections.has(0 as never)).toBe(false);
    expect(from.network.send(peer, bytesOf(request))).toBe("sent");
    expect(from.count("streamMessagesOut")).toBe(51);
    await to.recorder.received(51);
    expect(to.count("streamMessagesIn")).toBe(51);
  });

  test("a burst is written joined, when it is flushed", async () => {
    const from = await open();
    const server = serve();
    const { peer } = await firstSend(from, server);
    const all = Array.from({ length: 300 }, (_, n) => requestOf(700, `q${n}`));
    for (const text of all) from.network.queue(peer, bytesOf(`__${text}`), 2, text.length + 2);
    expect(from.network.isPending).toBe(true);
    from.network.flush();
    expect(from.network.isPending).toBe(false);
    await server.until(() => server.received.length === request.length + all.join("").length);
    expect(server.received).toBe(request + all.join(""));
    expect(from.count("streamMessagesOut")).toBe(301);
  });

  test("answers and requests of the peer on it come up with its source, and are the peer's", async () => {
    const from = await open();
    const server = serve();
    const { peer, stream } = await firstSend(from, server);
    stream.write(request);
    await from.recorder.received(1);
    const source = from.recorder.messages[0]?.source;
    if (source === undefined) throw new Error("no source");
    expect(source).toMatchObject({ transport: "tcp", address: "127.0.0.1", port: server.port });
    expect(from.network.isFrom(peer, source)).toBe(true);
    expect(from.network.reply(source, bytesOf("SIP/2.0 200 OK\r\n\r\n"))).toBe("sent");
    await server.until(() => server.received.endsWith("200 OK\r\n\r\n"));
    expect(server.streams).toHaveLength(1);
  });

  test("what the peer does not take is kept and written when it reads on", async () => {
    const from = await open();
    const server = serve({ paused: true });
    const peer = tcpPeer(from, server.port);
    const large = requestOf(60_000);
    let queued = 0;
    for (let n = 0; n < 200; n++) if (from.network.send(peer, bytesOf(large)) === "queued") queued++;
    expect(queued).toBeLessThan(Math.ceil(outboundQueueBytesMax / 60_000) + 1);
    await server.until(() => server.streams.length === 1);
    const more = () => from.network.send(peer, bytesOf(large)) !== "failed" && ++queued < 10_000;
    while (more());
    expect(from.count("sendsDropped")).toBeGreaterThan(0);
    server.streams[0]?.socket?.resume();
    await server.until(() => server.received.length === queued * large.length);
    expect(server.received).toBe(large.repeat(queued));
    expect(from.count("streamMessagesOut")).toBe(queued);
  });

  test("a peer that takes nothing for 30 s of what waits for it is down", async () => {
    const from = await open();
    const server = serve({ paused: true });
    const peer = tcpPeer(from, server.port);
    const large = bytesOf(requestOf(60_000));
    from.network.send(peer, large);
    await server.until(() => server.streams.length === 1);
    await turnsUntil(() => from.network.send(peer, large) === "failed");
    from.clock.advance(stalledMs - 1);
    from.network.sweep();
    expect(from.recorder.downs).toEqual([]);
    from.clock.advance(1);
    from.network.sweep();
    await from.recorder.down();
    expect(from.recorder.downs).toEqual([{ peer, reason: "peer takes nothing" }]);
  });

  test("a peer that refuses is down, and not dialled again within a second", async () => {
    const from = await open();
    const server = serve();
    const peer = tcpPeer(from, server.port);
    server.close();
    expect(from.network.send(peer, bytesOf(request))).toBe("queued");
    await from.recorder.down();
    expect(from.recorder.downs).toEqual([{ peer, reason: "cannot connect: ECONNREFUSED" }]);
    expect(from.count("sendsDropped")).toBe(1);
    expect(from.network.send(peer, bytesOf(request))).toBe("failed");
    from.network.queue(peer, bytesOf(request), 0, request.length);
    await from.recorder.down(2);
    expect(from.count("sendsDropped")).toBe(3);
    from.clock.advance(redialFloorMs);
    expect(from.network.send(peer, bytesOf(request))).toBe("queued");
    await from.recorder.down(3);
  });

  test("one that does not open in time is down", async () => {
    const from = await open({ egress: new EgressPolicy({ allow: ["127.0.0.0/8"] }) });
    const server = serve();
    const peer = tcpPeer(from, server.port);
    from.network.send(peer, bytesOf(request));
    // Still opening, for the loop has not turned since.
    from.clock.advance(connectMs);
    from.network.sweep();
    await from.recorder.down();
    expect(from.recorder.downs[0]?.reason).toBe("no connection in time");
    expect(from.count("sendsDropped")).toBe(1);
  });

  test("one that the peer closes is down, and the next send opens another", async () => {
    const from = await open();
    const server = serve();
    const { peer, stream } = await firstSend(from, server);
    from.clock.advance(redialFloorMs);
    stream.end();
    await from.recorder.down();
    expect(from.recorder.downs).toEqual([{ peer, reason: "closed by the peer" }]);
    expect(from.network.send(peer, bytesOf(request))).toBe("queued");
    await server.until(() => server.streams.length === 2 && server.streams[1]?.received === request);
  });

  test("one that has served is replaced at once, however short it lived; one that has not waits (RFC 5626 §4.5)", async () => {
    const from = await open();
    const server = serve();
    const { peer, stream } = await firstSend(from, server);
    stream.write(request);
    await from.recorder.received(1);
    stream.end();
    await from.recorder.down();
    expect(from.network.send(peer, bytesOf(request))).toBe("queued");
    await server.until(() => server.streams.length === 2);
    server.streams[1]?.end();
    await from.recorder.down(2);
    expect(from.network.send(peer, bytesOf(request))).toBe("failed");
  });

  test("an address that the egress policy denies is not dialled", async () => {
    const from = await open({ egress: new EgressPolicy({ interfaces: () => [] }) });
    const server = serve();
    expect(from.network.send(tcpPeer(from, server.port), bytesOf(request))).toBe("failed");
    expect(from.count("sendsDropped")).toBe(1);
    expect(server.streams).toHaveLength(0);
  });

  test("one that nobody uses for a long time is closed", async () => {
    const from = await open();
    const server = serve();
    const { peer, stream } = await firstSend(from, server);
    from.clock.advance(outboundIdleMs - 1);
    from.network.sweep();
    from.network.keepAlive(peer);
    await server.until(() => server.received.endsWith("\r\n\r\n"));
    from.clock.advance(outboundIdleMs);
    from.network.sweep();
    await server.until(() => stream.isClosed);
    expect(from.recorder.downs).toEqual([{ peer, reason: "idle" }]);
  });
});

describe("keep-alive on a stream, RFC 5626 §4.4.1 and §3.5.1", () => {
  test("no pong within 10 s from a peer that has answered before: the peer is down", async () => {
    const from = await open();
    const server = serve();
    const { peer, stream } = await firstSend(from, server);
    let answers = 1;
    stream.onText = (text) => {
      if (text.endsWith("\r\n\r\n") && answers-- > 0) stream.write("\r\n");
    };
    from.network.keepAlive(peer);
    await server.until(() => stream.received.endsWith("\r\n\r\n\r\n\r\n") || answers === 0);
    // A message behind the pong: when it has come, so has the pong.
    stream.write(request);
    await from.recorder.received(1);
    from.clock.advance(pongMs);
    from.network.sweep();
    expect(stream.isClosed).toBe(false);
    from.network.keepAlive(peer);
    from.clock.advance(pongMs - 1);
    from.network.sweep();
    expect(from.recorder.downs).toEqual([]);
    from.clock.advance(1);
    from.network.sweep();
    await from.recorder.down();
    expect(from.recorder.downs).toEqual([{ peer, reason: "no pong in time" }]);
  });

  test("a server that has never answered a ping keeps its connection", async () => {
    const from = await open();
    const server = serve();
    const { peer, stream } = await firstSend(from, server);
    for (let n = 0; n < 3; n++) {
      from.network.keepAlive(peer);
      from.clock.advance(pongMs * 2);
      from.network.sweep();
    }
    await server.until(() => stream.received === request + "\r\n\r\n".repeat(3));
    expect(stream.isClosed).toBe(false);
  });

  test("a ping of the other side is answered, also between messages", async () => {
    const to = await open();
    const stream = await connect(to);
    stream.write(`\r\n\r\n${request}\r\n\r\n`);
    await to.recorder.received(1);
    await turnsUntil(() => stream.received.length >= 4);
    expect(stream.received).toBe("\r\n\r\n");
  });

  test("a peer without a connection gets none for a ping", async () => {
    const from = await open();
    const server = serve();
    from.network.keepAlive(tcpPeer(from, server.port));
    await firstSend(from, server);
    expect(server.received).toBe(request);
  });
});

describe("accepted connections, RFC 3261 §18.3", () => {
  test("messages come up whole however they are cut, and answers go back on the same connection", async () => {
    const to = await open();
    const stream = await connect(to);
    to.recorder.onEach = ({ source }) => to.network.reply(source, bytesOf("SIP/2.0 200 OK\r\n\r\n"));
    for (const byte of request) stream.write(byte);
    stream.write(request + request.slice(0, 100));
    stream.write(request.slice(100));
    await to.recorder.received(3);
    expect(received(to)).toEqual([request, request, request]);
    await turnsUntil(() => stream.received.length >= 3 * 18);
    expect(stream.received).toBe("SIP/2.0 200 OK\r\n\r\n".repeat(3));
  });

  test("many messages at once take a turn of the loop for each 64 KiB, and none is lost", async () => {
    const to = await open();
    const stream = await connect(to);
    let seen = 0;
    let mostInOneTurn = 0;
    const onTurn = () => {
      mostInOneTurn = Math.max(mostInOneTurn, to.recorder.messages.length - seen);
      seen = to.recorder.messages.length;
      if (seen < 2_000) setImmediate(onTurn);
    };
    setImmediate(onTurn);
    const all = Array.from({ length: 2_000 }, (_, n) => requestOf(1_000, `n${n}`));
    let rest = bytesOf(all.join(""));
    while (rest.length > 0) {
      rest = rest.subarray(stream.socket?.write(rest) ?? 0);
      if (rest.length > 0) await new Promise((resolve) => void setImmediate(resolve));
    }
    await to.recorder.received(all.length);
    expect(received(to)).toEqual(all);
    // A turn may see the end of one budget and the start of what came with it.
    expect(mostInOneTurn).toBeLessThanOrEqual((readBudgetBytes / 1_000) * 2 + 2);
  });

  test("a framing fault is answered 400 and the connection closed", async () => {
    const to = await open();
    const stream = await connect(to);
    stream.write(request.replace(/Content-Length: \d+/, "Content-Length: 5\r\nContent-Length: 6"));
    await turnsUntil(() => stream.isClosed);
    expect(stream.received).toStartWith("SIP/2.0 400 Bad Content-Length\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKx");
    expect(stream.received).toContain("CSeq: 1 OPTIONS\r\n");
    expect(to.recorder.messages).toEqual([]);
    expect(to.count("malformedDropped")).toBe(1);
  });

  test.each(["\x16\x03\x01 no SIP at all\r\nA: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"])(
    "what is no SIP request gets no answer and is closed: %p",
    async (text) => {
      const to = await open();
      const stream = await connect(to);
      stream.write(text);
      await turnsUntil(() => stream.isClosed);
      expect(stream.received).toBe("");
    },
  );

  test("a message over 64 KiB is refused when its head says so", async () => {
    const to = await open();
    const stream = await connect(to);
    stream.write(request.replace(/Content-Length: \d+/, "Content-Length: 70000"));
    await turnsUntil(() => stream.isClosed);
    expect(stream.received).toStartWith("SIP/2.0 513 Message Too Large");
  });

  test("an answer whose connection is gone is a counted failure", async () => {
    const to = await open();
    const stream = await connect(to);
    stream.write(request);
    await to.recorder.received(1);
    stream.end();
    await turnsUntil(() => to.network.connections().accepted === 0);
    const source = to.recorder.messages[0]?.source;
    if (source === undefined) throw new Error("no source");
    expect(to.network.reply(source, bytesOf("SIP/2.0 200 OK\r\n\r\n"))).toBe("failed");
    expect(to.count("sendsDropped")).toBe(1);
  });

  test("a peer that sends and never reads is cut, its answers counted", async () => {
    const to = await open();
    const stream = await connect(to);
    stream.socket?.pause();
    stream.write(request);
    await to.recorder.received(1);
    const source = to.recorder.messages[0]?.source;
    if (source === undefined) throw new Error("no source");
    const large = bytesOf(`SIP/2.0 200 OK\r\n\r\n${"b".repeat(60_000)}`);
    while (to.network.reply(source, large) !== "failed");
    await turnsUntil(() => to.network.connections().accepted === 0);
    expect(to.count("sendsDropped")).toBeGreaterThan(1);
  });
});

describe("slow peers", () => {
  async function half(text: string) {
    const to = await open();
    const stream = await connect(to);
    stream.write(text);
    await turnsUntil(() => to.network.connections().accepted === 1);
    // Answered pings show that what was written before them has been read.
    return { to, stream };
  }

  /** The accepted side has read everything once a second connection's message has come. */
  async function settled(to: TestNetwork): Promise<void> {
    const count = to.recorder.messages.length;
    const other = await connect(to);
    other.write(request);
    await to.recorder.received(count + 1);
  }

  test("a head must end 10 s after its first byte, however it drips", async () => {
    const { to, stream } = await half("OPTIONS sip:a@b SIP/2.0\r\n");
    await settled(to);
    to.clock.advance(headMs - 1);
    stream.write("Via: x\r\n");
    await settled(to);
    to.network.sweep();
    expect(stream.isClosed).toBe(false);
    to.clock.advance(1);
    to.network.sweep();
    await turnsUntil(() => stream.isClosed);
  });

  test("a message must end 30 s after its first byte, however it drips", async () => {
    const { to, stream } = await half(request.slice(0, -5));
    await settled(to);
    for (let ms = 0; ms < messageMs - 1; ms += headMs - 1) {
      to.clock.advance(headMs - 1);
      stream.write("b");
      await settled(to);
      to.network.sweep();
    }
    to.clock.advance(messageMs);
    to.network.sweep();
    await turnsUntil(() => stream.isClosed);
  });

  test("the time of a message begins with it, not with the connection", async () => {
    const { to, stream } = await half(request);
    await to.recorder.received(1);
    to.clock.advance(headMs);
    stream.write(request.slice(0, 50));
    await settled(to);
    to.clock.advance(headMs - 1);
    to.network.sweep();
    stream.write(request.slice(50));
    await to.recorder.until(() => received(to).filter((text) => text === request).length >= 3);
    expect(stream.isClosed).toBe(false);
  });

  test("the time of the next message begins when the one before it ends", async () => {
    const { to, stream } = await half(request.slice(0, 50));
    await settled(to);
    to.clock.advance(headMs - 1);
    stream.write(request.slice(50) + request.slice(0, 50));
    await to.recorder.received(2);
    to.clock.advance(headMs - 1);
    to.network.sweep();
    stream.write(request.slice(50));
    await to.recorder.received(3);
    expect(stream.isClosed).toBe(false);
  });

  test("a connection without an account's message is closed after 120 s, whatever else it sends", async () => {
    const { to, stream } = await half(request);
    await to.recorder.received(1);
    to.clock.advance(idleMs - 1);
    stream.write(`${request}\r\n\r\n`);
    await to.recorder.received(2);
    to.network.sweep();
    expect(stream.isClosed).toBe(false);
    to.clock.advance(1);
    to.network.sweep();
    await turnsUntil(() => stream.isClosed);
  });

  test("one that brings a peer's messages stays, and goes when it is idle for longer", async () => {
    const { to, stream } = await half(request);
    await to.recorder.received(1);
    const source = to.recorder.messages[0]?.source;
    if (source === undefined) throw new Error("no source");
    expect(to.network.isFrom(to.network.peer({ transport: "tcp", address: "127.0.0.1", port: 5070 }), source)).toBe(
      true,
    );
    to.clock.advance(idleMs);
    to.network.sweep();
    expect(stream.isClosed).toBe(false);
    to.clock.advance(provenIdleMs);
    to.network.sweep();
    await turnsUntil(() => stream.isClosed);
  });

  test("too many from one address: the oldest that proved nothing makes room, a newcomer is served", async () => {
    const to = await open();
    const proven = await connect(to);
    proven.write(request);
    await to.recorder.received(1);
    const source = to.recorder.messages[0]?.source;
    if (source === undefined) throw new Error("no source");
    to.network.isFrom(to.network.peer({ transport: "tcp", address: "127.0.0.1", port: 5070 }), source);
    const flood: RawStream[] = [];
    for (let n = 0; n < inboundPerAddressMax * 2; n++) {
      const one = await connect(to);
      one.write("OPTIONS sip:half");
      flood.push(one);
    }
    const newcomer = await connect(to);
    newcomer.write(requestOf(500, "newcomer"));
    await to.recorder.received(2);
    expect(received(to)[1]).toContain("newcomer");
    await turnsUntil(() => to.network.connections().accepted <= inboundPerAddressMax);
    expect(proven.isClosed).toBe(false);
    expect(flood[0]?.isClosed).toBe(true);
    expect(to.network.connections()).toEqual({
      accepted: inboundPerAddressMax,
      refused: 0,
      evicted: inboundPerAddressMax + 2,
    });
  });
});

describe("TCP listeners", () => {
  test("a port that somebody has is told with its address", async () => {
    const server = serve();
    const second = openTestNetwork({ tcpPort: server.port });
    expect(second).rejects.toThrow(`cannot listen on tcp 127.0.0.1 port ${server.port}: EADDRINUSE`);
    await second.catch(() => {});
  });

  test("UDP and TCP share one free port when any will do, over both families", async () => {
    const one = await open({ listen: ["127.0.0.1", "::1"] });
    expect(one.network.tcpPort).toBe(one.network.udpPort);
    const from = await open({ listen: ["::1"] });
    const peer = from.network.peer({ transport: "tcp", address: "::1", port: one.network.tcpPort });
    from.network.send(peer, bytesOf(request));
    await one.recorder.received(1);
    expect(one.recorder.messages[0]?.source.address).toBe("::1");
  });
});

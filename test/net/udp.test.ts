import { describe, expect, test } from "bun:test";
import type { BunSender, SendPath } from "../../src/net/datagram-wire.ts";
import { EgressPolicy } from "../../src/net/egress.ts";
import { Errno, type Libc, openLibc } from "../../src/net/libc.ts";
import type { PeerId } from "../../src/net/network.ts";
import type { NetworkOptions } from "../../src/net/network-live.ts";
import { waitingCountMax } from "../../src/net/udp.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { openTestNetwork, type TestNetwork, turnsUntil } from "../fakes/wire-recorder.ts";

const closing = closedAfterEach();

async function open(options: Partial<NetworkOptions> = {}): Promise<TestNetwork> {
  const one = await openTestNetwork(options);
  closing.push(() => one.network.close());
  return one;
}

function peerOf(from: TestNetwork, to: TestNetwork, address = "127.0.0.1"): PeerId {
  return from.network.peer({ transport: "udp", address, port: to.network.udpPort });
}

/** A datagram of `bytes` that begins with its number. */
function datagram(number: number, bytes: number): Uint8Array {
  return Buffer.from(String(number).padStart(6, "0").padEnd(bytes, "."), "latin1");
}

function queueAll(from: TestNetwork, peer: PeerId, datagrams: readonly Uint8Array[]): void {
  for (const bytes of datagrams) from.network.queue(peer, bytes, 0, bytes.length);
}

const texts = (bytes: readonly Uint8Array[]) => bytes.map((one) => Buffer.from(one).toString("latin1"));
const received = (by: TestNetwork) => by.recorder.messages.map(({ text }) => text);

/** Makes every way of sending say "full" while closed, as a socket without room does. */
class Gate {
  closed = false;
  drain: () => void = () => {};
  readonly libc: Libc;
  #errno = 0;

  constructor() {
    const real = openLibc();
    if (real === undefined) throw new Error("no C library");
    const refuse = () => {
      this.#errno = Errno.again;
      return -1;
    };
    this.libc = {
      ...real,
      sendmsg: (...given) => (this.closed ? refuse() : this.#real(real.sendmsg(...given), real)),
      sendmmsg: (...given) => (this.closed ? refuse() : this.#real(real.sendmmsg(...given), real)),
      errno: () => this.#errno,
    };
  }

  senderOf = (socket: BunSender, drain: () => void): BunSender => {
    this.drain = drain;
    return {
      send: (...given) => !this.closed && socket.send(...given),
      sendMany: (packets) => (this.closed ? 0 : socket.sendMany(packets)),
    };
  };

  #real(result: number, libc: Libc): number {
    this.#errno = result < 0 ? libc.errno() : 0;
    return result;
  }
}

describe.each(["gso", "sendmmsg", "sendMany"] as const)("sending by %s", (sendPath: SendPath) => {
  test("a message leaves at once and arrives as it is, with its source", async () => {
    const from = await open({ sendPath });
    const to = await open();
    expect(from.network.sendPath).toBe(sendPath);
    expect(from.network.send(peerOf(from, to), Buffer.from("hello, world"))).toBe("sent");
    await to.recorder.received(1);
    expect(to.recorder.messages).toEqual([
      {
        text: "hello, world",
        source: { transport: "udp", address: "127.0.0.1", port: from.network.udpPort, connection: 0 as never },
      },
    ]);
    expect(from.count("datagramsOut")).toBe(1);
    expect(to.count("datagramsIn")).toBe(1);
  });

  test("a burst to several peers arrives whole, apart, and in order where peer and length are the same", async () => {
    const from = await open({ sendPath });
    const others = [await open(), await open(), await open()];
    const sent = others.map(() => [] as string[]);
    for (let number = 0; number < 600; number++) {
      const to = others[number % 3];
      const bytes = datagram(number, [100, 101, 700, 1_300][(number >> 2) % 4] ?? 0);
      if (to === undefined) throw new Error("no peer");
      from.network.queue(peerOf(from, to), bytes, 0, bytes.length);
      sent[number % 3]?.push(Buffer.from(bytes).toString("latin1"));
    }
    expect(from.count("datagramsOut")).toBe(0);
    from.network.flush();
    for (const [n, to] of others.entries()) {
      await to.recorder.received(200);
      expect(received(to).toSorted()).toEqual((sent[n] ?? []).toSorted());
      for (const length of [100, 101, 700, 1_300]) {
        const same = received(to).filter((text) => text.length === length);
        expect(same).toEqual(same.toSorted());
      }
    }
    expect(from.count("datagramsOut")).toBe(600);
    expect(from.count("sendsDropped")).toBe(0);
  });

  test("only the queued part of a buffer leaves, and the buffer may change after", async () => {
    const from = await open({ sendPath });
    const to = await open();
    const bytes = Buffer.from("__message__");
    expect(from.network.isPending).toBe(false);
    from.network.queue(peerOf(from, to), bytes, 2, 9);
    bytes.fill(0);
    expect(from.network.isPending).toBe(true);
    from.network.flush();
    expect(from.network.isPending).toBe(false);
    await to.recorder.received(1);
    expect(received(to)).toEqual(["message"]);
  });

  test("more than a burst holds leaves early, and a receiver's buffer takes it all", async () => {
    const from = await open({ sendPath });
    const to = await open();
    const all = Array.from({ length: 4_000 }, (_, number) => datagram(number, 800));
    queueAll(from, peerOf(from, to), all);
    from.network.flush();
    await to.recorder.received(all.length);
    expect(received(to)).toEqual(texts(all));
  });

  test("datagrams of every size up to the largest arrive; a larger one is counted and its peer told of", async () => {
    const from = await open({ sendPath });
    const to = await open();
    const peer = peerOf(from, to);
    const sizes = [6, 7, 1_452, 1_453, 1_500, 9_000, 65_507];
    for (const size of sizes) queueAll(from, peer, [datagram(1, size), datagram(2, size), datagram(3, size)]);
    queueAll(from, peer, [datagram(0, 65_508)]);
    queueAll(from, peer, [datagram(9, 100)]);
    from.network.flush();
    await to.recorder.received(sizes.length * 3 + 1);
    expect(
      received(to)
        .map(({ length }) => length)
        .toSorted((a, b) => a - b),
    ).toEqual([...sizes.flatMap((size) => [size, size, size]), 100].toSorted((a, b) => a - b));
    expect(from.count("sendsDropped")).toBe(1);
    await from.recorder.down();
    expect(from.recorder.downs[0]?.peer).toBe(peer);
    expect(from.network.send(peer, datagram(0, 65_508))).toBe("failed");
    expect(from.count("sendsDropped")).toBe(2);
  });

  test("what a full socket does not take waits in order and leaves with the next flush", async () => {
    const gate = new Gate();
    const from = await open({ sendPath, libc: gate.libc, senderOf: gate.senderOf });
    const to = await open();
    const peer = peerOf(from, to);
    const all = Array.from({ length: 300 }, (_, number) => datagram(number, 500));
    gate.closed = true;
    queueAll(from, peer, all.slice(0, 200));
    from.network.flush();
    for (const bytes of all.slice(200)) expect(from.network.send(peer, bytes)).toBe("queued");
    from.network.flush();
    expect(from.count("datagramsOut")).toBe(0);
    gate.closed = false;
    from.network.flush();
    await to.recorder.received(all.length);
    expect(received(to)).toEqual(texts(all));
    expect(from.count("datagramsOut")).toBe(300);
    expect(from.count("sendsDropped")).toBe(0);
    expect(from.network.send(peer, datagram(300, 500))).toBe("sent");
  });

  test("what waits leaves when the socket has room again", async () => {
    const gate = new Gate();
    const from = await open({ sendPath, libc: gate.libc, senderOf: gate.senderOf });
    const to = await open();
    gate.closed = true;
    expect(from.network.send(peerOf(from, to), datagram(1, 50))).toBe("queued");
    gate.closed = false;
    gate.drain();
    await to.recorder.received(1);
    expect(from.count("datagramsOut")).toBe(1);
  });

  test("what waits leaves before a message that is sent later", async () => {
    const gate = new Gate();
    const from = await open({ sendPath, libc: gate.libc, senderOf: gate.senderOf });
    const to = await open();
    const peer = peerOf(from, to);
    gate.closed = true;
    expect(from.network.send(peer, datagram(1, 50))).toBe("queued");
    gate.closed = false;
    expect(from.network.send(peer, datagram(2, 50))).toBe("sent");
    await to.recorder.received(2);
    expect(received(to)).toEqual(texts([datagram(1, 50), datagram(2, 50)]));
  });

  test("what waits is bounded; beyond it each datagram is counted as dropped", async () => {
    const gate = new Gate();
    const from = await open({ sendPath, libc: gate.libc, senderOf: gate.senderOf });
    const to = await open();
    const peer = peerOf(from, to);
    gate.closed = true;
    for (let number = 0; number < waitingCountMax; number++) from.network.send(peer, datagram(number, 20));
    expect(from.network.send(peer, datagram(0, 20))).toBe("failed");
    queueAll(from, peer, [datagram(1, 20), datagram(2, 20)]);
    from.network.flush();
    expect(from.count("sendsDropped")).toBe(3);
    gate.closed = false;
    from.network.flush();
    await to.recorder.received(waitingCountMax);
    expect(from.count("datagramsOut")).toBe(waitingCountMax);
  });

  test("an ICMP error of an earlier datagram costs none of the next", async () => {
    const from = await open({ sendPath });
    const to = await open();
    const gone = await open();
    const dead = peerOf(from, gone);
    gone.network.close();
    const all = Array.from({ length: 100 }, (_, number) => datagram(number, 300));
    from.network.send(dead, datagram(0, 300));
    expect(from.network.send(peerOf(from, to), datagram(999, 300))).toBe("sent");
    from.network.send(dead, datagram(0, 300));
    queueAll(from, peerOf(from, to), all);
    from.network.flush();
    await to.recorder.received(101);
    expect(received(to)).toEqual(texts([datagram(999, 300), ...all]));
    expect(from.count("sendsDropped")).toBe(0);
  });

  test("a peer whose host says that nobody listens is down, and no other", async () => {
    const from = await open({ sendPath });
    const to = await open();
    const gone = await open();
    const dead = peerOf(from, gone);
    gone.network.close();
    from.network.send(peerOf(from, to), datagram(1, 300));
    queueAll(from, dead, [datagram(2, 300)]);
    from.network.flush();
    await from.recorder.down();
    expect(from.recorder.downs.map(({ peer }) => peer)).toEqual([dead]);
    expect(from.recorder.downs[0]?.reason).toContain("unreachable");
  });

  test("IPv6 peers are reached from an IPv6 socket on the same port", async () => {
    const from = await open({ sendPath, listen: ["127.0.0.1", "::1"] });
    const to = await open({ listen: ["127.0.0.1", "::1"] });
    const [four, six] = [peerOf(from, to), peerOf(from, to, "::1")];
    for (let number = 0; number < 5; number++) queueAll(from, number % 2 === 0 ? six : four, [datagram(number, 60)]);
    from.network.send(six, datagram(5, 60));
    from.network.flush();
    await to.recorder.received(6);
    const sources = to.recorder.messages.map(({ source, text }) => `${text.slice(5, 6)} ${source.address}`).toSorted();
    expect(sources).toEqual(["0 ::1", "1 127.0.0.1", "2 ::1", "3 127.0.0.1", "4 ::1", "5 ::1"]);
    expect(to.recorder.messages.every(({ source }) => source.port === from.network.udpPort)).toBe(true);
  });

  test("a peer of a family that we have no socket for is a counted failure", async () => {
    const from = await open({ sendPath });
    const six = from.network.peer({ transport: "udp", address: "::1", port: 5060 });
    expect(from.network.send(six, datagram(1, 20))).toBe("failed");
    queueAll(from, six, [datagram(1, 20)]);
    from.network.flush();
    expect(from.count("sendsDropped")).toBe(2);
  });
});

describe("bursts by UDP_SEGMENT", () => {
  test("cost a call for 64 datagrams", async () => {
    const gate = new Gate();
    let calls = 0;
    const libc: Libc = {
      ...gate.libc,
      sendmsg: (...given) => {
        calls++;
        return gate.libc.sendmsg(...given);
      },
    };
    const from = await open({ sendPath: "gso", libc });
    const to = await open();
    queueAll(
      from,
      peerOf(from, to),
      Array.from({ length: 640 }, (_, number) => datagram(number, 700)),
    );
    from.network.flush();
    await to.recorder.received(640);
    expect(calls).toBe(10);
  });

  test("leave by sendmmsg when the device cannot cut them", async () => {
    const gate = new Gate();
    let refused = 0;
    const libc: Libc = {
      ...gate.libc,
      sendmsg: (...given) => (refused++ < 1 ? -1 : gate.libc.sendmsg(...given)),
      errno: () => (refused === 1 ? Errno.io : gate.libc.errno()),
    };
    const from = await open({ sendPath: "gso", libc });
    const to = await open();
    const all = Array.from({ length: 130 }, (_, number) => datagram(number, 700));
    queueAll(from, peerOf(from, to), all);
    from.network.flush();
    await to.recorder.received(all.length);
    expect(received(to)).toEqual(texts(all));
    queueAll(from, peerOf(from, to), all);
    from.network.flush();
    await to.recorder.received(all.length * 2);
    expect(refused).toBe(1);
    expect(from.count("sendsDropped")).toBe(0);
  });
});

describe("the path of bursts", () => {
  test("is found by trial, and is the fastest here", async () => {
    const { network } = await open();
    expect(network.sendPath).toBe("gso");
  });

  test("is Bun's own without a C library, whatever was asked for", async () => {
    const from = await open({ libc: null, sendPath: "gso" });
    const to = await open();
    expect(from.network.sendPath).toBe("sendMany");
    queueAll(from, peerOf(from, to), [datagram(1, 50), datagram(2, 50)]);
    from.network.flush();
    await to.recorder.received(2);
    expect((await open({ libc: null })).network.sendPath).toBe("sendMany");
  });

  test("is sendmmsg where the kernel takes UDP_SEGMENT and does not cut", async () => {
    const gate = new Gate();
    const libc: Libc = { ...gate.libc, sendmsg: () => 300 };
    expect((await open({ libc })).network.sendPath).toBe("sendmmsg");
  });
});

describe("receiving by UDP", () => {
  test("keep-alives and empty datagrams are no messages, RFC 5626 §4.4.1", async () => {
    const to = await open();
    const from = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    for (const bytes of ["", "\r\n", "\r\n\r\n", "\0", "OPTIONS"]) from.send(bytes, to.network.udpPort, "127.0.0.1");
    await to.recorder.received(1);
    expect(received(to)).toEqual(["OPTIONS"]);
    expect(to.count("datagramsIn")).toBe(5);
    from.close();
  });

  test("a fault in one message costs that message only, and is counted", async () => {
    const to = await open();
    const from = await open();
    to.recorder.onEach = ({ text }) => {
      if (text === "first") throw new Error("a bug above");
    };
    from.network.send(peerOf(from, to), Buffer.from("first"));
    from.network.send(peerOf(from, to), Buffer.from("second"));
    await to.recorder.received(1);
    expect(received(to)).toEqual(["second"]);
    expect(to.count("faultsDatagram")).toBe(1);
  });

  test("an answer goes to the source's port from where its message came to, RFC 3581 §4", async () => {
    const to = await open({ listen: ["127.0.0.2", "127.0.0.3"] });
    const from = await open();
    to.recorder.onEach = ({ source }) => expect(to.network.reply(source, Buffer.from("answer"))).toBe("sent");
    for (const [n, address] of ["127.0.0.2", "127.0.0.3", "127.0.0.2"].entries()) {
      from.network.send(peerOf(from, to, address), Buffer.from("request"));
      await from.recorder.received(n + 1);
      expect(from.recorder.messages[n]?.source).toMatchObject({ address, port: to.network.udpPort });
    }
  });

  test("of several sockets the one on the route to a peer sends to it", async () => {
    const from = await open({ listen: ["127.0.0.2", "127.0.0.3"], findRoute: () => Promise.resolve("127.0.0.3") });
    const to = await open();
    const peer = peerOf(from, to);
    await turnsUntil(() => from.network.localAddress(peer, false) !== undefined);
    expect(from.network.localAddress(peer, false)).toEqual({ host: "127.0.0.3", port: from.network.udpPort });
    from.network.send(peer, Buffer.from("hello"));
    await to.recorder.received(1);
    expect(to.recorder.messages[0]?.source.address).toBe("127.0.0.3");
  });
});

describe("UDP sockets", () => {
  test("a port that somebody has is told with its address", async () => {
    const first = await open();
    const second = openTestNetwork({ udpPort: first.network.udpPort });
    expect(second).rejects.toThrow(`cannot listen on udp 127.0.0.1 port ${first.network.udpPort}: EADDRINUSE`);
    await second.catch(() => {});
  });

  test("an address that the egress policy denies gets nothing", async () => {
    const to = await open();
    const from = await open({ egress: new EgressPolicy({ interfaces: () => [] }) });
    expect(from.network.send(peerOf(from, to), Buffer.from("hello"))).toBe("failed");
    from.network.keepAlive(peerOf(from, to));
    queueAll(from, peerOf(from, to), [datagram(1, 30)]);
    from.network.flush();
    expect(from.count("sendsDropped")).toBe(2);
    expect(from.count("datagramsOut")).toBe(0);
  });

  test("a keep-alive is two CRLFs", async () => {
    const from = await open();
    const arrived: string[] = [];
    const to = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (_, bytes) => void arrived.push(bytes.toString()) },
    });
    from.network.keepAlive(from.network.peer({ transport: "udp", address: "127.0.0.1", port: to.port }));
    await turnsUntil(() => arrived.length > 0);
    expect(arrived).toEqual(["\r\n\r\n"]);
    to.close();
  });
});

describe("socket buffers", () => {
  test("are grown as far as the system lets us, and told", async () => {
    const { network } = await open();
    // A plain user gets at least what net.core.rmem_max allows; the default of 208 KiB loses bursts.
    expect(network.udpBuffers?.receiveBytes).toBeGreaterThanOrEqual(106_496);
    expect(network.udpBuffers?.sendBytes).toBeGreaterThanOrEqual(106_496);
    expect((await open({ libc: null })).network.udpBuffers).toEqual({ receiveBytes: 0, sendBytes: 0 });
  });

  test("are asked for by force first, then within the limit", async () => {
    const real = openLibc();
    if (real === undefined) throw new Error("no C library");
    const asked: number[] = [];
    const libc: Libc = {
      ...real,
      setOption: (_fd, _level, name, value) => {
        expect(value).toBe(8 * 1_048_576);
        asked.push(name);
        return false;
      },
    };
    await open({ libc, sendPath: "gso" });
    expect(asked).toEqual([33, 8, 32, 7]);
  });
});

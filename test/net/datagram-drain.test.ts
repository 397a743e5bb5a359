import { describe, expect, test } from "bun:test";
import { DatagramDrain } from "../../src/net/datagram-drain.ts";
import { Errno, type Libc, openLibc } from "../../src/net/libc.ts";
import type { NetworkOptions } from "../../src/net/network-live.ts";
import { closedAfterEach } from "../fakes/closing.ts";
import { openTestNetwork, type TestNetwork } from "../fakes/wire-recorder.ts";

const closing = closedAfterEach();

async function open(options: Partial<NetworkOptions> = {}): Promise<TestNetwork> {
  const one = await openTestNetwork(options);
  closing.push(() => one.network.close());
  return one;
}

/** The real C library, which counts what it reads. */
function counting(): { readonly libc: Libc; read: number } {
  const real = openLibc();
  if (real === undefined) throw new Error("no C library");
  const counted = {
    read: 0,
    libc: {
      ...real,
      recvmmsg: (...given: Parameters<Libc["recvmmsg"]>) => {
        const count = real.recvmmsg(...given);
        if (count > 0) counted.read += count;
        return count;
      },
    },
  };
  return counted;
}

/** Sends `texts` in one burst and waits until all have come. */
async function burst(to: TestNetwork, from: TestNetwork, address: string, texts: readonly string[]): Promise<void> {
  const peer = from.network.peer({ transport: "udp", address, port: to.network.udpPort });
  for (const text of texts) from.network.queue(peer, Buffer.from(text, "latin1"), 0, text.length);
  from.network.flush();
  await to.recorder.received(texts.length);
}

const numbered = (count: number, bytes: number): string[] =>
  Array.from({ length: count }, (_, n) => String(n).padStart(6, "0").padEnd(bytes, "."));
const received = (by: TestNetwork): string[] => by.recorder.messages.map(({ text }) => text);

describe("datagrams that wait behind each other", () => {
  test("are read many at a time, in order, and told as each came", async () => {
    const counted = counting();
    const to = await open({ libc: counted.libc });
    const from = await open();
    const texts = numbered(1_000, 600);
    await burst(to, from, "127.0.0.1", texts);
    expect(received(to)).toEqual(texts);
    const source = { transport: "udp", address: "127.0.0.1", port: from.network.udpPort, connection: 0 } as never;
    expect(to.recorder.messages.every((one) => Bun.deepEquals(one.source, source))).toBe(true);
    expect(to.count("datagramsIn")).toBe(1_000);
    expect(counted.read).toBeGreaterThan(500);
  });

  test("come all the same without a C library", async () => {
    const to = await open({ libc: null });
    const from = await open();
    const texts = numbered(60, 600);
    await burst(to, from, "127.0.0.1", texts);
    expect(received(to)).toEqual(texts);
  });

  test("are told from an IPv6 source as RFC 5952 writes it", async () => {
    const counted = counting();
    const to = await open({ libc: counted.libc, listen: ["::1"] });
    const from = await open({ listen: ["::1"] });
    await burst(to, from, "::1", numbered(200, 100));
    expect(counted.read).toBeGreaterThan(0);
    expect(new Set(to.recorder.messages.map(({ source }) => source.address))).toEqual(new Set(["::1"]));
  });

  test("may be of any length; keep-alives among them are counted and not told", async () => {
    const to = await open();
    const from = await open({ sendPath: "sendmmsg" });
    const lengths = Array.from({ length: 60 }, (_, n) => [3, 20, 1_400, 9_000, 60_000][n % 5] ?? 0);
    const peer = from.network.peer({ transport: "udp", address: "127.0.0.1", port: to.network.udpPort });
    for (const length of lengths) from.network.queue(peer, Buffer.alloc(length, 65), 0, length);
    from.network.flush();
    await to.recorder.received(48);
    // A burst keeps its order among those of one length.
    const byLength = (a: number, b: number): number => a - b;
    expect(received(to).map(({ length }) => length)).toEqual(lengths.filter((length) => length > 4).toSorted(byLength));
    expect(to.count("datagramsIn")).toBe(60);
  });

  test("that are answered within the call, or throw there, do not disturb those behind", async () => {
    const to = await open();
    const from = await open();
    to.recorder.onEach = ({ text, source }) => {
      to.network.reply(source, Buffer.from(`re ${text}`));
      if (text.startsWith("000020")) throw new Error("bad one");
    };
    await burst(from, to, "127.0.0.1", []);
    const peer = from.network.peer({ transport: "udp", address: "127.0.0.1", port: to.network.udpPort });
    for (const text of numbered(300, 80)) from.network.queue(peer, Buffer.from(text), 0, text.length);
    from.network.flush();
    await from.recorder.received(300);
    expect(to.recorder.messages.length).toBe(299);
    expect(to.count("faultsDatagram")).toBe(1);
    expect(received(from)).toEqual(numbered(300, 80).map((text) => `re ${text}`));
  });
});

describe("an emptied socket", () => {
  /** Reads as `results` say, one a call. */
  function scripted(results: readonly (number | "refused")[]): { readonly libc: Libc; calls: number } {
    const real = openLibc();
    if (real === undefined) throw new Error("no C library");
    let errno: number = Errno.again;
    const script = {
      calls: 0,
      libc: {
        ...real,
        recvmmsg: () => {
          const result = results[script.calls++] ?? -1;
          errno = result === "refused" ? Errno.connectionRefused : Errno.again;
          return result === "refused" ? -1 : result;
        },
        errno: () => errno,
      },
    };
    return script;
  }

  test("that reports an ICMP error is read on", () => {
    const script = scripted(["refused", 64, 3]);
    let [taken, errors] = [0, 0];
    new DatagramDrain(script.libc, -1).drain(
      () => taken++,
      () => errors++,
    );
    expect({ taken, errors, calls: script.calls }).toEqual({ taken: 67, errors: 1, calls: 3 });
  });

  test("that never empties gives the loop its turn", () => {
    const script = scripted(Array.from({ length: 1_000 }, () => 64));
    let taken = 0;
    new DatagramDrain(script.libc, -1).drain(
      () => taken++,
      () => {},
    );
    expect(taken).toBe(4_096);
  });

  test("that was closed by what it told is not read again", () => {
    const script = scripted([64, 64]);
    const drain = new DatagramDrain(script.libc, -1);
    drain.drain(
      () => drain.close(),
      () => {},
    );
    expect(script.calls).toBe(1);
  });
});

/**
 * Claim: 2,000 half-sent and dripping TCP connections keep no newcomer waiting a second, and each costs under 20 kB. They come from 20
 * addresses, for one address alone may hold a hundred; beyond that the oldest make room. The flood is a process of its own.
 */
import { openTestNetwork, requestOf } from "../../test/fakes/wire-recorder.ts";

const connections = 2_000;
const port = Bun.argv[2];

if (port === undefined) {
  const { network, recorder, clock } = await openTestNetwork({ tcpPort: 0 });
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  const flood = Bun.spawn(["bun", import.meta.path, String(network.tcpPort)], { stdout: "pipe" });
  const told = flood.stdout.getReader();
  await told.read();
  Bun.gc(true);
  const { accepted, evicted } = network.connections();
  const bytes = process.memoryUsage.rss() - before;
  console.log(`${accepted} half-sent connections, ${evicted} evicted: ${(bytes / accepted / 1e3).toFixed(1)} kB each`);
  const request = requestOf(400, "newcomer");
  const since = performance.now();
  const newcomer = await Bun.connect({ hostname: "127.0.0.1", port: network.tcpPort, socket: { data() {} } });
  newcomer.write(request);
  await recorder.received(1);
  console.log(`newcomer served after ${(performance.now() - since).toFixed(1)} ms`);
  clock.advance(10_000);
  let longestMs = 0;
  let sweeps = 0;
  for (; network.connections().accepted > 1 && sweeps < 60; sweeps++) {
    const swept = performance.now();
    network.sweep();
    longestMs = Math.max(longestMs, performance.now() - swept);
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
  console.log(
    `longest look for the slow: ${longestMs.toFixed(1)} ms; all gone ${10 + sweeps} s after their first byte`,
  );
  newcomer.terminate();
  flood.kill();
  network.close();
} else {
  const half = Buffer.from(requestOf(400).slice(0, 100), "latin1");
  const local = (n: number) => `127.0.1.${1 + (n % 20)}`;
  // Bun.connect cannot choose its own address; node's can.
  const { connect } = await import("node:net");
  let open = 0;
  for (let n = 0; n < connections; n++) {
    await new Promise<void>((resolve) => {
      const socket = connect({ host: "127.0.0.1", port: Number(port), localAddress: local(n) }, () => {
        socket.write(half);
        open++;
        resolve();
      });
      socket.on("error", () => resolve());
    });
  }
  setTimeout(() => console.log(open), 300);
  setInterval(() => {}, 1_000);
}

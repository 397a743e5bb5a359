/**
 * Claim: in a burst of 600 B datagrams to one registrar each costs this thread 1.2 µs of CPU by UDP_SEGMENT, all of it: queued, grouped,
 * sent (C alone: 0.82–0.86 µs on loopback). sendmmsg, sendMany and single sends stand beside it; so does the grouping alone.
 */
import { DatagramBatch } from "../../src/net/datagram-batch.ts";
import type { PeerId } from "../../src/net/network.ts";
import { openTestNetwork } from "../../test/fakes/wire-recorder.ts";

const count = Number(Bun.env.COUNT ?? 60_000);
const burst = 512;
const bytes = new Uint8Array(600).fill(65);

const sink = Bun.spawn(["bun", new URL("./sink.ts", import.meta.url).pathname], { stdout: "pipe" });
const reader = sink.stdout.getReader();
const { value } = await reader.read();
const port = Number(Buffer.from(value ?? []).toString());

function report(name: string, run: () => void): void {
  const cpu = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(cpu);
  console.log(`${name}: ${(((user + system) / count) * 1e3).toFixed(0)} ns CPU a datagram`);
}

for (const sendPath of ["gso", "sendmmsg", "sendMany"] as const) {
  const { network, count: counted } = await openTestNetwork({ sendPath });
  const peer = network.peer({ transport: "udp", address: "127.0.0.1", port });
  const bursts = () => {
    for (let sent = 0; sent < count; sent += burst) {
      for (let n = 0; n < burst; n++) network.queue(peer, bytes, 0, bytes.length);
      network.flush();
    }
  };
  bursts();
  report(`burst of ${burst} by ${sendPath}`, bursts);
  if (sendPath !== "sendmmsg") {
    report(`single send, ${sendPath === "gso" ? "C library" : "Bun"}`, () => {
      for (let n = 0; n < count; n++) network.send(peer, bytes);
    });
  }
  if (counted("sendsDropped") > 0) console.log(`  dropped: ${counted("sendsDropped")}`);
  network.close();
}

const batch = new DatagramBatch();
report("queue and group alone, 20 lengths", () => {
  for (let done = 0; done < count; done += burst) {
    for (let n = 0; n < burst; n++) batch.add((1 + (n & 3)) as PeerId, bytes, 0, 580 + (n % 5) * 4);
    batch.group();
    batch.clear();
  }
});

sink.kill();

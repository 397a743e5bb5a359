import { openTestNetwork } from "../../test/fakes/wire-recorder.ts";

/** A process that sends `count` datagrams of 600 B to a loopback port, `burst` every `everyMs`: source.ts PORT COUNT BURST EVERY_MS. */
const [port = 0, count = 0, burst = 1, everyMs = 10] = process.argv.slice(2).map(Number);
const { network } = await openTestNetwork();
const peer = network.peer({ transport: "udp", address: "127.0.0.1", port });
const bytes = new Uint8Array(600).fill(65);
for (let sent = 0; sent < count; sent += burst) {
  for (let n = 0; n < burst; n++) network.queue(peer, bytes, 0, bytes.length);
  network.flush();
  await Bun.sleep(everyMs);
}
network.close();

import { openTestNetwork } from "./wire-recorder.ts";

/** Sends itself a burst from one network to another and tells what came: `bun:ffi` and sockets on a thread of their own. */
declare const self: Worker;

const from = await openTestNetwork();
const to = await openTestNetwork();
const peer = from.network.peer({ transport: "udp", address: "127.0.0.1", port: to.network.udpPort });
const bytes = new Uint8Array(600).fill(65);
for (let n = 0; n < 100; n++) from.network.queue(peer, bytes, 0, bytes.length);
from.network.flush();
await to.recorder.received(100);
self.postMessage({
  sendPath: from.network.sendPath,
  received: to.recorder.messages.length,
  dropped: from.count("sendsDropped"),
});
from.network.close();
to.network.close();

import { DatagramBatch } from "./datagram-batch.ts";
import type { SendPath } from "./datagram-wire.ts";
import type { Libc } from "./libc.ts";
import type { PeerId } from "./network.ts";
import { SocketAddresses } from "./socket-addresses.ts";
import { LibcWire } from "./wire-libc.ts";

const trialDatagrams = 3;
const trialBytes = 100;
const trialMs = 250;
const trialPeer = 1 as PeerId;

/**
 * Sends a few datagrams from one loopback socket to another by each fast path and takes the first by which they arrive
 * whole and apart: a kernel may take UDP_SEGMENT and ignore it.
 */
export async function trySendPaths(libc: Libc | undefined): Promise<SendPath> {
  if (libc === undefined) return "sendMany";
  for (const path of ["gso", "sendmmsg"] as const) if (await works(libc, path)) return path;
  return "sendMany";
}

async function works(libc: Libc, path: "gso" | "sendmmsg"): Promise<boolean> {
  const batch = new DatagramBatch();
  const addresses = new SocketAddresses();
  const arrived = Promise.withResolvers<boolean>();
  let good = 0;
  const sink = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (_socket, bytes) => {
        if (bytes.length !== trialBytes) arrived.resolve(false);
        else if (++good === trialDatagrams) arrived.resolve(true);
      },
    },
  });
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const timer = setTimeout(() => arrived.resolve(false), trialMs);
  try {
    const fd = "fd" in socket && typeof socket.fd === "number" ? socket.fd : -1;
    if (fd < 0) return false;
    addresses.set(trialPeer, "127.0.0.1", sink.port);
    for (let n = 0; n < trialDatagrams; n++)
      batch.add(trialPeer, new Uint8Array(trialBytes).fill(65 + n), 0, trialBytes);
    batch.group();
    const wire = new LibcWire(libc, fd, addresses, path);
    // `path` again: a device that cannot cut makes the wire fall back by itself.
    if (wire.burst(batch, 0, trialDatagrams, true) !== trialDatagrams || wire.path !== path) return false;
    return await arrived.promise;
  } finally {
    clearTimeout(timer);
    socket.close();
    sink.close();
  }
}

import type { LocalAddress, Network, PeerId } from "../net/network.ts";

/** RFC 3261 §18.1.1: a larger request goes by TCP where the server takes it. */
export const datagramBytesMax = 1300;
const udpVia = "\r\nVia: SIP/2.0/UDP";

/** "sent": it is on its way by TCP. "waits": it went by TCP before, where nothing is sent again. "byUdp": this server takes it by UDP only. */
export type LargeOutcome = "sent" | "waits" | "byUdp";

/**
 * Sends a request that is too large for a datagram to a peer of UDP: by TCP, with a Via that says so. Its Contact stays that of UDP, for only this
 * request is too large. The timer of a datagram runs all the same; at its ring (`isRepeat`), once TCP was refused, the request goes by UDP.
 */
export function sendLarge(
  network: Network,
  peer: PeerId,
  local: LocalAddress,
  request: Uint8Array,
  isRepeat: boolean,
): LargeOutcome {
  const twin = network.largeTransport?.(peer);
  if (twin === undefined || network.localAddress(twin, false)?.port !== local.port) return "byUdp";
  if (isRepeat) return "waits";
  const copy = Buffer.from(request);
  const at = copy.indexOf(udpVia, 0, "latin1");
  if (at < 0) return "byUdp";
  copy.write("TCP", at + udpVia.length - 3, "latin1");
  return network.send(twin, copy) === "failed" ? "byUdp" : "sent";
}

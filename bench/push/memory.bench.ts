/**
 * Claim: the heap stays flat over 60,000 pushes to APNs (node-apn alone grew from 30 to 132 MB on Bun: a listener left on
 * the connection by each request). Printed after a full collection every 10,000; the fake server's heap is included. The
 * gateway remembers 20,000 accepted pushes, so its share stops growing there.
 */
import type { DeviceId } from "../../src/base/ids.ts";
import { buildPayload } from "../../src/push/payload.ts";
import { openApnsBed } from "./apns-bed.ts";

const pushes = Number(Bun.argv[2] ?? 60_000);
const inFlight = 100;
const everyPushes = 10_000;

const bed = await openApnsBed();
let sent = 0;

async function worker(upTo: number): Promise<void> {
  while (sent < upTo) {
    sent++;
    const nowMs = Date.now();
    const payload = buildPayload({ id: Bun.randomUUIDv7(), kind: "call", from: { uri: "sip:a@example.com" } }, nowMs);
    const request = { deviceId: Bun.randomUUIDv7() as DeviceId, payload, deadlineMs: nowMs + 40_000 };
    const delivery = await bed.gateway.push(request);
    if (delivery.kind !== "accepted") throw new Error(`push was not accepted: ${JSON.stringify(delivery)}`);
  }
}

const startMs = performance.now();
for (let upTo = everyPushes; upTo <= pushes; upTo += everyPushes) {
  await Promise.all(Array.from({ length: inFlight }, () => worker(upTo)));
  Bun.gc(true);
  const { heapUsed, rss } = process.memoryUsage();
  console.log(`${upTo} pushes: heap ${(heapUsed / 1e6).toFixed(1)} MB, rss ${(rss / 1e6).toFixed(1)} MB`);
}
console.log(
  `${Math.round((pushes / (performance.now() - startMs)) * 1000)} pushes/s, ${bed.fake.connections} connection(s)`,
);
await bed.close();

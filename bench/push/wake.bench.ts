/**
 * Claim: from a wake event to the push's headers at the provider, on a warm HTTP/2 connection with TLS, under 2 ms median
 * at 100 calls a second (design budget). Gateway, sender and fake server share one thread, so the figure is an upper bound.
 * Baseline, 2 cores of a shared x64 virtual machine, Bun 1.4.5, November 2026: see docs/push.md.
 */
import { createHistogram } from "node:perf_hooks";
import type { CallUuid, DeviceId } from "../../src/base/ids.ts";
import { buildPayload } from "../../src/push/payload.ts";
import { openApnsBed } from "./apns-bed.ts";

const callsPerSec = 100;
const seconds = Number(Bun.argv[2] ?? 10);
const warmUpCalls = 200;

const bed = await openApnsBed();
const startedAtNs = new Map<string, number>();
const toWire = createHistogram();
const toAnswer = createHistogram();
let counted = false;
bed.fake.onHeaders = (token) => {
  const fromNs = startedAtNs.get(token);
  if (fromNs !== undefined && counted) toWire.record(Math.max(1, Bun.nanoseconds() - fromNs));
};

async function wake(): Promise<void> {
  const deviceId = Bun.randomUUIDv7() as DeviceId;
  const call = Bun.randomUUIDv7() as CallUuid;
  const fromNs = Bun.nanoseconds();
  startedAtNs.set(deviceId, fromNs);
  const nowMs = Date.now();
  const payload = buildPayload(
    {
      id: Bun.randomUUIDv7(),
      kind: "call",
      call,
      callId: `${call}@pbx.example.com`,
      from: { uri: "sip:+15550100@pbx.example.com", name: "Alice" },
      tunnel: `wss://push.example.com/v1/tunnel?ticket=${"x".repeat(43)}`,
      deadlineMs: nowMs + 40_000,
    },
    nowMs,
  );
  const delivery = await bed.gateway.push({ deviceId, payload, deadlineMs: nowMs + 40_000 });
  startedAtNs.delete(deviceId);
  if (delivery.kind !== "accepted") throw new Error(`push was not accepted: ${JSON.stringify(delivery)}`);
  if (counted) toAnswer.record(Math.max(1, Bun.nanoseconds() - fromNs));
}

for (let n = 0; n < warmUpCalls; n++) await wake();
counted = true;
const running: Promise<void>[] = [];
const startMs = performance.now();
for (let n = 0; n < callsPerSec * seconds; n++) {
  const dueMs = startMs + (n * 1000) / callsPerSec;
  await Bun.sleep(Math.max(0, dueMs - performance.now()));
  running.push(wake());
}
await Promise.all(running);

const ms = (ns: number): string => (ns / 1e6).toFixed(3);
for (const [name, histogram] of [
  ["wake to headers at the provider", toWire],
  ["wake to the provider's answer", toAnswer],
] as const) {
  console.log(
    `${name}: p50 ${ms(histogram.percentile(50))} ms, p99 ${ms(histogram.percentile(99))} ms, max ${ms(histogram.max)} ms (${histogram.count} calls)`,
  );
}
await bed.close();

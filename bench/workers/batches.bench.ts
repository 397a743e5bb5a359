/**
 * Claim: what crosses between pool and shards costs well under 2 us an item in batches, and a frame as a latin1 string no more than
 * a small event. Both ends together, as CPU of this process: the echo worker answers each batch with one number.
 */
import type { AccountId, CallUuid, DeviceId, SubscriptionId, TunnelId } from "../../src/base/ids.ts";
import type { Command, Event } from "../../src/workers/protocol.ts";

const batches = 400;
const source = "self.onmessage = (message) => self.postMessage(message.data.length)";
const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "application/javascript" })));
let onAnswer: () => void = () => {};
worker.addEventListener("message", () => onAnswer());

const accountId = crypto.randomUUID() as AccountId;
const invite = `INVITE sip:u000001@127.0.0.1:5060 SIP/2.0\r\n${"Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK0123456789\r\n".repeat(12)}`;
const changed: Event = {
  kind: "registrationChanged",
  accountId,
  status: { mode: "auto", state: "registered", expiresAtMs: 1, lastStatus: 200, lastReason: "OK", transport: "udp" },
};
const wake: Event = {
  kind: "wake",
  call: crypto.randomUUID() as CallUuid,
  callId: "0123456789@127.0.0.1",
  accountId,
  targets: [
    {
      deviceId: crypto.randomUUID() as DeviceId,
      subscriptionId: crypto.randomUUID() as SubscriptionId,
    },
  ],
  from: { uri: "sip:+15550100@pbx.example.com", name: "Alice" },
  receivedAtMs: 1,
  deadlineMs: 2,
};
const frame: Event = { kind: "frame", tunnelId: 1 as TunnelId, text: invite };
const command: Command = { kind: "accountChanged", accountId, wanted: true };

async function measure(name: string, item: Event | Command, perBatch: number): Promise<void> {
  // Each an object of its own: a clone knows one it has seen.
  const batch = Array.from({ length: perBatch }, () => structuredClone(item));
  const round = () =>
    new Promise<void>((resolve) => {
      onAnswer = resolve;
      worker.postMessage(batch);
    });
  for (let n = 0; n < batches; n++) await round();
  const before = process.cpuUsage();
  for (let n = 0; n < batches; n++) await round();
  const used = process.cpuUsage(before);
  const us = (used.user + used.system) / (batches * perBatch);
  console.log(`${name}, ${perBatch} a batch: ${us.toFixed(2)} us`);
}

for (const perBatch of [1, 16, 256]) {
  await measure("registrationChanged", changed, perBatch);
  await measure("wake", wake, perBatch);
  await measure("frame of an INVITE", frame, perBatch);
  await measure("accountChanged", command, perBatch);
}
worker.terminate();

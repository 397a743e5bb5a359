import { generateKeyPairSync } from "node:crypto";
import type { DeviceId } from "../../src/base/ids.ts";
import { silentLog } from "../../src/observe/log.ts";
import { ApnsSender } from "../../src/push/apns.ts";
import { createGateway } from "../../src/push/gateway.ts";
import { silentPushMetrics } from "../../src/push/metrics.ts";
import type { PushGateway } from "../../src/push/types.ts";
import type { DeviceRecord } from "../../src/store/types.ts";
import { systemClock } from "../../src/time/clock.ts";
import { systemRandom } from "../../src/time/random.ts";
import { type ApnsFake, startApnsFake } from "../../test/fakes/apns-server.ts";

export interface ApnsBed {
  readonly fake: ApnsFake;
  readonly gateway: PushGateway;
  close(): Promise<void>;
}

const push = { provider: "apns", token: "aa11", alertToken: undefined, environment: "production" } as const;

/** Gateway, sender and a fake APNs in one process, the connection warm: what is measured includes the fake's share. */
export async function openApnsBed(): Promise<ApnsBed> {
  const fake = await startApnsFake({ keep: false });
  const pem = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" });
  const sender = new ApnsSender({
    key: { pem, keyId: "KEY", teamId: "TEAM" },
    topic: "com.example.phone",
    hosts: { production: fake.url, development: fake.url },
    trust: { ca: fake.ca },
    clock: systemClock,
    log: silentLog,
  });
  const device = (deviceId: DeviceId): DeviceRecord => ({
    deviceId,
    app: "bench",
    name: undefined,
    push: { ...push, token: deviceId },
    tokenState: "alive",
    alertTokenState: "alive",
    tokenSetAtMs: 0,
    createdAtMs: 0,
    lastSeenAtMs: 0,
  });
  const gateway = createGateway({
    senders: new Map([["bench", { apns: sender }]]),
    store: { device, patchDevice: () => Promise.resolve() },
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    metrics: silentPushMetrics,
  });
  await sender.warm();
  return {
    fake,
    gateway,
    async close() {
      await gateway.close();
      await sender.close();
      await fake.close();
    },
  };
}

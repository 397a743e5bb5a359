import type { CallUuid, DeviceId, SubscriptionId } from "../../src/base/ids.ts";
import { buildPayload, type PayloadFields } from "../../src/push/payload.ts";
import type { PushPayload } from "../../src/push/types.ts";
import type { DeviceRecord, PushTarget, Store } from "../../src/store/types.ts";

export const startWallMs = 1_795_521_600_000;
export const callOne = "0b9a3d5e-6a51-4f8e-9d0e-3d2c1b0a9f8e" as CallUuid;
export const deviceOne = "11111111-2222-4333-8444-555555555555" as DeviceId;
export const subscriptionOne = "99999999-8888-4777-8666-555555555555" as SubscriptionId;

/** A phone enrolled a day before `startWallMs`. */
export function deviceWith(push: Partial<PushTarget> = {}, more: Partial<DeviceRecord> = {}): DeviceRecord {
  return {
    deviceId: deviceOne,
    app: "com.example.phone",
    name: undefined,
    push: { provider: "apns", token: "aa11", alertToken: undefined, environment: "production", ...push },
    tokenState: "alive",
    alertTokenState: "alive",
    tokenSetAtMs: startWallMs - 86_400_000,
    createdAtMs: startWallMs - 86_400_000,
    lastSeenAtMs: startWallMs,
    ...more,
  };
}

export function callPayload(more: Partial<PayloadFields> = {}): PushPayload {
  return buildPayload(
    {
      id: "5f0c6f3e-6a51-4f8e-9d0e-3d2c1b0a9f8e",
      kind: "call",
      subscription: subscriptionOne,
      call: callOne,
      callId: "a84b4c76e66710@pc33.example.com",
      from: { uri: "sip:alice@example.com", name: "Alice" },
      tunnel: "wss://push.example.com/v1/tunnel?ticket=abcdef",
      deadlineMs: startWallMs + 40_000,
      ...more,
    },
    startWallMs,
  );
}

/** A store of devices that remembers what it was told. */
export class DeviceShelf implements Pick<Store, "device" | "patchDevice"> {
  readonly devices = new Map<DeviceId, DeviceRecord>();
  readonly patches: Parameters<Store["patchDevice"]>[1][] = [];

  constructor(...devices: readonly DeviceRecord[]) {
    for (const device of devices) this.devices.set(device.deviceId, device);
  }

  device(deviceId: DeviceId): DeviceRecord | undefined {
    return this.devices.get(deviceId);
  }

  patchDevice(deviceId: DeviceId, patch: Parameters<Store["patchDevice"]>[1]): Promise<void> {
    this.patches.push(patch);
    const device = this.devices.get(deviceId);
    if (device !== undefined) {
      const { tokenState = device.tokenState, alertTokenState = device.alertTokenState } = patch;
      this.devices.set(deviceId, { ...device, tokenState, alertTokenState });
    }
    return Promise.resolve();
  }
}

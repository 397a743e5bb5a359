import { createHash } from "node:crypto";
import type { CallUuid, DeviceId } from "../base/ids.ts";
import type { PushKind } from "./types.ts";

/**
 * The id of the push that tells a device of a call: always the same for the same call, device and kind, so that a wake
 * repeated after a restart is recognised by the gateway, by APNs and by the phone. A UUID (version 8, RFC 9562 §5.8). `nth`: which
 * push of the kind it is, when the call needs more than one: a phone that has seen the first must not take the second for it.
 */
export function pushIdOf(call: CallUuid, deviceId: DeviceId, kind: PushKind, nth = 1): string {
  const name = `${kind} ${call} ${deviceId}${nth === 1 ? "" : ` ${nth}`}`;
  const bytes = createHash("sha256").update(name).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

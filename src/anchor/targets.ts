import type { DeviceId, SubscriptionId } from "../base/ids.ts";
import type { AccountRecord, SubscriptionRecord } from "../base/records.ts";
import { legsMax } from "./limits.ts";

/**
 * How a device is reached for a call. "tunnel": it is open. "wake": by push. "hold": it is in the foreground with a registration of its own
 * (mode continuous), so the server rings it directly and our branch waits in silence. "none": nothing can be sent; it may still come by itself.
 */
export type Approach = "tunnel" | "wake" | "hold" | "none";

export interface Target {
  readonly deviceId: DeviceId;
  readonly subscriptionId: SubscriptionId;
  readonly approach: Approach;
  /** A push can reach it, should the tunnel stay silent. */
  readonly wakeable: boolean;
}

/**
 * Who is asked for a call of the account, one leg a device. Open tunnels first, so that a bound on forks (`breadth`, RFC 5393 §5) costs
 * the sleeping ones.
 *
 * A foreground device outside mode continuous is woken like one in the background: the account has no other binding than ours
 * until the phone's own REGISTER is answered, and a call that comes in this moment would be lost.
 */
export function chooseTargets(
  account: AccountRecord | undefined,
  subscriptions: readonly SubscriptionRecord[],
  isServed: (deviceId: DeviceId) => boolean,
  breadth: number,
): Target[] {
  const seen = new Set<DeviceId>();
  const targets: Target[] = [];
  const continuous = modeOf(account) === "continuous";
  for (const { deviceId, subscriptionId, presence, wakeable } of subscriptions) {
    if (seen.has(deviceId)) continue;
    seen.add(deviceId);
    const holds = continuous && presence === "foreground";
    const approach = isServed(deviceId) ? "tunnel" : holds ? "hold" : wakeable ? "wake" : "none";
    targets.push({ deviceId, subscriptionId, approach, wakeable: wakeable && !holds });
  }
  targets.sort((a, b) => Number(b.approach === "tunnel") - Number(a.approach === "tunnel"));
  return targets.slice(0, Math.max(1, Math.min(breadth, legsMax)));
}

function modeOf(account: AccountRecord | undefined): string {
  if (account === undefined) return "alternate";
  return account.registrationMode === "auto" ? (account.learnedMode ?? "alternate") : account.registrationMode;
}

import webpush from "web-push";
import type { Store } from "../store/types.ts";

/** A VAPID key pair (RFC 8292), base64url: the public one is what browsers subscribe with. */
export interface VapidKeys {
  readonly publicKey: string;
  readonly privateKey: string;
}

const settingName = "vapidKeys";

export function makeVapidKeys(): VapidKeys {
  const { publicKey, privateKey } = webpush.generateVAPIDKeys();
  return { publicKey, privateKey };
}

/**
 * The key pair of this installation, made at the first call and sealed in the store, so that a backup holds it. Lost keys cannot be
 * replaced: every browser would have to subscribe again. So keys that cannot be read reject, they are never a reason for new ones.
 */
export async function storedVapidKeys(settings: Pick<Store, "setting" | "putSetting">): Promise<VapidKeys> {
  const kept = settings.setting(settingName);
  if (kept === undefined) {
    const keys = makeVapidKeys();
    await settings.putSetting(settingName, JSON.stringify(keys));
    return keys;
  }
  const { publicKey, privateKey } = JSON.parse(kept) as Partial<VapidKeys>;
  if (typeof publicKey !== "string" || typeof privateKey !== "string")
    throw new Error("the stored VAPID keys are damaged");
  return { publicKey, privateKey };
}

import type { AccountId } from "../base/ids.ts";
import type { Secret } from "../base/records.ts";
import type { Opened, Vault } from "./vault.ts";

/** Where an account's secret is sealed for: it opens in no other row. */
export function secretPlace(accountId: AccountId): string {
  return `accounts:secret:${accountId}`;
}

export function settingPlace(name: string): string {
  return `settings:value:${name}`;
}

export function secretBytes(secret: Secret): Uint8Array {
  return Buffer.from(JSON.stringify(secret));
}

export function secretOf(plain: Uint8Array): Secret {
  return JSON.parse(Buffer.from(plain).toString()) as Secret; // ours alone: the tag has been verified
}

/**
 * Reads a sealed column and opens it. A rotation may drop the old key between the reading and the opening: then the row has
 * been sealed anew, so it is read once more. Undefined when there is no row. Throws when the value is damaged or was moved
 * here from another row.
 */
export function openSealed(vault: Vault, place: string, read: () => Uint8Array | undefined): Buffer | undefined {
  let opened: Opened = { ok: false, reason: "unknownKey" };
  for (let attempt = 0; attempt < 2 && !opened.ok && opened.reason === "unknownKey"; attempt++) {
    const sealed = read();
    if (sealed === undefined) return undefined;
    opened = vault.open(place, sealed);
  }
  if (!opened.ok) throw new Error(`the vault does not open ${place}: ${opened.reason}`);
  return opened.plain;
}

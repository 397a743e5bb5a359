import type { AccountId, DeviceId, SubscriptionId } from "../base/ids.ts";
import type { AccountRecord, Notify, Presence, RegistrationMode, Secret } from "../base/records.ts";
import type { AccountFields, DeviceRecord, JournalEntry, NewSubscription, PushTarget } from "./types.ts";

export interface DevicePatch {
  readonly push?: PushTarget;
  readonly name?: string;
  readonly tokenState?: "alive" | "dead";
  readonly alertTokenState?: "alive" | "dead";
  readonly lastSeenAtMs?: number;
  readonly ofToken?: string;
  readonly ofAlertToken?: string;
}

/** What the store worker is asked to write; see the methods of Store for what each does. */
export type Write =
  | { readonly kind: "putDevice"; readonly device: DeviceRecord }
  | { readonly kind: "patchDevice"; readonly deviceId: DeviceId; readonly patch: DevicePatch; readonly atMs: number }
  | { readonly kind: "touchDevices"; readonly seen: readonly (readonly [DeviceId, number])[] }
  | { readonly kind: "removeDevice"; readonly deviceId: DeviceId }
  | {
      readonly kind: "createAccount";
      readonly accountId: AccountId;
      readonly fields: AccountFields;
      readonly secret: Secret;
      readonly subscription: NewSubscription;
    }
  | { readonly kind: "createSubscription"; readonly subscription: NewSubscription }
  | {
      readonly kind: "updateAccount";
      readonly accountId: AccountId;
      readonly fields: AccountFields;
      readonly secret: Secret | undefined;
    }
  | {
      readonly kind: "setLearnedMode";
      readonly accountId: AccountId;
      readonly mode: Exclude<RegistrationMode, "auto">;
    }
  | { readonly kind: "setPresence"; readonly subscriptionId: SubscriptionId; readonly presence: Presence }
  | { readonly kind: "setNotify"; readonly subscriptionId: SubscriptionId; readonly notify: Notify }
  | { readonly kind: "removeSubscription"; readonly subscriptionId: SubscriptionId }
  | { readonly kind: "removeAccount"; readonly accountId: AccountId }
  | { readonly kind: "putJournal"; readonly entry: JournalEntry; readonly devices: readonly DeviceId[] }
  /** Calls that a dead process left open: their state is known no better than this. */
  | { readonly kind: "closeJournal"; readonly atMs: number }
  | { readonly kind: "pruneJournal"; readonly beforeMs: number; readonly most: number }
  | { readonly kind: "putSetting"; readonly name: string; readonly value: string };

/** What a write resolves with. */
export interface WriteResults {
  putDevice: void;
  patchDevice: void;
  touchDevices: void;
  removeDevice: readonly AccountId[];
  createAccount: AccountRecord;
  createSubscription: void;
  updateAccount: AccountRecord;
  setLearnedMode: void;
  setPresence: void;
  setNotify: void;
  removeSubscription: boolean;
  removeAccount: void;
  putJournal: void;
  closeJournal: void;
  /** How many calls were pruned: `most` means there may be more. */
  pruneJournal: number;
  putSetting: void;
}

/** Acknowledged only once what was deleted is in no file any more. */
export function erases(write: Write): boolean {
  return write.kind === "removeAccount" || write.kind === "removeDevice";
}

import type { AccountId, CallUuid, DeviceId, TunnelId } from "../base/ids.ts";
import type { Presence, ProofPlace, Secret } from "../base/records.ts";
import type {
  CallSummary,
  LadderEntry,
  ProofAnswer,
  RegistrarStatus,
  RegistrationStatus,
  ShardLoad,
  TroubleCursor,
  TroublesPage,
} from "../workers/protocol.ts";

/**
 * The shards as the edge sees them; the pool implements it. Questions resolve also when a shard is gone, with the answer that
 * is safe to give then; they never reject.
 */
export interface Shards {
  presence(
    accountId: AccountId,
    change: { readonly wanted: boolean; readonly presence: Presence; readonly waitMs: number },
  ): Promise<{ readonly pending: boolean; readonly status: RegistrationStatus }>;
  /** The account was written to the store; `wanted`: whether it is to be registered. */
  changed(accountId: AccountId, wanted: boolean): void;
  /** Resolves once the shard no longer needs the secret in the store; its un-REGISTER is under way. */
  remove(accountId: AccountId): Promise<void>;
  /** `place`: ask there instead of where the account is. */
  prove(accountId: AccountId, secret: Secret, place?: ProofPlace): Promise<ProofAnswer>;
  status(accountId: AccountId): Promise<RegistrationStatus | undefined>;
  retryNow(accountId: AccountId): void;
  subscriptionRemoved(accountId: AccountId, deviceId: DeviceId): void;
  registrars(): Promise<readonly RegistrarStatus[]>;
  /** Accounts refused or retrying, from `cursor` on. */
  troubles(cursor: TroubleCursor, most: number): Promise<TroublesPage>;
  calls(): Promise<readonly CallSummary[]>;
  call(call: CallUuid): Promise<{ readonly summary: CallSummary; readonly ladder: readonly LadderEntry[] } | undefined>;
  trace(accountId: AccountId, untilMs: number): void;
  tunnelOpened(
    tunnelId: TunnelId,
    deviceId: DeviceId,
    accounts: readonly AccountId[],
    ticketCall: CallUuid | undefined,
    voip: boolean,
  ): void;
  /** The device's accounts changed while its tunnel is open. */
  tunnelAccounts(tunnelId: TunnelId, accounts: readonly AccountId[]): void;
  tunnelClosed(tunnelId: TunnelId): void;
  /** One SIP message from the phone; one character is one byte (latin1). */
  frame(tunnelId: TunnelId, text: string): void;
  /** A provider's answer to the wake of one device. `silenceMs`, with "accepted": one more push is worth it when it has not come by then. */
  delivery(
    call: CallUuid,
    deviceId: DeviceId,
    outcome: "accepted" | "failed",
    accountId: AccountId,
    silenceMs?: number,
  ): void;
  ready(): { readonly ok: boolean; readonly reasons: readonly string[] };
  load(): readonly ShardLoad[];
}

/** What the shards send to phones. */
export interface TunnelSink {
  /** One SIP message, latin1. Dropped when the tunnel is gone: its `tunnelClosed` is on the way. */
  frame(tunnelId: TunnelId, text: string): void;
  close(tunnelId: TunnelId, code: number, reason: string): void;
}

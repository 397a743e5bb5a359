import type { AccountId, CallUuid, DeviceId, SubscriptionId, TunnelId } from "../base/ids.ts";
import type { Rung } from "../base/ladder.ts";
import type { OwnSocket } from "../net/own-sockets.ts";
import type { ServerCertificate } from "../net/server-certificate.ts";
import type { TlsMaterial } from "../net/trust.ts";
import type { Presence, ProofPlace, RegistrationMode, RegistrationState, Secret } from "../base/records.ts";

/**
 * What crosses between the pool (main thread) and a shard worker: commands down, events up, batched per tick as arrays.
 * Frames are latin1 strings: one char is one byte of the SIP message, lossless.
 */

/** What the outside sees of a registration. Times are Unix milliseconds. */
export interface RegistrationStatus {
  readonly mode: RegistrationMode;
  readonly state: RegistrationState;
  readonly expiresAtMs?: number;
  readonly lastStatus?: number;
  readonly lastReason?: string;
  readonly nextAttemptAtMs?: number;
  /** `host:port` of the server in use. */
  readonly registrar?: string;
  readonly transport?: string;
}

export type RequestId = number;

/** A place in the list of accounts in trouble: the rows of one shard after those of the other. The first is `{ shard: 0, row: 0 }`. */
export interface TroubleCursor {
  readonly shard: number;
  readonly row: number;
}

/** Some accounts in trouble. `next`: where to go on; undefined after the last. */
export interface TroublesPage {
  readonly accounts: readonly AccountId[];
  readonly next: TroubleCursor | undefined;
}

/** A shard as its supervisor sees it. */
export interface ShardLoad {
  readonly shard: number;
  readonly ready: boolean;
  readonly restarts: number;
}

/** A registrar's word on candidate credentials. */
export interface ProofAnswer {
  /** "accepted": the registrar took the credentials; "refused": it did not; "unavailable": it could not be asked in time. */
  readonly outcome: "accepted" | "refused" | "unavailable";
  /** Of its final answer; 0: none came. */
  readonly status: number;
  readonly reason: string;
  /** The account itself is more than a claim: its registrar has taken it before, or what is on file is this same secret. */
  readonly isProven: boolean;
}

export type Command =
  /** An account was written or changed in the store: (re)load it from the directory and register or retire it. */
  | { readonly kind: "accountChanged"; readonly accountId: AccountId; readonly wanted: boolean }
  /** Takes the secret into memory, un-REGISTERs and forgets. Reply `done` comes once the secret is no longer needed from the store. */
  | { readonly kind: "accountRemove"; readonly requestId: RequestId; readonly accountId: AccountId }
  /** Some subscription's presence changed: reply when registered / binding removed / refused, or "pending" after waitMs. */
  | {
      readonly kind: "presence";
      readonly requestId: RequestId;
      readonly accountId: AccountId;
      /** Whether the account is to be registered after the change (any subscription in the background, or mode continuous). */
      readonly wanted: boolean;
      readonly presence: Presence;
      readonly waitMs: number;
    }
  /** Tries credentials by a REGISTER without Contact (a query, RFC 3261 §10.2.3), at `place` when given. Reply `proof`. */
  | {
      readonly kind: "prove";
      readonly requestId: RequestId;
      readonly accountId: AccountId;
      readonly secret: Secret;
      readonly place?: ProofPlace;
    }
  | { readonly kind: "registrationQuery"; readonly requestId: RequestId; readonly accountId: AccountId }
  /** Operator: retry a refused or waiting account now. */
  | { readonly kind: "retryNow"; readonly accountId: AccountId }
  | { readonly kind: "registrarsQuery"; readonly requestId: RequestId }
  /** Accounts refused or retrying. Reply `troubles`; the next page begins at its `nextRow`. */
  | { readonly kind: "troublesQuery"; readonly requestId: RequestId; readonly fromRow: number; readonly most: number }
  | { readonly kind: "callsQuery"; readonly requestId: RequestId }
  | { readonly kind: "callQuery"; readonly requestId: RequestId; readonly call: CallUuid }
  | { readonly kind: "traceStart"; readonly accountId: AccountId; readonly untilMs: number }
  /** `accounts`: those of the device that live on this shard. `voip`: a voip push preceded it for `call` (INVITE + CANCEL when gone). */
  | {
      readonly kind: "tunnelOpened";
      readonly tunnelId: TunnelId;
      readonly deviceId: DeviceId;
      readonly accounts: readonly AccountId[];
      readonly ticketCall?: CallUuid;
      readonly voip: boolean;
    }
  | { readonly kind: "tunnelClosed"; readonly tunnelId: TunnelId }
  /** `last`: no other shard is left to ask; answer 403 or 481 yourself, do not send `frameForeign`. */
  | { readonly kind: "frame"; readonly tunnelId: TunnelId; readonly text: string; readonly last: boolean }
  /** A provider's answer to a wake: "accepted", or "failed" when that device cannot be woken for this call any more. */
  | {
      readonly kind: "delivery";
      readonly call: CallUuid;
      readonly deviceId: DeviceId;
      readonly outcome: "accepted" | "failed";
      /** With "accepted": when the device has not come by then, one more push is worth it. Learned of this device. */
      readonly silenceMs?: number;
    }
  /** What the shard's last life left to be answered, to its UDP peer. */
  | ({ readonly kind: "lastAnswer" } & Extract<LastWord, { to: "server" }>)
  | { readonly kind: "subscriptionRemoved"; readonly accountId: AccountId; readonly deviceId: DeviceId }
  | { readonly kind: "reload"; readonly tls: TlsMaterial }
  /** Sockets of this server, of other shards too: no account may name them as its server. */
  | { readonly kind: "ownSockets"; readonly sockets: readonly OwnSocket[] }
  | { readonly kind: "drain"; readonly drainMs: number }
  | { readonly kind: "stop" };

/**
 * A message for whom a shard that dies leaves waiting: the phone that it rings (CANCEL) or that calls (its answer), and over UDP the
 * server (its answer; over streams it sees the connection break).
 */
export type LastWord =
  | { readonly to: "phone"; readonly deviceId: DeviceId; readonly text: string }
  | { readonly to: "server"; readonly address: string; readonly port: number; readonly text: string };

/** Why a device is woken once more for the same call. */
export type WakeAgain = "silent" | "lost";

export interface Caller {
  readonly uri: string;
  readonly name?: string;
}

export type CallState = "ringing" | "answered" | "answeredElsewhere" | "cancelled" | "missed" | "ended";

export interface RegistrarStatus {
  readonly registrar: string;
  readonly transport: string;
  readonly accounts: number;
  readonly registered: number;
  readonly refused: number;
  /** Transactions the budget allows in flight now, and how many are. */
  readonly window: number;
  readonly inFlight: number;
  readonly ratePerSec: number;
  readonly waiting: number;
  readonly lossRatio: number;
  readonly breaker: "closed" | "open" | "halfOpen";
  readonly lastStatus: number;
  /** Final answers to REGISTER, the newest first, some. */
  readonly latestStatuses: readonly number[];
}

/** One rung of a call's or an account's ladder. `text` is the message with credentials and body masked. */
export interface LadderEntry extends Rung {
  readonly from: "server" | "wakeline" | "device" | "push";
  readonly to: "server" | "wakeline" | "device" | "push";
  readonly deviceId?: DeviceId;
}

export interface CallSummary {
  readonly call: CallUuid;
  readonly callId: string;
  readonly accountId: AccountId;
  readonly direction: "inbound" | "outbound";
  readonly from: Caller;
  readonly state: CallState;
  readonly startedAtMs: number;
  readonly answeredAtMs?: number;
  readonly endedAtMs?: number;
  readonly devices: readonly DeviceId[];
}

export type Event =
  | {
      readonly kind: "ready";
      readonly udpPort: number;
      readonly tcpPort: number;
      readonly tlsPort: number;
      readonly accounts: number;
      readonly sendPath: string;
    }
  | { readonly kind: "startFailed"; readonly reason: string }
  | { readonly kind: "done"; readonly requestId: RequestId }
  | {
      readonly kind: "presenceDone";
      readonly requestId: RequestId;
      readonly pending: boolean;
      readonly status: RegistrationStatus;
    }
  | ({ readonly kind: "proof"; readonly requestId: RequestId } & ProofAnswer)
  | { readonly kind: "registration"; readonly requestId: RequestId; readonly status: RegistrationStatus | undefined }
  | { readonly kind: "registrars"; readonly requestId: RequestId; readonly registrars: readonly RegistrarStatus[] }
  /** `nextRow`: -1 when there are no more. */
  | {
      readonly kind: "troubles";
      readonly requestId: RequestId;
      readonly accounts: readonly AccountId[];
      readonly nextRow: number;
    }
  | { readonly kind: "calls"; readonly requestId: RequestId; readonly calls: readonly CallSummary[] }
  | {
      readonly kind: "call";
      readonly requestId: RequestId;
      readonly call: CallSummary | undefined;
      readonly ladder: readonly LadderEntry[];
    }
  /** A change worth telling: into registered, refused, retrying, idle. Not sent for refreshes, nor for each of many first registrations at once. */
  | { readonly kind: "registrationChanged"; readonly accountId: AccountId; readonly status: RegistrationStatus }
  /** The registrar took an account's credentials for another realm than before: its operator renamed it, or it is another registrar. */
  | {
      readonly kind: "realmChanged";
      readonly accountId: AccountId;
      /** Host that the account's REGISTERs go to, as it was named. */
      readonly registrar: string;
      readonly realm: string;
    }
  /** A TLS server showed a certificate for the first time in this shard's life, or another than before. */
  | { readonly kind: "serverCertificate"; readonly certificate: ServerCertificate }
  /** The registrar taught `auto` what it wants. The store keeps it. */
  | { readonly kind: "modeLearned"; readonly accountId: AccountId; readonly mode: Exclude<RegistrationMode, "auto"> }
  /**
   * Wake these devices for a call. Times are Unix ms. `receivedAtMs` is when the INVITE came in. `again`: they were woken for it before
   * and have not come ("silent"), or had the call and lost their tunnel ("lost"); what becomes of that push is not reported back.
   */
  | {
      readonly kind: "wake";
      readonly call: CallUuid;
      readonly callId: string;
      readonly accountId: AccountId;
      readonly targets: readonly { readonly deviceId: DeviceId; readonly subscriptionId: SubscriptionId }[];
      readonly from: Caller;
      readonly receivedAtMs: number;
      readonly deadlineMs: number;
      readonly again?: WakeAgain;
    }
  /** Any other push than a call. `deadlineMs` when the device may still open the tunnel for it. */
  | {
      readonly kind: "notify";
      readonly push: "cancel" | "message" | "voicemail" | "missed" | "refused";
      readonly accountId: AccountId;
      readonly targets: readonly { readonly deviceId: DeviceId; readonly subscriptionId: SubscriptionId }[];
      readonly call?: CallUuid;
      readonly callId?: string;
      readonly from?: Caller;
      readonly text?: string;
      readonly deadlineMs?: number;
    }
  /** The call is known to be over or answered; tickets die with "over", the wake of other devices stops with both. */
  | { readonly kind: "callState"; readonly call: CallUuid; readonly state: CallState; readonly over: boolean }
  /** For the journal; sent at each change of state of an inbound call. */
  | { readonly kind: "journal"; readonly summary: CallSummary; readonly targets: readonly DeviceId[] }
  | { readonly kind: "frame"; readonly tunnelId: TunnelId; readonly text: string }
  /** What the pool is to have said should this shard die. Without `word`: no longer. */
  | { readonly kind: "will"; readonly id: string; readonly word?: LastWord }
  /** This shard does not own what the frame is about; the pool asks the device's next shard. */
  | { readonly kind: "frameForeign"; readonly tunnelId: TunnelId; readonly text: string }
  /** RFC 8599 parameters of a REGISTER through the tunnel: refresh the device's push token. */
  | {
      readonly kind: "pushParameters";
      readonly deviceId: DeviceId;
      readonly provider: string;
      readonly prid: string;
      readonly param?: string;
    }
  | { readonly kind: "ladder"; readonly accountId: AccountId; readonly entry: LadderEntry }
  | { readonly kind: "drained" };

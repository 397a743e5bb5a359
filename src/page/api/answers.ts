import type { RegistrationState } from "../../base/records.ts";
import type { CallState, LadderEntry, RegistrarStatus } from "../../workers/protocol.ts";

/** Answers of the operator's interface as JSON carries them: times in RFC 3339, a field without a value is absent. */
export type { CallState, RegistrarStatus, RegistrationState };

export type WakeStep =
  | "invite_to_push"
  | "push_to_tunnel"
  | "tunnel_to_invite"
  | "invite_to_ringing"
  | "invite_to_answer";

/** How wakes went: devices that were to be woken, and each step that happened. */
export interface WakeSummary {
  readonly began: number;
  readonly steps: Partial<Record<WakeStep, { readonly count: number; readonly p50Ms: number; readonly p99Ms: number }>>;
}

export interface ShardFigures {
  readonly shard: number;
  readonly ready: boolean;
  readonly restarts: number;
  readonly registered?: number | undefined;
  readonly callsRunning?: number | undefined;
  readonly loopDelayMs?: number | undefined;
}

interface CallFigures {
  readonly running: number;
  readonly outbound: number;
  readonly answered: number;
  readonly answeredElsewhere: number;
  readonly cancelled: number;
  readonly missed: number;
  readonly refused: number;
  readonly unreachable: number;
}

export interface Summary {
  readonly version: string;
  readonly startedAt: string;
  readonly uptimeSec: number;
  readonly ready: { readonly ok: boolean; readonly reasons: readonly string[] };
  /** 0: it keeps up; 1: new devices and subscriptions are refused; 2: new calls too. */
  readonly strain: number;
  readonly devices: number;
  readonly accounts: number;
  readonly subscriptions: number;
  readonly tunnels: number;
  readonly registrations: Readonly<Record<RegistrationState, number>>;
  readonly register: {
    readonly sent: number;
    readonly retransmitted: number;
    readonly refreshed: number;
    readonly lapsed: number;
  };
  readonly calls: CallFigures;
  readonly wakesByProvider: Readonly<Record<string, WakeSummary>>;
  readonly shards: readonly ShardFigures[];
  readonly memoryBytes: number;
}

/** What the figures were, oldest first, as columns; of the last hour. */
export interface PastFigures {
  /** Unix seconds. */
  readonly atSec: readonly number[];
  readonly registrations: Readonly<Record<RegistrationState, readonly number[]>>;
  readonly memoryBytes: readonly number[];
  /** Of the slowest shard. */
  readonly loopDelayMs: readonly number[];
}

export interface Registration {
  readonly mode: string;
  readonly state: RegistrationState;
  readonly expiresAt?: string;
  readonly lastStatus?: number;
  readonly lastReason?: string;
  readonly nextAttemptAt?: string;
  readonly registrar?: string;
  readonly transport?: string;
}

export interface AccountLine {
  readonly id: string;
  readonly app: string;
  readonly username: string;
  readonly domain: string;
  readonly displayName?: string;
  readonly proxy?: string;
  readonly alternateProxy?: string;
  readonly transport: string;
  readonly expiresSec: number;
  readonly registration: Registration;
  /** How many. */
  readonly devices: number;
}

/** Some accounts; `next`: where the next page begins. */
export interface AccountsPage {
  readonly accounts: readonly AccountLine[];
  readonly next?: string;
}

export interface AccountDevice {
  readonly device: string;
  readonly name?: string;
  readonly provider: string;
  readonly tokenState: "alive" | "dead";
  readonly presence: "background" | "foreground";
  readonly wakeable: boolean;
  readonly lastSeenAt: string;
}

/** A call in an account's journal. */
interface JournalLine {
  readonly call: string;
  readonly direction: "inbound" | "outbound";
  readonly state: CallState;
  readonly from: { readonly uri: string; readonly name?: string };
  readonly at: string;
  readonly answeredAt?: string;
  readonly endedAt?: string;
}

/** A registrar that is not quite who it was: another realm for an account, another key of the server. */
export interface RegistrarNewsItem {
  readonly at: string;
  readonly what: "realmChanged" | "certificateRenewed" | "certificateChanged";
  readonly level: "info" | "warn";
  readonly registrar: string;
  readonly realm?: string;
  readonly issuer?: string;
  readonly formerIssuer?: string;
}

/** Something that happened to an account. A topic that this page does not know is shown by its name. */
export type Happening = { readonly at: string } & (
  | ({ readonly topic: "registration" } & Registration)
  | { readonly topic: "modeLearned"; readonly mode: string }
  | ({ readonly topic: "registrar" } & RegistrarNewsItem)
  | {
      readonly topic: "push";
      readonly device: string;
      readonly provider: string;
      readonly kind: string;
      readonly outcome: "accepted" | "tokenDead" | "retry" | "refused";
      readonly reason?: string;
    }
);

export interface AccountDetail extends AccountLine {
  readonly deviceList: readonly AccountDevice[];
  readonly calls: readonly JournalLine[];
  /** Since the server started, newest first. */
  readonly story: readonly Happening[];
  /** Of its registrar, newest first. */
  readonly registrarNews: readonly RegistrarNewsItem[];
}

export interface CallLine {
  readonly call: string;
  readonly callId: string;
  readonly account: string;
  readonly direction: "inbound" | "outbound";
  readonly from: { readonly uri: string; readonly name?: string };
  readonly state: CallState;
  readonly startedAt: string;
  readonly answeredAt?: string;
  readonly endedAt?: string;
  readonly devices: readonly string[];
}

export interface Rung {
  readonly at: string;
  readonly from: LadderEntry["from"];
  readonly to: LadderEntry["to"];
  readonly device?: string;
  readonly label: string;
  /** Of an answer: the method that it answers. */
  readonly detail?: string;
  readonly text?: string;
}

export interface CallDetail extends CallLine {
  readonly ladder: readonly Rung[];
}

import type { AccountId, CallUuid, DeviceId } from "../base/ids.ts";
import { Counter, type Lane } from "../observe/lanes.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";
import type { Caller, CallState, CallSummary } from "../workers/protocol.ts";
import { newCallUuid } from "./call-uuid.ts";
import { Ladder } from "./ladder.ts";
import { callsMax, callsPerAccountMax, laddersKeptMax } from "./limits.ts";
import type { Uplink } from "./options.ts";

/** One call as it is shown: written by `CallBook` alone. */
export interface CallRecord {
  readonly call: CallUuid;
  readonly callId: string;
  readonly accountId: AccountId;
  readonly direction: "inbound" | "outbound";
  readonly from: Caller;
  readonly startedAtMs: number;
  readonly ladder: Ladder;
  /** Devices that the call concerns, for the journal. */
  readonly devices: DeviceId[];
  readonly state: CallState;
  readonly answeredAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
  /** The device that answered (inbound) or called (outbound). */
  readonly speaker: DeviceId | undefined;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** What a request is refused with. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly retryAfterSec?: number;
}

/** Every running call of the shard and the last ones that ended; tells the pool of each change of state. */
export class CallBook {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #uplink: Uplink;
  readonly #lane: Lane;
  readonly #running = new Map<CallUuid, Writable<CallRecord>>();
  readonly #ended = new Map<CallUuid, CallRecord>();
  readonly #perAccount = new Map<AccountId, number>();

  constructor(clock: Clock, random: Random, uplink: Uplink, lane: Lane) {
    this.#clock = clock;
    this.#random = random;
    this.#uplink = uplink;
    this.#lane = lane;
    // A shard that died left its count.
    lane.set(Counter.callsRunning, 0);
  }

  get running(): number {
    return this.#running.size;
  }

  /** Whether there is room for one more call of the account. */
  refusal(accountId: AccountId): Refusal | undefined {
    if (this.#running.size >= callsMax) return { status: 503, reason: "Service Unavailable" };
    const ofAccount = this.#perAccount.get(accountId) ?? 0;
    return ofAccount >= callsPerAccountMax ? { status: 486, reason: "Busy Here" } : undefined;
  }

  /** Call only after `refusal` said undefined. The state is "ringing"; nothing is told yet. */
  open(accountId: AccountId, callId: string, direction: "inbound" | "outbound", from: Caller): CallRecord {
    const startedAtMs = this.#clock.wallMs();
    const record: CallRecord = {
      call: newCallUuid(this.#random, startedAtMs),
      callId,
      accountId,
      direction,
      from,
      startedAtMs,
      ladder: new Ladder(),
      devices: [],
      state: "ringing",
      answeredAtMs: undefined,
      endedAtMs: undefined,
      speaker: undefined,
    };
    this.#running.set(record.call, record);
    this.#perAccount.set(accountId, (this.#perAccount.get(accountId) ?? 0) + 1);
    this.#lane.set(Counter.callsRunning, this.#running.size);
    return record;
  }

  /** The first word about an inbound call. */
  announce(record: CallRecord): void {
    this.#journal(record, record.devices);
  }

  /** `device` picked up: its journal says so, the other devices' says "answeredElsewhere". */
  answered(record: CallRecord, device: DeviceId): void {
    const entry = this.#running.get(record.call);
    if (entry === undefined || entry.answeredAtMs !== undefined) return;
    entry.state = "answered";
    entry.answeredAtMs = this.#clock.wallMs();
    entry.speaker = device;
    this.#uplink.emit({ kind: "callState", call: entry.call, state: "answered", over: false });
    this.#journal(entry, [device]);
    this.#journal(
      { ...entry, state: "answeredElsewhere" },
      entry.devices.filter((other) => other !== device),
    );
  }

  /** The call is gone; nothing when it was already. */
  end(record: CallRecord, state: Exclude<CallState, "ringing" | "answered">): void {
    const entry = this.#running.get(record.call);
    if (entry === undefined) return;
    entry.state = state;
    entry.endedAtMs = this.#clock.wallMs();
    this.#running.delete(entry.call);
    const left = (this.#perAccount.get(entry.accountId) ?? 1) - 1;
    if (left > 0) this.#perAccount.set(entry.accountId, left);
    else this.#perAccount.delete(entry.accountId);
    this.#ended.set(entry.call, entry);
    if (this.#ended.size > laddersKeptMax) {
      const oldest = this.#ended.keys().next().value;
      if (oldest !== undefined) this.#ended.delete(oldest);
    }
    this.#lane.set(Counter.callsRunning, this.#running.size);
    this.#uplink.emit({ kind: "callState", call: entry.call, state, over: true });
    // The end of a conversation is news to who spoke; everyone else has "answeredElsewhere" already.
    this.#journal(entry, entry.speaker === undefined ? entry.devices : [entry.speaker]);
  }

  find(call: CallUuid): CallRecord | undefined {
    return this.#running.get(call) ?? this.#ended.get(call);
  }

  /** Running calls, then ended ones; newest first in each. */
  summaries(): CallSummary[] {
    const newestFirst = (calls: Iterable<CallRecord>): readonly CallRecord[] => [...calls].toReversed();
    return [...newestFirst(this.#running.values()), ...newestFirst(this.#ended.values())].map(summaryOf);
  }

  #journal(record: CallRecord, targets: readonly DeviceId[]): void {
    if (record.direction === "outbound" || targets.length === 0) return;
    this.#uplink.emit({ kind: "journal", summary: summaryOf(record), targets: [...targets] });
  }
}

export function summaryOf(record: CallRecord): CallSummary {
  return {
    call: record.call,
    callId: record.callId,
    accountId: record.accountId,
    direction: record.direction,
    from: record.from,
    state: record.state,
    startedAtMs: record.startedAtMs,
    ...(record.answeredAtMs === undefined ? {} : { answeredAtMs: record.answeredAtMs }),
    ...(record.endedAtMs === undefined ? {} : { endedAtMs: record.endedAtMs }),
    devices: [...record.devices],
  };
}

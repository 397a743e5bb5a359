import type { AccountId, DeviceId } from "../base/ids.ts";
import { labelOf } from "../base/ladder.ts";
import { firstLine, maskMessage } from "../sip/message/mask.ts";
import { cseqMethodText } from "../sip/message/read-cseq.ts";
import { MessageKind, type SipView } from "../sip/message/view.ts";
import type { LadderEntry } from "../workers/protocol.ts";
import { ladderCharsMax, ladderEntriesMax, tracesMax } from "./limits.ts";
import type { Uplink } from "./options.ts";

/** Party at one end of a ladder's rung. */
export type Party = LadderEntry["from"];

/** The rungs of one call, bounded in number and size; the last one says that there was more. */
export class Ladder {
  readonly entries: LadderEntry[] = [];
  #chars = 0;

  add(entry: LadderEntry): void {
    const left = ladderEntriesMax - this.entries.length;
    if (left <= 1) {
      if (left === 1) this.entries.push(fullAt(entry.atMs));
      return;
    }
    const chars = entry.text?.length ?? 0;
    if (this.#chars + chars > ladderCharsMax) {
      const { text: _text, ...short } = entry;
      this.entries.push(short);
      return;
    }
    this.#chars += chars;
    this.entries.push(entry);
  }
}

function fullAt(atMs: number): LadderEntry {
  return { atMs, from: "wakeline", to: "wakeline", label: "further steps are not kept" };
}

/** Writes down who said what, into the ladder of its call and, while an account is traced, upward. */
export class Recorder {
  readonly #uplink: Uplink;
  readonly #wallMs: () => number;
  readonly #traces = new Map<AccountId, number>();

  constructor(uplink: Uplink, wallMs: () => number) {
    this.#uplink = uplink;
    this.#wallMs = wallMs;
  }

  get isTracing(): boolean {
    return this.#traces.size > 0;
  }

  /** Until `untilMs` (Unix ms) every rung of the account goes upward. Over `tracesMax` accounts the oldest trace ends. */
  trace(accountId: AccountId, untilMs: number): void {
    this.#traces.delete(accountId);
    if (untilMs <= this.#wallMs()) return;
    if (this.#traces.size >= tracesMax) {
      const oldest = this.#traces.keys().next().value;
      if (oldest !== undefined) this.#traces.delete(oldest);
    }
    this.#traces.set(accountId, untilMs);
  }

  isTraced(accountId: AccountId): boolean {
    const untilMs = this.#traces.get(accountId);
    if (untilMs === undefined) return false;
    if (this.#wallMs() < untilMs) return true;
    this.#traces.delete(accountId);
    return false;
  }

  /** A SIP message, masked. */
  message(
    ladder: Ladder | undefined,
    accountId: AccountId,
    from: Party,
    to: Party,
    view: SipView,
    deviceId?: DeviceId,
  ): void {
    if (ladder === undefined && !this.isTraced(accountId)) return;
    this.#write(ladder, accountId, {
      atMs: this.#wallMs(),
      from,
      to,
      ...(deviceId === undefined ? {} : { deviceId }),
      label: labelOf(firstLine(view)),
      ...(view.kind === MessageKind.response ? { detail: cseqMethodText(view) } : {}),
      text: maskMessage(view),
    });
  }

  /** Something that is no SIP message: a push, a deadline. */
  note(
    ladder: Ladder | undefined,
    accountId: AccountId,
    from: Party,
    to: Party,
    label: string,
    deviceId?: DeviceId,
  ): void {
    if (ladder === undefined && !this.isTraced(accountId)) return;
    this.#write(ladder, accountId, {
      atMs: this.#wallMs(),
      from,
      to,
      ...(deviceId === undefined ? {} : { deviceId }),
      label,
    });
  }

  #write(ladder: Ladder | undefined, accountId: AccountId, entry: LadderEntry): void {
    ladder?.add(entry);
    if (this.isTraced(accountId)) this.#uplink.emit({ kind: "ladder", accountId, entry });
  }
}

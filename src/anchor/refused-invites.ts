import { topBranch } from "../sip/message/read-via.ts";
import { Header } from "../sip/message/header.ts";
import type { SipView } from "../sip/message/view.ts";
import { timerBMs } from "../sip/transaction/timers.ts";
import type { Refusal } from "./call-book.ts";
import { refusedKeptMax } from "./limits.ts";

interface Kept {
  readonly refusal: Refusal;
  readonly untilMs: number;
}

/**
 * INVITEs that were refused without a transaction. Each repetition of one is refused the same way (RFC 3261 §8.2.7), though there may be
 * room by then: its caller has given up. A hash an INVITE, so that a flood leaves little.
 */
export class RefusedInvites {
  readonly #salt: string;
  /** By our To-tag, oldest first. */
  readonly #kept = new Map<string, Kept>();

  /** `salt`: unpredictable. */
  constructor(salt: string) {
    this.#salt = salt;
  }

  /** Our To-tag for an INVITE, or for the ACK of its refusal: the same however often either comes. */
  tagOf(view: SipView): string {
    return Bun.hash.xxHash64(`${this.#salt} ${topBranch(view)} ${view.value(Header.callId) ?? ""}`).toString(36);
  }

  find(tag: string, nowMs: number): Refusal | undefined {
    const kept = this.#kept.get(tag);
    return kept !== undefined && nowMs < kept.untilMs ? kept.refusal : undefined;
  }

  /** For as long as its sender may repeat it. */
  keep(tag: string, refusal: Refusal, nowMs: number): void {
    for (const [oldest, { untilMs }] of this.#kept) {
      if (nowMs < untilMs && this.#kept.size < refusedKeptMax) break;
      this.#kept.delete(oldest);
    }
    if (!this.#kept.has(tag)) this.#kept.set(tag, { refusal, untilMs: nowMs + timerBMs });
  }
}

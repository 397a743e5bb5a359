import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { tagOf } from "../sip/message/read-address.ts";
import type { SipView } from "../sip/message/view.ts";
import { t1Ms, t2Ms, timerLMs } from "../sip/transaction/timers.ts";
import type { ServerTransaction, Transactions } from "../sip/transaction/transactions.ts";
import type { Alarm, Alarms } from "./alarms.ts";
import { cseqOf } from "./dialog.ts";

/** Ours come behind the phone's own repetitions, so that a phone that is there does the work alone. */
const behind = 1.5;

interface Repeated {
  readonly tx: ServerTransaction;
  readonly untilMs: number;
  intervalMs: number;
  alarm: Alarm | undefined;
}

/**
 * Repeats a phone's 2xx to INVITE over UDP until its ACK comes (RFC 3261 §13.3.1.4). The phone does so itself while it has a tunnel;
 * when that breaks just after the answer and the datagram is lost, the caller would hear ringing for ever. To the far end
 * we are the UA, so this is ours to do.
 */
export class AnswerRepeats {
  readonly #transactions: Transactions;
  readonly #alarms: Alarms;
  readonly #nowMs: () => number;
  readonly #repeated = new Map<string, Repeated>();
  readonly #acknowledged = new WeakSet<ServerTransaction>();

  constructor(transactions: Transactions, alarms: Alarms, nowMs: () => number) {
    this.#transactions = transactions;
    this.#alarms = alarms;
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#repeated.size;
  }

  /** `view`: the 2xx that was just passed on to the server in `tx`, for the first time or again. */
  onAccepted(tx: ServerTransaction, view: SipView): void {
    if (tx.method !== Method.invite || tx.hop.reliable) return;
    const key = keyOf(view);
    let repeated = this.#repeated.get(key);
    if (repeated === undefined) {
      // The phone has not seen the ACK yet; the server has seen the answer.
      if (this.#acknowledged.has(tx)) return;
      repeated = { tx, untilMs: this.#nowMs() + timerLMs, intervalMs: t1Ms, alarm: undefined };
      this.#repeated.set(key, repeated);
    } else repeated.intervalMs = Math.min(repeated.intervalMs * 2, t2Ms);
    this.#arm(key, repeated);
  }

  /** The ACK of a 2xx has come. */
  onAck(view: SipView): void {
    this.#end(keyOf(view));
  }

  #arm(key: string, repeated: Repeated): void {
    this.#alarms.clear(repeated.alarm);
    repeated.alarm = this.#alarms.set(this.#nowMs() + repeated.intervalMs * behind, () => {
      if (this.#nowMs() >= repeated.untilMs) {
        this.#repeated.delete(key);
        return;
      }
      this.#transactions.repeat(repeated.tx);
      repeated.intervalMs = Math.min(repeated.intervalMs * 2, t2Ms);
      this.#arm(key, repeated);
    });
  }

  #end(key: string): void {
    const repeated = this.#repeated.get(key);
    if (repeated === undefined) return;
    this.#alarms.clear(repeated.alarm);
    this.#acknowledged.add(repeated.tx);
    this.#repeated.delete(key);
  }
}

/** The same for a 2xx and its ACK. */
function keyOf(view: SipView): string {
  return `${view.value(Header.callId) ?? ""}\0${tagOf(view, Header.from) ?? ""}\0${tagOf(view, Header.to) ?? ""}\0${cseqOf(view)}`;
}

import { Method } from "../sip/message/method.ts";
import type { SipView } from "../sip/message/view.ts";
import { writeCancel } from "../sip/message/write-ack-cancel.ts";
import { cancelledMs } from "../sip/transaction/timers.ts";
import type { CallRecord } from "./call-book.ts";
import type { Belonging, Core, Responder } from "./core.ts";
import type { DeviceLink } from "./device-link.ts";
import type { Leg } from "./leg.ts";
import { acknowledgeUnwanted, endUnwanted, indifferent } from "./own-requests.ts";
import { answeredElsewhereReason } from "./reason.ts";
import { requestToPhone } from "./rewriting.ts";

/** What is said to the phones of one inbound call: INVITE, CANCEL, and no to a 2xx that comes too late. */
export class LegSignals {
  readonly #core: Core;
  readonly #record: CallRecord;
  readonly #invite: SipView;
  readonly #aor: string;

  /** `invite`: as the server sent it, kept. `aor`: user@domain of the account. */
  constructor(core: Core, record: CallRecord, invite: SipView, aor: string) {
    this.#core = core;
    this.#record = record;
    this.#invite = invite;
    this.#aor = aor;
  }

  belongingOf(leg: Leg): Belonging {
    return { record: this.#record, accountId: this.#record.accountId, deviceId: leg.deviceId };
  }

  /** Design rule 10: to the Contact that the phone registered here, or to the account. */
  invite(leg: Leg, link: DeviceLink, responder: Responder): void {
    const uri = link.contacts.get(this.#record.accountId) ?? `sip:${this.#aor}`;
    const bytes = requestToPhone(this.#core.writer, this.#invite, this.#core.viaToPhone(leg.branch), uri);
    this.#core.sent(this.belongingOf(leg), "device", bytes);
    leg.isSent = true;
    leg.tx = this.#core.request(link, bytes, Method.invite, leg.branch, responder);
  }

  /**
   * The CANCEL goes at once: a tunnel keeps the order, so it cannot come before its INVITE, which is why §9.1 makes others wait for
   * a 1xx. On a new tunnel it is repeated alone: the INVITE is not shown again for a call that is gone.
   */
  cancel(leg: Leg, reason: string): void {
    const { tx } = leg;
    if (tx === undefined || tx.isOver) return;
    const bytes = writeCancel(this.#core.writer, tx.request, reason === "" ? undefined : reason);
    this.#core.sent(this.belongingOf(leg), "device", bytes);
    this.#core.settled(tx);
    this.#core.request(this.#linkOf(leg), bytes, Method.cancel, leg.branch, indifferent);
    // §9.1: what the CANCEL has not ended by then never will.
    this.#core.alarms.set(this.#core.nowMs() + cancelledMs, () => {
      if (!tx.isOver) this.#core.transactions.forget(tx);
    });
  }

  /** Picked up too late: the phone must not think that it talks to someone. Repetitions are acknowledged again. */
  refuse(leg: Leg, accepted: SipView, tag: string): void {
    const link = this.#linkOf(leg);
    const belonging = this.belongingOf(leg);
    acknowledgeUnwanted(this.#core, link, belonging, accepted);
    if (leg.unwantedTag === tag) return;
    leg.unwantedTag = tag;
    endUnwanted(this.#core, link, belonging, accepted, leg.cancelReason ?? answeredElsewhereReason);
  }

  #linkOf(leg: Leg): DeviceLink {
    return this.#core.links.ensure(leg.deviceId, this.#core.nowMs());
  }
}

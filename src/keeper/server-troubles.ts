import type { RegistrationIndex } from "../base/ids.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Attempts } from "./attempts.ts";
import type { Conduct } from "./conduct.ts";
import type { Ledger } from "./ledger.ts";
import type { Registrar } from "./registrar.ts";
import { retryAfterMs } from "./retry-after.ts";
import { type PurposeId, serversTriedMax } from "./volatile-rows.ts";

/** Troubles of a server in a row, in answers to anybody, after which the next one is used. */
const troublesToSwitch = 3;

/** Answers that speak of the server and not of the account: 503, 408 and the like. */
export class ServerTroubles {
  readonly #ledger: Ledger;
  readonly #attempts: Attempts;
  readonly #conduct: Conduct;
  /** In a row, by registrar. */
  readonly #troubles = new Map<number, number>();

  constructor(ledger: Ledger, attempts: Attempts, conduct: Conduct) {
    this.#ledger = ledger;
    this.#attempts = attempts;
    this.#conduct = conduct;
  }

  /** HOT. The registrar accepted somebody: the row of troubles is broken. */
  over(registrar: Registrar): void {
    if (this.#troubles.size > 0) this.#troubles.delete(registrar.id);
  }

  /** 503, 408 and the like: the next server if there is one (RFC 3263 §4.3), else later. */
  busy(row: RegistrationIndex, view: SipView, purpose: PurposeId): void {
    const ledger = this.#ledger;
    const { volatile } = ledger;
    const registrar = ledger.registrar(row);
    const now = this.#attempts.nowMs;
    const startedMs = now - ledger.ageMs(row, now);
    const waitMs = retryAfterMs(view);
    const troubles = (this.#troubles.get(registrar.id) ?? 0) + 1;
    this.#troubles.set(registrar.id, troubles);
    const isOverload = view.status === 503;
    if (isOverload) {
      // One account's 503 slows us; a row of them with Retry-After stops us (RFC 3261 §21.5.4).
      registrar.budget.overloaded(now, startedMs, troubles >= troublesToSwitch ? waitMs : 0);
    } else registrar.budget.answered(now, -1);
    if (troubles >= troublesToSwitch && registrar.reach.passOver(volatile.peer(row), now, waitMs)) {
      this.#troubles.delete(registrar.id);
      registrar.budget.restart(now);
      volatile.setPassedOver(row, 0);
      this.#attempts.transmit(row, purpose);
      return;
    }
    const passedOver = volatile.passedOver(row) + 1;
    if (view.status !== 500 && passedOver < Math.min(registrar.reach.count, serversTriedMax)) {
      volatile.setPassedOver(row, passedOver);
      this.#attempts.transmit(row, purpose);
      return;
    }
    this.#conduct.failed(row, waitMs);
  }
}

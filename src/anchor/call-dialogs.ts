import type { SipView } from "../sip/message/view.ts";
import type { ServerAsker } from "./asker.ts";
import type { CallRecord } from "./call-book.ts";
import type { Core } from "./core.ts";
import type { Dialog } from "./dialog.ts";
import type { DialogLife } from "./dialog-life.ts";
import type { Flow } from "./flow.ts";
import type { Leg } from "./leg.ts";

/** The dialogs that the phones' answers to one INVITE make, early ones and the one that stays. */
export class CallDialogs {
  readonly #core: Core;
  readonly #life: DialogLife;
  readonly #record: CallRecord;
  readonly #asker: ServerAsker;
  readonly #flow: Flow;

  constructor(parts: {
    readonly core: Core;
    readonly life: DialogLife;
    readonly record: CallRecord;
    readonly asker: ServerAsker;
    readonly flow: Flow;
  }) {
    this.#core = parts.core;
    this.#life = parts.life;
    this.#record = parts.record;
    this.#asker = parts.asker;
    this.#flow = parts.flow;
  }

  /** The dialog of the leg's response, made when it is the first in it; undefined for one without a To-tag. */
  of(leg: Leg, response: SipView): Dialog | undefined {
    return this.#life.fromResponse(
      {
        accountId: this.#record.accountId,
        deviceId: leg.deviceId,
        record: this.#record,
        contact: this.#asker.contact,
        flow: this.#flow,
        direction: "toPhone",
        request: this.#asker.tx.request,
      },
      response,
    );
  }

  /** The dialog of a 2xx, confirmed. */
  confirmedBy(leg: Leg, response: SipView): Dialog | undefined {
    const dialog = this.of(leg, response);
    if (dialog !== undefined) this.#life.confirm(dialog);
    return dialog;
  }

  /** They came to nothing, but for `kept`. */
  drop(kept?: Dialog): void {
    for (const dialog of this.#ofCall()) if (dialog !== kept) this.#life.drop(dialog);
  }

  /** The early dialogs of a phone that declined. */
  dropOf(leg: Leg): void {
    for (const dialog of this.#ofCall()) {
      if (dialog.deviceId === leg.deviceId && !dialog.confirmed) this.#life.drop(dialog);
    }
  }

  #ofCall(): readonly Dialog[] {
    return [...(this.#core.dialogs.ofCallId(this.#record.callId) ?? [])].filter(
      ({ record }) => record === this.#record,
    );
  }
}

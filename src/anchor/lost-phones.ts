import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { errandOf, type Core } from "./core.ts";
import type { DeviceLink } from "./device-link.ts";
import type { Dialog } from "./dialog.ts";
import type { DialogLife } from "./dialog-life.ts";
import { linkKeptMs, phoneLostMs, phoneLostQuietMs } from "./limits.ts";
import { LostPhoneBye } from "./own-requests.ts";
import { lostReason } from "./reason.ts";
import { RelayedRequest, type Relay } from "./relay.ts";

/**
 * Phones whose tunnel closed and does not come back. A call outlives its tunnel, media goes on without it; but when the far end waits
 * for an answer that nobody will give, or nothing was heard for long, the call is ended at the far end's side.
 */
export class LostPhones {
  readonly #core: Core;
  readonly #life: DialogLife;
  readonly #relay: Relay;

  constructor(core: Core, life: DialogLife, relay: Relay) {
    this.#core = core;
    this.#life = life;
    this.#relay = relay;
  }

  /** The device's tunnel closed and no other has taken over. */
  onClosed(link: DeviceLink): void {
    this.#watch(link, link.closedAtMs);
  }

  #watch(link: DeviceLink, closedAtMs: number): void {
    this.#core.alarms.set(this.#core.nowMs() + phoneLostMs, () => {
      // A new tunnel came, and perhaps went again: that closing has its own watch.
      if (link.isOpen || link.closedAtMs !== closedAtMs) return;
      this.#check(link, this.#core.nowMs() - closedAtMs);
      if (this.#isSpent(link, closedAtMs)) {
        link.dropHeld();
        this.#core.links.forget(link);
      } else this.#watch(link, closedAtMs);
    });
  }

  #check(link: DeviceLink, awayMs: number): void {
    const isOwed = link.heldFrames > 0 || link.pending.size > 0;
    for (const relayed of this.#relay.asking(link)) {
      // An INVITE of a phone that is gone rings for nobody.
      relayed.cancel(lostReason);
    }
    if (!isOwed && awayMs < phoneLostQuietMs) return;
    for (const dialog of this.#core.dialogs.ofDevice(link.deviceId) ?? []) {
      if (dialog.inCall && dialog.confirmed) this.#end(dialog, link);
    }
  }

  #end(dialog: Dialog, link: DeviceLink): void {
    new LostPhoneBye(this.#core, dialog, lostReason).send();
    this.#life.endCall(dialog);
    // §15.1.2: with the dialog goes the INVITE that is open in it.
    for (const tx of link.pending) {
      const { responder } = errandOf(tx);
      if (tx.method !== Method.invite || !(responder instanceof RelayedRequest)) continue;
      if (tx.request.value(Header.callId) !== dialog.callId) continue;
      responder.fail(487, "Request Terminated");
      this.#core.settled(tx);
      this.#core.transactions.forget(tx);
    }
  }

  #isSpent(link: DeviceLink, closedAtMs: number): boolean {
    if (this.#core.nowMs() - closedAtMs >= linkKeptMs) return true;
    const hasDialogs = (this.#core.dialogs.ofDevice(link.deviceId)?.size ?? 0) > 0;
    return !hasDialogs && link.heldFrames === 0 && link.pending.size === 0;
  }
}

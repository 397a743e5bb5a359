import type { AccountId, DeviceId } from "../base/ids.ts";
import type { Source } from "../net/network.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { tagOf } from "../sip/message/read-address.ts";
import { listHas } from "../sip/message/read-list.ts";
import type { SipView } from "../sip/message/view.ts";
import type { ClientTransaction } from "../sip/transaction/transactions.ts";
import type { CallState } from "../workers/protocol.ts";
import type { Alarm } from "./alarms.ts";
import { passAsProxy, type ServerAsker } from "./asker.ts";
import { bestResponse } from "./best-response.ts";
import type { CallRecord } from "./call-book.ts";
import { CallDialogs } from "./call-dialogs.ts";
import { CallPushes } from "./call-pushes.ts";
import { newTag } from "./call-uuid.ts";
import type { Cancellable, Core, Responder } from "./core.ts";
import type { DeviceLink } from "./device-link.ts";
import { cseqOf } from "./dialog.ts";
import type { DialogLife } from "./dialog-life.ts";
import type { Flow } from "./flow.ts";
import { Leg } from "./leg.ts";
import { LegSignals } from "./leg-signals.ts";
import { LegWakes } from "./leg-wakes.ts";
import { declineGraceMs, goneCallKeptMs, timerCMs, tunnelLostMs, tunnelSilenceMs } from "./limits.ts";
import {
  answeredElsewhereReason,
  declinedReason,
  missedReason,
  reasonOf,
  removedReason,
  saysAnsweredElsewhere,
} from "./reason.ts";
import type { Target } from "./targets.ts";

/** What an inbound call is made of. */
export interface InboundCallParts {
  readonly core: Core;
  readonly life: DialogLife;
  readonly record: CallRecord;
  readonly asker: ServerAsker;
  readonly flow: Flow;
  /** user@domain of the account: the Request-URI for a phone that has registered no Contact. */
  readonly aor: string;
  /** Where the account's owner wants calls that reach no phone: a URI, or undefined. */
  readonly forwardTo: string | undefined;
  /** It has its final answer. */
  readonly onGone: (call: InboundCall) => void;
  /** Late comers are no longer to be expected. */
  readonly onForgotten: (call: InboundCall) => void;
}

/**
 * A call from the server: the INVITE parked until phones come, forked to each as it opens its tunnel (RFC 3261 §16.6), their
 * responses chosen from (§16.7). Once a phone has answered, its dialog goes its own way; this object then only tells late
 * comers that they are late.
 */
export class InboundCall implements Cancellable {
  readonly record: CallRecord;
  readonly accountId: AccountId;
  readonly callId: string;
  readonly fromTag: string;
  readonly cseq: number;
  /** To-tag of the responses that are ours alone: our 180, our 480. */
  readonly ownTag: string;
  readonly asker: ServerAsker;
  readonly #core: Core;
  readonly #forwardTo: string | undefined;
  readonly #onGone: (call: InboundCall) => void;
  readonly #onForgotten: (call: InboundCall) => void;
  readonly #pushes: CallPushes;
  readonly #wakes: LegWakes;
  readonly #signals: LegSignals;
  readonly #dialogs: CallDialogs;
  readonly #legs = new Map<DeviceId, Leg>();
  /** Monotonic. */
  readonly #deadlineMs: number;
  readonly #reliableProvisionals: boolean;
  #hasRung = false;
  #rangOurselves = false;
  #answeredBy: Leg | undefined;
  #answeredTag: string | undefined;
  #isOver = false;
  #deadline: Alarm | undefined;
  #timerC: Alarm | undefined;
  #grace: Alarm | undefined;

  constructor(parts: InboundCallParts) {
    const { core, record, asker } = parts;
    const invite = asker.tx.request;
    this.#core = core;
    this.#forwardTo = parts.forwardTo;
    this.#onGone = parts.onGone;
    this.#onForgotten = parts.onForgotten;
    this.record = record;
    this.#pushes = new CallPushes(core, record);
    this.#signals = new LegSignals(core, record, invite, parts.aor);
    this.#dialogs = new CallDialogs(parts);
    this.asker = asker;
    this.accountId = record.accountId;
    this.callId = record.callId;
    this.fromTag = tagOf(invite, Header.from) ?? "";
    this.cseq = cseqOf(invite);
    this.ownTag = newTag(core.options.random);
    this.#deadlineMs = core.nowMs() + core.settings.deadlineSec * 1_000;
    this.#wakes = new LegWakes(core, this.#pushes, () => this.isOpen, this.#deadlineMs);
    this.#reliableProvisionals = listHas(invite, Header.require, "100rel");
    asker.tx.data = this;
  }

  /** No final answer was given. */
  get isOpen(): boolean {
    return !this.#isOver && this.#answeredBy === undefined;
  }

  /** The INVITE is answered already by 100. `targets` as `chooseTargets` gave them. */
  start(targets: readonly Target[]): void {
    const { ring } = this.#core.settings;
    for (const target of targets) {
      this.#legs.set(target.deviceId, new Leg(target, this.#core.transactions.newBranch()));
      this.record.devices.push(target.deviceId);
    }
    this.#core.calls.announce(this.record);
    this.#armDeadline();
    for (const leg of this.#legs.values()) {
      const link = leg.approach === "tunnel" ? this.#core.links.find(leg.deviceId) : undefined;
      if (link !== undefined) this.#offer(leg, link);
    }
    this.#pushes.wake([...this.#legs.values()].filter((leg) => leg.approach === "wake"));
    if (![...this.#legs.values()].some((leg) => leg.isPending || leg.isHeld)) return this.#unreachable();
    if (ring === "immediate" && [...this.#legs.values()].some((leg) => leg.isPending)) this.#ringOurselves();
  }

  /**
   * The device has opened a tunnel. `afterVoip`: by the ticket of a voip push for this very call, whose system demands to see
   * a call even when it is gone.
   */
  onTunnel(link: DeviceLink, afterVoip: boolean): void {
    const leg = this.#legs.get(link.deviceId);
    if (leg === undefined) return;
    if (this.isOpen && !leg.isDone) {
      // What was sent on an earlier tunnel was sent again by the link; a first time is ours.
      this.#wakes.callOff(leg);
      if (leg.tx === undefined) this.#offer(leg, link);
      else if (leg.wake === "due" && !leg.isHeard) this.#wakes.guard(leg, tunnelSilenceMs);
      return;
    }
    if (afterVoip && leg !== this.#answeredBy && leg.final === undefined) this.#offerGone(leg, link);
  }

  /**
   * The device's tunnel closed. One that has not said a word yet is woken without waiting longer: at the next tick, for it may
   * be about to take over with a new tunnel in this very moment. One that had the call gets a moment to come back by itself.
   */
  onTunnelClosed(deviceId: DeviceId): void {
    const leg = this.#legs.get(deviceId);
    if (leg === undefined || !this.isOpen || leg.isDone) return;
    if (leg.wake === "due" && !leg.isHeard) this.#wakes.guard(leg, 0);
    else if (leg.tx !== undefined) this.#wakes.later(leg, tunnelLostMs, "lost");
  }

  /** `silenceMs`: how long after the push a phone like this one has come, if it comes. */
  onDelivery(deviceId: DeviceId, outcome: "accepted" | "failed", silenceMs: number | undefined): void {
    const leg = this.#legs.get(deviceId);
    if (leg === undefined || !this.isOpen) return;
    this.#core.recorder.note(this.record.ladder, this.accountId, "push", "wakeline", outcome, deviceId);
    if (outcome === "failed") {
      leg.wake = "failed";
      this.#settle();
      return;
    }
    if (this.#core.settings.ring === "on_push" && !leg.isDone) this.#ringOurselves();
    if (silenceMs !== undefined && leg.wakes === 1 && leg.tx === undefined) this.#wakes.later(leg, silenceMs, "silent");
  }

  /** Nobody is waited for any longer, as behind the deadline. */
  giveUp(): void {
    this.#onDeadline();
  }

  /** The device is no longer the account's. */
  removeDevice(deviceId: DeviceId): void {
    const leg = this.#legs.get(deviceId);
    if (leg === undefined || !this.isOpen || leg.isDone) return;
    this.#cancelLeg(leg, removedReason);
    leg.isRemoved = true;
    this.#settle();
  }

  /** The server takes the call back (§9.2). */
  onCancel(cancel: SipView): void {
    this.#core.received(this.asker.belonging, "server", cancel);
    const reason = reasonOf(cancel);
    this.#takenBack(saysAnsweredElsewhere(reason) ? "answeredElsewhere" : "cancelled", reason);
  }

  /** An ACK with a To-tag that is nobody's here: the server forked, and another branch answered (design rule 4). */
  onForeignAck(): void {
    this.#takenBack("answeredElsewhere", answeredElsewhereReason);
  }

  /** A request in the early dialog of our own 180: no phone knows of it (design rule 7). */
  onOwnDialogRequest(view: SipView, answer: (status: number, reason: string) => void): void {
    if (view.method === Method.bye) {
      answer(200, "OK");
      this.#takenBack("cancelled", reasonOf(view));
    } else if (view.method === Method.options) answer(200, "OK");
    else if (view.method === Method.prack) {
      // We never ask for one.
      answer(481, "Call/Transaction Does Not Exist");
    } else {
      // RFC 5057 §5.1: refuses the request, leaves the dialog.
      answer(488, "Not Acceptable Here");
    }
  }

  #takenBack(state: "cancelled" | "answeredElsewhere", reason: string | undefined): void {
    if (!this.isOpen) return;
    this.asker.answer(487, "Request Terminated", { toTag: this.ownTag });
    const asleep = this.#endLegs(reason ?? "", undefined);
    // The caller gave up: for a phone that did not come in time this call is a missed one, though its `cancel` may never arrive.
    if (state === "cancelled") this.#pushes.missed(asleep);
    this.#core.count(state === "cancelled" ? "callsCancelled" : "callsAnsweredElsewhere");
    this.#over(state);
  }

  // ---- towards the phones

  #offer(leg: Leg, link: DeviceLink): void {
    this.#signals.invite(leg, link, this.#responderOf(leg));
    if (leg.isHeard || leg.wake !== "none" || !leg.wakeable) return;
    // A tunnel may be a dead socket that nobody has noticed yet.
    this.#wakes.guard(leg, tunnelSilenceMs);
  }

  /** A call that is gone, shown to a system that demands one: INVITE and CANCEL. */
  #offerGone(leg: Leg, link: DeviceLink): void {
    if (leg.isSent) return;
    this.#signals.invite(leg, link, this.#responderOf(leg));
    this.#signals.cancel(leg, leg.cancelReason ?? missedReason);
  }

  #responderOf(leg: Leg): Responder {
    return {
      onResponse: (tx: ClientTransaction, view: SipView, _source: Source | undefined) =>
        this.#onResponse(leg, tx, view),
      onFailure: (tx: ClientTransaction) => this.#onFailure(leg, tx),
    };
  }

  #onFailure(leg: Leg, tx: ClientTransaction): void {
    if (leg.tx !== tx) return;
    // Timer B: not a word in 32 s. Its next tunnel gets the INVITE anew, if there is still a call then.
    leg.tx = undefined;
    this.#settle();
  }

  #onResponse(leg: Leg, tx: ClientTransaction, view: SipView): void {
    this.#core.received(this.#signals.belongingOf(leg), "device", view);
    leg.isHeard = true;
    if (view.status >= 200 && view.status < 300) return this.#onAccepted(leg, view);
    if (view.status >= 300) {
      if (leg.tx === tx) leg.tx = undefined;
      return this.#onDeclined(leg, view);
    }
    if (!this.isOpen || leg.isDone || view.status === 100) return;
    this.#dialogs.of(leg, view);
    if (view.status >= 180 && view.status < 190) this.#onRinging(leg);
    // §16.7 step 2: each 1xx but 100 starts timer C again.
    if (this.#timerC !== undefined) this.#armTimerC();
    this.asker.pass(view);
  }

  #onRinging(leg: Leg): void {
    this.#hasRung = true;
    leg.isRinging = true;
    if (this.#deadline === undefined) return;
    // Design rule 11: someone hears it; from now on the caller's patience counts, bounded by timer C.
    this.#core.alarms.clear(this.#deadline);
    this.#deadline = undefined;
    this.#armTimerC();
  }

  /** Runs while no phone rings: at first, and again when the last that rang is done and others are still awaited. */
  #armDeadline(): void {
    this.#deadline ??= this.#core.alarms.set(this.#deadlineMs, () => this.#onDeadline());
  }

  #armTimerC(): void {
    this.#core.alarms.clear(this.#timerC);
    this.#timerC = this.#core.alarms.set(this.#core.nowMs() + timerCMs, () => this.#onDeadline());
  }

  #onAccepted(leg: Leg, view: SipView): void {
    const tag = tagOf(view, Header.to) ?? "";
    if (this.#answeredBy === leg && this.#answeredTag === tag) {
      // RFC 6026 §7.1: the phone repeats its 2xx until the ACK; each goes on.
      this.asker.pass(view);
      return;
    }
    if (!this.isOpen || leg.isRemoved) return this.#signals.refuse(leg, view, tag);
    this.#answeredBy = leg;
    this.#answeredTag = tag;
    const dialog = this.#dialogs.confirmedBy(leg, view);
    this.asker.pass(view);
    this.#dialogs.drop(dialog);
    this.#endLegs(answeredElsewhereReason, leg);
    this.#core.count("callsAnswered");
    this.#core.calls.answered(this.record, leg.deviceId);
    // A 2xx without a tag makes no dialog that we could follow.
    if (dialog === undefined) this.#core.calls.end(this.record, "ended");
    this.#forgetLater();
  }

  #onDeclined(leg: Leg, view: SipView): void {
    this.#dialogs.dropOf(leg);
    if (!this.isOpen) return;
    if (leg.isDone) {
      // The last of those that a 6xx of another phone cancelled.
      if (this.#grace !== undefined && !this.#isAsking()) this.#settle();
      return;
    }
    leg.final = view.keep();
    this.#wakes.callOff(leg);
    if (view.status >= 600) {
      // §16.7 step 5: nobody else is asked, but whoever is answering right now still may.
      this.#endLegs(declinedReason, undefined);
      if (this.#isAsking()) {
        this.#grace ??= this.#core.alarms.set(this.#core.nowMs() + declineGraceMs, () => this.#settle());
        return;
      }
    }
    this.#settle();
  }

  /** Some phone has the INVITE and no final response. */
  #isAsking(): boolean {
    return [...this.#legs.values()].some((leg) => leg.tx !== undefined);
  }

  // ---- towards the server

  /** Ends the call when nothing more can come of any leg. */
  #settle(): void {
    if (!this.isOpen) return;
    const legs = [...this.#legs.values()];
    if (legs.some((leg) => leg.isPending)) {
      if (!legs.some((leg) => leg.isRinging && !leg.isDone)) this.#armDeadline();
      return;
    }
    const best = this.#bestFinal();
    if (best !== undefined) return this.#decline(best);
    // A phone in the foreground is rung by the server itself; our branch stays out of the way until it is taken back.
    if (!legs.some((leg) => leg.isHeld)) this.#unreachable();
  }

  /** Of the phones' failures (RFC 3261 §16.7 step 6). */
  #bestFinal(): SipView | undefined {
    const finals = [...this.#legs.values()].flatMap((leg) => (leg.final === undefined ? [] : [leg.final]));
    return finals[bestResponse(finals.map((final) => final.status))];
  }

  #decline(best: SipView): void {
    passAsProxy(this.asker, best);
    this.#endLegs(declinedReason, undefined);
    this.#core.count("callsRefused");
    this.#over("ended");
  }

  /** No device can be woken, or none is left: the caller hears so at once. */
  #unreachable(): void {
    this.#answerAbsent();
    this.#endLegs(missedReason, undefined);
    this.#core.count("callsUnreachable");
    this.#over("missed");
  }

  #onDeadline(): void {
    if (!this.isOpen) return;
    const best = this.#bestFinal();
    if (best !== undefined) return this.#decline(best);
    this.#core.recorder.note(this.record.ladder, this.accountId, "wakeline", "wakeline", "deadline");
    this.#answerAbsent();
    this.#endLegs(missedReason, undefined);
    this.#core.count("callsMissed");
    this.#over("missed");
  }

  #answerAbsent(): void {
    const toTag = this.ownTag;
    if (this.#forwardTo === undefined) this.asker.answer(480, "Temporarily Unavailable", { toTag });
    else this.asker.answer(302, "Moved Temporarily", { toTag, contact: `<${this.#forwardTo}>` });
  }

  /** One 180 of our own, in an early dialog of our own; none once a phone rings, none where it would have to be acknowledged. */
  #ringOurselves(): void {
    if (this.#rangOurselves || this.#hasRung || this.#reliableProvisionals) return;
    this.#rangOurselves = true;
    this.asker.answer(180, "Ringing", { toTag: this.ownTag, contact: this.asker.contact });
  }

  // ---- endings

  /** Cancels every leg but `winner`, and tells sleeping phones by push; returns their legs. */
  #endLegs(reason: string, winner: Leg | undefined): readonly Leg[] {
    const asleep: Leg[] = [];
    for (const leg of this.#legs.values()) {
      if (leg === winner || leg.isDone) continue;
      if (this.#core.links.find(leg.deviceId)?.serves(this.accountId) !== true) asleep.push(leg);
      this.#cancelLeg(leg, reason);
    }
    if (reason === missedReason) this.#pushes.missed(asleep);
    else this.#pushes.cancel(asleep, reason);
    return asleep;
  }

  #cancelLeg(leg: Leg, reason: string): void {
    leg.cancelReason = reason;
    this.#wakes.callOff(leg);
    if (leg.tx !== undefined) this.#signals.cancel(leg, reason);
  }

  #over(state: Exclude<CallState, "ringing" | "answered">): void {
    this.#isOver = true;
    this.#dialogs.drop();
    this.#core.calls.end(this.record, state);
    this.#forgetLater();
  }

  #forgetLater(): void {
    for (const alarm of [this.#deadline, this.#timerC, this.#grace]) this.#core.alarms.clear(alarm);
    this.#onGone(this);
    for (const leg of this.#legs.values()) this.#wakes.callOff(leg);
    const keptFromMs = Math.max(this.#deadlineMs, this.#core.nowMs());
    this.#core.alarms.set(keptFromMs + goneCallKeptMs, () => this.#onForgotten(this));
  }
}

import type { AccountId, DeviceId } from "../base/ids.ts";
import { Header } from "../sip/message/header.ts";
import { Method, type MethodId } from "../sip/message/method.ts";
import { parameter } from "../sip/message/read-parameter.ts";
import { readNumber } from "../sip/message/read-number.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Alarm } from "./alarms.ts";
import type { CallRecord } from "./call-book.ts";
import type { Core } from "./core.ts";
import { cseqOf, dialogFields, routeSetOf, targetOf, type Dialog } from "./dialog.ts";
import { learnFarEnd } from "./far-end.ts";
import type { Flow } from "./flow.ts";
import { challengedKeptMs, dialogIdleMs, dialogLingerMs, subscriptionDefaultSec } from "./limits.ts";
import { LostPhoneBye } from "./own-requests.ts";
import { unrepeatedReason } from "./reason.ts";

/** Which way a request goes. */
export type Direction = "toPhone" | "toServer";

/** What a new dialog is made of beside the message that makes it. */
export interface DialogMaking {
  readonly accountId: AccountId;
  readonly deviceId: DeviceId;
  readonly record: CallRecord | undefined;
  readonly contact: string;
  readonly flow: Flow;
  /** The way of the request that makes the dialog: decides whose tag is in From. */
  readonly direction: Direction;
  /** The request that makes it. */
  readonly request: SipView;
}

/** Requests whose Contact is a new target of the dialog (RFC 3261 §12.2, RFC 3311, RFC 6665 §4.4.1). */
const refreshing: ReadonlySet<MethodId> = new Set([
  Method.invite,
  Method.update,
  Method.subscribe,
  Method.notify,
  Method.refer,
]);

/** Begins, follows and ends dialogs: what of RFC 3261 §12 and RFC 5057 a relay has to know. */
export class DialogLife {
  readonly #core: Core;
  readonly #timers = new Map<Dialog, Alarm>();
  /** Dialogs whose BYE was challenged, until it comes again. */
  readonly #challenged = new Map<Dialog, Alarm>();

  constructor(core: Core) {
    this.#core = core;
  }

  /** The dialog that `response` makes or belongs to; undefined when it makes none (no To-tag) or there are too many. */
  fromResponse(making: DialogMaking, response: SipView): Dialog | undefined {
    const deviceSide = making.direction === "toPhone" ? "to" : "from";
    const fields = dialogFields(response, deviceSide);
    const toTag = deviceSide === "to" ? fields.deviceTag : fields.remoteTag;
    if (toTag === "") return undefined;
    const known = this.#core.dialogs.find(fields.callId, fields.deviceTag, fields.remoteTag);
    if (known !== undefined) return known.over ? undefined : this.#confirmedBy(known, making, response);
    const { request } = making;
    const responseTarget = targetOf(response) ?? "";
    const requestTarget = targetOf(request) ?? "";
    const toPhone = making.direction === "toPhone";
    return this.#add({
      ...fields,
      accountId: making.accountId,
      deviceId: making.deviceId,
      record: making.record,
      contact: making.contact,
      flow: making.flow,
      direct: undefined,
      deviceTarget: toPhone ? responseTarget : requestTarget,
      remoteTarget: toPhone ? requestTarget : responseTarget,
      routes: routeSetOf(toPhone ? request : response),
      deviceCSeq: toPhone ? 0 : cseqOf(request),
      remoteCSeq: toPhone ? cseqOf(request) : 0,
      confirmed: false,
      inCall: request.method === Method.invite,
      subscriptions: new Map(),
      lastUsedMs: this.#core.nowMs(),
      over: false,
    });
  }

  /** The dialog that a NOTIFY makes which came before the answer to its SUBSCRIBE or REFER (RFC 6665 §4.4.1). */
  fromNotify(making: DialogMaking, notify: SipView): Dialog | undefined {
    const fields = dialogFields(notify, "to");
    return this.#add({
      ...fields,
      accountId: making.accountId,
      deviceId: making.deviceId,
      record: making.record,
      contact: making.contact,
      flow: making.flow,
      direct: undefined,
      deviceTarget: targetOf(making.request) ?? "",
      remoteTarget: targetOf(notify) ?? "",
      routes: routeSetOf(notify),
      deviceCSeq: cseqOf(making.request),
      remoteCSeq: cseqOf(notify),
      confirmed: true,
      inCall: false,
      subscriptions: new Map(),
      lastUsedMs: this.#core.nowMs(),
      over: false,
    });
  }

  /** A request in the dialog passes. */
  onRequest(dialog: Dialog, direction: Direction, view: SipView): void {
    dialog.lastUsedMs = this.#core.nowMs();
    const cseq = cseqOf(view);
    if (direction === "toPhone") dialog.remoteCSeq = Math.max(dialog.remoteCSeq, cseq);
    else dialog.deviceCSeq = Math.max(dialog.deviceCSeq, cseq);
    if (view.method === Method.notify) this.#onNotify(dialog, view);
    if (view.method === Method.bye) this.#clearChallenge(dialog);
  }

  /** A response to a request of `method` in the dialog passes; `direction` is the request's. */
  onResponse(dialog: Dialog, direction: Direction, request: SipView, view: SipView): void {
    const { method } = request;
    if (view.status < 200) return;
    if (view.status < 300) {
      if (refreshing.has(method)) {
        // §14.1: what was refused has moved nothing.
        this.#retarget(dialog, direction === "toPhone" ? "remote" : "device", request);
        this.#retarget(dialog, direction === "toPhone" ? "device" : "remote", view);
      }
      if (method === Method.subscribe) this.#subscribed(dialog, subscriptionKey(request), expiresSecOf(view, request));
      if (method === Method.refer) this.#subscribed(dialog, `refer;${cseqOf(request)}`, subscriptionDefaultSec);
    }
    // §15.1.1: whatever is answered to BYE, the INVITE usage is over; but a challenge asks for the BYE once more.
    if (method !== Method.bye) return;
    if (isChallenge(view.status)) this.#onChallengedBye(dialog, direction);
    else this.endCall(dialog);
  }

  confirm(dialog: Dialog): void {
    dialog.confirmed = true;
  }

  /** A SUBSCRIBE or REFER outside a dialog made this one. */
  subscribe(dialog: Dialog, request: SipView, response: SipView): void {
    dialog.confirmed = true;
    if (request.method === Method.subscribe) {
      this.#subscribed(dialog, subscriptionKey(request), expiresSecOf(response, request));
    } else this.#subscribed(dialog, `refer;${cseqOf(request)}`, subscriptionDefaultSec);
  }

  /** The INVITE usage ended: by BYE, by a failed INVITE, or because the phone is lost. */
  endCall(dialog: Dialog): void {
    this.#clearChallenge(dialog);
    if (!dialog.inCall) return;
    dialog.inCall = false;
    this.#settle(dialog);
    const { record } = dialog;
    if (record === undefined || !dialog.confirmed) return;
    // Several branches may have answered one INVITE of a phone: the call ends with the last.
    for (const other of this.#core.dialogs.ofCallId(dialog.callId) ?? []) {
      if (other.record === record && other.inCall) return;
    }
    this.#core.calls.end(record, "ended");
  }

  /**
   * A BYE was challenged. Whoever sent it has hung up, whether or not it knows a password: when the BYE does not come again the call
   * ends all the same, and the far end of a phone hears so from us.
   */
  #onChallengedBye(dialog: Dialog, direction: Direction): void {
    this.#clearChallenge(dialog);
    if (!dialog.inCall) return;
    const end = this.#core.alarms.set(this.#core.nowMs() + challengedKeptMs, () => {
      if (direction === "toServer") new LostPhoneBye(this.#core, dialog, unrepeatedReason).send();
      this.endCall(dialog);
    });
    this.#challenged.set(dialog, end);
  }

  #clearChallenge(dialog: Dialog): void {
    this.#core.alarms.clear(this.#challenged.get(dialog));
    this.#challenged.delete(dialog);
  }

  /** An early dialog that came to nothing: nobody may speak in it any more. */
  drop(dialog: Dialog): void {
    dialog.inCall = false;
    dialog.subscriptions.clear();
    this.#forget(dialog);
  }

  #add(dialog: Dialog): Dialog | undefined {
    if (!this.#core.dialogs.add(dialog)) return undefined;
    learnFarEnd(this.#core, dialog);
    this.#arm(dialog, dialogIdleMs);
    return dialog;
  }

  #retarget(dialog: Dialog, side: "device" | "remote", view: SipView): void {
    const target = targetOf(view);
    if (target === undefined) return;
    if (side === "device") dialog.deviceTarget = target;
    else if (target !== dialog.remoteTarget) {
      dialog.remoteTarget = target;
      learnFarEnd(this.#core, dialog);
    }
  }

  /** A later response of an early dialog: its Contact counts, and the route set of a 2xx (RFC 3261 §13.2.2.4). */
  #confirmedBy(dialog: Dialog, { direction }: DialogMaking, response: SipView): Dialog {
    if (dialog.confirmed || response.status >= 300) return dialog;
    if (direction === "toServer" && response.status >= 200) {
      dialog.routes = routeSetOf(response);
      learnFarEnd(this.#core, dialog);
    }
    this.#retarget(dialog, direction === "toPhone" ? "device" : "remote", response);
    return dialog;
  }

  #onNotify(dialog: Dialog, view: SipView): void {
    const key = subscriptionKey(view);
    const i = view.find(Header.subscriptionState);
    const state = i < 0 ? "" : view.text(i);
    if (/^terminated\b/i.test(state)) {
      // The event id of a REFER is its CSeq and may be left out for the first (RFC 3515 §2.4.6).
      for (const known of dialog.subscriptions.keys()) {
        if (known === key || (key === "refer;" && known.startsWith("refer;"))) dialog.subscriptions.delete(known);
      }
      this.#settle(dialog);
      return;
    }
    const expires = i < 0 ? undefined : parameter(view.bytes, parametersFrom(view, i), view.valueTo(i), "expires");
    const expiresSec = Number(expires ?? Number.NaN);
    this.#subscribed(dialog, key, Number.isSafeInteger(expiresSec) ? expiresSec : subscriptionDefaultSec);
  }

  #subscribed(dialog: Dialog, key: string, expiresSec: number): void {
    if (expiresSec <= 0) dialog.subscriptions.delete(key);
    else dialog.subscriptions.set(key, this.#core.nowMs() + Math.min(expiresSec * 1_000, dialogIdleMs));
    this.#settle(dialog);
  }

  /** Sees whether a usage is left; when none is, the dialog lingers and goes. */
  #settle(dialog: Dialog): void {
    if (dialog.inCall) return;
    const now = this.#core.nowMs();
    let latest = 0;
    for (const [key, untilMs] of dialog.subscriptions) {
      if (untilMs <= now) dialog.subscriptions.delete(key);
      else latest = Math.max(latest, untilMs);
    }
    dialog.over = latest === 0;
    this.#arm(dialog, dialog.over ? dialogLingerMs : latest - now);
  }

  #arm(dialog: Dialog, afterMs: number): void {
    this.#core.alarms.clear(this.#timers.get(dialog));
    this.#timers.set(
      dialog,
      this.#core.alarms.set(this.#core.nowMs() + afterMs, () => this.#onAlarm(dialog)),
    );
  }

  #onAlarm(dialog: Dialog): void {
    const now = this.#core.nowMs();
    const idleUntilMs = dialog.lastUsedMs + dialogIdleMs;
    if (dialog.over || (dialog.inCall && now >= idleUntilMs)) {
      this.endCall(dialog);
      this.#forget(dialog);
    } else if (dialog.inCall) this.#arm(dialog, idleUntilMs - now);
    else this.#settle(dialog);
  }

  #forget(dialog: Dialog): void {
    this.#clearChallenge(dialog);
    this.#core.alarms.clear(this.#timers.get(dialog));
    this.#timers.delete(dialog);
    this.#core.dialogs.remove(dialog);
  }
}

/** Event package and id of SUBSCRIBE or NOTIFY. */
function subscriptionKey(view: SipView): string {
  const i = view.find(Header.event);
  if (i < 0) return ";";
  const name = view.text(i).split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return `${name};${parameter(view.bytes, parametersFrom(view, i), view.valueTo(i), "id") ?? ""}`;
}

/** Where the parameters of a `token;a=b` value begin. */
function parametersFrom(view: SipView, i: number): number {
  const semicolon = view.bytes.subarray(view.valueFrom(i), view.valueTo(i)).indexOf(0x3b);
  return semicolon < 0 ? view.valueTo(i) : view.valueFrom(i) + semicolon;
}

function expiresSecOf(response: SipView, request: SipView): number {
  const granted = readNumber(response, Header.expires);
  if (granted >= 0) return granted;
  const asked = readNumber(request, Header.expires);
  return asked >= 0 ? asked : subscriptionDefaultSec;
}

/** Whether a status asks the sender to come again with credentials (RFC 3261 §22.2, §22.3). */
export function isChallenge(status: number): boolean {
  return status === 401 || status === 407;
}

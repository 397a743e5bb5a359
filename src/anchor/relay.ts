import type { Source } from "../net/network.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { tagOf } from "../sip/message/read-address.ts";
import type { SipView } from "../sip/message/view.ts";
import { writeCancel } from "../sip/message/write-ack-cancel.ts";
import type { ClientTransaction, ServerTransaction } from "../sip/transaction/transactions.ts";
import type { Alarm } from "./alarms.ts";
import { passAsProxy, PhoneAsker, ServerAsker, type Asker } from "./asker.ts";
import { newTag } from "./call-uuid.ts";
import type { Belonging, Cancellable, Core, Responder } from "./core.ts";
import type { DeviceLink } from "./device-link.ts";
import type { Dialog } from "./dialog.ts";
import { isChallenge, type DialogLife, type Direction } from "./dialog-life.ts";
import { wayOf } from "./far-end.ts";
import type { Flow } from "./flow.ts";
import { relaysPerDeviceMax, timerCMs } from "./limits.ts";
import { reasonOf, shardLostReason } from "./reason.ts";
import { hopsLeft, requestToPhone, requestToServer } from "./rewriting.ts";

/** Called with each response before it is passed on. */
export type Observe = (view: SipView) => void;

/**
 * One request that goes on to the other side, and its answers back: hop by hop (RFC 3261 §16), an ACK to a 2xx excepted. An INVITE that is
 * answered by nothing but 1xx is cancelled in the end (timer C, §16.8): whoever should do so may be gone.
 */
export class RelayedRequest implements Responder, Cancellable {
  readonly asker: Asker;
  readonly #core: Core;
  readonly #observe: Observe;
  readonly #onDone: () => void;
  #tx: ClientTransaction | undefined;
  #otherwise: (() => void) | undefined;
  #timerC: Alarm | undefined;
  #done = false;

  constructor(core: Core, asker: Asker, observe: Observe, onDone: () => void) {
    this.#core = core;
    this.asker = asker;
    this.#observe = observe;
    this.#onDone = onDone;
    asker.tx.data = this;
  }

  get isDone(): boolean {
    return this.#done;
  }

  /** The transaction towards the other side has begun. */
  start(tx: ClientTransaction): void {
    this.#tx = tx;
  }

  /** What is done, once, when the other side cannot be reached that way: `start` is called again. */
  otherwise(send: () => void): void {
    this.#otherwise = send;
  }

  onResponse(_tx: ClientTransaction, view: SipView, source: Source | undefined): void {
    this.#core.received(this.asker.belonging, source === undefined ? "device" : "server", view);
    if (view.status < 200 && !this.#done) this.#patience(view.status);
    // §16.7 step 5: a 100 is hop by hop.
    if (view.status === 100) return;
    this.#observe(view);
    passAsProxy(this.asker, view);
    if (view.status >= 200) this.#finish();
  }

  onFailure(_tx: ClientTransaction, cause: "timeout" | "transport"): void {
    if (this.asker.finalStatus === 0) {
      const otherwise = this.#otherwise;
      this.#otherwise = undefined;
      if (cause === "transport" && otherwise !== undefined) return otherwise();
      if (cause === "transport") this.#fail(503, "Service Unavailable");
      else if (this.asker.tx.method === Method.invite) this.#fail(408, "Request Timeout");
      // RFC 4320 §4.2: a non-INVITE request is never answered 408; its sender has given up by now.
    }
    this.#finish();
  }

  onCancel(cancel: SipView): void {
    this.cancel(reasonOf(cancel));
  }

  /** Cancels what we sent, now or once the other side has said anything (§9.1). */
  cancel(reason: string | undefined): void {
    const tx = this.#tx;
    if (tx === undefined || this.#done) return;
    const bytes = writeCancel(this.#core.writer, tx.request, reason);
    this.#core.sent(this.asker.belonging, this.asker instanceof ServerAsker ? "device" : "server", bytes);
    this.#core.transactions.cancel(tx, bytes);
  }

  /** Answers in the other side's place; nothing once it has answered. */
  fail(status: number, reason: string): void {
    if (this.asker.finalStatus === 0) this.#fail(status, reason);
    this.#finish();
  }

  /** §16.7 step 2: each 1xx but 100 starts timer C again. */
  #patience(status: number): void {
    if (this.asker.tx.method !== Method.invite || (status === 100 && this.#timerC !== undefined)) return;
    this.#core.alarms.clear(this.#timerC);
    // What answers not even the CANCEL is taken for cancelled after 64*T1 (§9.1), by its transaction.
    this.#timerC = this.#core.alarms.set(this.#core.nowMs() + timerCMs, () => this.cancel(undefined));
  }

  #fail(status: number, reason: string): void {
    this.asker.answer(status, reason, { toTag: newTag(this.#core.options.random) });
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#core.alarms.clear(this.#timerC);
    this.#onDone();
  }
}

/** The relay inside dialogs, both ways. */
export class Relay {
  readonly #core: Core;
  readonly #life: DialogLife;
  /** Requests of each phone that the server has not answered. */
  readonly #asking = new Map<DeviceLink, Set<RelayedRequest>>();

  constructor(core: Core, life: DialogLife) {
    this.#core = core;
    this.#life = life;
  }

  /** Phones that have a request under way. */
  get size(): number {
    return this.#asking.size;
  }

  /** A request of the server in a dialog goes to the phone, now or with the next tunnel. */
  fromServer(tx: ServerTransaction, view: SipView, dialog: Dialog): void {
    const belonging = belongingOf(dialog);
    this.#core.received(belonging, "server", view);
    const asker = new ServerAsker(this.#core, tx, belonging, dialog.contact);
    if (dialog.over && view.method !== Method.notify) return asker.answer(481, "Call/Transaction Does Not Exist");
    if (hopsLeft(view) < 0) return asker.answer(483, "Too Many Hops");
    this.#life.onRequest(dialog, "toPhone", view);
    // §13.3.1: the far end stops repeating its INVITE at once, wherever the phone is.
    if (view.method === Method.invite) asker.answer(100, "Trying");
    const link = this.#core.links.ensure(dialog.deviceId, this.#core.nowMs());
    const relayed = this.#relayed(asker, dialog, "toPhone", () => {});
    const branch = this.#core.transactions.newBranch();
    const bytes = requestToPhone(this.#core.writer, view, this.#core.viaToPhone(branch), targetAtPhone(dialog, view));
    this.#core.sent(belonging, "device", bytes);
    relayed.start(this.#core.request(link, bytes, view.method, branch, relayed));
  }

  /** A request of the phone in a dialog goes the dialog's way; its Route stays and does not choose the hop (design rule 2). */
  fromPhone(tx: ServerTransaction, view: SipView, dialog: Dialog, link: DeviceLink): void {
    const belonging = belongingOf(dialog);
    this.#core.received(belonging, "device", view);
    const asker = new PhoneAsker(this.#core, tx, belonging);
    if (dialog.over && view.method !== Method.notify) return asker.answer(481, "Call/Transaction Does Not Exist");
    if (hopsLeft(view) < 0) return asker.answer(483, "Too Many Hops");
    if (!this.mayAsk(link)) return asker.answer(503, "Service Unavailable");
    if (view.method === Method.invite) asker.answer(100, "Trying");
    this.#life.onRequest(dialog, "toServer", view);
    const way = wayOf(this.#core, dialog);
    if (!this.#hasRoute(way, dialog)) return asker.answer(503, "Service Unavailable");
    const relayed = this.track(link, (done) => this.#relayed(asker, dialog, "toServer", done));
    const send = (flow: Flow): void => {
      const branch = this.#core.transactions.newBranch();
      const via = this.#core.viaToServer(flow, dialog.accountId, branch) ?? "";
      const bytes = requestToServer(this.#core.writer, tx.request, { via, contact: dialog.contact });
      this.#core.sent(belonging, "server", bytes);
      relayed.start(this.#core.request(flow.hop, bytes, tx.method, branch, relayed));
    };
    send(way);
    if (way !== dialog.flow && this.#hasRoute(dialog.flow, dialog)) relayed.otherwise(() => send(dialog.flow));
  }

  /** Whether our address on that way is known: without it there is no Via. */
  #hasRoute(flow: Flow, dialog: Dialog): boolean {
    return this.#core.viaToServer(flow, dialog.accountId, "") !== undefined;
  }

  /** The ACK to a 2xx goes end to end, outside any transaction (§13.2.2.4). */
  ackFromServer(view: SipView, dialog: Dialog): void {
    const belonging = belongingOf(dialog);
    this.#core.received(belonging, "server", view);
    this.#core.repeats.onAck(view);
    this.#life.onRequest(dialog, "toPhone", view);
    const via = this.#core.viaToPhone(this.#core.transactions.newBranch());
    const bytes = requestToPhone(this.#core.writer, view, via, targetAtPhone(dialog, view));
    this.#core.sent(belonging, "device", bytes);
    this.#core.links.ensure(dialog.deviceId, this.#core.nowMs()).send(bytes);
  }

  ackFromPhone(view: SipView, dialog: Dialog): void {
    const belonging = belongingOf(dialog);
    this.#core.received(belonging, "device", view);
    this.#life.onRequest(dialog, "toServer", view);
    const way = wayOf(this.#core, dialog);
    const via = this.#core.viaToServer(way, dialog.accountId, this.#core.transactions.newBranch());
    if (via === undefined) return;
    const bytes = requestToServer(this.#core.writer, view, { via, contact: dialog.contact });
    this.#core.sent(belonging, "server", bytes);
    this.#core.acknowledge(way.hop, bytes);
  }

  /** Whether the phone may have one more request under way. */
  mayAsk(link: DeviceLink): boolean {
    return (this.#asking.get(link)?.size ?? 0) < relaysPerDeviceMax;
  }

  /** Counts a request of the phone until it is done. */
  track(link: DeviceLink, make: (done: () => void) => RelayedRequest): RelayedRequest {
    const asking = this.#asking.get(link) ?? new Set();
    this.#asking.set(link, asking);
    const relayed = make(() => {
      asking.delete(relayed);
      if (asking.size === 0) this.#asking.delete(link);
    });
    asking.add(relayed);
    return relayed;
  }

  /** The phone has a new tunnel: the answers that its last one may have swallowed. What was held follows. */
  onTunnel(link: DeviceLink): void {
    const { transactions } = this.#core;
    for (const { tx, bytes } of link.answersStill(this.#core.nowMs())) {
      if (bytes === undefined) transactions.repeat(tx);
      else link.send(bytes);
    }
    // A call that rings at the far end rings on here: its last 1xx.
    for (const { asker } of this.asking(link)) {
      if (asker.tx.method === Method.invite && asker.finalStatus === 0 && asker.tx.lastStatus > 100) {
        transactions.repeat(asker.tx);
      }
    }
  }

  /** INVITEs of phones that have no final answer are taken back, and get one. */
  giveUp(): void {
    for (const link of this.#asking.keys()) {
      for (const relayed of this.asking(link)) {
        if (relayed.asker.tx.method !== Method.invite) continue;
        relayed.cancel(shardLostReason);
        relayed.fail(503, "Service Unavailable");
      }
    }
  }

  /** Requests of the phone that have no final answer. */
  asking(link: DeviceLink): readonly RelayedRequest[] {
    return [...(this.#asking.get(link) ?? [])];
  }

  #relayed(asker: Asker, dialog: Dialog, direction: Direction, done: () => void): RelayedRequest {
    const { request } = asker.tx;
    return new RelayedRequest(
      this.#core,
      asker,
      (response) => this.#life.onResponse(dialog, direction, request, response),
      () => {
        // §15.1.1: a BYE without an answer ends the dialog too.
        if (request.method === Method.bye && !isChallenge(asker.finalStatus)) this.#life.endCall(dialog);
        done();
      },
    );
  }
}

function belongingOf(dialog: Dialog): Belonging {
  return { record: dialog.record, accountId: dialog.accountId, deviceId: dialog.deviceId };
}

/** The phone's Contact, or the Request-URI as it is while the phone has told none. */
function targetAtPhone(dialog: Dialog, view: SipView): string {
  return dialog.deviceTarget === "" ? view.requestUri() : dialog.deviceTarget;
}

/** The three identifiers of the dialog a message belongs to, seen from the phone. */
export function identifiersOf(
  view: SipView,
  deviceSide: "from" | "to",
): { readonly callId: string; readonly deviceTag: string | undefined; readonly remoteTag: string | undefined } {
  const from = tagOf(view, Header.from);
  const to = tagOf(view, Header.to);
  return {
    callId: view.value(Header.callId) ?? "",
    deviceTag: deviceSide === "from" ? from : to,
    remoteTag: deviceSide === "from" ? to : from,
  };
}

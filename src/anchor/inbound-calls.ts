import type { AccountId, CallUuid, DeviceId, RegistrationIndex } from "../base/ids.ts";
import type { Source } from "../net/network.ts";
import { Header } from "../sip/message/header.ts";
import { readNumberAt } from "../sip/message/read-number.ts";
import { tagOf } from "../sip/message/read-address.ts";
import type { SipView } from "../sip/message/view.ts";
import { writeResponse } from "../sip/message/write-response.ts";
import type { ServerTransaction } from "../sip/transaction/transactions.ts";
import type { Command } from "../workers/protocol.ts";
import { ServerAsker } from "./asker.ts";
import { callerOf } from "./caller.ts";
import { newTag } from "./call-uuid.ts";
import type { Refusal } from "./call-book.ts";
import type { Core } from "./core.ts";
import type { DeviceLink } from "./device-link.ts";
import { cseqOf } from "./dialog.ts";
import type { DialogLife } from "./dialog-life.ts";
import { InboundCall } from "./inbound-call.ts";
import { goneCallsMax, overloadRetrySec } from "./limits.ts";
import { RefusedInvites } from "./refused-invites.ts";
import { replacedDialog } from "./replaced.ts";
import { hopsLeft } from "./rewriting.ts";
import { chooseTargets } from "./targets.ts";

/** What RFC 5393 §5.3.3.1 has a proxy assume when the request does not bound its forks. */
const maxBreadthDefault = 60;
/** Nobody's device: for ladders of requests that no phone is asked about. */
const noDevice = "" as DeviceId;

/** The calls from servers that are not answered yet, and those that ended a moment ago. */
export class InboundCalls {
  readonly #core: Core;
  readonly #refused: RefusedInvites;
  readonly #life: DialogLife;
  readonly #calls = new Map<CallUuid, InboundCall>();
  readonly #byCallId = new Map<string, Set<InboundCall>>();
  readonly #byAccount = new Map<AccountId, Set<InboundCall>>();
  /** Those with a final answer, oldest first. */
  readonly #gone = new Set<InboundCall>();
  #isDraining = false;

  constructor(core: Core, life: DialogLife) {
    this.#core = core;
    this.#refused = new RefusedInvites(newTag(core.options.random));
    this.#life = life;
  }

  get size(): number {
    return this.#calls.size;
  }

  /** From now on every new INVITE is answered 503. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Ends every call that has no answer. */
  giveUp(): void {
    for (const call of this.#calls.values()) call.giveUp();
  }

  /** A new INVITE for the account, from its server. */
  onInvite(tx: ServerTransaction, view: SipView, source: Source, row: RegistrationIndex): void {
    const { book, directory } = this.#core.options;
    const accountId = book.accountId(row);
    const server = book.serverOf(row);
    const flow = this.#core.flows.toSource(source, server);
    const contact = `<${book.contactUri(row, flow.peer)}>`;
    const toTag = this.#refused.tagOf(view);
    const refused = this.#refused.find(toTag, this.#core.nowMs()) ?? this.#refusal(view, accountId);
    if (refused !== undefined) {
      this.#refused.keep(toTag, refused, this.#core.nowMs());
      const nobody = { record: undefined, accountId, deviceId: noDevice };
      this.#core.received(nobody, "server", view);
      // Without state (RFC 3261 §8.2.7): a flood leaves nothing to keep, and nothing that we would repeat ten times to whom it names.
      this.#core.transactions.forget(tx);
      const { status, reason, retryAfterSec } = refused;
      const headers = retryAfterSec === undefined ? [] : [`Retry-After: ${retryAfterSec}`];
      const bytes = writeResponse(this.#core.writer, view, status, reason, { toTag, received: source, headers });
      this.#core.sent(nobody, "server", bytes);
      this.#core.options.network.reply(source, bytes);
      return;
    }
    const record = this.#core.calls.open(accountId, view.value(Header.callId) ?? "", "inbound", callerOf(view, true));
    const belonging = { record, accountId, deviceId: noDevice };
    this.#core.received(belonging, "server", view);
    const asker = new ServerAsker(this.#core, tx, belonging, contact);
    // Before anything that reads the store or wakes anybody: the server stops repeating the INVITE.
    asker.answer(100, "Trying");
    const account = directory.account(accountId);
    const { user, domain } = book.aor(row);
    const call = new InboundCall({
      core: this.#core,
      life: this.#life,
      record,
      asker,
      flow,
      aor: `${user}@${domain}`,
      forwardTo: account?.forwardTo,
      onGone: (gone) => this.#onGone(gone),
      onForgotten: (gone) => this.#forget(gone),
    });
    this.#add(call);
    const replaced = replacedDialog(this.#core.dialogs, view, accountId);
    const subscriptions = directory.subscriptions(accountId);
    call.start(
      chooseTargets(
        account,
        replaced === undefined ? subscriptions : subscriptions.filter((one) => one.deviceId === replaced.deviceId),
        (deviceId) => this.#core.links.find(deviceId)?.serves(accountId) === true,
        maxBreadthOf(view),
      ),
    );
  }

  /** Whether an ACK is of a refusal that left no transaction to end it. */
  isOfRefusal(ack: SipView): boolean {
    return tagOf(ack, Header.to) === this.#refused.tagOf(ack);
  }

  #refusal(view: SipView, accountId: AccountId): Refusal | undefined {
    if (this.#isDraining) return { status: 503, reason: "Service Unavailable" };
    if (hopsLeft(view) < 0) return { status: 483, reason: "Too Many Hops" };
    const callId = view.value(Header.callId) ?? "";
    const fromTag = tagOf(view, Header.from) ?? "";
    // §8.2.2.2, across two Contacts of ours that the server both holds: the call rings once.
    for (const call of this.#byCallId.get(callId) ?? []) {
      if (call.accountId === accountId && call.isOpen && call.fromTag === fromTag && call.cseq === cseqOf(view)) {
        return { status: 482, reason: "Loop Detected" };
      }
    }
    if (this.#core.options.isOverloaded?.() === true) {
      this.#core.count("callsShed");
      return { status: 503, reason: "Service Unavailable", retryAfterSec: overloadRetrySec };
    }
    return this.#core.calls.refusal(accountId);
  }

  onDelivery({ call, deviceId, outcome, silenceMs }: Extract<Command, { kind: "delivery" }>): void {
    this.#calls.get(call)?.onDelivery(deviceId, outcome, silenceMs);
  }

  /** A tunnel opened. `ticketCall`: the call of the ticket that opened it; `voip`: it came with a push that demands a call. */
  onTunnel(link: DeviceLink, ticketCall: CallUuid | undefined, voip: boolean): void {
    for (const accountId of link.accounts) {
      for (const call of this.#byAccount.get(accountId) ?? []) {
        call.onTunnel(link, voip && call.record.call === ticketCall);
      }
    }
  }

  onTunnelClosed(link: DeviceLink): void {
    for (const accountId of link.accounts) {
      for (const call of this.#byAccount.get(accountId) ?? []) call.onTunnelClosed(link.deviceId);
    }
  }

  subscriptionRemoved(accountId: AccountId, deviceId: DeviceId): void {
    for (const call of this.#byAccount.get(accountId) ?? []) call.removeDevice(deviceId);
  }

  /** The parked call with this Call-ID that gave `ownTag` to its own 180. */
  byOwnTag(callId: string, ownTag: string): InboundCall | undefined {
    for (const call of this.#byCallId.get(callId) ?? []) if (call.ownTag === ownTag) return call;
    return undefined;
  }

  /** Whether a call with this Call-ID is or was here a moment ago, for any account. */
  knows(callId: string): boolean {
    return this.#byCallId.has(callId);
  }

  /** Open calls that an ACK with this Call-ID and CSeq number speaks of, where the server is in place to say so. */
  openOf(callId: string, cseq: number, source: Source): InboundCall[] {
    const { book } = this.#core.options;
    return [...(this.#byCallId.get(callId) ?? [])].filter((call) => {
      if (!call.isOpen || call.cseq !== cseq) return false;
      const row = book.rowOf(call.accountId);
      return row !== undefined && book.isServer(row, source);
    });
  }

  #add(call: InboundCall): void {
    this.#calls.set(call.record.call, call);
    addTo(this.#byCallId, call.callId, call);
    addTo(this.#byAccount, call.accountId, call);
  }

  #onGone(call: InboundCall): void {
    this.#gone.add(call);
    if (this.#gone.size <= goneCallsMax) return;
    const [oldest] = this.#gone;
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(call: InboundCall): void {
    this.#gone.delete(call);
    this.#calls.delete(call.record.call);
    takeFrom(this.#byCallId, call.callId, call);
    takeFrom(this.#byAccount, call.accountId, call);
  }
}

function addTo<K>(index: Map<K, Set<InboundCall>>, key: K, call: InboundCall): void {
  const set = index.get(key);
  if (set === undefined) index.set(key, new Set([call]));
  else set.add(call);
}

function takeFrom<K>(index: Map<K, Set<InboundCall>>, key: K, call: InboundCall): void {
  const set = index.get(key);
  set?.delete(call);
  if (set?.size === 0) index.delete(key);
}

function maxBreadthOf(view: SipView): number {
  const i = view.otherNamed("Max-Breadth");
  const breadth = i < 0 ? -1 : readNumberAt(view.bytes, view.valueFrom(i), view.valueTo(i));
  return breadth < 0 ? maxBreadthDefault : breadth;
}

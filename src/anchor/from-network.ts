import type { RegistrationIndex } from "../base/ids.ts";
import type { Source } from "../net/network.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { tagOf } from "../sip/message/read-address.ts";
import { validateRequest } from "../sip/message/validate.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Hop, ServerTransaction } from "../sip/transaction/transactions.ts";
import { parseUriText, uriParam } from "../sip/uri.ts";
import { ServerAsker } from "./asker.ts";
import { newTag } from "./call-uuid.ts";
import { cseqOf, type Dialog } from "./dialog.ts";
import { Mwi } from "./mwi.ts";
import type { Parts } from "./parts.ts";
import { identifiersOf } from "./relay.ts";

/** What is done with a request that is no repetition. */
export type Accept = (tx: ServerTransaction, view: SipView) => void;
/** Hands a request to the transactions. */
export type Receive = (view: SipView, source: Source, hop: Hop, scope: string, accept: Accept) => void;

/**
 * The door on the network side. A request gets in when it is for a live line token of ours, or in a dialog of ours, and comes from
 * where that account's server is. Anything else leaves no state: silence, or one answer no longer than the request.
 */
export class FromNetwork {
  readonly #parts: Parts;
  readonly #receive: Receive;

  constructor(parts: Parts, receive: Receive) {
    this.#parts = parts;
    this.#receive = receive;
  }

  onRequest(view: SipView, source: Source): void {
    const { core, answers } = this.#parts;
    const verdict = validateRequest(view);
    if (!verdict.ok) {
      core.count("malformedDropped");
      if (view.method !== Method.ack) answers.refuse(view, source, verdict.status, verdict.reason);
      return;
    }
    const row = this.#rowOf(view, source);
    if (view.method === Method.ack) return this.#enter(view, source, row, unexpected);
    if (view.method === Method.cancel) {
      if (row !== undefined || this.#knowsCallId(view)) this.#enter(view, source, row, unexpected);
      else core.count("unmatchedDropped");
      return;
    }
    const toTag = tagOf(view, Header.to);
    if (toTag === undefined) this.#outsideDialog(view, source, row);
    else this.#inDialog(view, source, row, toTag);
  }

  /** An ACK that belongs to no transaction: of a 2xx, or news of another branch. */
  onAck(view: SipView, source: Source): void {
    const { core, relay, inbound } = this.#parts;
    const { callId, deviceTag, remoteTag } = identifiersOf(view, "to");
    const row = this.#rowOf(view, source);
    const dialog = deviceTag === undefined ? undefined : core.dialogs.find(callId, deviceTag, remoteTag ?? "");
    if (dialog !== undefined && this.#isOfAccount(dialog, row)) {
      if (this.#isOnDialog(dialog, source)) relay.ackFromServer(view, dialog);
      else core.count("unmatchedDropped");
      return;
    }
    if (inbound.isOfRefusal(view)) return;
    // Design rule 4. The Request-URI says for which account, should several be in the same call.
    const accountId = row === undefined ? undefined : core.options.book.accountId(row);
    let isNews = false;
    for (const call of inbound.openOf(callId, cseqOf(view), source)) {
      if (deviceTag === undefined || deviceTag === call.ownTag) continue;
      if (accountId !== undefined && call.accountId !== accountId) continue;
      isNews = true;
      call.onForeignAck();
    }
    if (!isNews) core.count("unmatchedDropped");
  }

  #outsideDialog(view: SipView, source: Source, row: RegistrationIndex | undefined): void {
    const { core, answers, inbound, messages, mwi, toPhones } = this.#parts;
    if (row === undefined) {
      // Design rule 9: not a word to scanners, not even a transaction.
      core.count("unmatchedDropped");
      return;
    }
    if (!this.#isServer(row, source)) {
      core.count("unmatchedDropped");
      answers.refuse(view, source, 403, "Forbidden");
      return;
    }
    switch (view.method) {
      case Method.invite:
        return this.#enter(view, source, row, (tx, kept) => inbound.onInvite(tx, kept, source, row));
      case Method.options:
        return answers.options(view, source);
      case Method.message:
        return this.#enter(view, source, row, (tx, kept) => messages.onMessage(tx, kept, source, row));
      case Method.notify:
        if (!Mwi.isNotify(view)) return this.#enter(view, source, row, this.#answer(row, 481, gone));
        return this.#enter(view, source, row, (tx, kept) => mwi.onNotify(tx, kept, source, row));
      case Method.register:
        return this.#enter(view, source, row, this.#answer(row, 405, "Method Not Allowed"));
      case Method.bye:
      case Method.prack:
      case Method.update:
      case Method.info:
        return this.#enter(view, source, row, this.#answer(row, 481, gone));
      case Method.ack:
      case Method.cancel:
        return;
      case Method.subscribe:
        // RFC 3261 §16.3: a loop; a phone must not answer for the voicemail server.
        if (mwi.isOwn(view, core.options.book.accountId(row))) {
          return this.#enter(view, source, row, this.#answer(row, 482, "Loop Detected"));
        }
        return this.#enter(view, source, row, (tx, kept) => toPhones.onRequest(tx, kept, source, row));
      case Method.refer:
      case Method.publish:
      case Method.other:
        return this.#enter(view, source, row, (tx, kept) => toPhones.onRequest(tx, kept, source, row));
    }
  }

  #inDialog(view: SipView, source: Source, row: RegistrationIndex | undefined, toTag: string): void {
    const { core, answers, relay, inbound, outbound, mwi } = this.#parts;
    const callId = view.value(Header.callId) ?? "";
    const dialog = core.dialogs.find(callId, toTag, tagOf(view, Header.from) ?? "");
    if (dialog !== undefined && this.#isOfAccount(dialog, row) && this.#isOnDialog(dialog, source)) {
      const server = row === undefined ? undefined : core.options.book.serverOf(row);
      if (!this.#isDirect(dialog, source)) dialog.flow = core.flows.renewed(dialog.flow, source, server);
      return this.#enter(view, source, row, (tx, kept) => relay.fromServer(tx, kept, dialog));
    }
    const ours = inbound.byOwnTag(callId, toTag);
    const ourRow = ours === undefined ? undefined : core.rowOf(ours.accountId);
    if (ours !== undefined && ourRow !== undefined && this.#isServer(ourRow, source)) {
      return this.#enter(view, source, ourRow, (tx, kept) => {
        core.received(ours.asker.belonging, "server", kept);
        const asker = new ServerAsker(core, tx, ours.asker.belonging, ours.asker.contact);
        ours.onOwnDialogRequest(kept, (status, reason) => asker.answer(status, reason));
      });
    }
    if (row === undefined) {
      core.count("unmatchedDropped");
      return;
    }
    if (!this.#isServer(row, source)) {
      core.count("unmatchedDropped");
      answers.refuse(view, source, 481, gone);
      return;
    }
    // Through the transactions even when there is no dialog: it may be a repetition of what ended it.
    this.#enter(view, source, row, (tx, kept) => {
      const made =
        kept.method === Method.notify ? outbound.dialogOfNotify(kept, core.options.book.accountId(row)) : undefined;
      if (made !== undefined) relay.fromServer(tx, kept, made);
      else if (Mwi.isNotify(kept)) mwi.onNotify(tx, kept, source, row);
      else this.#answer(row, 481, gone)(tx, kept);
    });
  }

  #answer(row: RegistrationIndex, status: number, reason: string): Accept {
    return (tx) => {
      const { core } = this.#parts;
      const { book, random } = core.options;
      const nobody = { record: undefined, accountId: book.accountId(row), deviceId: "" as Dialog["deviceId"] };
      core.received(nobody, "server", tx.request);
      new ServerAsker(core, tx, nobody, "").answer(status, reason, { toTag: newTag(random) });
    };
  }

  #enter(view: SipView, source: Source, row: RegistrationIndex | undefined, accept: Accept): void {
    const { core } = this.#parts;
    const server = row === undefined ? undefined : core.options.book.serverOf(row);
    const hop = core.flows.reply(source, server);
    // Design rule 9: the same branch from another address is another transaction.
    this.#receive(view, source, hop, `${source.transport} ${source.address}`, accept);
  }

  /** The account that the Request-URI names: by its line token or, when the server has stripped that, by user and server. */
  #rowOf(view: SipView, source: Source): RegistrationIndex | undefined {
    const { book } = this.#parts.core.options;
    const uri = parseUriText(view.requestUri());
    if (uri === undefined) return undefined;
    const line = uriParam(uri, "line");
    if (line !== undefined) return book.rowByLine(line);
    return uri.user === undefined ? undefined : book.rowByAddress(uri.user, source);
  }

  #isServer(row: RegistrationIndex, source: Source): boolean {
    const { book } = this.#parts.core.options;
    // An account on TLS is spoken to over TLS alone: anybody can write a source address on a datagram.
    return book.isServer(row, source) && (source.transport === "tls" || !book.isSecure(row));
  }

  /** The dialog's own flow, or another address of the account's server. */
  #isOnDialog(dialog: Dialog, source: Source): boolean {
    const { core } = this.#parts;
    if (core.flows.isOn(dialog.flow, source) || this.#isDirect(dialog, source)) return true;
    const row = core.rowOf(dialog.accountId);
    return row !== undefined && this.#isServer(row, source);
  }

  /** From the far end itself, whose server does not stay in the call. */
  #isDirect({ direct }: Dialog, source: Source): boolean {
    return direct !== undefined && this.#parts.core.flows.isOn(direct, source);
  }

  /** Two accounts of ours may be in one call: a message for one is none for the other's dialog. */
  #isOfAccount(dialog: Dialog, row: RegistrationIndex | undefined): boolean {
    return row === undefined || this.#parts.core.options.book.accountId(row) === dialog.accountId;
  }

  #knowsCallId(view: SipView): boolean {
    const { core, inbound } = this.#parts;
    const callId = view.value(Header.callId) ?? "";
    return inbound.knows(callId) || core.dialogs.ofCallId(callId) !== undefined;
  }
}

const gone = "Call/Transaction Does Not Exist";

/** ACK and CANCEL never come up as new requests. */
function unexpected(): void {}

import type { AccountId, TunnelId } from "../base/ids.ts";
import type { ConnectionId, Source } from "../net/network.ts";
import { latin1 } from "../sip/message/chars.ts";
import { Header } from "../sip/message/header.ts";
import { Method } from "../sip/message/method.ts";
import { tagOf } from "../sip/message/read-address.ts";
import { readCSeqMethod } from "../sip/message/read-cseq.ts";
import { topBranch } from "../sip/message/read-via.ts";
import { scan, ScanResult } from "../sip/message/scan.ts";
import { validateRequest, validateResponse } from "../sip/message/validate.ts";
import { MessageKind, SipView } from "../sip/message/view.ts";
import { writeResponse } from "../sip/message/write-response.ts";
import { parseUriText } from "../sip/uri.ts";
import { newTag } from "./call-uuid.ts";
import type { DeviceLink } from "./device-link.ts";
import type { Dialog } from "./dialog.ts";
import type { Accept, Receive } from "./from-network.ts";
import { allowLine } from "./own-answers.ts";
import { acknowledgeUnwanted, endUnwanted } from "./own-requests.ts";
import type { Parts } from "./parts.ts";
import { forgottenReason } from "./reason.ts";
import { identifiersOf } from "./relay.ts";

/** Frames come by no network: there is nothing to put into `received`. */
export const tunnelSource: Source = { transport: "tls", address: "", port: 0, connection: 0 as ConnectionId };

/** An ACK through a tunnel, between the transactions and us. */
interface AckInHand {
  readonly link: DeviceLink;
  readonly passOn: () => boolean;
}

/**
 * The door on the phones' side. A frame is the device's own when its From is an account of the device, or its dialog, or a request of
 * ours that it answers; else the device's next shard is asked and, when there is none, it is refused (403, 481).
 */
export class FromTunnel {
  readonly #parts: Parts;
  readonly #receive: Receive;
  readonly #onResponse: (view: SipView) => boolean;
  readonly #view = new SipView();
  #ack: AckInHand | undefined;

  /** `onResponse`: hands a response to the transactions; false when it is of none. */
  constructor(parts: Parts, receive: Receive, onResponse: (view: SipView) => boolean) {
    this.#parts = parts;
    this.#receive = receive;
    this.#onResponse = onResponse;
  }

  /** `bytes` are one frame, valid during the call. `last`: there is no other shard to ask. */
  onFrame(tunnelId: TunnelId, bytes: Uint8Array, last: boolean): void {
    const { core } = this.#parts;
    const link = core.links.ofTunnel(tunnelId);
    if (link === undefined) return;
    if (isKeepAlive(bytes)) {
      // RFC 7118 §6, RFC 5626 §4.4.1: a ping is answered, a pong is not.
      if (bytes.length >= 4) core.options.uplink.emit({ kind: "frame", tunnelId, text: "\r\n" });
      return;
    }
    const view = this.#view;
    const result = scan(bytes, 0, bytes.length, view);
    /** True when another shard has been asked. */
    const passOn = (): boolean => {
      if (last) return false;
      core.options.uplink.emit({ kind: "frameForeign", tunnelId, text: latin1(bytes, 0, bytes.length) });
      return true;
    };
    if (view.kind === MessageKind.request) return this.#onRequest(view, link, passOn);
    if (result !== ScanResult.ok || !validateResponse(view)) core.count("malformedDropped");
    else if (!this.#onResponse(view) && !passOn()) this.#onStrayResponse(view, link);
  }

  /**
   * Of no request that we know. A 2xx to INVITE means that the phone waits for its ACK and thinks that it talks to someone: its call
   * was forgotten (cancelled long ago, or with a shard that died), so it is acknowledged and ended.
   */
  #onStrayResponse(view: SipView, link: DeviceLink): void {
    const { core } = this.#parts;
    core.count("unmatchedDropped");
    if (view.status < 200 || view.status >= 300 || readCSeqMethod(view) !== Method.invite) return;
    const { callId, deviceTag, remoteTag } = identifiersOf(view, "to");
    if (deviceTag === undefined || core.dialogs.find(callId, deviceTag, remoteTag ?? "") !== undefined) return;
    // Nobody knows any more whose call it was: only a ladder would want to.
    const belonging = { record: undefined, accountId: "" as AccountId, deviceId: link.deviceId };
    acknowledgeUnwanted(core, link, belonging, view);
    endUnwanted(core, link, belonging, view, forgottenReason);
  }

  /** An ACK of the frame in hand that no transaction absorbed: end to end, to a 2xx. */
  onAck(view: SipView): void {
    const ack = this.#ack;
    if (ack === undefined) return;
    const dialog = this.#dialogOf(view, ack.link);
    if (dialog !== undefined) this.#parts.relay.ackFromPhone(view, dialog);
    else if (!ack.passOn()) this.#parts.core.count("unmatchedDropped");
  }

  #onRequest(view: SipView, link: DeviceLink, passOn: () => boolean): void {
    const { core, relay, outbound, registrar } = this.#parts;
    const verdict = validateRequest(view);
    if (!verdict.ok) {
      core.count("malformedDropped");
      if (view.method !== Method.ack && view.find(Header.via) >= 0)
        this.#refuse(view, link, verdict.status, verdict.reason);
      return;
    }
    if (view.method === Method.ack) {
      this.#ack = { link, passOn };
      this.#enter(view, link, () => {});
      this.#ack = undefined;
      return;
    }
    if (view.method === Method.cancel) {
      if (outbound.isAsking(link, topBranch(view)) || !passOn()) this.#enter(view, link, () => {});
      return;
    }
    if (tagOf(view, Header.to) !== undefined) {
      const dialog = this.#dialogOf(view, link);
      if (dialog !== undefined) this.#enter(view, link, (tx, kept) => relay.fromPhone(tx, kept, dialog, link));
      else if (!passOn()) this.#enter(view, link, this.#answer(481, "Call/Transaction Does Not Exist"));
      return;
    }
    const row = outbound.accountOf(view, link);
    if (row === undefined) {
      if (!passOn()) this.#enter(view, link, this.#answer(403, "Forbidden"));
      return;
    }
    if (view.method === Method.register) {
      // §10.3 step 5: nobody is registered here by a third party.
      if (outbound.accountOf(view, link, Header.to) !== row) {
        return this.#enter(view, link, this.#answer(403, "Forbidden"));
      }
      return this.#enter(view, link, (tx, kept) => registrar.onRegister(tx, kept, link, row));
    }
    if (view.method === Method.options && parseUriText(view.requestUri())?.user === undefined) {
      // To a server, not to a person: stock stacks keep their connection alive by it.
      return this.#enter(view, link, this.#answer(200, "OK", [allowLine]));
    }
    this.#enter(view, link, (tx, kept) => outbound.onRequest(tx, kept, link, row));
  }

  /** The dialog a request of the phone is in: its own, not another device's. */
  #dialogOf(view: SipView, link: DeviceLink): Dialog | undefined {
    const { callId, deviceTag, remoteTag } = identifiersOf(view, "from");
    if (deviceTag === undefined) return undefined;
    const dialog = this.#parts.core.dialogs.find(callId, deviceTag, remoteTag ?? "");
    return dialog?.deviceId === link.deviceId ? dialog : undefined;
  }

  #enter(view: SipView, link: DeviceLink, accept: Accept): void {
    // By device, not by tunnel: a phone may repeat itself on its next one.
    this.#receive(view, tunnelSource, link, `device ${link.deviceId}`, accept);
  }

  #answer(status: number, reason: string, headers: readonly string[] = []): Accept {
    return (tx) => {
      const { core } = this.#parts;
      const toTag = newTag(core.options.random);
      core.transactions.respond(tx, writeResponse(core.writer, tx.request, status, reason, { toTag, headers }), status);
    };
  }

  /** Without a transaction: what is malformed may have no key. */
  #refuse(view: SipView, link: DeviceLink, status: number, reason: string): void {
    const { core } = this.#parts;
    link.send(writeResponse(core.writer, view, status, reason, { toTag: newTag(core.options.random) }));
  }
}

/** CR LF, once or more, and nothing else. */
function isKeepAlive(bytes: Uint8Array): boolean {
  if (bytes.length === 0 || bytes.length > 8) return false;
  return bytes.every((byte) => byte === 0x0d || byte === 0x0a);
}

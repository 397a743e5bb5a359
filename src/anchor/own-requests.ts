import type { Source } from "../net/network.ts";
import { Header } from "../sip/message/header.ts";
import { Method, methodName, type MethodId } from "../sip/message/method.ts";
import type { SipView } from "../sip/message/view.ts";
import type { MessageWriter } from "../sip/message/writer.ts";
import type { ClientTransaction } from "../sip/transaction/transactions.ts";
import type { Belonging, Core, Responder } from "./core.ts";
import type { DeviceLink } from "./device-link.ts";
import { cseqOf, targetOf, type Dialog } from "./dialog.ts";
import { wayOf } from "./far-end.ts";

/** Digest answers to one request: a second challenge is a refusal. */
const challengesMax = 2;

/** The fields of a request that we make ourselves. Values are header values. */
export interface OwnRequest {
  readonly method: MethodId;
  readonly uri: string;
  readonly via: string;
  readonly from: string;
  readonly to: string;
  readonly callId: string;
  readonly cseq: number;
  readonly routes?: readonly string[];
  /** Whole "Name: value" lines. */
  readonly lines?: readonly string[];
}

/** Writes a request without a body; valid until the writer's next message. */
export function writeOwnRequest(writer: MessageWriter, request: OwnRequest): Uint8Array {
  const method = methodName(request.method);
  writer.reset();
  writer.line(`${method} ${request.uri} SIP/2.0`);
  writer.line(`Via: ${request.via}`);
  writer.text("Max-Forwards: 70\r\n");
  for (const route of request.routes ?? []) writer.line(`Route: ${route}`);
  writer.line(`From: ${request.from}`);
  writer.line(`To: ${request.to}`);
  writer.line(`Call-ID: ${request.callId}`);
  writer.line(`CSeq: ${request.cseq} ${method}`);
  for (const line of request.lines ?? []) writer.line(line);
  writer.text("Content-Length: 0\r\n\r\n");
  return writer.bytes();
}

/** Takes whatever comes back: for requests whose answer changes nothing. */
export const indifferent: Responder = { onResponse() {}, onFailure() {} };

/**
 * The BYE to the far end of a phone that is lost for good. It is ours, so a challenge is answered, but only as the account's book
 * allows: that of the account's own server and realm (a stranger's challenge would draw a digest out of us).
 */
export class LostPhoneBye implements Responder {
  readonly #core: Core;
  readonly #dialog: Dialog;
  readonly #reason: string;
  #challenges = 0;

  constructor(core: Core, dialog: Dialog, reason: string) {
    this.#core = core;
    this.#dialog = dialog;
    this.#reason = reason;
  }

  send(): void {
    this.#send([]);
  }

  onResponse(_tx: ClientTransaction, view: SipView, source: Source | undefined): void {
    this.#core.received(this.#belonging(), "server", view);
    if ((view.status !== 401 && view.status !== 407) || source === undefined) return;
    if (++this.#challenges > challengesMax) return;
    const { accountId, remoteTarget } = this.#dialog;
    const row = this.#core.rowOf(accountId);
    if (row === undefined) return;
    const line = this.#core.options.book.authorize(row, view, source, "BYE", remoteTarget);
    if (line !== undefined) this.#send([line]);
  }

  onFailure(): void {
    // The far end's own timers end the call on its side.
  }

  #send(lines: readonly string[]): void {
    const { accountId, remoteTarget, deviceAddress, remoteAddress, callId, routes } = this.#dialog;
    if (remoteTarget === "") return;
    const branch = this.#core.transactions.newBranch();
    const way = wayOf(this.#core, this.#dialog);
    const via = this.#core.viaToServer(way, accountId, branch);
    if (via === undefined) return;
    const bytes = writeOwnRequest(this.#core.writer, {
      method: Method.bye,
      uri: remoteTarget,
      via,
      from: deviceAddress,
      to: remoteAddress,
      callId,
      // A phone that comes back counts on from its own number: far above it, ours is not taken for a repetition.
      cseq: ++this.#dialog.deviceCSeq,
      routes,
      lines: [`Reason: ${this.#reason}`, `User-Agent: ${this.#core.settings.userAgent}`, ...lines],
    });
    this.#core.sent(this.#belonging(), "server", bytes);
    this.#core.request(way.hop, bytes, Method.bye, branch, this);
  }

  #belonging(): Belonging {
    const { record, accountId, deviceId } = this.#dialog;
    return { record, accountId, deviceId };
  }
}

/** The ACK to a phone's 2xx that nobody wants: the phone stops repeating it (RFC 3261 §13.2.2.4). */
export function acknowledgeUnwanted(core: Core, link: DeviceLink, belonging: Belonging, response: SipView): void {
  sendUnwanted(core, link, belonging, response, Method.ack, "");
}

/** ... and the BYE that ends it. */
export function endUnwanted(
  core: Core,
  link: DeviceLink,
  belonging: Belonging,
  response: SipView,
  reason: string,
): void {
  sendUnwanted(core, link, belonging, response, Method.bye, reason);
}

function sendUnwanted(
  core: Core,
  link: DeviceLink,
  belonging: Belonging,
  response: SipView,
  method: typeof Method.ack | typeof Method.bye,
  reason: string,
): void {
  const target = targetOf(response);
  if (target === undefined) return;
  const branch = core.transactions.newBranch();
  const isBye = method === Method.bye;
  const bytes = writeOwnRequest(core.writer, {
    method,
    uri: target,
    via: core.viaToPhone(branch),
    from: response.value(Header.from) ?? "",
    to: response.value(Header.to) ?? "",
    callId: response.value(Header.callId) ?? "",
    cseq: cseqOf(response) + (isBye ? 1 : 0),
    lines: isBye && reason !== "" ? [`Reason: ${reason}`] : [],
  });
  core.sent(belonging, "device", bytes);
  if (isBye) core.request(link, bytes, method, branch, indifferent);
  else link.send(bytes);
}

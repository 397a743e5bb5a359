import type { CallUuid, DeviceId, TunnelId } from "../../src/base/ids.ts";
import type { AnchorBench, BenchAccount } from "./anchor-bench.ts";
import { ackOf, answerTo, cancelOf, mustBeEmpty, phoneHost, replaced, sdp, take } from "./bench-messages.ts";
import { SipText, sipText } from "./sip-text.ts";

/** A device and its tunnel. */
export class BenchPhone {
  readonly deviceId: DeviceId;
  readonly inbox: SipText[] = [];
  tunnelId: TunnelId | undefined;
  readonly #bench: AnchorBench;

  constructor(bench: AnchorBench, deviceId: DeviceId) {
    this.#bench = bench;
    this.deviceId = deviceId;
  }

  /** `call`: the ticket's; `voip`: the push that carried it demands a call. */
  opens(options: { call?: CallUuid; voip?: boolean } = {}): void {
    this.tunnelId = this.#bench.open(this, options);
  }

  closes(): void {
    if (this.tunnelId !== undefined) this.#bench.anchor.tunnelClosed(this.tunnelId);
    this.tunnelId = undefined;
  }

  sends(text: string, last = true): void {
    if (this.tunnelId === undefined) throw new Error(`${this.deviceId} has no tunnel`);
    this.#bench.frame(this.tunnelId, text, last);
  }

  gets(expected: number | string): SipText {
    return take(this.inbox, expected, `phone ${this.deviceId}`);
  }

  nothing(): void {
    mustBeEmpty(this.inbox, `phone ${this.deviceId}`);
  }

  answers(
    request: SipText,
    status: number,
    options: { tag?: string; contact?: string; lines?: readonly string[]; body?: string } = {},
  ): SipText {
    const contact = options.contact ?? `sip:${this.deviceId}@${phoneHost};transport=ws`;
    const text = answerTo(request, status, contact, options.tag ?? `${this.deviceId}-tag`, options);
    this.sends(text.text);
    return text;
  }

  /** A request outside dialogs. */
  request(
    method: string,
    account: BenchAccount,
    options: { to?: string; lines?: readonly string[]; body?: string; last?: boolean } = {},
  ): SipText {
    const text = this.makes(method, account, options);
    this.sends(text.text, options.last);
    return text;
  }

  /** ... not sent. */
  makes(
    method: string,
    account: BenchAccount,
    options: { to?: string; lines?: readonly string[]; body?: string } = {},
  ): SipText {
    const serial = this.#bench.serial();
    const to = options.to ?? "sip:bob@far.example";
    const body = options.body ?? (method === "INVITE" ? sdp("phone") : "");
    return new SipText(
      sipText(
        `${method} ${to} SIP/2.0`,
        replaced(
          [
            `Via: SIP/2.0/WSS ${phoneHost};branch=z9hG4bKphone${serial}`,
            "Max-Forwards: 70",
            `From: <sip:${account.user}@${account.domain}>;tag=own${serial}`,
            `To: <${to}>`,
            `Call-ID: phone-${serial}`,
            `CSeq: ${serial} ${method}`,
            `Contact: <sip:${this.deviceId}@${phoneHost};transport=ws>;+sip.instance="<urn:uuid:1>"`,
            "X-Kept: as it is",
            ...(body === "" ? [] : ["Content-Type: application/sdp"]),
          ],
          options.lines ?? [],
        ),
        body,
      ),
    );
  }

  /** A request in the dialog of a call that this phone answered. */
  inAnswered(
    method: string,
    invite: SipText,
    answer: SipText,
    options: { cseq?: number; lines?: readonly string[] } = {},
  ): SipText {
    return this.#inDialog(
      method,
      answer.get("To"),
      invite.get("From"),
      invite.contactUri,
      invite.all("Record-Route"),
      invite.get("Call-ID"),
      {
        cseq: 1 + this.#bench.serial(),
        ...options,
      },
    );
  }

  /** A request in the dialog of a call that this phone made. */
  inOwn(
    method: string,
    invite: SipText,
    answer: SipText,
    options: { cseq?: number; lines?: readonly string[] } = {},
  ): SipText {
    const cseq = method === "ACK" ? invite.cseq : invite.cseq + this.#bench.serial();
    const routes = answer.all("Record-Route").toReversed();
    return this.#inDialog(
      method,
      invite.get("From"),
      answer.get("To"),
      answer.contactUri,
      routes,
      invite.get("Call-ID"),
      {
        cseq,
        ...options,
      },
    );
  }

  acksFailure(invite: SipText, response: SipText): void {
    this.sends(ackOf(invite, response));
  }

  cancels(invite: SipText, ...reasons: string[]): void {
    this.sends(cancelOf(invite, reasons));
  }

  #inDialog(
    method: string,
    from: string,
    to: string,
    target: string,
    routes: readonly string[],
    callId: string,
    options: { cseq: number; lines?: readonly string[] },
  ): SipText {
    const text = new SipText(
      sipText(
        `${method} ${target} SIP/2.0`,
        replaced(
          [
            `Via: SIP/2.0/WSS ${phoneHost};branch=z9hG4bKphone${this.#bench.serial()}`,
            "Max-Forwards: 70",
            ...routes.map((route) => `Route: ${route}`),
            `From: ${from}`,
            `To: ${to}`,
            `Call-ID: ${callId}`,
            `CSeq: ${options.cseq} ${method}`,
            `Contact: <sip:${this.deviceId}@${phoneHost};transport=ws>`,
          ],
          options.lines ?? [],
        ),
      ),
    );
    this.sends(text.text);
    return text;
  }
}

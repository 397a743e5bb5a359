import type { ConnectionId, Endpoint, Source, Transport } from "../../src/net/network.ts";
import type { AnchorBench, BenchAccount } from "./anchor-bench.ts";
import { ackOf, answerTo, cancelOf, mustBeEmpty, replaced, sdp, take } from "./bench-messages.ts";
import { SipText, sipText } from "./sip-text.ts";

/** A server, or anybody else on the network. */
export class BenchServer {
  readonly address: string;
  readonly port: number;
  readonly transport: Transport;
  readonly inbox: SipText[] = [];
  connection: ConnectionId;
  readonly #bench: AnchorBench;

  constructor(bench: AnchorBench, transport: Transport, address: string, port: number, connection: number) {
    this.#bench = bench;
    this.transport = transport;
    this.address = address;
    this.port = port;
    this.connection = connection as ConnectionId;
  }

  get source(): Source {
    return { transport: this.transport, address: this.address, port: this.port, connection: this.connection };
  }

  get endpoint(): Endpoint {
    const { transport, address, port } = this;
    return { transport, address, port, ...(transport === "tls" ? { serverName: "sip.example" } : {}) };
  }

  sends(text: string): void {
    this.#bench.fromNetwork(text, this.source);
  }

  /** The next message that came here must be this: a status, or a method. */
  gets(expected: number | string): SipText {
    return take(this.inbox, expected, `server ${this.address}`);
  }

  nothing(): void {
    mustBeEmpty(this.inbox, `server ${this.address}`);
  }

  // ---- calls from here

  /** An INVITE for the account; `lines` replace what they name. */
  invites(account: BenchAccount, options: { branch?: string; uri?: string; lines?: readonly string[] } = {}): SipText {
    const text = this.request("INVITE", account, options);
    this.sends(text.text);
    return text;
  }

  /** A request outside dialogs for the account. */
  request(
    method: string,
    account: BenchAccount,
    options: { branch?: string; uri?: string; lines?: readonly string[]; body?: string } = {},
  ): SipText {
    const serial = this.#bench.serial();
    const body = options.body ?? (method === "INVITE" ? sdp("caller") : "");
    const via = `SIP/2.0/${this.transport.toUpperCase()} ${this.address}:${this.port};branch=${options.branch ?? `z9hG4bKsrv${serial}`};rport`;
    return new SipText(
      sipText(
        `${method} ${options.uri ?? this.#bench.contactUri(account)} SIP/2.0`,
        replaced(
          [
            `Via: ${via}`,
            `Record-Route: <sip:${this.address}:${this.port};lr>`,
            "Max-Forwards: 69",
            `From: "Bob" <sip:bob@far.example>;tag=far${serial}`,
            `To: <sip:${account.user}@${account.domain}>`,
            `Call-ID: call-${serial}@far.example`,
            `CSeq: ${serial} ${method}`,
            "Contact: <sip:bob@198.51.100.9:5062;transport=tcp>",
            "X-Kept: as it is",
            ...(body === "" ? [] : ["Content-Type: application/sdp"]),
          ],
          options.lines ?? [],
        ),
        body,
      ),
    );
  }

  /** A request in the dialog that a 2xx (or 1xx) made, from the far end. */
  inDialog(
    method: string,
    invite: SipText,
    response: SipText,
    options: { cseq?: number; lines?: readonly string[] } = {},
  ): SipText {
    const isAck = method === "ACK";
    const cseq = options.cseq ?? (isAck ? invite.cseq : invite.cseq + 1 + this.#bench.serial());
    const text = new SipText(
      sipText(
        `${method} ${response.contactUri} SIP/2.0`,
        replaced(
          [
            `Via: SIP/2.0/${this.transport.toUpperCase()} ${this.address}:${this.port};branch=z9hG4bKsrv${this.#bench.serial()};rport`,
            "Max-Forwards: 69",
            `From: ${invite.get("From")}`,
            `To: ${response.get("To")}`,
            `Call-ID: ${invite.get("Call-ID")}`,
            `CSeq: ${cseq} ${method}`,
          ],
          options.lines ?? [],
        ),
      ),
    );
    this.sends(text.text);
    return text;
  }

  /** The ACK to a final response of 300 or more: the INVITE's own transaction. */
  acksFailure(invite: SipText, response: SipText): void {
    this.sends(ackOf(invite, response));
  }

  cancels(invite: SipText, ...reasons: string[]): void {
    this.sends(cancelOf(invite, reasons));
  }

  /** Answers a request that came here. */
  answers(
    request: SipText,
    status: number,
    options: { tag?: string; lines?: readonly string[]; body?: string } = {},
  ): SipText {
    const text = answerTo(request, status, `sip:bob@198.51.100.9:5062;transport=tcp`, options.tag ?? "far", options);
    this.sends(text.text);
    return text;
  }
}

import type { SipText } from "../../fakes/sip-text.ts";
import {
  callerSide,
  calleeSide,
  dialogRequest,
  type DialogSide,
  type Extra,
  newRequest,
  type Party,
  responseTo,
  sameTransaction,
  sdp,
  SipInbox,
} from "../../integration/sip.ts";
import { domain } from "./kamailio.ts";
import { stepMsMax } from "./wait.ts";

let farEnds = 0;

/**
 * The other party of a call, with one UDP socket and no stack: it says what a test has it say, in any order, where SIPp's scenarios are
 * too rigid (glare, several early dialogs). All it sends goes to Kamailio, by the route of its dialogs.
 */
export class FarEnd implements Party {
  readonly inbox: SipInbox;
  readonly #name = `far${++farEnds}`;
  readonly #server: { readonly address: string; readonly port: number };
  #socket: Bun.udp.Socket<"buffer"> | undefined;

  private constructor(proxy: string) {
    const [address = "", port = ""] = proxy.split(":");
    this.#server = { address, port: Number(port) };
    this.inbox = new SipInbox(this.#name);
  }

  static async open(proxy: string): Promise<FarEnd> {
    const farEnd = new FarEnd(proxy);
    farEnd.#socket = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data: (_socket, bytes) => {
          const text = bytes.toString("latin1");
          if (text.trim() !== "") farEnd.inbox.push(text, false);
        },
      },
    });
    return farEnd;
  }

  get port(): number {
    return this.#socket?.port ?? 0;
  }
  get sentBy(): string {
    return `UDP 127.0.0.1:${this.port}`;
  }
  get contact(): string {
    return `sip:${this.#name}@127.0.0.1:${this.port}`;
  }
  /** Whom a phone calls to reach this party through Kamailio. */
  get address(): string {
    return `sip:at-${this.port}@${domain}`;
  }

  [Symbol.dispose](): void {
    this.#socket?.close();
  }

  gets(name: string, callId?: string): Promise<SipText> {
    return this.inbox.gets(name, callId, stepMsMax);
  }

  invites(user: string, extra: Extra = {}): SipText {
    const uri = `sip:${user}@${domain}`;
    const request = newRequest(
      this,
      "INVITE",
      uri,
      { from: `"Bob" <sip:bob@trunk.test>`, to: `<${uri}>` },
      { body: sdp("bob"), ...extra },
    );
    this.#send(request);
    return request;
  }

  /** Calls another far end without any server between them, as a REFER may ask. */
  calls(other: FarEnd, lines: readonly string[]): SipText {
    const names = { from: `<sip:bob@trunk.test>`, to: `<${other.contact}>` };
    const request = newRequest(this, "INVITE", other.contact, names, { body: sdp("bob"), lines });
    this.#socket?.send(Buffer.from(request.text, "latin1"), other.port, "127.0.0.1");
    return request;
  }

  /** Sends a request in the dialog and returns it. */
  asks(method: string, side: DialogSide, cseq: number, extra: Extra = {}): SipText {
    const request = dialogRequest(this, method, side, cseq, extra);
    this.#send(request);
    return request;
  }

  answers(request: SipText, status: number, extra: Extra = {}): SipText {
    const response = responseTo(this, request, status, `${this.#name}tag`, extra);
    this.#send(response);
    return response;
  }

  /** The ACK to a 2xx of this invitation. */
  acks(invite: SipText, answer: SipText, extra: Extra = {}): DialogSide {
    const side = callerSide(invite, answer);
    this.asks("ACK", side, invite.cseq, extra);
    return side;
  }

  /** The ACK to a failure, in or outside a dialog. */
  acksFailure(request: SipText, answer: SipText): void {
    const routes = request.all("Route").map((route) => `Route: ${route}`);
    this.#send(sameTransaction("ACK", request, answer.get("To"), routes));
  }

  cancels(invite: SipText): void {
    this.#send(sameTransaction("CANCEL", invite, invite.get("To")));
  }

  /** Is called: rings, answers, and has the caller's ACK. */
  async answersCall(invite: SipText): Promise<DialogSide> {
    this.answers(invite, 180);
    const answer = this.answers(invite, 200);
    await this.gets("ACK", invite.get("Call-ID"));
    return calleeSide(invite, answer);
  }

  async hangsUp(side: DialogSide, cseq: number): Promise<void> {
    this.asks("BYE", side, cseq);
    await this.gets("200 BYE", side.callId);
  }

  /** The phone hangs up. */
  async isHungUp(callId: string): Promise<void> {
    this.answers(await this.gets("BYE", callId), 200);
  }

  #send(message: SipText): void {
    this.#socket?.send(Buffer.from(message.text, "latin1"), this.#server.port, this.#server.address);
  }
}

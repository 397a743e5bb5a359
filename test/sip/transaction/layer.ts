import { type MethodId, methodOf } from "../../../src/sip/message/method.ts";
import type { SipView } from "../../../src/sip/message/view.ts";
import type { Source } from "../../../src/sip/transaction/hop.ts";
import {
  type ClientTransaction,
  type Hop,
  type ServerTransaction,
  type TransactionLimits,
  Transactions,
  type TransactionUser,
} from "../../../src/sip/transaction/transactions.ts";
import { SeededRandom, VirtualClock } from "../../fakes/virtual-clock.ts";
import { bytesOf, responseTo, textOf, titleOf, viewOf } from "./messages.ts";

/** A hop that keeps what it was given. */
export class RecordingHop implements Hop {
  readonly reliable: boolean;
  readonly sent: string[] = [];
  readonly sentAtMs: number[] = [];
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock, reliable: boolean) {
    this.#clock = clock;
    this.reliable = reliable;
  }

  send(bytes: Uint8Array): void {
    this.sent.push(textOf(bytes));
    this.sentAtMs.push(this.#clock.nowMs());
  }

  /** Titles of what was sent since the last call. */
  take(): string[] {
    this.sentAtMs.length = 0;
    return this.sent.splice(0).map(titleOf);
  }
}

export const udpSource: Source = {
  transport: "udp",
  address: "198.51.100.7",
  port: 5060,
  connection: 0 as Source["connection"],
};

/** A transaction layer under a clock of its own; its user writes down what it hears. */
export class Layer implements TransactionUser {
  readonly clock: VirtualClock;
  readonly transactions: Transactions;
  readonly udp: RecordingHop;
  readonly tcp: RecordingHop;
  readonly servers: ServerTransaction[] = [];
  readonly startMs: number;
  /** Called, if set, for each item of `heard`. */
  onHeard: (item: string, tx: ServerTransaction | ClientTransaction | undefined) => void = () => {};
  #heard: string[] = [];
  #branches = 0;

  constructor(limits?: TransactionLimits, clock = new VirtualClock(1000)) {
    this.clock = clock;
    this.startMs = clock.nowMs();
    this.udp = new RecordingHop(clock, false);
    this.tcp = new RecordingHop(clock, true);
    this.transactions = new Transactions({
      clock: this.clock,
      random: new SeededRandom(1),
      user: this,
      ...(limits === undefined ? {} : { limits }),
    });
  }

  heard(): string[] {
    return this.#heard.splice(0);
  }
  #hear(item: string, tx?: ServerTransaction | ClientTransaction): void {
    this.#heard.push(item);
    this.onHeard(item, tx);
  }

  onRequest(tx: ServerTransaction, view: SipView): void {
    this.servers.push(tx);
    this.#hear(`request ${view.methodText()}`, tx);
  }
  onAck(): void {
    this.#hear("ack");
  }
  onCancel(invite: ServerTransaction): void {
    this.#hear("cancel", invite);
  }
  onResponse(tx: ClientTransaction, view: SipView): void {
    this.#hear(`response ${view.status}`, tx);
  }
  onFailure(tx: ClientTransaction, cause: string): void {
    this.#hear(`failure ${cause}`, tx);
  }
  onAckTimeout(tx: ServerTransaction): void {
    this.#hear("ack timeout", tx);
  }

  /** Lets time pass in ticks of 10 ms. */
  pass(ms: number): void {
    const untilMs = this.clock.nowMs() + ms;
    while (this.clock.nowMs() < untilMs) {
      this.clock.advance(10);
      this.transactions.tick(this.clock.nowMs());
    }
  }

  receive(message: string, hop: Hop = this.udp, scope = "198.51.100.7", source = udpSource): void {
    if (message.startsWith("SIP/2.0")) this.transactions.receiveResponse(viewOf(message));
    else this.transactions.receiveRequest(viewOf(message), source, hop, scope);
  }

  respond(status: number, tx = this.servers.at(-1)!): void {
    const text = responseTo(textOf(tx.request.bytes), status, "us");
    this.transactions.respond(tx, bytesOf(text), status);
  }

  /** Sends a request with a branch of its own; returns its transaction and its text. */
  send(
    method: string,
    hop: Hop = this.udp,
    branch = `z9hG4bK-us-${++this.#branches}`,
  ): { tx: ClientTransaction; text: string } {
    const text = [
      `${method} sip:alice@198.51.100.7 SIP/2.0`,
      `Via: SIP/2.0/UDP 192.0.2.1:5070;branch=${branch}`,
      "Max-Forwards: 70",
      "From: <sip:bob@example.net>;tag=us",
      "To: <sip:alice@example.net>",
      "Call-ID: call-2",
      `CSeq: 11 ${method}`,
      "Content-Length: 0",
      "",
      "",
    ].join("\r\n");
    const id: MethodId = methodOf(method);
    return { tx: this.transactions.request(hop, bytesOf(text), id, branch, undefined), text };
  }

  /** When the hop was given messages, in ms since the layer began. */
  sentAt(hop: RecordingHop): number[] {
    return hop.sentAtMs.map((atMs) => atMs - this.startMs);
  }
}

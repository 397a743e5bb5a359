import type { AccountId, DeviceId, RegistrationIndex } from "../base/ids.ts";
import type { Source } from "../net/network.ts";
import { Counter, type CounterName } from "../observe/lanes.ts";
import { latin1 } from "../sip/message/chars.ts";
import { Method, type MethodId } from "../sip/message/method.ts";
import { scan, ScanResult } from "../sip/message/scan.ts";
import { SipView } from "../sip/message/view.ts";
import { writeCancel } from "../sip/message/write-ack-cancel.ts";
import { MessageWriter } from "../sip/message/writer.ts";
import { Transactions, type ClientTransaction, type TransactionUser } from "../sip/transaction/transactions.ts";
import type { LastWord } from "../workers/protocol.ts";
import { Alarms } from "./alarms.ts";
import { AnswerRepeats } from "./answer-repeats.ts";
import { CallBook, type CallRecord } from "./call-book.ts";
import { DeviceLink, DeviceLinks } from "./device-link.ts";
import { DialogTable } from "./dialog.ts";
import { Flows, PeerHop, viaBy, type Flow, type TrackedHop } from "./flow.ts";
import { Recorder, type Party } from "./ladder.ts";
import type { AnchorOptions, AnchorSettings } from "./options.ts";
import { shardLostReason } from "./reason.ts";

/** Takes what becomes of a request that we sent. `source` is undefined for answers out of a tunnel. */
export interface Responder {
  /** Each response the transaction passes: provisional, final, and every further 2xx to INVITE. */
  onResponse(tx: ClientTransaction, view: SipView, source: Source | undefined): void;
  onFailure(tx: ClientTransaction, cause: "timeout" | "transport"): void;
}

/** Takes the CANCEL of an INVITE that we were sent. */
export interface Cancellable {
  onCancel(cancel: SipView): void;
}

/** What a client transaction carries as `data`. */
export interface Errand {
  hop: TrackedHop;
  readonly responder: Responder;
  /** Sent once more after its connection broke. */
  retried: boolean;
  /** Times that it was begun anew because no answer came (`DeviceLink.owe`). */
  repeats: number;
}

/** Whom a message belongs to, for the ladder. */
export interface Belonging {
  readonly record: CallRecord | undefined;
  readonly accountId: AccountId;
  readonly deviceId: DeviceId;
}

/** Via sent-by towards phones: a WebSocket needs none that resolves (RFC 7118 §5.1). */
const tunnelSentBy = "wakeline.invalid";

/** The tables and tools that all parts of the call side share; decides nothing itself. */
export class Core {
  readonly options: AnchorOptions;
  readonly settings: AnchorSettings;
  readonly alarms: Alarms;
  readonly transactions: Transactions;
  readonly repeats: AnswerRepeats;
  readonly flows: Flows;
  readonly links: DeviceLinks;
  readonly dialogs = new DialogTable();
  readonly calls: CallBook;
  readonly recorder: Recorder;
  /** Scratch: what it holds is valid until the next message is written. */
  readonly writer = new MessageWriter();
  readonly #sent = new SipView();
  readonly #willWriter = new MessageWriter();

  constructor(options: AnchorOptions, user: TransactionUser) {
    const { clock, random, network, uplink, lane } = options;
    this.options = options;
    this.settings = options.settings;
    this.alarms = new Alarms(clock.nowMs());
    this.transactions = new Transactions({ clock, random, user });
    this.repeats = new AnswerRepeats(this.transactions, this.alarms, () => clock.nowMs());
    this.flows = new Flows(network);
    this.links = new DeviceLinks(uplink);
    this.calls = new CallBook(clock, random, uplink, lane);
    this.recorder = new Recorder(uplink, () => clock.wallMs());
  }

  nowMs(): number {
    return this.options.clock.nowMs();
  }

  count(name: CounterName): void {
    this.options.lane.add(Counter[name], 1);
  }

  rowOf(accountId: AccountId): RegistrationIndex | undefined {
    return this.options.book.rowOf(accountId);
  }

  /** Via value towards a server; undefined while the route's address is not known. */
  viaToServer(flow: Flow, accountId: AccountId, branch: string): string | undefined {
    const row = this.rowOf(accountId);
    const natEmulation = row !== undefined && this.options.book.isNatEmulated(row);
    return this.flows.via(flow, branch, natEmulation);
  }

  /** Via value towards a phone. */
  viaToPhone(branch: string): string {
    return `SIP/2.0/WSS ${tunnelSentBy};branch=${branch}`;
  }

  /** Sends a request in a client transaction; `bytes` may be the scratch writer's. */
  request(
    hop: TrackedHop,
    bytes: Uint8Array,
    method: MethodId,
    branch: string,
    responder: Responder,
  ): ClientTransaction {
    const by = this.flows.hopFor(hop, bytes.length);
    const errand: Errand = { hop: by, responder, retried: false, repeats: 0 };
    const tx = this.transactions.request(by, by === hop ? bytes : viaBy(bytes, "TCP"), method, branch, errand);
    by.pending.add(tx);
    if (!(hop instanceof DeviceLink)) return tx;
    if (!hop.isOpen) hop.noteUnsent(tx);
    if (method === Method.invite) {
      const cancel = writeCancel(this.#willWriter, tx.request, shardLostReason);
      this.will(tx.branch, { to: "phone", deviceId: hop.deviceId, text: textOf(cancel) });
    }
    return tx;
  }

  /**
   * What is said should this shard die; undefined: nothing any more. Stock stacks ring on when their tunnel closes; a CANCEL in it
   * stops them.
   */
  will(id: string, word: LastWord | undefined): void {
    this.options.uplink.emit({ kind: "will", id, ...(word === undefined ? {} : { word }) });
  }

  /** Sends an ACK: it has no transaction. */
  acknowledge(hop: TrackedHop, bytes: Uint8Array): void {
    const by = this.flows.hopFor(hop, bytes.length);
    by.send(by === hop ? bytes : viaBy(bytes, "TCP"));
  }

  /** A hop can send no more. What was too large for UDP goes by UDP all the same when TCP is refused (RFC 3261 §18.1.1). */
  hopFailed(hop: TrackedHop): void {
    const refuge = hop instanceof PeerHop ? hop.refuge : undefined;
    if (refuge !== undefined) for (const tx of hop.pending) this.#move(tx, refuge);
    this.transactions.hopFailed(hop);
  }

  /** Sends what waits for an answer on a hop once more, on the hop's new connection. */
  retry(hop: PeerHop): void {
    for (const tx of hop.pending) {
      errandOf(tx).retried = true;
      this.transactions.rebind(tx, hop);
    }
  }

  #move(tx: ClientTransaction, hop: TrackedHop): void {
    const errand = errandOf(tx);
    errand.hop.pending.delete(tx);
    errand.hop = hop;
    hop.pending.add(tx);
    this.transactions.rebind(tx, hop);
  }

  /** Begins a request to a phone anew that got no answer in its time; nobody waits for what comes of it. */
  repeat(link: DeviceLink, { request, method, branch, data }: ClientTransaction): void {
    const nobody: Responder = { onResponse() {}, onFailure() {} };
    const again = this.request(link, request.bytes.subarray(request.from, request.to), method, branch, nobody);
    errandOf(again).repeats = (data as Errand).repeats + 1;
  }

  /** The transaction has its final answer, or none will come. */
  settled(tx: ClientTransaction): void {
    const { hop } = errandOf(tx);
    if (!hop.pending.delete(tx)) return;
    if (hop instanceof DeviceLink && tx.method === Method.invite) this.will(tx.branch, undefined);
  }

  /** Writes a message that we send into the ladder. */
  sent(belonging: Belonging, to: Party, bytes: Uint8Array): void {
    if (scan(bytes, 0, bytes.length, this.#sent) !== ScanResult.ok) return;
    this.recorder.message(
      belonging.record?.ladder,
      belonging.accountId,
      "wakeline",
      to,
      this.#sent,
      belonging.deviceId,
    );
  }

  /** Writes a message that we received into the ladder. */
  received(belonging: Belonging, from: Party, view: SipView): void {
    this.recorder.message(belonging.record?.ladder, belonging.accountId, from, "wakeline", view, belonging.deviceId);
  }
}

function textOf(bytes: Uint8Array): string {
  return latin1(bytes, 0, bytes.length);
}

export function errandOf(tx: ClientTransaction): Errand {
  return tx.data as Errand;
}

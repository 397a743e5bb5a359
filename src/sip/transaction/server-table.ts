import type { Random } from "../../time/random.ts";
import { Header } from "../message/header.ts";
import { Method } from "../message/method.ts";
import { tagOf } from "../message/read-address.ts";
import type { SipView } from "../message/view.ts";
import { type ResponseOptions, writeResponse } from "../message/write-response.ts";
import type { MessageWriter } from "../message/writer.ts";
import { HopIndex } from "./hop-index.ts";
import { type Hop, keepSource, type Source } from "./hop.ts";
import { randomToken } from "./random-token.ts";
import { mergeKeyOf, type ServerKey, serverKeyOf, tableKey } from "./server-key.ts";
import { ServerNews, type ServerNewsId, type ServerOwner, ServerRecord } from "./server-transaction.ts";
import type { TimerRows, TimerSlot } from "./timer-rows.ts";
import type { TransactionCounters, TransactionLimits, TransactionUser } from "./transaction-user.ts";

const tagChars = 12;

/** The server transactions of a shard (RFC 3261 §17.2.3), and what the layer answers by itself. */
export class ServerTable implements ServerOwner {
  readonly #user: TransactionUser;
  readonly #random: Random;
  readonly #rows: TimerRows;
  readonly #writer: MessageWriter;
  readonly #counters: TransactionCounters;
  readonly #limits: TransactionLimits;
  readonly #records = new Map<string, ServerRecord>();
  /** Requests outside dialogs by what they are, whatever path they took (§8.2.2.2). */
  readonly #merged = new Map<string, ServerRecord>();
  readonly #hops = new HopIndex<ServerRecord>();
  #keptBytes = 0;

  constructor(options: {
    readonly user: TransactionUser;
    readonly random: Random;
    readonly rows: TimerRows;
    readonly writer: MessageWriter;
    readonly counters: TransactionCounters;
    readonly limits: TransactionLimits;
  }) {
    this.#user = options.user;
    this.#random = options.random;
    this.#rows = options.rows;
    this.#writer = options.writer;
    this.#counters = options.counters;
    this.#limits = options.limits;
  }

  get size(): number {
    return this.#records.size;
  }

  receive(view: SipView, source: Source, hop: Hop, scope: string): void {
    const key = serverKeyOf(view, scope);
    if (key === undefined) {
      this.#counters.requestsUnkeyed++;
      return;
    }
    if (view.method === Method.ack) {
      this.#onAck(view, source, key);
      return;
    }
    const known = this.#records.get(tableKey(key, view.methodText(), toTag(view)));
    if (known !== undefined) this.#onRepeated(known, hop);
    else if (view.method === Method.cancel) this.#onCancel(view, source, hop, key);
    else this.#onNew(view, source, hop, key);
  }

  /** `bytes` are the table's to keep. */
  respond(record: ServerRecord, bytes: Uint8Array, status: number): void {
    if (record.isTerminated) return;
    this.#settle(record, record.respond(bytes, status), undefined, undefined);
  }

  forget(record: ServerRecord): void {
    record.terminate();
    this.#remove(record);
  }

  rebind(record: ServerRecord, hop: Hop): void {
    if (record.isTerminated) return;
    this.#hops.move(record, hop);
    record.hopLost = false;
    record.resend();
  }

  hopFailed(hop: Hop): void {
    for (const record of this.#hops.on(hop)) {
      record.hopLost = true;
      record.onEvent({ kind: "transportError" });
    }
  }

  arm(record: ServerRecord, slot: TimerSlot, afterMs: number): void {
    this.#rows.arm(record, slot, afterMs);
  }

  onTimer(record: ServerRecord, slot: TimerSlot): void {
    this.#settle(record, record.onTimer(slot), undefined, undefined);
  }

  onKept(bytesMore: number): void {
    this.#keptBytes += bytesMore;
  }

  writeTrying(record: ServerRecord): Uint8Array {
    return writeResponse(this.#writer, record.request, 100, "Trying", receivedFrom(record.source)).slice();
  }

  #onAck(view: SipView, source: Source, key: ServerKey): void {
    const record = this.#inviteOfAck(view, key);
    if (record === undefined) this.#user.onAck(view, source);
    else this.#settle(record, record.onEvent({ kind: "ack" }), view, source);
  }

  #inviteOfAck(view: SipView, key: ServerKey): ServerRecord | undefined {
    const tag = toTag(view);
    const record = this.#records.get(tableKey(key, "INVITE", tag));
    if (record !== undefined || !key.legacy) return record;
    // §17.2.3: the INVITE had no To tag, our response to it had this one.
    const initial = this.#records.get(tableKey(key, "INVITE", ""));
    return initial?.responseToTag() === tag ? initial : undefined;
  }

  #onRepeated(record: ServerRecord, hop: Hop): void {
    this.#counters.requestsRepeated++;
    // A connection dies and its sender comes back on another: the answer goes there. A datagram's answer goes where the first went.
    if (record.hop !== hop && (record.hopLost || hop.reliable)) {
      this.#hops.move(record, hop);
      record.hopLost = false;
    }
    record.onEvent({ kind: "request" });
  }

  #onCancel(view: SipView, source: Source, hop: Hop, key: ServerKey): void {
    // §9.2: the INVITE's own matching; its To tag is the CANCEL's, with none in both outside dialogs.
    const invite = this.#records.get(tableKey(key, "INVITE", toTag(view)));
    if (invite === undefined) {
      this.#answerStateless(view, source, hop, 481, "Call/Transaction Does Not Exist");
      return;
    }
    const pending = !invite.isOver;
    const record = this.#add(view, source, hop, key, undefined, true);
    // §9.2: the same tag in both answers, as far as we know it.
    if (record !== undefined) this.#answer(record, 200, "OK", invite.responseToTag());
    if (pending && !invite.silent) this.#user.onCancel(invite, view);
  }

  #onNew(view: SipView, source: Source, hop: Hop, key: ServerKey): void {
    const mergeKey = mergeKeyOf(view);
    const twin = mergeKey === undefined ? undefined : this.#merged.get(mergeKey);
    const isMerged = twin !== undefined && isOngoing(twin);
    const record = this.#add(view, source, hop, key, mergeKey, isMerged);
    if (record === undefined) {
      this.#answerStateless(view, source, hop, 503, "Service Unavailable");
    } else if (isMerged) {
      // With a transaction, so that the ACK ends here: the user would take it for another branch's.
      this.#counters.requestsMerged++;
      this.#answer(record, 482, "Loop Detected", undefined);
    } else this.#user.onRequest(record, view, source);
  }

  #add(
    view: SipView,
    source: Source,
    hop: Hop,
    key: ServerKey,
    mergeKey: string | undefined,
    silent: boolean,
  ): ServerRecord | undefined {
    const { serverMax, keptBytesMax } = this.#limits;
    if (this.#records.size >= serverMax || this.#keptBytes + (view.to - view.from) > keptBytesMax) {
      this.#counters.serverRefused++;
      return undefined;
    }
    const record = new ServerRecord({
      key: tableKey(key, view.methodText(), toTag(view)),
      mergeKey: silent ? undefined : mergeKey,
      branch: key.branch,
      request: view.keep(),
      source: keepSource(source),
      silent,
      hop,
      owner: this,
    });
    this.#records.set(record.key, record);
    if (record.mergeKey !== undefined) this.#merged.set(record.mergeKey, record);
    this.#keptBytes += record.keptBytes;
    this.#rows.add(record);
    this.#hops.add(record);
    record.start();
    return record;
  }

  /** An answer of the layer's own to a request that has a transaction. */
  #answer(record: ServerRecord, status: number, reason: string, tag: string | undefined): void {
    const options = { toTag: tag ?? randomToken(this.#random, tagChars), ...receivedFrom(record.source) };
    this.respond(record, writeResponse(this.#writer, record.request, status, reason, options).slice(), status);
  }

  /** An answer without a transaction, and never longer than the datagram that asked for it. */
  #answerStateless(view: SipView, source: Source, hop: Hop, status: number, reason: string): void {
    const options = { toTag: randomToken(this.#random, tagChars), ...receivedFrom(source) };
    const bytes = writeResponse(this.#writer, view, status, reason, options);
    if (bytes.length > 0 && (hop.reliable || bytes.length <= view.to - view.from)) hop.send(bytes);
    else this.#counters.answersWithheld++;
  }

  #settle(record: ServerRecord, news: ServerNewsId, view: SipView | undefined, source: Source | undefined): void {
    if (record.isTerminated) this.#remove(record);
    if (record.silent) return;
    if (news === ServerNews.ack && view !== undefined && source !== undefined) this.#user.onAck(view, source);
    else if (news === ServerNews.ackTimeout) this.#user.onAckTimeout(record);
  }

  #remove(record: ServerRecord): void {
    if (this.#records.get(record.key) !== record) return;
    this.#records.delete(record.key);
    if (record.mergeKey !== undefined && this.#merged.get(record.mergeKey) === record)
      this.#merged.delete(record.mergeKey);
    this.#keptBytes -= record.keptBytes;
    this.#hops.remove(record);
    this.#rows.remove(record);
  }
}

/**
 * A request that has come on two paths is refused on the second while the first is open or was accepted. After a refusal it is a
 * new try of a proxy that forks one after the other; after the loss of its connection, the same sender's.
 */
function isOngoing(record: ServerRecord): boolean {
  return !record.hopLost && (!record.isOver || record.lastStatus < 300);
}

function toTag(view: SipView): string {
  return tagOf(view, Header.to) ?? "";
}

function receivedFrom({ address, port }: Source): Pick<ResponseOptions, "received"> {
  return address === "" ? {} : { received: { address, port } };
}

import type { Clock } from "../../time/clock.ts";
import type { Random } from "../../time/random.ts";
import { TimerWheel } from "../../time/timer-wheel.ts";
import { Header } from "../message/header.ts";
import { Method, type MethodId, methodName } from "../message/method.ts";
import { tagOf } from "../message/read-address.ts";
import { cseqMethodText } from "../message/read-cseq.ts";
import { topBranch } from "../message/read-via.ts";
import { scan } from "../message/scan.ts";
import { SipView } from "../message/view.ts";
import { writeAck } from "../message/write-ack-cancel.ts";
import { writeResponse } from "../message/write-response.ts";
import { MessageWriter } from "../message/writer.ts";
import { ClientNews, ClientRecord, type ClientTransaction } from "./client-transaction.ts";
import { type Hop, keepSource, type Source } from "./hop.ts";
import { randomToken } from "./random-token.ts";
import { magicCookie, mergeKeyOf, serverKeyOf, tableKey, type ServerKey } from "./server-key.ts";
import { ServerNews, ServerRecord, type ServerTransaction } from "./server-transaction.ts";

export type { ClientTransaction } from "./client-transaction.ts";
export type { Hop, Source } from "./hop.ts";
export type { ServerTransaction } from "./server-transaction.ts";

/** The layer above: what it hears of. It may use the transactions at once, from within. */
export interface TransactionUser {
  /** A new request; not an ACK, and a CANCEL only when it cancels nothing known and could not be answered. */
  onRequest(tx: ServerTransaction, view: SipView, source: Source): void;
  /** An ACK that no transaction absorbs: of a 2xx, or of a response that is not ours. */
  onAck(view: SipView, source: Source): void;
  /** The CANCEL of an INVITE that has no final response yet. The CANCEL is answered already, the INVITE is not. */
  onCancel(invite: ServerTransaction, view: SipView): void;
  /** Each 1xx before the final response (100 too); the final one, once; of an INVITE each further 2xx, too. */
  onResponse(tx: ClientTransaction, view: SipView): void;
  /** No (final) response came, or the hop failed: no further news of this transaction. */
  onFailure(tx: ClientTransaction, cause: "timeout" | "transport"): void;
  /** Timer H: no ACK for a final response of 300 or more. Timer L: 64*T1 after a 2xx, ACK or not; the INVITE is forgotten. */
  onAckTimeout(tx: ServerTransaction): void;
}

export interface TransactionLimits {
  readonly serverMax: number;
  readonly clientMax: number;
  /** Requests and responses kept for server transactions. */
  readonly keptBytesMax: number;
}

/** 100 calls a second leave some 6,400 ended transactions waiting for their last timer. */
export const defaultTransactionLimits: TransactionLimits = {
  serverMax: 32_768,
  clientMax: 32_768,
  keptBytesMax: 128 * 1024 * 1024,
};

/** What was turned away or fitted nowhere, since the start. */
export interface TransactionCounters {
  /** New requests beyond a limit. */
  serverRefused: number;
  clientRefused: number;
  /** Responses of no transaction, dropped (RFC 6026 §7.3). */
  responsesUnmatched: number;
  /** Requests whose top Via cannot be read, dropped. */
  requestsUnkeyed: number;
  requestsRepeated: number;
  /** Answered 482 (RFC 3261 §8.2.2.2). */
  requestsMerged: number;
  /** Answers of the layer's own that would have been longer than the datagram that asked, not sent. */
  answersWithheld: number;
}

const rowsMin = 64;

/** The transaction layer of one shard (RFC 3261 §17, RFC 6026, RFC 4320): tables of transactions over one timer wheel. */
export class Transactions {
  readonly counters: TransactionCounters = {
    serverRefused: 0,
    clientRefused: 0,
    responsesUnmatched: 0,
    requestsUnkeyed: 0,
    requestsRepeated: 0,
    requestsMerged: 0,
    answersWithheld: 0,
  };
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #user: TransactionUser;
  readonly #limits: TransactionLimits;
  readonly #wheel: TimerWheel;
  readonly #rows: (ServerRecord | ClientRecord | undefined)[] = [];
  readonly #freeRows: number[] = [];
  readonly #servers = new Map<string, ServerRecord>();
  readonly #merged = new Map<string, ServerRecord>();
  readonly #clients = new Map<string, ClientRecord>();
  readonly #byHop = new Map<Hop, Set<ServerRecord | ClientRecord>>();
  /** Failures that the next tick tells of. */
  readonly #failed: { readonly record: ClientRecord; readonly hop: Hop }[] = [];
  readonly #writer = new MessageWriter();
  readonly #timers = {
    arm: (record: ServerRecord | ClientRecord, slot: 0 | 1, afterMs: number): void =>
      this.#wheel.arm(record.row * 2 + slot, this.#clock.nowMs() + afterMs),
  };
  readonly #fire = (id: number): void => this.#onTimer(id);
  #keptBytes = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly random: Random;
    readonly user: TransactionUser;
    readonly limits?: TransactionLimits;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#user = options.user;
    this.#limits = options.limits ?? defaultTransactionLimits;
    this.#wheel = new TimerWheel({ nowMs: options.clock.nowMs(), capacity: rowsMin * 2 });
  }

  /** Transactions that are not terminated. */
  get size(): number {
    return this.#servers.size + this.#clients.size;
  }

  /** The earliest time at which `tick` may have something to do; Infinity when there is nothing. */
  nextDueMs(): number {
    return this.#failed.length > 0 ? this.#clock.nowMs() : this.#wheel.nextDueMs();
  }

  /** Runs the timers that are due. */
  tick(nowMs: number): void {
    for (const { record, hop } of this.#failed.splice(0)) {
      if (record.hop !== hop || record.isTerminated) continue;
      record.onEvent({ kind: "transportError" });
      this.#afterClientStep(record, undefined);
    }
    this.#wheel.advance(nowMs, this.#fire);
  }

  /** `z9hG4bKa` and 100 random bits. */
  newBranch(): string {
    return `${magicCookie}a${randomToken(this.#random, 20)}`;
  }

  /**
   * A request from the wire or a tunnel, already validated. Handled here: repeated requests, ACK of responses that are not
   * 2xx, CANCEL. `hop` answers where it came from; `scope` keeps the keys of different sources apart: the source address,
   * or the tunnel's device.
   */
  receiveRequest(view: SipView, source: Source, hop: Hop, scope: string): void {
    const key = serverKeyOf(view, scope);
    if (key === undefined) {
      this.counters.requestsUnkeyed++;
      return;
    }
    if (view.method === Method.ack) {
      this.#onAck(view, source, key);
      return;
    }
    const known = this.#servers.get(tableKey(key, view.methodText(), toTag(view)));
    if (known !== undefined) this.#onRepeated(known, hop);
    else if (view.method === Method.cancel) this.#onCancel(view, source, hop, key);
    else this.#onNew(view, source, hop, key);
  }

  /** A response from the wire or a tunnel, already validated. Undefined when it is of no transaction: it is to be dropped. */
  receiveResponse(view: SipView): ClientTransaction | undefined {
    const record = this.#clients.get(clientKey(topBranch(view), cseqMethodText(view)));
    if (record === undefined) {
      this.counters.responsesUnmatched++;
      return undefined;
    }
    record.response = view;
    record.onEvent({ kind: "response", status: view.status });
    record.response = undefined;
    if (record.cancelBytes !== undefined && record.isProceeding) this.#sendCancel(record);
    this.#afterClientStep(record, view);
    return record;
  }

  /**
   * Sends a response; a repeated request gets it again, and a final one to INVITE is repeated until its ACK, but a 2xx, which its
   * maker repeats end to end (RFC 6026 §7.1). The bytes are copied. Not sent, after RFC 4320: 408 and provisionals other than a timely 100
   * to non-INVITE. Nothing happens when the transaction is over.
   */
  respond(tx: ServerTransaction, bytes: Uint8Array, status: number): void {
    const record = tx as ServerRecord;
    if (record.isTerminated) return;
    this.#keptBytes -= record.keptBytes;
    record.respond(bytes.slice(), status);
    this.#keptBytes += record.keptBytes;
    this.#afterServerStep(record, undefined, undefined);
  }

  /** Forgets a request as if it had never come: no answer, now or later. */
  forget(tx: ServerTransaction): void {
    const record = tx as ServerRecord;
    if (record.isTerminated) return;
    record.terminate();
    this.#removeServer(record);
  }

  /**
   * Sends a request (not an ACK, which has no transaction) and repeats it as its method and hop demand. `branch` is that of
   * its top Via. The bytes are copied. Beyond the limit nothing is sent, and the next tick tells of a failure.
   */
  request(hop: Hop, bytes: Uint8Array, method: MethodId, branch: string, data: unknown): ClientTransaction {
    return this.#start(hop, bytes.slice(), method, branch, data, false);
  }

  /**
   * Cancels an INVITE: sends `bytes`, its CANCEL, as a transaction of its own, now or when a 1xx has come (RFC 3261 §9.1); never
   * when a final response came before. The CANCEL's own answer goes to nobody. `onFailure` tells when no final response
   * comes within 64*T1. A second call does nothing.
   */
  cancel(tx: ClientTransaction, bytes: Uint8Array): void {
    const record = tx as ClientRecord;
    if (record.method !== Method.invite || record.isOver || record.cancelBytes !== undefined) return;
    record.cancelBytes = bytes.slice();
    if (record.isProceeding) this.#sendCancel(record);
  }

  /**
   * Gives a transaction another hop, as a phone's new tunnel. A request without final response is sent again there, same bytes and
   * branch, and so is its CANCEL; a server transaction sends its last response again.
   */
  rebind(tx: ClientTransaction | ServerTransaction, hop: Hop): void {
    const record = tx as ClientRecord | ServerRecord;
    if (record.isTerminated) return;
    this.#moveToHop(record, hop);
    if (record instanceof ServerRecord) {
      record.hopLost = false;
      record.resend();
      return;
    }
    record.onEvent({ kind: "rebound" });
    if (record.cancelBytes !== undefined && record.isProceeding) this.#sendCancel(record);
  }

  /**
   * A hop can send no more. The next tick tells the users of its client transactions, unless they are rebound before. Server
   * transactions stay: they answer on the connection that brings the request again, or where `rebind` says.
   */
  hopFailed(hop: Hop): void {
    for (const record of this.#byHop.get(hop) ?? []) {
      if (record instanceof ServerRecord) record.hopLost = true;
      else this.#failed.push({ record, hop });
    }
  }

  #onAck(view: SipView, source: Source, key: ServerKey): void {
    const record = this.#inviteOfAck(view, key);
    if (record === undefined) {
      this.#user.onAck(view, source);
      return;
    }
    record.onEvent({ kind: "ack" });
    this.#afterServerStep(record, view, source);
  }

  #inviteOfAck(view: SipView, key: ServerKey): ServerRecord | undefined {
    const tag = toTag(view);
    const record = this.#servers.get(tableKey(key, "INVITE", tag));
    if (record !== undefined || !key.legacy) return record;
    // §17.2.3: the INVITE had no To tag, its response had this one.
    const initial = this.#servers.get(tableKey(key, "INVITE", ""));
    return initial?.responseToTag() === tag ? initial : undefined;
  }

  #onRepeated(record: ServerRecord, hop: Hop): void {
    this.counters.requestsRepeated++;
    // A connection dies and the sender comes back on another: the answer goes there. A datagram's answer goes where the first went.
    if (record.hop !== hop && (record.hopLost || hop.reliable)) {
      this.#moveToHop(record, hop);
      record.hopLost = false;
    }
    record.onEvent({ kind: "request" });
  }

  #onCancel(view: SipView, source: Source, hop: Hop, key: ServerKey): void {
    const invite =
      this.#servers.get(tableKey(key, "INVITE", toTag(view))) ??
      (key.legacy ? this.#servers.get(tableKey(key, "INVITE", "")) : undefined);
    if (invite === undefined) {
      this.#answerStateless(view, source, hop, 481, "Call/Transaction Does Not Exist");
      return;
    }
    const pending = !invite.isOver;
    const record = this.#add(view, source, hop, key, true);
    // §9.2: the tag that the INVITE's response has or will have, where we know it.
    if (record !== undefined) this.#answer(record, 200, "OK", invite.responseToTag());
    if (pending && !invite.silent) this.#user.onCancel(invite, view);
  }

  #onNew(view: SipView, source: Source, hop: Hop, key: ServerKey): void {
    const mergeKey = mergeKeyOf(view);
    const twin = mergeKey === undefined ? undefined : this.#merged.get(mergeKey);
    // A twin whose connection died is the same sender's last try, not another path.
    const isMerged = twin !== undefined && !twin.hopLost;
    const record = this.#add(view, source, hop, key, isMerged, mergeKey);
    if (record === undefined) {
      this.#answerStateless(view, source, hop, 503, "Service Unavailable");
      return;
    }
    if (isMerged) {
      this.counters.requestsMerged++;
      this.#answer(record, 482, "Loop Detected", undefined);
      return;
    }
    this.#user.onRequest(record, view, source);
  }

  #add(
    view: SipView,
    source: Source,
    hop: Hop,
    key: ServerKey,
    silent: boolean,
    mergeKey?: string,
  ): ServerRecord | undefined {
    const { serverMax, keptBytesMax } = this.#limits;
    if (this.#servers.size >= serverMax || this.#keptBytes + (view.to - view.from) > keptBytesMax) {
      this.counters.serverRefused++;
      return undefined;
    }
    const record = new ServerRecord({
      key: tableKey(key, view.methodText(), toTag(view)),
      mergeKey,
      branch: key.branch,
      legacy: key.legacy,
      request: view.keep(),
      source: keepSource(source),
      row: this.#takeRow(),
      silent,
      hop,
      timers: this.#timers,
      writeTrying: this.#writeTrying,
    });
    this.#rows[record.row] = record;
    this.#servers.set(record.key, record);
    if (mergeKey !== undefined && !silent) this.#merged.set(mergeKey, record);
    this.#keptBytes += record.keptBytes;
    this.#attach(record);
    record.begin();
    return record;
  }

  readonly #writeTrying = (record: ServerRecord): Uint8Array => {
    const { source } = record;
    return writeResponse(this.#writer, record.request, 100, "Trying", receivedFrom(source)).slice();
  };

  /** An answer of the layer's own to a request that has a transaction. */
  #answer(record: ServerRecord, status: number, reason: string, tag: string | undefined): void {
    const options = { toTag: tag ?? randomToken(this.#random, 12), ...receivedFrom(record.source) };
    this.respond(record, writeResponse(this.#writer, record.request, status, reason, options), status);
  }

  /** An answer without a transaction, and never longer than the datagram that asked for it. */
  #answerStateless(view: SipView, source: Source, hop: Hop, status: number, reason: string): void {
    const options = { toTag: randomToken(this.#random, 12), ...receivedFrom(source) };
    const bytes = writeResponse(this.#writer, view, status, reason, options);
    if (bytes.length > 0 && (hop.reliable || bytes.length <= view.to - view.from)) hop.send(bytes);
    else this.counters.answersWithheld++;
  }

  #start(hop: Hop, bytes: Uint8Array, method: MethodId, branch: string, data: unknown, silent: boolean): ClientRecord {
    const key = clientKey(branch, method === Method.other ? methodTextOf(bytes) : methodName(method));
    if (this.#clients.has(key)) throw new Error("a transaction with this branch and method exists");
    const refused = this.#clients.size >= this.#limits.clientMax;
    const record = new ClientRecord({
      key,
      branch,
      method,
      bytes,
      row: refused ? -1 : this.#takeRow(),
      silent,
      hop,
      data,
      timers: this.#timers,
      writeAck: this.#writeAck,
    });
    if (refused) {
      this.counters.clientRefused++;
      this.#failed.push({ record, hop });
      return record;
    }
    this.#rows[record.row] = record;
    this.#clients.set(key, record);
    this.#attach(record);
    record.begin();
    return record;
  }

  readonly #writeAck = (record: ClientRecord, response: SipView): Uint8Array =>
    writeAck(this.#writer, record.request, response).slice();

  #sendCancel(record: ClientRecord): void {
    const earlier = record.cancelRecord;
    if (earlier !== undefined && !earlier.isTerminated) {
      if (earlier.hop !== record.hop) this.rebind(earlier, record.hop);
      return;
    }
    if (earlier !== undefined && earlier.hop === record.hop) return;
    record.cancelRecord = this.#start(record.hop, record.cancelBytes!, Method.cancel, record.branch, undefined, true);
    record.onEvent({ kind: "cancelSent" });
  }

  #onTimer(id: number): void {
    const record = this.#rows[id >>> 1];
    const slot = (id & 1) as 0 | 1;
    if (record === undefined) return;
    if (record instanceof ServerRecord) {
      this.#keptBytes -= record.keptBytes;
      record.onTimer(slot);
      this.#keptBytes += record.keptBytes;
      this.#afterServerStep(record, undefined, undefined);
    } else {
      record.onTimer(slot);
      this.#afterClientStep(record, undefined);
    }
  }

  #afterClientStep(record: ClientRecord, view: SipView | undefined): void {
    const { news } = record;
    record.news = ClientNews.none;
    if (record.isTerminated) this.#removeClient(record);
    if (record.silent) return;
    switch (news) {
      case ClientNews.none:
        return;
      case ClientNews.response:
        if (view !== undefined) this.#user.onResponse(record, view);
        return;
      case ClientNews.timeout:
        this.#user.onFailure(record, "timeout");
        return;
      case ClientNews.transport:
        this.#user.onFailure(record, "transport");
        return;
      default:
        news satisfies never;
    }
  }

  #afterServerStep(record: ServerRecord, view: SipView | undefined, source: Source | undefined): void {
    const { news } = record;
    record.news = ServerNews.none;
    if (record.isTerminated) this.#removeServer(record);
    if (record.silent) return;
    if (news === ServerNews.ack && view !== undefined && source !== undefined) this.#user.onAck(view, source);
    else if (news === ServerNews.ackTimeout) this.#user.onAckTimeout(record);
  }

  #removeClient(record: ClientRecord): void {
    if (this.#clients.get(record.key) !== record) return;
    this.#clients.delete(record.key);
    this.#detach(record);
    this.#giveRow(record.row);
  }

  #removeServer(record: ServerRecord): void {
    if (this.#servers.get(record.key) !== record) return;
    this.#servers.delete(record.key);
    if (record.mergeKey !== undefined && this.#merged.get(record.mergeKey) === record)
      this.#merged.delete(record.mergeKey);
    this.#keptBytes -= record.keptBytes;
    this.#detach(record);
    this.#giveRow(record.row);
  }

  #attach(record: ServerRecord | ClientRecord): void {
    const records = this.#byHop.get(record.hop);
    if (records === undefined) this.#byHop.set(record.hop, new Set([record]));
    else records.add(record);
  }

  #detach(record: ServerRecord | ClientRecord): void {
    const records = this.#byHop.get(record.hop);
    records?.delete(record);
    if (records?.size === 0) this.#byHop.delete(record.hop);
  }

  #moveToHop(record: ServerRecord | ClientRecord, hop: Hop): void {
    this.#detach(record);
    record.hop = hop;
    this.#attach(record);
  }

  #takeRow(): number {
    const row = this.#freeRows.pop() ?? this.#rows.length;
    this.#wheel.ensure((row + 1) * 2);
    return row;
  }

  #giveRow(row: number): void {
    this.#wheel.cancel(row * 2);
    this.#wheel.cancel(row * 2 + 1);
    this.#rows[row] = undefined;
    this.#freeRows.push(row);
  }
}

function clientKey(branch: string, method: string): string {
  return `${branch}\n${method}`;
}

function toTag(view: SipView): string {
  return tagOf(view, Header.to) ?? "";
}

function methodTextOf(bytes: Uint8Array): string {
  const view = new SipView();
  scan(bytes, 0, bytes.length, view);
  return view.methodText();
}

function receivedFrom(source: Source): { received?: { address: string; port: number } } {
  return source.address === "" ? {} : { received: { address: source.address, port: source.port } };
}

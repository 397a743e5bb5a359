import { Method, type MethodId, methodName } from "../message/method.ts";
import { cseqMethodText } from "../message/read-cseq.ts";
import { topBranch } from "../message/read-via.ts";
import { scan } from "../message/scan.ts";
import { SipView } from "../message/view.ts";
import { writeAck } from "../message/write-ack-cancel.ts";
import type { MessageWriter } from "../message/writer.ts";
import { ClientNews, type ClientNewsId, type ClientOwner, ClientRecord } from "./client-transaction.ts";
import { HopIndex } from "./hop-index.ts";
import type { Hop } from "./hop.ts";
import type { TimerRows, TimerSlot } from "./timer-rows.ts";
import type { TransactionCounters, TransactionUser } from "./transaction-user.ts";

/** The client transactions of a shard by branch and method (RFC 3261 §17.1.3). */
export class ClientTable implements ClientOwner {
  readonly #user: TransactionUser;
  readonly #rows: TimerRows;
  readonly #writer: MessageWriter;
  readonly #counters: TransactionCounters;
  readonly #recordsMax: number;
  readonly #records = new Map<string, ClientRecord>();
  readonly #hops = new HopIndex<ClientRecord>();
  /** Failures that the next tick tells of: never from within `request` or a hop's `send`. */
  #failed: { readonly record: ClientRecord; readonly hop: Hop }[] = [];

  constructor(options: {
    readonly user: TransactionUser;
    readonly rows: TimerRows;
    readonly writer: MessageWriter;
    readonly counters: TransactionCounters;
    readonly recordsMax: number;
  }) {
    this.#user = options.user;
    this.#rows = options.rows;
    this.#writer = options.writer;
    this.#counters = options.counters;
    this.#recordsMax = options.recordsMax;
  }

  get size(): number {
    return this.#records.size;
  }

  get hasFailures(): boolean {
    return this.#failed.length > 0;
  }

  /** `bytes` are the table's to keep. */
  start(hop: Hop, bytes: Uint8Array, method: MethodId, branch: string, data: unknown, silent: boolean): ClientRecord {
    const key = keyOf(branch, method === Method.other ? methodTextOf(bytes) : methodName(method));
    if (this.#records.has(key)) throw new Error("a transaction with this branch and method exists");
    const record = new ClientRecord({ key, branch, method, bytes, silent, hop, data, owner: this });
    if (this.#records.size >= this.#recordsMax) {
      this.#counters.clientRefused++;
      this.#failed.push({ record, hop });
      return record;
    }
    this.#records.set(key, record);
    this.#rows.add(record);
    this.#hops.add(record);
    record.start();
    return record;
  }

  receive(view: SipView): ClientRecord | undefined {
    const record = this.#records.get(keyOf(topBranch(view), cseqMethodText(view)));
    if (record === undefined) {
      this.#counters.responsesUnmatched++;
      return undefined;
    }
    const news = record.onResponse(view);
    this.#settle(record, news, view);
    return record;
  }

  /** `bytes` are the table's to keep. */
  cancel(record: ClientRecord, bytes: Uint8Array): void {
    if (record.method !== Method.invite || record.isOver || record.cancelBytes !== undefined) return;
    record.cancelBytes = bytes;
    this.#sendCancel(record);
  }

  rebind(record: ClientRecord, hop: Hop): void {
    if (record.row < 0) return;
    this.#hops.move(record, hop);
    this.#settle(record, record.onEvent({ kind: "rebound" }), undefined);
  }

  forget(record: ClientRecord): void {
    record.terminate();
    this.#remove(record);
  }

  hopFailed(hop: Hop): void {
    for (const record of this.#hops.on(hop)) this.#failed.push({ record, hop });
  }

  /** Tells of the failures since the last call, but of those that were rebound. */
  settleFailures(): void {
    const failed = this.#failed;
    this.#failed = [];
    for (const { record, hop } of failed) {
      if (record.hop === hop) this.#settle(record, record.onEvent({ kind: "transportError" }), undefined);
    }
  }

  arm(record: ClientRecord, slot: TimerSlot, afterMs: number): void {
    this.#rows.arm(record, slot, afterMs);
  }

  onTimer(record: ClientRecord, slot: TimerSlot): void {
    this.#settle(record, record.onTimer(slot), undefined);
  }

  writeAck(record: ClientRecord, response: SipView): Uint8Array {
    return writeAck(this.#writer, record.request, response).slice();
  }

  /** After each step: the CANCEL that waits for a 1xx, the end, the news. */
  #settle(record: ClientRecord, news: ClientNewsId, view: SipView | undefined): void {
    this.#sendCancel(record);
    if (record.isTerminated) this.#remove(record);
    if (record.silent) return;
    if (news === ClientNews.response && view !== undefined) this.#user.onResponse(record, view);
    else if (news === ClientNews.timeout) this.#user.onFailure(record, "timeout");
    else if (news === ClientNews.transport) this.#user.onFailure(record, "transport");
  }

  /** Sends the CANCEL asked for if its time has come and it was not sent on this hop. */
  #sendCancel(record: ClientRecord): void {
    const { cancelBytes, cancelRecord: earlier } = record;
    // §9.1: no CANCEL before a 1xx, or it may come before its INVITE; none after a final response, where it does nothing.
    if (cancelBytes === undefined || !record.isProceeding || earlier?.hop === record.hop) return;
    if (earlier !== undefined && !earlier.isOver) {
      this.rebind(earlier, record.hop);
      return;
    }
    if (earlier !== undefined) {
      earlier.terminate();
      this.#remove(earlier);
    }
    record.cancelRecord = this.start(record.hop, cancelBytes, Method.cancel, record.branch, undefined, true);
    record.onEvent({ kind: "cancelSent" });
  }

  #remove(record: ClientRecord): void {
    if (this.#records.get(record.key) !== record) return;
    this.#records.delete(record.key);
    this.#hops.remove(record);
    this.#rows.remove(record);
  }
}

function keyOf(branch: string, method: string): string {
  return `${branch}\n${method}`;
}

const scratch = new SipView();

function methodTextOf(bytes: Uint8Array): string {
  scan(bytes, 0, bytes.length, scratch);
  return scratch.methodText();
}

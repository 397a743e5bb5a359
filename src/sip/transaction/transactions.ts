import type { Clock } from "../../time/clock.ts";
import type { Random } from "../../time/random.ts";
import type { MethodId } from "../message/method.ts";
import type { SipView } from "../message/view.ts";
import { MessageWriter } from "../message/writer.ts";
import { ClientTable } from "./client-table.ts";
import { ClientRecord, type ClientTransaction } from "./client-transaction.ts";
import type { Hop, Source } from "./hop.ts";
import { randomToken } from "./random-token.ts";
import { magicCookie } from "./server-key.ts";
import { ServerTable } from "./server-table.ts";
import { ServerRecord, type ServerTransaction } from "./server-transaction.ts";
import { TimerRows } from "./timer-rows.ts";
import {
  defaultTransactionLimits,
  noCounts,
  type TransactionCounters,
  type TransactionLimits,
  type TransactionUser,
} from "./transaction-user.ts";

export type { ClientTransaction } from "./client-transaction.ts";
export type { Hop, Source } from "./hop.ts";
export type { ServerTransaction } from "./server-transaction.ts";
export type { TransactionCounters, TransactionLimits, TransactionUser } from "./transaction-user.ts";

/** The transaction layer of one shard: RFC 3261 §17 with RFC 6026 and RFC 4320. All calls are synchronous; `tick` runs the timers. */
export class Transactions {
  readonly counters: TransactionCounters = noCounts();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #rows: TimerRows;
  readonly #servers: ServerTable;
  readonly #clients: ClientTable;

  constructor(options: {
    readonly clock: Clock;
    readonly random: Random;
    readonly user: TransactionUser;
    readonly limits?: TransactionLimits;
  }) {
    const { clock, random, user, limits = defaultTransactionLimits } = options;
    const { counters } = this;
    const writer = new MessageWriter();
    this.#clock = clock;
    this.#random = random;
    this.#rows = new TimerRows(clock);
    this.#servers = new ServerTable({ user, random, rows: this.#rows, writer, counters, limits });
    this.#clients = new ClientTable({ user, rows: this.#rows, writer, counters, recordsMax: limits.clientMax });
  }

  /** Transactions that have not ended. */
  get size(): number {
    return this.#servers.size + this.#clients.size;
  }

  /** The earliest time at which `tick` may have something to do; Infinity when there is nothing. */
  nextDueMs(): number {
    return this.#clients.hasFailures ? this.#clock.nowMs() : this.#rows.nextDueMs();
  }

  /** Runs the timers that are due, and tells of hops that failed. */
  tick(nowMs: number): void {
    if (this.#clients.hasFailures) this.#clients.settleFailures();
    this.#rows.tick(nowMs);
  }

  /** `z9hG4bKa` and 100 random bits. */
  newBranch(): string {
    return `${magicCookie}a${randomToken(this.#random, 20)}`;
  }

  /**
   * A request from the wire or a tunnel, already validated. Handled here: repeated requests, ACK of responses that are not
   * 2xx, CANCEL, requests that came on two paths. `hop` leads to where it came from; `scope` keeps the keys of different
   * sources apart: the source address, or the tunnel's device.
   */
  receiveRequest(view: SipView, source: Source, hop: Hop, scope: string): void {
    this.#servers.receive(view, source, hop, scope);
  }

  /** A response from the wire or a tunnel, already validated. Undefined when it is of no transaction: it is to be dropped (RFC 6026 §7.3). */
  receiveResponse(view: SipView): ClientTransaction | undefined {
    return this.#clients.receive(view);
  }

  /**
   * Sends a response; a repeated request gets it again, and a final one to INVITE is repeated until its ACK, but a 2xx, which its
   * maker repeats end to end (RFC 6026 §7.1). The bytes are copied. Not sent, after RFC 4320: 408 and provisionals other than
   * a timely 100 to non-INVITE. Nothing happens when the transaction is over.
   */
  respond(tx: ServerTransaction, bytes: Uint8Array, status: number): void {
    if (tx instanceof ServerRecord) this.#servers.respond(tx, bytes.slice(), status);
  }

  /**
   * Sends the last response again: for the user's own repetitions of a 2xx to INVITE (RFC 3261 §13.3.1.4). Nothing once the
   * transaction has ended.
   */
  repeat(tx: ServerTransaction): void {
    if (tx instanceof ServerRecord && !tx.isTerminated) tx.resend();
  }

  /** Forgets a request as if it had never come: no answer, now or later. Of one that we sent, no further news. */
  forget(tx: ServerTransaction | ClientTransaction): void {
    if (tx instanceof ServerRecord) this.#servers.forget(tx);
    else if (tx instanceof ClientRecord) this.#clients.forget(tx);
  }

  /**
   * Sends a request (not an ACK, which has no transaction) and repeats it as its method and hop demand. `branch` is that of
   * its top Via. The bytes are copied. Beyond the limit nothing is sent, and the next tick tells of a failure.
   * @throws Error when a transaction with this branch and method exists.
   */
  request(hop: Hop, bytes: Uint8Array, method: MethodId, branch: string, data: unknown): ClientTransaction {
    return this.#clients.start(hop, bytes.slice(), method, branch, data, false);
  }

  /**
   * Cancels an INVITE: sends `bytes`, its CANCEL, as a transaction of its own, now or when a 1xx has come (RFC 3261 §9.1); never
   * when a final response came before. The CANCEL's own answer goes to nobody. `onFailure` tells when no final response
   * comes within 64*T1. A second call does nothing.
   */
  cancel(tx: ClientTransaction, bytes: Uint8Array): void {
    if (tx instanceof ClientRecord) this.#clients.cancel(tx, bytes.slice());
  }

  /**
   * Gives a transaction another hop, such as a phone's new tunnel. A request without final response is sent again there, same bytes and
   * branch, and so is its CANCEL; a server transaction sends its last response again.
   */
  rebind(tx: ClientTransaction | ServerTransaction, hop: Hop): void {
    if (tx instanceof ClientRecord) this.#clients.rebind(tx, hop);
    else if (tx instanceof ServerRecord) this.#servers.rebind(tx, hop);
  }

  /**
   * A hop can send no more. The next tick tells the users of its client transactions, unless they are rebound before. Server
   * transactions stay: they answer on the connection that brings the request again, or where `rebind` says.
   */
  hopFailed(hop: Hop): void {
    this.#clients.hopFailed(hop);
    this.#servers.hopFailed(hop);
  }
}

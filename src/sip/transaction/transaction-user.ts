import type { SipView } from "../message/view.ts";
import type { ClientTransaction } from "./client-transaction.ts";
import type { Source } from "./hop.ts";
import type { ServerTransaction } from "./server-transaction.ts";

/** The layer above: what it hears of. It may use the transactions at once, from within. Views are valid only during the call. */
export interface TransactionUser {
  /** A new request that is neither ACK nor CANCEL. */
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

export function noCounts(): TransactionCounters {
  return {
    serverRefused: 0,
    clientRefused: 0,
    responsesUnmatched: 0,
    requestsUnkeyed: 0,
    requestsRepeated: 0,
    requestsMerged: 0,
    answersWithheld: 0,
  };
}

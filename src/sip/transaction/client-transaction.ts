import { Method, type MethodId } from "../message/method.ts";
import { scan } from "../message/scan.ts";
import { SipView } from "../message/view.ts";
import * as clientInvite from "./client-invite.ts";
import * as clientNonInvite from "./client-non-invite.ts";
import type { Hop } from "./hop.ts";

/** A request of ours and what comes of it, as the transaction user sees it. */
export interface ClientTransaction {
  readonly branch: string;
  readonly method: MethodId;
  /** What was sent; kept. */
  readonly request: SipView;
  readonly hop: Hop;
  /** The transaction user's own. */
  data: unknown;
  /** A 1xx has come, no final response. */
  readonly isProceeding: boolean;
  /** A final response has come, or the transaction has ended without one. */
  readonly isOver: boolean;
}

type Timer = clientInvite.ClientInviteTimer | clientNonInvite.ClientNonInviteTimer;

/** What a step wants told upward; told when the step is done, so that the user may use the transaction at once. */
export const ClientNews = { none: 0, response: 1, timeout: 2, transport: 3 } as const;
export type ClientNewsId = (typeof ClientNews)[keyof typeof ClientNews];

/** Timers of a record: one for retransmission, one for the state's end. */
export interface ClientTimers {
  arm(record: ClientRecord, slot: 0 | 1, afterMs: number): void;
}

/** A client transaction as the table holds it: the machine's state and its actions. */
export class ClientRecord
  implements ClientTransaction, clientInvite.ClientInviteOut, clientNonInvite.ClientNonInviteOut
{
  readonly key: string;
  readonly branch: string;
  readonly method: MethodId;
  readonly bytes: Uint8Array;
  /** Place in the table's columns, and so the ids of its timers. */
  readonly row: number;
  /** A CANCEL that the layer sent by itself: the user hears nothing of it. */
  readonly silent: boolean;
  hop: Hop;
  data: unknown;
  /** The response of the running step. */
  response: SipView | undefined;
  /** What `cancel` was given, and the transaction that carries it. */
  cancelBytes: Uint8Array | undefined;
  cancelRecord: ClientRecord | undefined;
  news: ClientNewsId = ClientNews.none;
  /** What the timers of the two slots are. */
  readonly armed: (Timer | undefined)[] = [undefined, undefined];
  readonly afterMs: number[] = [0, 0];
  readonly #timers: ClientTimers;
  readonly #writeAck: (record: ClientRecord, response: SipView) => Uint8Array;
  #ack: Uint8Array | undefined;
  #view: SipView | undefined;
  #inviteState: clientInvite.ClientInviteStateId = clientInvite.ClientInviteState.calling;
  #nonInviteState: clientNonInvite.ClientNonInviteStateId = clientNonInvite.ClientNonInviteState.trying;

  constructor(options: {
    readonly key: string;
    readonly branch: string;
    readonly method: MethodId;
    readonly bytes: Uint8Array;
    readonly row: number;
    readonly silent: boolean;
    readonly hop: Hop;
    readonly data: unknown;
    readonly timers: ClientTimers;
    readonly writeAck: (record: ClientRecord, response: SipView) => Uint8Array;
  }) {
    this.key = options.key;
    this.branch = options.branch;
    this.method = options.method;
    this.bytes = options.bytes;
    this.row = options.row;
    this.silent = options.silent;
    this.hop = options.hop;
    this.data = options.data;
    this.#timers = options.timers;
    this.#writeAck = options.writeAck;
  }

  get request(): SipView {
    if (this.#view === undefined) {
      this.#view = new SipView();
      scan(this.bytes, 0, this.bytes.length, this.#view);
      // The first view has room for any number of headers; this one for its own.
      this.#view = this.#view.keep();
    }
    return this.#view;
  }

  get isProceeding(): boolean {
    return this.method === Method.invite
      ? this.#inviteState === clientInvite.ClientInviteState.proceeding
      : this.#nonInviteState === clientNonInvite.ClientNonInviteState.proceeding;
  }

  get isOver(): boolean {
    return this.method === Method.invite
      ? this.#inviteState > clientInvite.ClientInviteState.proceeding
      : this.#nonInviteState > clientNonInvite.ClientNonInviteState.proceeding;
  }

  get isTerminated(): boolean {
    return this.method === Method.invite
      ? this.#inviteState === clientInvite.ClientInviteState.terminated
      : this.#nonInviteState === clientNonInvite.ClientNonInviteState.terminated;
  }

  get reliable(): boolean {
    return this.hop.reliable;
  }

  begin(): void {
    if (this.method === Method.invite) this.#inviteState = clientInvite.start(this);
    else this.#nonInviteState = clientNonInvite.start(this);
  }

  /** Without a word: what the table had no room for. */
  terminate(): void {
    this.#inviteState = clientInvite.ClientInviteState.terminated;
    this.#nonInviteState = clientNonInvite.ClientNonInviteState.terminated;
  }

  onEvent(event: CommonEvent): void {
    if (this.method === Method.invite) this.#inviteState = clientInvite.step(this.#inviteState, event, this);
    else if (event.kind !== "cancelSent")
      this.#nonInviteState = clientNonInvite.step(this.#nonInviteState, event, this);
  }

  onTimer(slot: 0 | 1): void {
    const kind = this.armed[slot];
    const afterMs = this.afterMs[slot]!;
    this.armed[slot] = undefined;
    switch (kind) {
      case undefined:
        return;
      case "timerE":
      case "timerF":
      case "timerK":
        this.#nonInviteState = clientNonInvite.step(this.#nonInviteState, { kind, afterMs }, this);
        return;
      default:
        this.#inviteState = clientInvite.step(this.#inviteState, { kind, afterMs }, this);
    }
  }

  send(): void {
    this.hop.send(this.bytes);
  }
  acknowledge(): void {
    if (this.response !== undefined) this.#ack ??= this.#writeAck(this, this.response);
    if (this.#ack !== undefined && this.#ack.length > 0) this.hop.send(this.#ack);
  }
  passUp(): void {
    this.news = ClientNews.response;
  }
  timedOut(): void {
    this.news = ClientNews.timeout;
  }
  transportFailed(): void {
    this.news = ClientNews.transport;
  }
  arm(timer: Timer, afterMs: number): void {
    const slot = timer === "timerA" || timer === "timerE" ? 0 : 1;
    this.armed[slot] = timer;
    this.afterMs[slot] = afterMs;
    this.#timers.arm(this, slot, afterMs);
  }
}

/** Events that are not timers. */
export type CommonEvent =
  | { readonly kind: "response"; readonly status: number }
  | { readonly kind: "cancelSent" }
  | { readonly kind: "transportError" }
  | { readonly kind: "rebound" };

import { Method, type MethodId } from "../message/method.ts";
import { scan } from "../message/scan.ts";
import { SipView } from "../message/view.ts";
import * as clientInvite from "./client-invite.ts";
import * as clientNonInvite from "./client-non-invite.ts";
import type { Hop } from "./hop.ts";
import type { Timed, TimerSlot } from "./timer-rows.ts";

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

/** What a step has to tell upward. */
export const ClientNews = { none: 0, response: 1, timeout: 2, transport: 3 } as const;
export type ClientNewsId = (typeof ClientNews)[keyof typeof ClientNews];

/** The table, as its records need it. */
export interface ClientOwner {
  arm(record: ClientRecord, slot: TimerSlot, afterMs: number): void;
  onTimer(record: ClientRecord, slot: TimerSlot): void;
  /** A copy. */
  writeAck(record: ClientRecord, response: SipView): Uint8Array;
}

type Timer = clientInvite.ClientInviteTimer | clientNonInvite.ClientNonInviteTimer;
/** Events that are neither responses nor timers. */
export type ClientPlainEvent = { readonly kind: "cancelSent" | "transportError" | "rebound" };

const scratch = new SipView();

/**
 * A client transaction as its table holds it. What a machine's step wants sent is sent after the step, and what it wants told is
 * returned: hops and users may come back to the same transaction at once.
 */
export class ClientRecord implements ClientTransaction, Timed {
  readonly key: string;
  readonly branch: string;
  readonly method: MethodId;
  readonly bytes: Uint8Array;
  /** A CANCEL that the layer sent by itself: the user hears nothing of it. */
  readonly silent: boolean;
  row = -1;
  hop: Hop;
  data: unknown;
  /** What `cancel` was given, and the transaction that carries it. */
  cancelBytes: Uint8Array | undefined;
  cancelRecord: ClientRecord | undefined;
  readonly #owner: ClientOwner;
  readonly #timers: (Timer | undefined)[] = [undefined, undefined];
  readonly #afterMs: [number, number] = [0, 0];
  #inviteState: clientInvite.ClientInviteStateId = clientInvite.ClientInviteState.calling;
  #nonInviteState: clientNonInvite.ClientNonInviteStateId = clientNonInvite.ClientNonInviteState.trying;
  #view: SipView | undefined;
  #ack: Uint8Array | undefined;
  #response: SipView | undefined;
  #news: ClientNewsId = ClientNews.none;
  #outgoing: Uint8Array | undefined;

  constructor(options: {
    readonly key: string;
    readonly branch: string;
    readonly method: MethodId;
    readonly bytes: Uint8Array;
    readonly silent: boolean;
    readonly hop: Hop;
    readonly data: unknown;
    readonly owner: ClientOwner;
  }) {
    this.key = options.key;
    this.branch = options.branch;
    this.method = options.method;
    this.bytes = options.bytes;
    this.silent = options.silent;
    this.hop = options.hop;
    this.data = options.data;
    this.#owner = options.owner;
  }

  get request(): SipView {
    if (this.#view === undefined) {
      scan(this.bytes, 0, this.bytes.length, scratch);
      this.#view = scratch.keep();
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

  start(): void {
    if (this.method === Method.invite) this.#inviteState = clientInvite.start(this.#out);
    else this.#nonInviteState = clientNonInvite.start(this.#out);
    this.#finish();
  }

  /** Without a word to anybody. */
  terminate(): void {
    this.#inviteState = clientInvite.ClientInviteState.terminated;
    this.#nonInviteState = clientNonInvite.ClientNonInviteState.terminated;
  }

  onResponse(view: SipView): ClientNewsId {
    this.#response = view;
    const event = { kind: "response", status: view.status } as const;
    if (this.method === Method.invite) this.#inviteState = clientInvite.step(this.#inviteState, event, this.#out);
    else this.#nonInviteState = clientNonInvite.step(this.#nonInviteState, event, this.#out);
    this.#response = undefined;
    return this.#finish();
  }

  onEvent({ kind }: ClientPlainEvent): ClientNewsId {
    if (this.method === Method.invite) this.#inviteState = clientInvite.step(this.#inviteState, { kind }, this.#out);
    else if (kind !== "cancelSent")
      this.#nonInviteState = clientNonInvite.step(this.#nonInviteState, { kind }, this.#out);
    return this.#finish();
  }

  fire(slot: TimerSlot): void {
    this.#owner.onTimer(this, slot);
  }

  onTimer(slot: TimerSlot): ClientNewsId {
    const kind = this.#timers[slot];
    const afterMs = this.#afterMs[slot];
    this.#timers[slot] = undefined;
    if (kind === undefined) return ClientNews.none;
    if (kind === "timerE" || kind === "timerF" || kind === "timerK")
      this.#nonInviteState = clientNonInvite.step(this.#nonInviteState, { kind, afterMs }, this.#out);
    else this.#inviteState = clientInvite.step(this.#inviteState, { kind, afterMs }, this.#out);
    return this.#finish();
  }

  /** Of both machines. */
  readonly #out = {
    record: this,
    get reliable(): boolean {
      return this.record.hop.reliable;
    },
    send: (): void => {
      this.#outgoing = this.bytes;
    },
    acknowledge: (): void => {
      if (this.#response !== undefined) this.#ack ??= this.#owner.writeAck(this, this.#response);
      this.#outgoing = this.#ack;
    },
    passUp: (): void => {
      this.#news = ClientNews.response;
    },
    timedOut: (): void => {
      this.#news = ClientNews.timeout;
    },
    transportFailed: (): void => {
      this.#news = ClientNews.transport;
    },
    arm: (timer: Timer, afterMs: number): void => {
      const slot = timer === "timerA" || timer === "timerE" ? 0 : 1;
      this.#timers[slot] = timer;
      this.#afterMs[slot] = afterMs;
      this.#owner.arm(this, slot, afterMs);
    },
  };

  #finish(): ClientNewsId {
    const news = this.#news;
    const outgoing = this.#outgoing;
    this.#news = ClientNews.none;
    this.#outgoing = undefined;
    if (outgoing !== undefined && outgoing.length > 0) this.hop.send(outgoing);
    return news;
  }
}

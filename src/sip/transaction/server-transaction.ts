import { Header } from "../message/header.ts";
import { Method, type MethodId } from "../message/method.ts";
import { tagOf } from "../message/read-address.ts";
import { scan } from "../message/scan.ts";
import { SipView } from "../message/view.ts";
import type { Hop, Source } from "./hop.ts";
import * as serverInvite from "./server-invite.ts";
import * as serverNonInvite from "./server-non-invite.ts";
import type { Timed, TimerSlot } from "./timer-rows.ts";

/** A request of a peer and our answers to it, as the transaction user sees it. */
export interface ServerTransaction {
  readonly branch: string;
  readonly method: MethodId;
  /** Kept. */
  readonly request: SipView;
  /** Kept. */
  readonly source: Source;
  readonly hop: Hop;
  /** The transaction user's own. */
  data: unknown;
  /** Of the response that was sent last; 0 before the first. */
  readonly lastStatus: number;
  /** A final response was sent, or the transaction has ended without one. Then only repeated 2xx to INVITE are still sent. */
  readonly isOver: boolean;
}

/** What a step has to tell upward. */
export const ServerNews = { none: 0, ack: 1, ackTimeout: 2 } as const;
export type ServerNewsId = (typeof ServerNews)[keyof typeof ServerNews];

/** The table, as its records need it. */
export interface ServerOwner {
  arm(record: ServerRecord, slot: TimerSlot, afterMs: number): void;
  onTimer(record: ServerRecord, slot: TimerSlot): void;
  /** A copy. */
  writeTrying(record: ServerRecord): Uint8Array;
  /** The record keeps so many bytes more than before. */
  onKept(bytesMore: number): void;
}

type Timer = serverInvite.ServerInviteTimer | serverNonInvite.ServerNonInviteTimer;
/** Events that are neither responses of the user nor timers. */
export type ServerPlainEvent = { readonly kind: "request" | "ack" | "transportError" };

const scratch = new SipView();

/**
 * A server transaction as its table holds it. What a machine's step wants sent is sent after the step, and what it wants told is
 * returned: hops and users may come back to the same transaction at once.
 */
export class ServerRecord implements ServerTransaction, Timed {
  readonly key: string;
  readonly mergeKey: string | undefined;
  readonly branch: string;
  readonly request: SipView;
  readonly source: Source;
  /** A request that the layer answers by itself: the user hears nothing of it. */
  readonly silent: boolean;
  row = -1;
  hop: Hop;
  /** The hop failed; the next retransmission, or the user, brings a new one. */
  hopLost = false;
  data: unknown;
  lastStatus = 0;
  readonly #owner: ServerOwner;
  readonly #timers: (Timer | undefined)[] = [undefined, undefined];
  readonly #afterMs: [number, number] = [0, 0];
  #inviteState: serverInvite.ServerInviteStateId = serverInvite.ServerInviteState.proceeding;
  #nonInviteState: serverNonInvite.ServerNonInviteStateId = serverNonInvite.ServerNonInviteState.trying;
  /** The response that a repeated request is answered with. */
  #kept: Uint8Array | undefined;
  #given: { readonly bytes: Uint8Array; readonly status: number } | undefined;
  #news: ServerNewsId = ServerNews.none;
  #outgoing: Uint8Array | undefined;

  constructor(options: {
    readonly key: string;
    readonly mergeKey: string | undefined;
    readonly branch: string;
    readonly request: SipView;
    readonly source: Source;
    readonly silent: boolean;
    readonly hop: Hop;
    readonly owner: ServerOwner;
  }) {
    this.key = options.key;
    this.mergeKey = options.mergeKey;
    this.branch = options.branch;
    this.request = options.request;
    this.source = options.source;
    this.silent = options.silent;
    this.hop = options.hop;
    this.#owner = options.owner;
  }

  get method(): MethodId {
    return this.request.method;
  }

  get isOver(): boolean {
    return this.method === Method.invite
      ? this.#inviteState !== serverInvite.ServerInviteState.proceeding
      : this.#nonInviteState > serverNonInvite.ServerNonInviteState.proceeding;
  }

  get isTerminated(): boolean {
    return this.method === Method.invite
      ? this.#inviteState === serverInvite.ServerInviteState.terminated
      : this.#nonInviteState === serverNonInvite.ServerNonInviteState.terminated;
  }

  /** Memory that its messages take. */
  get keptBytes(): number {
    return this.request.bytes.length + (this.#kept?.length ?? 0);
  }

  /** To tag of the response kept; undefined when there is none. */
  responseToTag(): string | undefined {
    if (this.#kept === undefined) return undefined;
    scan(this.#kept, 0, this.#kept.length, scratch);
    return tagOf(scratch, Header.to);
  }

  start(): void {
    if (this.method === Method.invite) this.#inviteState = serverInvite.start(this.#out);
    else this.#nonInviteState = serverNonInvite.start(this.#out);
  }

  /** Without a word to anybody. */
  terminate(): void {
    this.#inviteState = serverInvite.ServerInviteState.terminated;
    this.#nonInviteState = serverNonInvite.ServerNonInviteState.terminated;
  }

  /** `bytes` are this record's to keep. */
  respond(bytes: Uint8Array, status: number): ServerNewsId {
    this.#given = { bytes, status };
    const event = { kind: "respond", status } as const;
    if (this.method === Method.invite) this.#inviteState = serverInvite.step(this.#inviteState, event, this.#out);
    else this.#nonInviteState = serverNonInvite.step(this.#nonInviteState, event, this.#out);
    this.#given = undefined;
    return this.#finish();
  }

  onEvent({ kind }: ServerPlainEvent): ServerNewsId {
    if (this.method === Method.invite) this.#inviteState = serverInvite.step(this.#inviteState, { kind }, this.#out);
    else if (kind !== "ack") this.#nonInviteState = serverNonInvite.step(this.#nonInviteState, { kind }, this.#out);
    return this.#finish();
  }

  /** Sends the last response, if there is one. */
  resend(): void {
    this.#out.resend();
    this.#finish();
  }

  fire(slot: TimerSlot): void {
    this.#owner.onTimer(this, slot);
  }

  onTimer(slot: TimerSlot): ServerNewsId {
    const kind = this.#timers[slot];
    const afterMs = this.#afterMs[slot];
    this.#timers[slot] = undefined;
    if (kind === undefined) return ServerNews.none;
    if (this.method === Method.invite) {
      if (kind !== "timerExpiry" && kind !== "timerJ")
        this.#inviteState = serverInvite.step(this.#inviteState, { kind, afterMs }, this.#out);
    } else if (kind === "timerTrying" || kind === "timerExpiry" || kind === "timerJ") {
      this.#nonInviteState = serverNonInvite.step(this.#nonInviteState, { kind, afterMs }, this.#out);
    }
    return this.#finish();
  }

  /** Of both machines. */
  readonly #out = {
    record: this,
    get reliable(): boolean {
      return this.record.hop.reliable;
    },
    answer: (): void => {
      if (this.#given !== undefined) this.#keep(this.#given.bytes, this.#given.status);
    },
    resend: (): void => {
      this.#outgoing = this.#kept;
    },
    sendTrying: (): void => {
      if (this.lastStatus === 0) this.#keep(this.#owner.writeTrying(this), 100);
    },
    passAckUp: (): void => {
      this.#news = ServerNews.ack;
    },
    ackTimedOut: (): void => {
      this.#news = ServerNews.ackTimeout;
    },
    arm: (timer: Timer, afterMs: number): void => {
      const slot = timer === "timerG" || timer === "timerTrying" ? 0 : 1;
      this.#timers[slot] = timer;
      this.#afterMs[slot] = afterMs;
      this.#owner.arm(this, slot, afterMs);
    },
  };

  #keep(bytes: Uint8Array, status: number): void {
    this.#owner.onKept(bytes.length - (this.#kept?.length ?? 0));
    this.#kept = bytes;
    this.lastStatus = status;
    this.#outgoing = bytes;
  }

  #finish(): ServerNewsId {
    const news = this.#news;
    const outgoing = this.#outgoing;
    this.#news = ServerNews.none;
    this.#outgoing = undefined;
    if (outgoing !== undefined && outgoing.length > 0) this.hop.send(outgoing);
    return news;
  }
}

import { Header } from "../message/header.ts";
import { Method, type MethodId } from "../message/method.ts";
import { tagOf } from "../message/read-address.ts";
import { scan } from "../message/scan.ts";
import { SipView } from "../message/view.ts";
import type { Hop, Source } from "./hop.ts";
import * as serverInvite from "./server-invite.ts";
import * as serverNonInvite from "./server-non-invite.ts";

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
  /** A final response was sent, or the transaction has ended without one: `respond` sends nothing more but repeated 2xx to INVITE. */
  readonly isOver: boolean;
}

type Timer = serverInvite.ServerInviteTimer | serverNonInvite.ServerNonInviteTimer;

/** What a step wants told upward, once it is done. */
export const ServerNews = { none: 0, ack: 1, ackTimeout: 2 } as const;
export type ServerNewsId = (typeof ServerNews)[keyof typeof ServerNews];

/** Timers of a record: one for repeating, one for the state's end. */
export interface ServerTimers {
  arm(record: ServerRecord, slot: 0 | 1, afterMs: number): void;
}

const scratch = new SipView();

/** A server transaction as the table holds it: the machine's state and its actions. */
export class ServerRecord
  implements ServerTransaction, serverInvite.ServerInviteOut, serverNonInvite.ServerNonInviteOut
{
  readonly key: string;
  readonly mergeKey: string | undefined;
  readonly branch: string;
  readonly legacy: boolean;
  readonly request: SipView;
  readonly source: Source;
  /** Place in the table's columns, and so the ids of its timers. */
  readonly row: number;
  /** A request that the layer answers by itself: the user hears nothing of it. */
  readonly silent: boolean;
  hop: Hop;
  /** The hop failed; the next retransmission brings a new one. */
  hopLost = false;
  data: unknown;
  lastStatus = 0;
  news: ServerNewsId = ServerNews.none;
  /** What the timers of the two slots are. */
  readonly armed: (Timer | undefined)[] = [undefined, undefined];
  readonly afterMs: number[] = [0, 0];
  readonly #timers: ServerTimers;
  readonly #writeTrying: (record: ServerRecord) => Uint8Array;
  /** The response that a repeated request is answered with. */
  #kept: Uint8Array | undefined;
  /** The response of the running step. */
  #given: { readonly bytes: Uint8Array; readonly status: number } | undefined;
  #inviteState: serverInvite.ServerInviteStateId = serverInvite.ServerInviteState.proceeding;
  #nonInviteState: serverNonInvite.ServerNonInviteStateId = serverNonInvite.ServerNonInviteState.trying;

  constructor(options: {
    readonly key: string;
    readonly mergeKey: string | undefined;
    readonly branch: string;
    readonly legacy: boolean;
    readonly request: SipView;
    readonly source: Source;
    readonly row: number;
    readonly silent: boolean;
    readonly hop: Hop;
    readonly timers: ServerTimers;
    readonly writeTrying: (record: ServerRecord) => Uint8Array;
  }) {
    this.key = options.key;
    this.mergeKey = options.mergeKey;
    this.branch = options.branch;
    this.legacy = options.legacy;
    this.request = options.request;
    this.source = options.source;
    this.row = options.row;
    this.silent = options.silent;
    this.hop = options.hop;
    this.#timers = options.timers;
    this.#writeTrying = options.writeTrying;
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

  get reliable(): boolean {
    return this.hop.reliable;
  }

  /** Bytes of memory that messages take here. */
  get keptBytes(): number {
    return this.request.bytes.length + (this.#kept?.length ?? 0);
  }

  /** To tag of the kept response; undefined when there is none. */
  responseToTag(): string | undefined {
    if (this.#kept === undefined) return undefined;
    scan(this.#kept, 0, this.#kept.length, scratch);
    return tagOf(scratch, Header.to);
  }

  begin(): void {
    if (this.method === Method.invite) this.#inviteState = serverInvite.start(this);
    else this.#nonInviteState = serverNonInvite.start(this);
  }

  /** Without a word. */
  terminate(): void {
    this.#inviteState = serverInvite.ServerInviteState.terminated;
    this.#nonInviteState = serverNonInvite.ServerNonInviteState.terminated;
  }

  /** `bytes` must be this record's to keep. */
  respond(bytes: Uint8Array, status: number): void {
    this.#given = { bytes, status };
    this.onEvent({ kind: "respond", status });
    this.#given = undefined;
  }

  onEvent(event: CommonEvent): void {
    if (this.method === Method.invite) this.#inviteState = serverInvite.step(this.#inviteState, event, this);
    else if (event.kind !== "ack") this.#nonInviteState = serverNonInvite.step(this.#nonInviteState, event, this);
  }

  onTimer(slot: 0 | 1): void {
    const kind = this.armed[slot];
    const afterMs = this.afterMs[slot]!;
    this.armed[slot] = undefined;
    if (kind === undefined) return;
    if (this.method === Method.invite) {
      if (kind !== "timerExpiry" && kind !== "timerJ")
        this.#inviteState = serverInvite.step(this.#inviteState, { kind, afterMs }, this);
    } else if (kind === "timerTrying" || kind === "timerExpiry" || kind === "timerJ") {
      this.#nonInviteState = serverNonInvite.step(this.#nonInviteState, { kind, afterMs }, this);
    }
  }

  answer(): void {
    if (this.#given === undefined) return;
    this.#kept = this.#given.bytes;
    this.lastStatus = this.#given.status;
    this.resend();
  }
  resend(): void {
    if (this.#kept !== undefined && this.#kept.length > 0) this.hop.send(this.#kept);
  }
  sendTrying(): void {
    if (this.lastStatus !== 0) return;
    this.#kept = this.#writeTrying(this);
    this.lastStatus = 100;
    this.resend();
  }
  passAckUp(): void {
    this.news = ServerNews.ack;
  }
  ackTimedOut(): void {
    this.news = ServerNews.ackTimeout;
  }
  arm(timer: Timer, afterMs: number): void {
    const slot = timer === "timerG" || timer === "timerTrying" ? 0 : 1;
    this.armed[slot] = timer;
    this.afterMs[slot] = afterMs;
    this.#timers.arm(this, slot, afterMs);
  }
}

/** Events that are neither responses of the user nor timers. */
export type CommonEvent =
  | { readonly kind: "request" }
  | { readonly kind: "ack" }
  | { readonly kind: "respond"; readonly status: number }
  | { readonly kind: "transportError" };

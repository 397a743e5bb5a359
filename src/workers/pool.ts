import type { AccountId, CallUuid, DeviceId, TunnelId } from "../base/ids.ts";
import type { Presence, ProofPlace, Secret } from "../base/records.ts";
import type { Log } from "../observe/log.ts";
import type { Clock } from "../time/clock.ts";
import type { OwnSocket } from "../net/own-sockets.ts";
import type { TlsMaterial } from "../net/trust.ts";
import { LastWill } from "./last-will.ts";
import { mergedRegistrars } from "./merged-registrars.ts";
import { type Addressed, OpenTunnels } from "./open-tunnels.ts";
import type {
  CallSummary,
  Command,
  Event,
  LadderEntry,
  ProofAnswer,
  RegistrarStatus,
  RegistrationStatus,
  RequestId,
  ShardLoad,
  TroubleCursor,
  TroublesPage,
} from "./protocol.ts";
import { Questions } from "./questions.ts";

/** A reply is due well within this; a shard that died in between answers nothing. Presence waits come on top. */
const replyTimeoutMs = 5_000;
/** A secret check at a registrar takes up to 8 s (keeper), then its reply is due. */
const proveTimeoutMs = 10_000;
const respawnDelaysMs = [0, 50, 250, 1_000, 5_000] as const;
/** A shard that lived this long starts its next life at once. */
const soundLifeMs = 60_000;

/** One shard worker, however it is made: a thread, or in tests an object. */
export interface ShardThread {
  post(commands: readonly Command[]): void;
  /** Ends it at once. */
  terminate(): void;
}

export interface ShardThreadEvents {
  onEvents(events: readonly Event[]): void;
  /** The thread is gone, for whatever reason; called once. */
  onGone(reason: string): void;
}

export type SpawnShard = (shard: number, events: ShardThreadEvents) => ShardThread;

/** What the pool does not answer itself goes up here. */
export type EventSink = (event: Event, shard: number) => void;

interface Slot {
  thread: ShardThread | undefined;
  ready: Extract<Event, { kind: "ready" }> | undefined;
  failure: string | undefined;
  queue: Command[];
  flushing: boolean;
  startedAtMs: number;
  deaths: number;
  restarts: number;
  drained: boolean;
  readonly will: LastWill;
  /** What the last life left to be answered. */
  lastAnswers: readonly Command[];
}

const lost: RegistrationStatus = { mode: "auto", state: "idle", lastReason: "shard restarting" };

/**
 * Supervises the shard workers and knows which one owns an account. Commands go down in one batch a turn of the loop; a
 * question resolves with its reply or, when the shard dies or stays silent, with the answer named at each method. A dead
 * shard's calls are gone: its last will is told to the phones. It is started again, finds its registrations in its mapped file, and
 * hears of the tunnels that are open.
 */
export class Pool {
  readonly #slots: Slot[] = [];
  readonly #questions = new Questions();
  readonly #tunnels = new OpenTunnels((accountId) => this.#shardOf(accountId));
  readonly #ownSockets: OwnSocket[] = [];
  readonly #placement: (accountId: AccountId, shards: number) => number;
  readonly #spawn: SpawnShard;
  readonly #sink: EventSink;
  readonly #clock: Clock;
  readonly #log: Log;
  #stopping = false;
  #onProgress: (() => void) | undefined;

  constructor(options: {
    readonly shards: number;
    readonly placement: (accountId: AccountId, shards: number) => number;
    readonly spawn: SpawnShard;
    readonly sink: EventSink;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#placement = options.placement;
    this.#spawn = options.spawn;
    this.#sink = options.sink;
    this.#clock = options.clock;
    this.#log = options.log;
    for (let shard = 0; shard < options.shards; shard++) {
      this.#slots.push({
        thread: undefined,
        ready: undefined,
        failure: undefined,
        queue: [],
        flushing: false,
        startedAtMs: 0,
        deaths: 0,
        restarts: 0,
        drained: false,
        will: new LastWill(),
        lastAnswers: [],
      });
    }
  }

  /** Starts all shards; resolves with the `ready` events in shard order, rejects with the first reason why one cannot start. */
  start(): Promise<readonly Extract<Event, { kind: "ready" }>[]> {
    return new Promise((resolve, reject) => {
      this.#onProgress = () => {
        const failed = this.#slots.find((slot) => slot.failure !== undefined);
        if (failed?.failure !== undefined) {
          this.#onProgress = undefined;
          reject(new Error(failed.failure));
          return;
        }
        const readies = this.#slots.flatMap((slot) => (slot.ready === undefined ? [] : [slot.ready]));
        if (readies.length < this.#slots.length) return;
        this.#onProgress = undefined;
        resolve(readies);
      };
      for (let shard = 0; shard < this.#slots.length; shard++) this.#open(shard);
    });
  }

  get shards(): number {
    return this.#slots.length;
  }

  /** One reason a shard that is not serving. */
  ready(): { readonly ok: boolean; readonly reasons: readonly string[] } {
    const reasons = this.#slots.flatMap((slot, shard) =>
      slot.ready === undefined ? [`shard ${shard} is not ready`] : [],
    );
    return { ok: reasons.length === 0, reasons };
  }

  load(): readonly ShardLoad[] {
    return this.#slots.map((slot, shard) => ({ shard, ready: slot.ready !== undefined, restarts: slot.restarts }));
  }

  // ---- accounts

  changed(accountId: AccountId, wanted: boolean): void {
    this.#post(this.#shardOf(accountId), { kind: "accountChanged", accountId, wanted });
  }

  /** Resolves when the store may erase the secret: at once when the shard is gone, for then nothing holds it. */
  async remove(accountId: AccountId): Promise<void> {
    await this.#ask(this.#shardOf(accountId), replyTimeoutMs, (requestId) => ({
      kind: "accountRemove",
      requestId,
      accountId,
    }));
  }

  /** A shard that cannot answer counts as pending. */
  async presence(
    accountId: AccountId,
    change: { readonly wanted: boolean; readonly presence: Presence; readonly waitMs: number },
  ): Promise<{ readonly pending: boolean; readonly status: RegistrationStatus }> {
    const reply = await this.#ask(this.#shardOf(accountId), change.waitMs + replyTimeoutMs, (requestId) => ({
      kind: "presence",
      requestId,
      accountId,
      ...change,
    }));
    return reply?.kind === "presenceDone" ? reply : { pending: true, status: lost };
  }

  async prove(accountId: AccountId, secret: Secret, place?: ProofPlace): Promise<ProofAnswer> {
    const reply = await this.#ask(this.#shardOf(accountId), proveTimeoutMs, (requestId) => ({
      kind: "prove",
      requestId,
      accountId,
      secret,
      ...(place === undefined ? {} : { place }),
    }));
    return reply?.kind === "proof"
      ? reply
      : { outcome: "unavailable", status: 0, reason: "the account's shard is restarting", isProven: true };
  }

  async status(accountId: AccountId): Promise<RegistrationStatus | undefined> {
    const reply = await this.#ask(this.#shardOf(accountId), replyTimeoutMs, (requestId) => ({
      kind: "registrationQuery",
      requestId,
      accountId,
    }));
    return reply?.kind === "registration" ? reply.status : undefined;
  }

  retryNow(accountId: AccountId): void {
    this.#post(this.#shardOf(accountId), { kind: "retryNow", accountId });
  }

  subscriptionRemoved(accountId: AccountId, deviceId: DeviceId): void {
    this.#post(this.#shardOf(accountId), { kind: "subscriptionRemoved", accountId, deviceId });
  }

  trace(accountId: AccountId, untilMs: number): void {
    this.#post(this.#shardOf(accountId), { kind: "traceStart", accountId, untilMs });
  }

  // ---- what all shards know

  async registrars(): Promise<readonly RegistrarStatus[]> {
    const replies = await this.#askAll((requestId) => ({ kind: "registrarsQuery", requestId }));
    return mergedRegistrars(replies.flatMap((reply) => (reply?.kind === "registrars" ? [reply.registrars] : [])));
  }

  /** From `cursor` on, at most `most`; `next`: where to go on, undefined after the last. A shard that cannot answer is passed over. */
  async troubles(cursor: TroubleCursor, most: number): Promise<TroublesPage> {
    const accounts: AccountId[] = [];
    for (let { shard, row } = cursor; shard < this.#slots.length; shard++, row = 0) {
      const fromRow = row;
      const reply = await this.#ask(shard, replyTimeoutMs, (requestId) => ({
        kind: "troublesQuery",
        requestId,
        fromRow,
        most: most - accounts.length,
      }));
      if (reply?.kind !== "troubles") continue;
      accounts.push(...reply.accounts);
      if (reply.nextRow >= 0) return { accounts, next: { shard, row: reply.nextRow } };
    }
    return { accounts, next: undefined };
  }

  async calls(): Promise<readonly CallSummary[]> {
    const replies = await this.#askAll((requestId) => ({ kind: "callsQuery", requestId }));
    return replies
      .flatMap((reply) => (reply?.kind === "calls" ? reply.calls : []))
      .sort((a, b) => b.startedAtMs - a.startedAtMs);
  }

  async call(
    call: CallUuid,
  ): Promise<{ readonly summary: CallSummary; readonly ladder: readonly LadderEntry[] } | undefined> {
    const replies = await this.#askAll((requestId) => ({ kind: "callQuery", requestId, call }));
    for (const reply of replies) {
      if (reply?.kind === "call" && reply.call !== undefined) return { summary: reply.call, ladder: reply.ladder };
    }
    return undefined;
  }

  // ---- calls and tunnels

  delivery(
    call: CallUuid,
    deviceId: DeviceId,
    outcome: "accepted" | "failed",
    accountId: AccountId,
    silenceMs?: number,
  ): void {
    const learned = silenceMs === undefined ? {} : { silenceMs };
    this.#post(this.#shardOf(accountId), { kind: "delivery", call, deviceId, outcome, ...learned });
  }

  tunnelOpened(
    tunnelId: TunnelId,
    deviceId: DeviceId,
    accounts: readonly AccountId[],
    ticketCall: CallUuid | undefined,
    voip: boolean,
  ): void {
    this.#postAll(this.#tunnels.open(tunnelId, { deviceId, voip }, accounts, ticketCall));
  }

  /** Accounts of a device changed while its tunnel is open: its shards are told anew. */
  tunnelAccounts(tunnelId: TunnelId, accounts: readonly AccountId[]): void {
    this.#postAll(this.#tunnels.accountsChanged(tunnelId, accounts));
  }

  tunnelClosed(tunnelId: TunnelId): void {
    this.#postAll(this.#tunnels.close(tunnelId));
  }

  /** One SIP message from the phone, latin1. */
  frame(tunnelId: TunnelId, text: string): void {
    this.#postAll(this.#tunnels.frame(tunnelId, text));
  }

  // ---- life

  /** Sockets of this server, one shard's among them: each shard, also one that starts later, refuses accounts that would lead there. */
  listening(sockets: readonly OwnSocket[]): void {
    this.#ownSockets.push(...sockets);
    for (let shard = 0; shard < this.#slots.length; shard++) this.#post(shard, { kind: "ownSockets", sockets });
  }

  /** Hands every shard a new certificate for its TLS listener. */
  reload(tls: TlsMaterial): void {
    for (let shard = 0; shard < this.#slots.length; shard++) this.#post(shard, { kind: "reload", tls });
  }

  /** No new calls; resolves when running calls have ended, at the latest after `drainMs`. */
  async drain(drainMs: number): Promise<void> {
    this.#stopping = true;
    for (let shard = 0; shard < this.#slots.length; shard++) this.#post(shard, { kind: "drain", drainMs });
    await new Promise<void>((resolve) => {
      const limit = setTimeout(resolve, drainMs + 1_000);
      this.#onProgress = () => {
        if (this.#slots.some((slot) => slot.thread !== undefined && !slot.drained)) return;
        clearTimeout(limit);
        this.#onProgress = undefined;
        resolve();
      };
      this.#onProgress();
    });
  }

  stop(): void {
    this.#stopping = true;
    for (const slot of this.#slots) {
      slot.thread?.terminate();
      slot.thread = undefined;
    }
    this.#questions.giveUp();
  }

  // ---- inside

  #shardOf(accountId: AccountId): number {
    return this.#placement(accountId, this.#slots.length);
  }

  #open(shard: number): void {
    const slot = this.#slots[shard];
    if (slot === undefined || this.#stopping) return;
    slot.startedAtMs = this.#clock.nowMs();
    let gone = false;
    slot.thread = this.#spawn(shard, {
      onEvents: (events) => {
        if (gone) return;
        for (const event of events) this.#on(shard, event);
      },
      onGone: (reason) => {
        if (gone) return;
        gone = true;
        this.#onGone(shard, reason);
      },
    });
    // First of all, for what comes after may send.
    if (this.#ownSockets.length > 0) slot.queue.push({ kind: "ownSockets", sockets: [...this.#ownSockets] });
    slot.queue.push(...this.#tunnels.of(shard));
    slot.queue.push(...slot.lastAnswers);
    slot.lastAnswers = [];
    this.#flushSoon(shard);
  }

  #onGone(shard: number, reason: string): void {
    const slot = this.#slots[shard];
    if (slot === undefined) return;
    const neverReady = slot.ready === undefined;
    slot.thread = undefined;
    slot.ready = undefined;
    slot.queue = [];
    this.#questions.giveUp(shard);
    if (this.#stopping) {
      this.#onProgress?.();
      return;
    }
    if (neverReady && this.#onProgress !== undefined) {
      slot.failure ??= `shard ${shard} did not start: ${reason}`;
      this.#onProgress();
      return;
    }
    if (this.#clock.nowMs() - slot.startedAtMs > soundLifeMs) slot.deaths = 0;
    const delayMs = respawnDelaysMs[Math.min(slot.deaths, respawnDelaysMs.length - 1)] ?? 0;
    slot.deaths++;
    slot.restarts++;
    this.#log.error("shard.lost", { shard, reason, restartInMs: delayMs });
    const { events, answers } = slot.will.execute(this.#tunnels.byDevice(), this.#clock.wallMs());
    for (const event of events) this.#sink(event, shard);
    slot.lastAnswers = answers.map((answer) => ({ kind: "lastAnswer", ...answer }));
    setTimeout(() => this.#open(shard), delayMs);
  }

  #on(shard: number, event: Event): void {
    const slot = this.#slots[shard];
    if (slot === undefined) return;
    switch (event.kind) {
      case "ready":
        slot.ready = event;
        this.#onProgress?.();
        return;
      case "startFailed":
        slot.failure = event.reason;
        this.#log.error("shard.startFailed", { shard, reason: event.reason });
        this.#onProgress?.();
        return;
      case "drained":
        slot.drained = true;
        this.#onProgress?.();
        return;
      case "done":
      case "presenceDone":
      case "proof":
      case "registration":
      case "registrars":
      case "troubles":
      case "calls":
      case "call":
        this.#questions.settle(event.requestId, event);
        return;
      case "frameForeign":
        // The next shard of the device is asked; it answers itself when it is the last.
        this.#postAll(this.#tunnels.frame(event.tunnelId, event.text, shard));
        return;
      case "will":
        slot.will.onEvent(event);
        return;
      default:
        slot.will.onEvent(event);
        this.#sink(event, shard);
    }
  }

  #postAll(addressed: readonly Addressed[]): void {
    for (const { shard, command } of addressed) this.#post(shard, command);
  }

  #post(shard: number, command: Command): void {
    const slot = this.#slots[shard];
    if (slot?.thread === undefined) return;
    slot.queue.push(command);
    this.#flushSoon(shard);
  }

  #flushSoon(shard: number): void {
    const slot = this.#slots[shard];
    if (slot === undefined || slot.flushing || slot.queue.length === 0) return;
    slot.flushing = true;
    queueMicrotask(() => {
      slot.flushing = false;
      if (slot.queue.length === 0) return;
      const batch = slot.queue;
      slot.queue = [];
      slot.thread?.post(batch);
    });
  }

  /** Undefined when the shard is gone, dies before it answers, or stays silent for `timeoutMs`. */
  #ask(shard: number, timeoutMs: number, make: (requestId: RequestId) => Command): Promise<Event | undefined> {
    if (this.#slots[shard]?.thread === undefined) return Promise.resolve(undefined);
    return this.#questions.ask(shard, timeoutMs, (requestId) => this.#post(shard, make(requestId)));
  }

  #askAll(make: (requestId: RequestId) => Command): Promise<readonly (Event | undefined)[]> {
    return Promise.all(this.#slots.map((_slot, shard) => this.#ask(shard, replyTimeoutMs, make)));
  }
}

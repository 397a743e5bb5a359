import type { Clock } from "../time/clock.ts";
import { errorOf, StoreFault } from "./faults.ts";
import type { NumberedOutcome, NumberedWrite, WriterCommand, WriterReport } from "./writer-protocol.ts";
import type { Write, WriteResults } from "./writes.ts";

/** One transaction blocks the writer for some 10 ms at this size. */
const batchWritesMax = 512;
/** Half a minute of the writer's full pace; beyond it the store refuses instead of filling the memory. */
const waitingMax = 50_000;
/** A batch takes some 10 ms: one that takes so long is stuck. */
const stuckMs = 10_000;
const respawnDelaysMs = [0, 50, 250, 1_000, 5_000] as const;

/** The store worker, however it is made: a thread, or in tests something that can be made to die. */
export interface WriterThread {
  post(command: WriterCommand): void;
  /** Ends it at once. */
  terminate(): void;
}

export interface WriterThreadEvents {
  onReport(report: WriterReport): void;
  /** The thread is gone, for whatever reason. */
  onGone(reason: string): void;
}

export type SpawnWriter = (events: WriterThreadEvents) => WriterThread;

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (cause: Error) => void;
}

/**
 * Main thread's side of the store worker. Writes go in batches, in order, one batch on its way at a time: what comes in
 * while the disk works goes together in the next. A dead worker is started again; writes that were on their way then reject
 * with `outcomeUnknown`, writes still waiting here go to the next worker.
 */
export class WriteQueue {
  readonly #spawn: SpawnWriter;
  readonly #open: WriterCommand;
  readonly #onLost: (reason: string) => void;
  readonly #clock: Clock;
  readonly #waiters = new Map<number, Waiter>();
  #thread: WriterThread | undefined;
  #opened = false;
  #waiting: NumberedWrite[] = [];
  /** Ids given to the worker and not yet answered. */
  readonly #sent = new Set<number>();
  readonly #rotations = new Set<number>();
  #batchOut = false;
  #batchOutAtMs = 0;
  /** Why the last write failed, when the store itself was the reason. */
  #failing: string | undefined;
  #flushing = false;
  #nextId = 1;
  #deaths = 0;
  #closing = false;
  #onIdle: (() => void) | undefined;
  #onClosed: (() => void) | undefined;
  #firstOpen: Waiter | undefined;

  constructor(options: {
    readonly spawn: SpawnWriter;
    readonly open: WriterCommand;
    /** Tells of a worker that died or could not open; it is tried again in any case. */
    readonly onLost: (reason: string) => void;
    readonly clock: Clock;
  }) {
    this.#spawn = options.spawn;
    this.#open = options.open;
    this.#onLost = options.onLost;
    this.#clock = options.clock;
  }

  /** Writes that the worker has not been given yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Why nothing can be written, in words: the disk is full, the worker died or is stuck. Undefined while writes come through. */
  get trouble(): string | undefined {
    if (this.#failing !== undefined || !this.#batchOut) return this.#failing;
    const ms = this.#clock.nowMs() - this.#batchOutAtMs;
    return ms < stuckMs ? undefined : `a write has taken ${Math.round(ms / 1_000)} s`;
  }

  /** Resolves when the database is open; rejects with StoreFault when it cannot be, and then nothing runs. */
  async start(): Promise<void> {
    try {
      await new Promise<unknown>((resolve, reject) => {
        this.#firstOpen = { resolve, reject };
        this.#start();
      });
    } catch (cause) {
      this.#closing = true;
      this.#thread?.terminate();
      throw cause;
    } finally {
      this.#firstOpen = undefined;
    }
  }

  write<W extends Write>(write: W): Promise<WriteResults[W["kind"]]> {
    if (this.#closing) return Promise.reject(new StoreFault("the store is closed"));
    if (this.#waiting.length >= waitingMax) return Promise.reject(new StoreFault("too many writes are waiting"));
    const id = this.#nextId++;
    this.#waiting.push({ id, write });
    this.#flushSoon();
    return this.#wait(id) as Promise<WriteResults[W["kind"]]>;
  }

  rotate(): Promise<number> {
    if (this.#closing || !this.#opened) return Promise.reject(new StoreFault("the store is not open"));
    const id = this.#nextId++;
    this.#sent.add(id);
    this.#rotations.add(id);
    this.#thread?.post({ kind: "rotate", id });
    return this.#wait(id) as Promise<number>;
  }

  /** Everything written, then the worker ended. What cannot be written any more is rejected. */
  async close(): Promise<void> {
    this.#reject(
      [...this.#rotations],
      new StoreFault("the rotation was interrupted; it goes on at the next start", true),
    );
    if (this.#opened) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
        this.#checkIdle();
      });
    }
    this.#closing = true;
    if (this.#opened) {
      await new Promise<void>((resolve) => {
        this.#onClosed = resolve;
        this.#thread?.post({ kind: "close" });
      });
    }
    this.#thread?.terminate();
    this.#thread = undefined;
    this.#reject([...this.#waiters.keys()], new StoreFault("the store is closed", true));
  }

  #wait(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject });
    });
  }

  #start(): void {
    let gone = false;
    this.#thread = this.#spawn({
      onReport: (report) => {
        if (!gone) this.#onReport(report);
      },
      onGone: (reason) => {
        if (gone) return;
        gone = true;
        this.#onGone(reason);
      },
    });
    this.#thread.post(this.#open);
  }

  #onReport(report: WriterReport): void {
    switch (report.kind) {
      case "opened":
        this.#opened = true;
        this.#failing = undefined;
        this.#firstOpen?.resolve(undefined);
        this.#flush();
        return;
      case "failed":
        if (this.#firstOpen !== undefined) {
          this.#firstOpen.reject(new StoreFault(report.text));
          return;
        }
        this.#thread?.terminate();
        this.#onGone(report.text);
        return;
      case "committed":
        this.#batchOut = false;
        this.#deaths = 0;
        this.#settle(report.outcomes);
        this.#flush();
        this.#checkIdle();
        return;
      case "settled":
        this.#settle(report.outcomes);
        this.#checkIdle();
        return;
      case "closed":
        this.#onClosed?.();
        return;
      case "backedUp":
        return;
      default:
        report satisfies never;
    }
  }

  #onGone(reason: string): void {
    const wasOpen = this.#opened;
    this.#opened = false;
    this.#batchOut = false;
    this.#thread = undefined;
    this.#reject(
      [...this.#sent],
      new StoreFault(`the store worker died (${reason}); whether this was written is unknown`, true),
    );
    // A worker that cannot even open will not serve those who wait either.
    if (!wasOpen) {
      const waiting = this.#waiting.splice(0).map(({ id }) => id);
      this.#reject(waiting, new StoreFault(`the store cannot be opened: ${reason}`));
    }
    this.#onIdle?.();
    this.#onClosed?.();
    if (this.#firstOpen !== undefined) {
      this.#firstOpen.reject(new StoreFault(`the store worker did not start: ${reason}`));
      return;
    }
    if (this.#closing) return;
    this.#failing = reason;
    this.#onLost(reason);
    const delayMs = respawnDelaysMs[Math.min(this.#deaths++, respawnDelaysMs.length - 1)] ?? 0;
    setTimeout(() => {
      if (!this.#closing) this.#start();
    }, delayMs);
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (!this.#opened || this.#batchOut || this.#waiting.length === 0) return;
    const writes = this.#waiting.splice(0, batchWritesMax);
    for (const { id } of writes) this.#sent.add(id);
    this.#batchOut = true;
    this.#batchOutAtMs = this.#clock.nowMs();
    this.#thread?.post({ kind: "batch", writes });
  }

  #settle(outcomes: readonly NumberedOutcome[]): void {
    for (const { id, outcome } of outcomes) {
      const waiter = this.#waiters.get(id);
      this.#waiters.delete(id);
      this.#sent.delete(id);
      this.#rotations.delete(id);
      // What was asked for and cannot be is an answer too: the store works.
      this.#failing = !outcome.ok && outcome.failure.kind === "fault" ? outcome.failure.text : undefined;
      if (outcome.ok) waiter?.resolve(outcome.value);
      else waiter?.reject(errorOf(outcome.failure));
    }
  }

  #reject(ids: readonly number[], cause: Error): void {
    for (const id of ids) {
      this.#sent.delete(id);
      this.#rotations.delete(id);
      this.#waiters.get(id)?.reject(cause);
      this.#waiters.delete(id);
    }
  }

  #checkIdle(): void {
    if (this.#waiting.length === 0 && this.#sent.size === 0) this.#onIdle?.();
  }
}

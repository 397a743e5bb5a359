import type { Database } from "bun:sqlite";
import { Applier } from "./apply.ts";
import { databaseFile, openWriter } from "./database.ts";
import { addDataKey, hasDataKeys, loadDataKeys } from "./data-keys.ts";
import { failureOf, StoreFault } from "./faults.ts";
import { Rotation } from "./rotation.ts";
import { Scrub } from "./scrub.ts";
import { KeyRing, Vault } from "./vault.ts";
import type { NumberedOutcome, NumberedWrite, Outcome, WriterCommand, WriterReport } from "./writer-protocol.ts";
import { erases } from "./writes.ts";

/** The log is brought home when it is this long; a reader that is busy just then postpones it. */
const walBytesMax = 4 * 1024 * 1024;
/** Readers hold the log for microseconds; a backup for as long as it copies. */
const eraseRetryMs = 10;
const eraseWaitMs = 60_000;
const closeWaitMs = 2_000;

interface Erasure {
  readonly id: number;
  readonly outcome: Outcome;
  readonly untilMs: number;
}

/**
 * The only writer of the database, one in the store worker. A batch is one transaction in which each write stands or falls
 * alone; outcomes are reported after the commit, in order. What erases is reported once the write-ahead log is empty and the
 * pages are scrubbed. Long work (sweep, rotation) goes in steps between the batches.
 */
export class Writer {
  readonly #database: Database;
  readonly #applier: Applier;
  readonly #ring: KeyRing;
  readonly #vault: Vault;
  readonly #master: Uint8Array;
  readonly #scrub: Scrub;
  readonly #report: (report: WriterReport) => void;
  readonly #erasures: Erasure[] = [];
  readonly #rotations: number[] = [];
  #rotation: Rotation | undefined;
  #sweepPage = 1;
  #stepping = false;
  #eraseTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** Opens and migrates; throws in words when the data cannot be served. */
  constructor(start: Extract<WriterCommand, { kind: "open" }>, report: (report: WriterReport) => void) {
    this.#report = report;
    this.#master = start.master;
    this.#ring = new KeyRing(start.vaultKeys);
    this.#vault = new Vault(start.vaultKeys);
    this.#database = openWriter(start.dataDir);
    loadDataKeys(this.#database, start.master, this.#ring);
    if (!hasDataKeys(this.#database)) addDataKey(this.#database, start.master, this.#ring);
    this.#applier = new Applier(this.#database, this.#vault);
    const pageBytes = this.#database.query<{ page_size: number }, []>("pragma page_size").get()?.page_size ?? 4096;
    this.#scrub = new Scrub(databaseFile(start.dataDir), pageBytes);
    // Two keys: a rotation was cut short. It goes on, unasked, to its end.
    if (this.#ring.ids().length > 1) this.#rotation = new Rotation(this.#database, this.#vault, this.#ring);
    this.#stepSoon();
  }

  on(command: Exclude<WriterCommand, { kind: "open" | "backup" }>): void {
    if (this.#closed) return;
    switch (command.kind) {
      case "batch":
        return this.#batch(command.writes);
      case "rotate":
        this.#rotations.push(command.id);
        return this.#stepSoon();
      case "close":
        return this.#close();
      default:
        return command satisfies never;
    }
  }

  #batch(writes: readonly NumberedWrite[]): void {
    const outcomes: NumberedOutcome[] = [];
    const erasing: NumberedOutcome[] = [];
    try {
      this.#database.run("begin immediate");
      for (const { id, write } of writes) {
        (erases(write) ? erasing : outcomes).push({ id, outcome: this.#write(write) });
      }
      this.#database.run("commit");
    } catch (cause) {
      // A full disk or the like: nothing of the batch was done.
      if (this.#database.inTransaction) this.#database.run("rollback");
      const outcome: Outcome = { ok: false, failure: failureOf(cause) };
      this.#report({ kind: "committed", outcomes: writes.map(({ id }) => ({ id, outcome })) });
      return;
    }
    this.#report({ kind: "committed", outcomes });
    const untilMs = performance.now() + eraseWaitMs;
    for (const { id, outcome } of erasing) this.#erasures.push({ id, outcome, untilMs });
    if (this.#erasures.length > 0) this.#erase();
    else if (this.#scrub.walBytes() > walBytesMax) this.#checkpoint();
  }

  #write(write: NumberedWrite["write"]): Outcome {
    this.#database.run("savepoint one");
    try {
      const value = this.#applier.apply(write);
      this.#database.run("release one");
      return { ok: true, value };
    } catch (cause) {
      // Without a transaction SQLite has undone the whole batch itself: then it must fail as a whole.
      if (!this.#database.inTransaction) throw cause;
      this.#database.run("rollback to one");
      this.#database.run("release one");
      return { ok: false, failure: failureOf(cause) };
    }
  }

  /** Empties the log and scrubs what it wrote; false when a reader is in the way. */
  #checkpoint(): boolean {
    this.#scrub.note();
    this.#database.run("pragma busy_timeout = 0");
    const result = this.#database.query<{ busy: number }, []>("pragma wal_checkpoint(truncate)").get();
    this.#database.run("pragma busy_timeout = 5000");
    if (result?.busy !== 0) return false;
    this.#scrub.scrubNoted();
    return true;
  }

  #erase(): void {
    clearTimeout(this.#eraseTimer);
    this.#eraseTimer = undefined;
    if (this.#erasures.length === 0) return;
    // Until the sweep is through, a page that an earlier process left may still hold a copy.
    if (this.#sweepPage === 0 && this.#checkpoint()) {
      this.#report({ kind: "settled", outcomes: this.#erasures.map(({ id, outcome }) => ({ id, outcome })) });
      this.#erasures.length = 0;
      return;
    }
    const nowMs = performance.now();
    const late = this.#erasures.filter(({ untilMs }) => untilMs <= nowMs);
    if (late.length > 0) {
      const text = "deleted, but a reader keeps a copy in the write-ahead log; it goes with the next checkpoint";
      const outcome: Outcome = { ok: false, failure: failureOf(new StoreFault(text)) };
      this.#report({ kind: "settled", outcomes: late.map(({ id }) => ({ id, outcome })) });
      this.#erasures.splice(0, this.#erasures.length, ...this.#erasures.filter(({ untilMs }) => untilMs > nowMs));
    }
    this.#eraseTimer = setTimeout(() => this.#erase(), eraseRetryMs);
  }

  #stepSoon(): void {
    if (this.#stepping || this.#closed) return;
    this.#stepping = true;
    setTimeout(() => {
      this.#stepping = false;
      if (!this.#closed && this.#step()) this.#stepSoon();
    }, 0);
  }

  /** One step of whatever takes long; false when nothing is left to do. */
  #step(): boolean {
    if (this.#sweepPage !== 0) {
      this.#sweepPage = this.#scrub.sweep(this.#sweepPage);
      return true;
    }
    if (this.#rotation === undefined) {
      if (this.#rotations.length === 0) return false;
      // Keys that a damaged secret still holds are left over: no further one then, or the ring would fill up.
      if (this.#ring.ids().length < 3) addDataKey(this.#database, this.#master, this.#ring);
      this.#rotation = new Rotation(this.#database, this.#vault, this.#ring, this.#rotations.shift());
    }
    const progress = this.#rotation.step();
    if (this.#scrub.walBytes() > walBytesMax) this.#checkpoint();
    if (progress === "more") return true;
    const { id } = this.#rotation;
    this.#rotation = undefined;
    // What was sealed under the old key leaves the files before anybody is told.
    if (id !== undefined) this.#erasures.push({ id, outcome: progress, untilMs: performance.now() + eraseWaitMs });
    this.#erase();
    return true;
  }

  #close(): void {
    this.#closed = true;
    clearTimeout(this.#eraseTimer);
    this.#finish(performance.now() + closeWaitMs);
  }

  /** The log is brought home, so that the database file alone is whole; handles of threads that just ended may be in the way. */
  #finish(untilMs: number): void {
    const isHome = this.#checkpoint();
    if (!isHome && performance.now() < untilMs) {
      setTimeout(() => this.#finish(untilMs), eraseRetryMs);
      return;
    }
    if (isHome) {
      this.#report({ kind: "settled", outcomes: this.#erasures.map(({ id, outcome }) => ({ id, outcome })) });
    }
    this.#database.close();
    this.#scrub.close();
    this.#report({ kind: "closed" });
  }
}

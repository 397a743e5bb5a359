import type { AccountId, RegistrationIndex } from "../base/ids.ts";
import type { AccountEntry, Directory } from "../base/records.ts";
import type { AccountLife } from "./account-life.ts";
import type { Attempts } from "./attempts.ts";
import type { Ledger } from "./ledger.ts";
import { Flag } from "./row-flags.ts";

/** Pages of a tick: as many as this time allows, but so many at most. Warm, a page takes 3 ms; while the code is cold, five times that. */
const stepMs = 4;
const pagesMax = 4;

/**
 * Brings the rows of the mapped file and the directory's accounts together after a start, some pages a tick, so that a shard with half a million
 * accounts serves at once and no tick is long. A row whose account is asked for before its turn (a call, a command) has its turn then.
 */
export class RollCall {
  readonly #ledger: Ledger;
  readonly #life: AccountLife;
  readonly #attempts: Attempts;
  readonly #directory: Directory;
  #pages: Iterator<readonly AccountEntry[]> | undefined;
  /** Accounts that went while the roll is called: the directory may still name them. */
  readonly #gone = new Set<AccountId>();

  constructor(ledger: Ledger, life: AccountLife, attempts: Attempts, directory: Directory) {
    this.#ledger = ledger;
    this.#life = life;
    this.#attempts = attempts;
    this.#directory = directory;
  }

  get isOver(): boolean {
    return this.#pages === undefined;
  }

  /** Counts the rows as the file has them, and calls the first pages; a small shard is complete then. */
  begin(): void {
    const { columns } = this.#ledger;
    this.#ledger.zeroGauges();
    for (let row = 0 as RegistrationIndex; row < columns.used; row = (row + 1) as RegistrationIndex) {
      if (columns.isUsed(row)) this.#ledger.countRow(row, 1);
    }
    this.#pages = this.#directory.accounts()[Symbol.iterator]();
    for (let n = 0; n < pagesMax; n++) this.#page();
  }

  /** The next pages; nothing begins before all of one is in. */
  step(): void {
    if (this.#pages === undefined) return;
    const untilMs = this.#ledger.clock.nowMs() + stepMs;
    for (let n = 0; n < pagesMax && !this.isOver; n++) {
      this.#page();
      if (this.#ledger.clock.nowMs() >= untilMs) return;
    }
  }

  #page(): void {
    if (this.#pages === undefined) return;
    const { done, value } = this.#pages.next();
    if (done === true) {
      this.#end();
      return;
    }
    this.#attempts.isHeld = true;
    for (const entry of value) this.#enter(entry);
    this.#attempts.isHeld = false;
  }

  /** All the rest at once: somebody asks what only the whole roll can answer. */
  finish(): void {
    while (!this.isOver) this.#page();
  }

  /** The account's row with its account; undefined when there is none, or the account is gone. */
  find(accountId: AccountId): RegistrationIndex | undefined {
    const row = this.#ledger.columns.find(accountId);
    return row !== undefined && this.isPresent(row) ? row : undefined;
  }

  /** Whether the row has its account; a row in use that has not yet, has it read. */
  isPresent(row: RegistrationIndex): boolean {
    const { columns, volatile } = this.#ledger;
    if (!columns.isUsed(row)) return false;
    if (this.isOver || volatile.profile(row) !== 0) return true;
    const record = this.#directory.account(columns.accountId(row));
    if (record === undefined) {
      this.#ledger.discard(row, this.#attempts.nowMs);
      return false;
    }
    this.#life.resume(row, record, columns.is(row, Flag.wanted), this.#attempts.nowMs);
    return columns.isUsed(row);
  }

  /** The account was removed: it is not called any more. */
  cross(accountId: AccountId): void {
    if (!this.isOver) this.#gone.add(accountId);
  }

  #enter({ record, wanted }: AccountEntry): void {
    if (this.#gone.has(record.accountId)) return;
    const { columns, volatile } = this.#ledger;
    const row = columns.find(record.accountId);
    if (row === undefined) this.#life.create(record, wanted);
    else if (volatile.profile(row) === 0) this.#life.resume(row, record, wanted, this.#attempts.nowMs);
    // Asked for before its turn, when only the file could say what is wanted.
    else this.#life.update(row, record, wanted);
  }

  /** Rows that nobody was called for belong to nobody. */
  #end(): void {
    this.#pages = undefined;
    this.#gone.clear();
    const { columns, volatile } = this.#ledger;
    for (let row = 0 as RegistrationIndex; row < columns.used; row = (row + 1) as RegistrationIndex) {
      if (columns.isUsed(row) && volatile.profile(row) === 0) this.#ledger.discard(row, this.#attempts.nowMs);
    }
  }
}

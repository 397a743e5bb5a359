import { LRUCache } from "lru-cache";
import type { AccountId } from "../base/ids.ts";
import type { Clock } from "../time/clock.ts";

/** Of one account, the newest. */
const perAccountMax = 24;
/** Of all accounts; beyond, those that were longest without news are forgotten. */
const happeningsMax = 20_000;

/** Something that happened to an account: the topic of the operator's event, and its data. */
export interface Happening {
  readonly atMs: number;
  readonly topic: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What happened to accounts since the start, in memory, for who asks why a phone did not ring. */
export class AccountStories {
  readonly #clock: Clock;
  readonly #byAccount = new LRUCache<AccountId, Happening[]>({
    maxSize: happeningsMax,
    sizeCalculation: (happenings) => happenings.length,
  });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(accountId: AccountId, topic: string, data: Readonly<Record<string, unknown>>): void {
    const before = this.#byAccount.get(accountId) ?? [];
    this.#byAccount.set(accountId, [...before.slice(1 - perAccountMax), { atMs: this.#clock.wallMs(), topic, data }]);
  }

  has(accountId: AccountId): boolean {
    return this.#byAccount.has(accountId);
  }

  /** Newest first. */
  of(accountId: AccountId): readonly Happening[] {
    return this.#byAccount.get(accountId)?.toReversed() ?? [];
  }
}

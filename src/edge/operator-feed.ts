import { LRUCache } from "lru-cache";
import type { AccountId } from "../base/ids.ts";
import type { Clock } from "../time/clock.ts";
import type { LadderEntry, RegistrationStatus } from "../workers/protocol.ts";
import { AccountStories, type Happening } from "./account-stories.ts";
import { ladderView, statusView } from "./views.ts";

/** Pages and tools that watch at once. */
const watchersMax = 32;
/** Events kept for a watcher that reads slower than they come; further ones it does not get. */
const backlogMax = 1_000;
/** What a watcher gets of all accounts in a second; what is beyond is counted to it. What it wants of one account always comes. */
const eventsPerSecMax = 100;
const windowMs = 1_000;
const tracedAccountsMax = 64;
const entriesPerAccountMax = 2_000;
/** Accounts remembered as refused or retrying; beyond, the longest unheard of are forgotten. */
const troubledMax = 500;

/** What a watcher wants; a topic that is not named still comes when it is about `account`. */
export interface WatchFilter {
  /** Undefined: every topic. */
  readonly topics?: ReadonlySet<string> | undefined;
  readonly account?: string | undefined;
}

/** What belongs into an account's story. */
const told: ReadonlySet<FeedTopic> = new Set(["registration", "modeLearned", "push", "registrar"]);

interface Watcher {
  readonly filter: WatchFilter;
  /** Monotonic; what was sent and what was not since then. */
  sinceMs: number;
  sent: number;
  skipped: number;
}

type Line = ReadableStreamDefaultController<Uint8Array>;

export type FeedTopic = "registration" | "modeLearned" | "wake" | "push" | "call" | "tunnel" | "ladder" | "registrar";

/** What happens now, for the operator's page: server-sent events, and the ladders of traced accounts. */
export class OperatorFeed {
  readonly #clock: Clock;
  readonly #stories: AccountStories;
  readonly #watchers = new Map<Line, Watcher>();
  readonly #troubled = new LRUCache<AccountId, true>({ max: troubledMax });
  readonly #ladders = new LRUCache<AccountId, LadderEntry[]>({ max: tracedAccountsMax });

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#stories = new AccountStories(clock);
  }

  /** `data.account`, when there is one, is the account that it is about. */
  publish(
    topic: FeedTopic,
    data: Readonly<Record<string, unknown>> & { readonly account?: AccountId | undefined },
  ): void {
    if (data.account !== undefined && told.has(topic)) this.#note(data.account, topic, data);
    if (this.#watchers.size === 0) return;
    let bytes: Uint8Array | undefined;
    for (const [line, watcher] of this.#watchers) {
      const { topics, account } = watcher.filter;
      const isOwn = account !== undefined && data.account === account;
      if (!isOwn && topics !== undefined && !topics.has(topic)) continue;
      if (!isOwn && !this.#mayHave(line, watcher)) continue;
      bytes ??= encode(`event: ${topic}\ndata: ${JSON.stringify(data)}\n\n`);
      send(line, bytes);
    }
  }

  /** Newest first. */
  storyOf(accountId: AccountId): readonly Happening[] {
    return this.#stories.of(accountId);
  }

  /** A registration changed; which accounts are in trouble is remembered. */
  registration(accountId: AccountId, status: RegistrationStatus): void {
    if (status.state === "refused" || status.state === "retrying") this.#troubled.set(accountId, true);
    else if (status.state !== "registering") this.#troubled.delete(accountId);
    this.publish("registration", { account: accountId, ...statusView(status) });
  }

  /** Accounts that were refused or retrying when last heard of, the newest first. */
  troubled(most: number): readonly AccountId[] {
    return [...this.#troubled.keys()].slice(0, most);
  }

  ladder(accountId: AccountId, entry: LadderEntry): void {
    const kept = this.#ladders.get(accountId) ?? [];
    kept.push(entry);
    if (kept.length > entriesPerAccountMax) kept.shift();
    this.#ladders.set(accountId, kept);
    this.publish("ladder", { account: accountId, ...ladderView(entry) });
  }

  ladderOf(accountId: AccountId): readonly LadderEntry[] {
    return this.#ladders.get(accountId) ?? [];
  }

  /** `text/event-stream` of all that follows; undefined when too many watch already. */
  watch(filter: WatchFilter = {}): ReadableStream<Uint8Array> | undefined {
    if (this.#watchers.size >= watchersMax) return undefined;
    let own: Line | undefined;
    return new ReadableStream<Uint8Array>(
      {
        start: (line) => {
          own = line;
          line.enqueue(encode("retry: 2000\n\n"));
          this.#watchers.set(line, { filter, sinceMs: this.#clock.nowMs(), sent: 0, skipped: 0 });
        },
        cancel: () => {
          if (own !== undefined) this.#watchers.delete(own);
        },
      },
      new CountQueuingStrategy({ highWaterMark: backlogMax }),
    );
  }

  /** Keeps the watchers' connections open through proxies. */
  beat(): void {
    const bytes = encode(": beat\n\n");
    for (const [line, watcher] of this.#watchers) {
      this.#turnWindow(line, watcher);
      send(line, bytes);
    }
  }

  close(): void {
    for (const line of this.#watchers.keys()) line.close();
    this.#watchers.clear();
  }

  /** That all goes well is the beginning of no story: at a start half a million accounts would tell only that. */
  #note(accountId: AccountId, topic: FeedTopic, data: Readonly<Record<string, unknown>>): void {
    if (topic === "registration" && data.state === "registered" && !this.#stories.has(accountId)) return;
    this.#stories.note(accountId, topic, data);
  }

  #mayHave(line: Line, watcher: Watcher): boolean {
    this.#turnWindow(line, watcher);
    if (watcher.sent >= eventsPerSecMax) {
      watcher.skipped++;
      return false;
    }
    watcher.sent++;
    return true;
  }

  /** With a new second comes a new allowance, and word of what the last one did not bear. */
  #turnWindow(line: Line, watcher: Watcher): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - watcher.sinceMs < windowMs) return;
    if (watcher.skipped > 0) send(line, encode(`event: skipped\ndata: {"events":${watcher.skipped}}\n\n`));
    watcher.sinceMs = nowMs;
    watcher.sent = 0;
    watcher.skipped = 0;
  }
}

function send(line: Line, bytes: Uint8Array): void {
  if ((line.desiredSize ?? 0) > 0) line.enqueue(bytes);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

import { LRUCache } from "lru-cache";
import type { AccountId } from "../base/ids.ts";
import type { LadderEntry, RegistrationStatus } from "../workers/protocol.ts";
import { ladderView, statusView } from "./views.ts";

/** Pages and tools that watch at once. */
const watchersMax = 32;
/** Events kept for a watcher that reads slower than they come; further ones it does not get. */
const backlogMax = 1_000;
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

export type FeedTopic = "registration" | "modeLearned" | "wake" | "push" | "call" | "tunnel" | "ladder";

/** What happens now, for the operator's page: server-sent events, and the ladders of traced accounts. */
export class OperatorFeed {
  readonly #watchers = new Map<ReadableStreamDefaultController<Uint8Array>, WatchFilter>();
  readonly #troubled = new LRUCache<AccountId, true>({ max: troubledMax });
  readonly #ladders = new LRUCache<AccountId, LadderEntry[]>({ max: tracedAccountsMax });

  publish(topic: FeedTopic, data: Readonly<Record<string, unknown>>): void {
    if (this.#watchers.size === 0) return;
    let bytes: Uint8Array | undefined;
    for (const [watcher, { topics, account }] of this.#watchers) {
      const isWanted = topics === undefined || topics.has(topic) || (account !== undefined && data.account === account);
      if (!isWanted) continue;
      bytes ??= encode(`event: ${topic}\ndata: ${JSON.stringify(data)}\n\n`);
      send(watcher, bytes);
    }
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
    let own: ReadableStreamDefaultController<Uint8Array> | undefined;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          own = controller;
          controller.enqueue(encode("retry: 2000\n\n"));
          this.#watchers.set(controller, filter);
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
    for (const watcher of this.#watchers.keys()) send(watcher, bytes);
  }

  close(): void {
    for (const watcher of this.#watchers.keys()) watcher.close();
    this.#watchers.clear();
  }

  get watchers(): number {
    return this.#watchers.size;
  }
}

function send(watcher: ReadableStreamDefaultController<Uint8Array>, bytes: Uint8Array): void {
  if ((watcher.desiredSize ?? 0) > 0) watcher.enqueue(bytes);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

import { LRUCache } from "lru-cache";
import type { AccountId } from "../base/ids.ts";
import type { LadderEntry } from "../workers/protocol.ts";
import { ladderView } from "./views.ts";

/** Pages and tools that watch at once. */
const watchersMax = 32;
/** Events kept for a watcher that reads slower than they come; further ones it does not get. */
const backlogMax = 1_000;
const tracedAccountsMax = 64;
const entriesPerAccountMax = 2_000;

export type FeedTopic = "registration" | "modeLearned" | "wake" | "push" | "call" | "tunnel" | "ladder";

/** What happens now, for the operator's page: server-sent events, and the ladders of traced accounts. */
export class OperatorFeed {
  readonly #watchers = new Set<ReadableStreamDefaultController<Uint8Array>>();
  readonly #ladders = new LRUCache<AccountId, LadderEntry[]>({ max: tracedAccountsMax });

  publish(topic: FeedTopic, data: Readonly<Record<string, unknown>>): void {
    if (this.#watchers.size === 0) return;
    this.#write(`event: ${topic}\ndata: ${JSON.stringify(data)}\n\n`);
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
  watch(): ReadableStream<Uint8Array> | undefined {
    if (this.#watchers.size >= watchersMax) return undefined;
    let own: ReadableStreamDefaultController<Uint8Array> | undefined;
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          own = controller;
          controller.enqueue(encode("retry: 2000\n\n"));
          this.#watchers.add(controller);
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
    this.#write(": beat\n\n");
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers.clear();
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  #write(text: string): void {
    const bytes = encode(text);
    for (const watcher of this.#watchers) if ((watcher.desiredSize ?? 0) > 0) watcher.enqueue(bytes);
  }
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

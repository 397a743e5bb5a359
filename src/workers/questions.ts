import type { Event, RequestId } from "./protocol.ts";

interface Waiting {
  readonly shard: number;
  readonly settle: (reply: Event | undefined) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Questions to shards that wait for their reply. None waits for ever, and none rejects. */
export class Questions {
  readonly #waiting = new Map<RequestId, Waiting>();
  #nextRequest = 1;

  /**
   * Puts a question to a shard by `put`, which is given the id that the reply is to bear. Resolves with the reply; with undefined when
   * the shard dies before it answers, or stays silent for `timeoutMs`.
   */
  ask(shard: number, timeoutMs: number, put: (requestId: RequestId) => void): Promise<Event | undefined> {
    const requestId = this.#nextRequest++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.settle(requestId, undefined), timeoutMs);
      this.#waiting.set(requestId, { shard, settle: resolve, timer });
      put(requestId);
    });
  }

  /** The reply came; without one: none will. A reply that nobody waits for any more is dropped. */
  settle(requestId: RequestId, reply: Event | undefined): void {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return;
    this.#waiting.delete(requestId);
    clearTimeout(waiting.timer);
    waiting.settle(reply);
  }

  /** The shard answers nothing any more; undefined: none does. */
  giveUp(shard?: number): void {
    for (const [requestId, waiting] of this.#waiting) {
      if (shard === undefined || waiting.shard === shard) this.settle(requestId, undefined);
    }
  }
}

import type { ShardThread, ShardThreadEvents } from "./pool.ts";
import type { Event } from "./protocol.ts";
import type { ShardStart } from "./shard-start.ts";
import { shardWorkerUrl } from "./urls.ts";

/** A worker thread of shard.ts. */
export function spawnShard(start: ShardStart, events: ShardThreadEvents): ShardThread {
  const worker = new Worker(shardWorkerUrl());
  worker.addEventListener("message", (message: MessageEvent<readonly Event[]>) => events.onEvents(message.data));
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    events.onGone(event.message);
    worker.terminate();
  });
  // The exit code says nothing: an unhandled rejection closes with 0.
  worker.addEventListener("close", () => events.onGone("the thread ended"));
  worker.postMessage(start);
  return {
    post: (commands) => worker.postMessage(commands),
    terminate: () => worker.terminate(),
  };
}

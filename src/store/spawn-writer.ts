import { storeWorkerUrl } from "../workers/urls.ts";
import type { WriterReport } from "./writer-protocol.ts";
import type { WriterThread, WriterThreadEvents } from "./write-queue.ts";

/** A worker thread of src/workers/store.ts. */
export function spawnWriter(events: WriterThreadEvents): WriterThread {
  const worker = new Worker(storeWorkerUrl());
  worker.addEventListener("message", (message: MessageEvent<WriterReport>) => events.onReport(message.data));
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    events.onGone(event.message);
  });
  worker.addEventListener("close", () => events.onGone("the thread ended"));
  return {
    post: (command) => worker.postMessage(command, []),
    terminate: () => worker.terminate(),
  };
}

/**
 * Where the worker threads' code is. In the compiled binary `import.meta.url` is that of the whole program, and its workers
 * lie in the folder `workers` below it; from source it is this file's. Nothing else makes a worker's URL.
 */
const compiled = import.meta.url.includes("$bunfs") || import.meta.url.includes("~BUN");

export function shardWorkerUrl(): URL {
  return new URL(compiled ? "./workers/shard.ts" : "./shard.ts", import.meta.url);
}

export function storeWorkerUrl(): URL {
  return new URL(compiled ? "./workers/store.ts" : "./store.ts", import.meta.url);
}

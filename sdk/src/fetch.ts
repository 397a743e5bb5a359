import { problemOf, WakelineProblem } from "./problem.ts";

/** What this package needs of `fetch`: any implementation of it fits, and a few lines over another HTTP client. */
export type Fetch = (
  url: string,
  init: {
    readonly method: string;
    readonly headers: Record<string, string>;
    readonly body?: string;
    readonly signal: AbortSignal;
  },
) => Promise<FetchAnswer>;

export interface FetchAnswer {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  json(): Promise<unknown>;
}

/** For any one call. */
export interface CallOptions {
  /** Stops waiting: the call rejects with code `aborted`. What the server has begun goes on there. */
  readonly signal?: AbortSignal;
  /** After this the call rejects with code `timeout`. */
  readonly timeoutMs?: number;
}

/** Phones' networks: long enough for a slow one, short enough that the person still waits. */
export const timeoutMsDefault = 20_000;

// Looked up at each call, so that a polyfill that comes later counts; called as a function, for browsers refuse it as a method.
export const globalFetch: Fetch = (url, init) => fetch(url, init);

/** An app that starts can wait for a server that is busy with others. */
export const patientMs = 60_000;

/** The server has not done it and says when to ask again. */
const askAgain: ReadonlySet<string> = new Set(["overloaded", "busy", "tooManyRequests"]);

/**
 * One call of the API. Asks again by itself when the server is busy and says for how long, if that is within the time limit. Rejects with
 * `WakelineProblem`, and nothing else. Resolves with undefined for 204.
 */
export async function callApi<T>(
  fetcher: Fetch,
  call: {
    readonly method: string;
    readonly url: string;
    readonly bearer?: string;
    readonly body?: unknown;
  },
  { signal, timeoutMs = timeoutMsDefault }: CallOptions = {},
): Promise<T> {
  const stop = new AbortController();
  const endsAtMs = Date.now() + timeoutMs;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    stop.abort();
  }, timeoutMs);
  const onAbort = (): void => stop.abort();
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted === true) stop.abort();
  try {
    for (;;) {
      const answer = await fetcher(call.url, {
        method: call.method,
        headers: {
          ...(call.bearer === undefined ? {} : { authorization: `Bearer ${call.bearer}` }),
          ...(call.body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        signal: stop.signal,
      });
      if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
      const problem = await problemOf(answer);
      const waitMs = (problem.retryAfterSec ?? Infinity) * 1_000;
      if (!askAgain.has(problem.code) || Date.now() + waitMs >= endsAtMs) throw problem;
      await pause(waitMs, stop.signal);
    }
  } catch (cause) {
    if (cause instanceof WakelineProblem) throw cause;
    const code = signal?.aborted === true ? "aborted" : isLate ? "timeout" : "unreachable";
    const detail = isLate ? `no answer within ${timeoutMs} ms` : cause instanceof Error ? cause.message : String(cause);
    throw new WakelineProblem({ status: 0, code, detail, cause });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Rejects when the signal says stop. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    const stop = (): void => {
      clearTimeout(timer);
      reject(new Error("stopped while waiting"));
    };
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
  });
}

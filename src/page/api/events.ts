import { bearerHeaders, currentToken, onUnauthorized } from "./ask.ts";
import { SseParser, type ServerEvent } from "./sse-parser.ts";

const retryMs = 3_000;
/** The server sends a beat more often than that: silence means the line is dead. */
const silenceMsMax = 90_000;

export interface EventsOptions {
  readonly topics: readonly string[];
  /** Everything about this account comes too. */
  readonly account?: string | undefined;
  readonly onEvent: (event: ServerEvent) => void;
  readonly onLive: (isLive: boolean) => void;
}

/** Follows the operator's events until the returned function is called; opens the stream again whenever it ends. */
export function followEvents({ topics, account, onEvent, onLive }: EventsOptions): () => void {
  const ended = new AbortController();
  const query = new URLSearchParams({ topics: topics.join(","), ...(account === undefined ? {} : { account }) });
  void (async () => {
    while (!ended.signal.aborted) {
      await stream(`/operator/v1/events?${query}`, ended.signal, onEvent, onLive);
      if (!ended.signal.aborted) onLive(false);
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  })();
  return () => ended.abort();
}

/** One stream; resolves when it ends, for whatever reason. */
async function stream(
  path: string,
  ended: AbortSignal,
  onEvent: (event: ServerEvent) => void,
  onLive: (isLive: boolean) => void,
): Promise<void> {
  const token = currentToken();
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), silenceMsMax);
  try {
    const response = await fetch(path, {
      headers: bearerHeaders(token),
      signal: AbortSignal.any([ended, silent.signal]),
    });
    if (response.status === 401 || response.status === 429) onUnauthorized(response.status, token);
    if (!response.ok || response.body === null) return;
    onLive(true);
    const parser = new SseParser(onEvent);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), silenceMsMax);
      parser.push(value);
    }
  } catch {
    // The line broke: the caller opens it again.
  } finally {
    clearTimeout(timer);
  }
}

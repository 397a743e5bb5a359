/** A line longer than this is no event of ours. */
const lineCharsMax = 1_000_000;

export interface ServerEvent {
  readonly topic: string;
  readonly data: string;
}

/**
 * Parser of `text/event-stream` (WHATWG HTML §9.2.6), fed with text in any pieces. `EventSource` itself cannot carry the
 * bearer token. `id` and `retry` are not needed here and skipped.
 */
export class SseParser {
  readonly #onEvent: (event: ServerEvent) => void;
  #rest = "";
  #topic = "";
  #data: string[] = [];

  constructor(onEvent: (event: ServerEvent) => void) {
    this.#onEvent = onEvent;
  }

  push(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > lineCharsMax) this.#rest = "";
    for (const line of lines) this.#line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  #line(line: string): void {
    if (line === "") {
      if (this.#data.length > 0) this.#onEvent({ topic: this.#topic || "message", data: this.#data.join("\n") });
      this.#topic = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#topic = value;
    else if (field === "data") this.#data.push(value);
  }
}

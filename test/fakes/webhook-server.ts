interface WebhookFakeRequest {
  readonly method: string;
  readonly headers: Headers;
  readonly body: string;
  /** The sender's port: equal ports, one connection. */
  readonly fromPort: number;
}

export interface WebhookFakeAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface WebhookFake {
  readonly url: URL;
  readonly requests: WebhookFakeRequest[];
  answer: (request: WebhookFakeRequest) => WebhookFakeAnswer | "silence";
  close(): Promise<void>;
}

/** An operator's push relay on 127.0.0.1. */
export function startWebhookFake(tls?: { readonly cert: string; readonly key: string }): WebhookFake {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    ...(tls === undefined ? {} : { tls }),
    async fetch(request, listener) {
      const received: WebhookFakeRequest = {
        method: request.method,
        headers: request.headers,
        body: await request.text(),
        fromPort: listener.requestIP(request)?.port ?? 0,
      };
      fake.requests.push(received);
      const answer = fake.answer(received);
      if (answer === "silence") return new Promise<Response>(() => undefined);
      return new Response(answer.body ?? "ok", { status: answer.status, headers: answer.headers ?? {} });
    },
  });
  const fake: WebhookFake = {
    url: new URL(`${tls === undefined ? "http" : "https"}://localhost:${server.port}/push`),
    requests: [],
    answer: () => ({ status: 200 }),
    close: () => server.stop(true),
  };
  return fake;
}

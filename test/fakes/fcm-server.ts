import { createTestAuthority, type TestAuthority } from "./certificates.ts";

interface FcmFakeRequest {
  readonly project: string;
  readonly authorization: string;
  readonly dryRun: boolean;
  /** `message` as FCM sees it. */
  readonly message: Readonly<Record<string, unknown>>;
}

export type FcmFakeAnswer =
  | { readonly status: number; readonly body?: object | string; readonly headers?: Readonly<Record<string, string>> }
  | "silence";

export interface FcmFake {
  readonly url: URL;
  readonly tokenUrl: URL;
  readonly ca: string;
  readonly requests: FcmFakeRequest[];
  /** Assertions (JWT) offered for access tokens. */
  readonly assertions: string[];
  answer: (request: FcmFakeRequest) => FcmFakeAnswer;
  answerToken: () => FcmFakeAnswer;
  close(): Promise<void>;
}

/** An FCM error body as Google writes it. */
export function fcmErrorBody(code: number, status: string, message: string, details: readonly object[] = []): object {
  return { error: { code, status, message, details } };
}

export const fcmErrorDetail = (errorCode: string): object => ({
  "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
  errorCode,
});

/** FCM HTTP v1 and Google's token endpoint, one server over TLS on 127.0.0.1. */
export function startFcmFake(options: { readonly authority?: TestAuthority; readonly keep?: boolean } = {}): FcmFake {
  const authority = options.authority ?? createTestAuthority();
  const { cert, key } = authority.issue(["localhost", "127.0.0.1"]);
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert, key },
    idleTimeout: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (request.method === "POST" && pathname === "/token") {
        fake.assertions.push(new URLSearchParams(await request.text()).get("assertion") ?? "");
        return respond(fake.answerToken());
      }
      const match = /^\/v1\/projects\/([^/]+)\/messages:send$/.exec(pathname);
      if (request.method !== "POST" || match === null) return new Response("not found", { status: 404 });
      const body = (await request.json()) as { message: Record<string, unknown>; validate_only?: boolean };
      const received: FcmFakeRequest = {
        project: match[1] ?? "",
        authorization: request.headers.get("authorization") ?? "",
        dryRun: body.validate_only === true,
        message: body.message,
      };
      if (options.keep !== false) fake.requests.push(received);
      return respond(fake.answer(received));
    },
  });
  let issued = 0;
  const fake: FcmFake = {
    url: new URL(`https://localhost:${server.port}`),
    tokenUrl: new URL(`https://localhost:${server.port}/token`),
    ca: authority.ca,
    requests: [],
    assertions: [],
    answer: ({ project }) => ({ status: 200, body: { name: `projects/${project}/messages/1` } }),
    answerToken: () => ({
      status: 200,
      body: { access_token: `access-${++issued}`, expires_in: 3600, token_type: "Bearer" },
    }),
    close: () => server.stop(true),
  };
  return fake;
}

function respond(answer: FcmFakeAnswer): Response | Promise<Response> {
  if (answer === "silence") return new Promise<Response>(() => undefined);
  const { status, body = {}, headers = {} } = answer;
  if (typeof body === "string") return new Response(body, { status, headers });
  return Response.json(body, { status, headers });
}

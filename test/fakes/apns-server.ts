import {
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { type Certificate, createTestAuthority, type TestAuthority } from "./certificates.ts";

export interface ApnsFakeRequest {
  readonly token: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Which connection it came on, counted from 1. */
  readonly connection: number;
}

/** "silence": never answered. "reset": the connection is cut under the request. */
export type ApnsFakeAnswer =
  | {
      readonly status: number;
      readonly body?: object;
      readonly headers?: Readonly<Record<string, string>>;
      readonly afterMs?: number;
    }
  | "silence"
  | "reset";

export interface ApnsFake {
  readonly url: URL;
  /** The authority that vouches for it. */
  readonly ca: string;
  readonly requests: ApnsFakeRequest[];
  /** Replaced by tests; answers 200 at first. */
  answer: (request: ApnsFakeRequest) => ApnsFakeAnswer;
  /** Called when a request's headers are in: "the push is on the wire". */
  onHeaders: ((token: string) => void) | undefined;
  /** Connections opened so far. */
  readonly connections: number;
  /** Asks every connection to go; requests in flight are still answered (RFC 9113 §6.8). */
  goaway(): void;
  close(): Promise<void>;
}

export interface ApnsFakeOptions {
  readonly authority?: TestAuthority;
  /** Names in the certificate. */
  readonly names?: readonly string[];
  readonly certificate?: Certificate;
  /** The best TLS that it speaks. */
  readonly tlsMax?: "TLSv1.1" | "TLSv1.3";
  /** Streams at once that the server allows. */
  readonly streamsMax?: number;
  /** False: requests are counted out, not kept (long runs). */
  readonly keep?: boolean;
}

/** An APNs that speaks real HTTP/2 over TLS on 127.0.0.1, reached as "localhost". */
export async function startApnsFake(options: ApnsFakeOptions = {}): Promise<ApnsFake> {
  const authority = options.authority ?? createTestAuthority();
  const { cert, key } = options.certificate ?? authority.issue(options.names ?? ["localhost", "127.0.0.1"]);
  const server = createSecureServer({
    cert,
    key,
    minVersion: "TLSv1",
    maxVersion: options.tlsMax ?? "TLSv1.3",
    settings: { maxConcurrentStreams: options.streamsMax ?? 1000 },
  });
  const open = new Set<ServerHttp2Session>();
  const numbers = new WeakMap<ServerHttp2Session, number>();
  let connections = 0;
  server.on("session", (session) => {
    connections++;
    open.add(session);
    numbers.set(session, connections);
    session.on("close", () => open.delete(session));
    session.on("error", () => open.delete(session));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const token = (headers[":path"] ?? "").slice("/3/device/".length);
    fake.onHeaders?.(token);
    const parts: Buffer[] = [];
    stream.on("error", () => undefined); // the phone's server may give up at any moment
    stream.on("data", (part: Buffer) => parts.push(part));
    stream.on("end", () => {
      const session = stream.session as ServerHttp2Session | undefined;
      const connection = (session && numbers.get(session)) ?? 0;
      const request: ApnsFakeRequest = { token, headers, body: Buffer.concat(parts).toString(), connection };
      if (options.keep !== false) fake.requests.push(request);
      reply(stream, headers, fake.answer(request));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const fake: ApnsFake = {
    url: new URL(`https://localhost:${port}`),
    ca: authority.ca,
    requests: [],
    answer: () => ({ status: 200 }),
    onHeaders: undefined,
    get connections() {
      return connections;
    },
    goaway() {
      for (const session of open) session.close();
    },
    async close() {
      for (const session of open) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return fake;
}

function reply(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, answer: ApnsFakeAnswer): void {
  if (answer === "silence") return;
  if (answer === "reset") {
    stream.session?.destroy();
    return;
  }
  const { status, body, headers: further = {}, afterMs = 0 } = answer;
  const write = (): void => {
    if (stream.destroyed) return;
    stream.respond({ ":status": status, "apns-id": String(headers["apns-id"] ?? ""), ...further });
    // An empty string would be sent as a frame that clients call invalid after a thousand of them.
    if (body === undefined) stream.end();
    else stream.end(JSON.stringify(body));
  };
  if (afterMs === 0) write();
  else setTimeout(write, afterMs);
}

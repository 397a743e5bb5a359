import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { connect as connectHttp2, constants } from "node:http2";
import { connect as connectTls, type TLSSocket } from "node:tls";
import apn from "@parse/node-apn";
import type { Clock } from "../time/clock.ts";
import { readRetryAfterMs } from "./retry-after.ts";
import type { Trust } from "./endpoint.ts";

/** One notification as it goes to APNs. */
export interface ApnsNote {
  /** UUID, canonical; the same for every retry. */
  readonly id: string;
  readonly topic: string;
  readonly pushType: "voip" | "alert";
  readonly priority: 5 | 10;
  /** Unix seconds; 0 means now or never. */
  readonly expirationSec: number;
  readonly collapseId: string | undefined;
  readonly body: object;
}

export type ApnsAnswer =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly reason: string | undefined;
      /** When APNs found the token dead, Unix ms (410 only). */
      readonly timestampMs: number | undefined;
      readonly retryAfterMs: number | undefined;
    }
  | { readonly kind: "none"; readonly fault: unknown };

export interface ApnsLineOptions {
  readonly url: URL;
  readonly key: { readonly pem: string; readonly keyId: string; readonly teamId: string };
  readonly trust: Trust;
  readonly clock: Clock;
}

/** From SYN to the server's SETTINGS. */
const connectMsMax = 4_000;
/** After a failed attempt nothing connects for this long: a dead network is not hammered by every call. */
const connectRestMs = 250;
/** How long requests in flight may still be answered on a connection that is no longer used. */
const drainMsMax = 5_000;
const keepAliveMs = 60_000;

/** What is used of node-apn beyond its published types: its connection, which it lets go under requests in flight. */
interface ApnClient {
  session: ClientHttp2Session | null;
  connect(): Promise<void>;
  closeAndDestroySession(session: ClientHttp2Session | null): Promise<void>;
}

/** What node-apn does not pass on of one request. */
interface Exchange {
  readonly timeoutMs: number;
  readonly startedAtMs: number;
  status: number | undefined;
  retryAfter: string | undefined;
  timedOut: boolean;
}

interface Failure {
  readonly status?: number;
  readonly error?: { readonly message?: string };
  readonly response?: { readonly reason?: unknown; readonly timestamp?: unknown };
}

class TimedOut extends Error {
  readonly code = "ETIMEDOUT";
}

/**
 * One HTTP/2 connection to one APNs environment, kept open. node-apn signs the provider token, writes requests and reads
 * answers; the connection itself is opened here, because node-apn's own handling loses what is in flight on GOAWAY, sends
 * before SETTINGS (Apple allows one stream until the first valid request, the others would be refused) and, on Bun,
 * leaks a listener a request.
 */
export class ApnsLine {
  readonly #options: ApnsLineOptions;
  readonly #provider: apn.Provider;
  readonly #client: ApnClient;
  /** By apns-id: how the wrapped connection tells a request's exchange. */
  readonly #exchanges = new Map<string, Exchange>();
  #lastAnswerAtMs = Number.NEGATIVE_INFINITY;
  #failed: { readonly atMs: number; readonly fault: unknown } | undefined;
  #opening: Promise<void> | undefined;
  #closed = false;

  /** Throws when the key is not one. */
  constructor(options: ApnsLineOptions) {
    this.#options = options;
    const { pem, keyId, teamId } = options.key;
    this.#provider = new apn.Provider({
      token: { key: Buffer.from(pem), keyId, teamId },
      address: options.url.hostname,
      // Retries belong to the gateway, which knows the call's deadline.
      connectionRetryLimit: 0,
      // Apple wants no PING before an hour of silence; dead peers are found by TCP keep-alive and by time-outs.
      heartBeat: 3_600_000,
    });
    const { client } = this.#provider as unknown as { readonly client: ApnClient };
    if (typeof client?.connect !== "function") throw new Error("node-apn has changed inside: ApnsLine must follow");
    this.#client = client;
    client.session = null;
    client.connect = () => this.#connect();
    // It would end a connection for one answer of 500, and destroy it on GOAWAY: `#leave` is the only way out here.
    client.closeAndDestroySession = () => Promise.resolve();
  }

  /** Never rejects. `timeoutMs` counts from now and includes a connection that has to be opened first. */
  async request(note: ApnsNote, token: string, timeoutMs: number): Promise<ApnsAnswer> {
    if (this.#closed) return { kind: "none", fault: new Error("closed") };
    const startedAtMs = this.#options.clock.nowMs();
    if (!isUsable(this.#client.session)) {
      const fault = await failureWithin(this.#connect(), timeoutMs);
      if (fault !== undefined) return { kind: "none", fault };
    }
    const exchange: Exchange = { timeoutMs, startedAtMs, status: undefined, retryAfter: undefined, timedOut: false };
    this.#exchanges.set(note.id, exchange);
    const { failed } = await this.#provider.send(notification(note), encodeURIComponent(token));
    if (this.#exchanges.get(note.id) === exchange) this.#exchanges.delete(note.id);
    const failure = failed[0] as Failure | undefined;
    return failure === undefined ? this.#answer(exchange, 200, undefined) : this.#failure(exchange, failure);
  }

  /** Opens the connection when there is none. Rejects with what went wrong. */
  async warm(): Promise<void> {
    if (!this.#closed && !isUsable(this.#client.session)) await this.#connect();
  }

  /** Lets requests in flight end, for 5 s at most. */
  async close(): Promise<void> {
    this.#closed = true;
    const session = this.#client.session;
    this.#client.session = null;
    await this.#provider.shutdown();
    if (session !== null) await drain(session);
  }

  #answer(exchange: Exchange, status: number, response: Failure["response"]): ApnsAnswer {
    const { reason, timestamp } = response ?? {};
    return {
      kind: "answer",
      status,
      reason: typeof reason === "string" ? reason : undefined,
      timestampMs: typeof timestamp === "number" ? timestamp : undefined,
      retryAfterMs: readRetryAfterMs(exchange.retryAfter, this.#options.clock.wallMs()),
    };
  }

  #failure(exchange: Exchange, failure: Failure): ApnsAnswer {
    if (exchange.timedOut) return { kind: "none", fault: new TimedOut("no answer from APNs") };
    // An answer without a body, or one that is no JSON, reaches us as an error without its status: the exchange has it.
    const status = typeof failure.status === "number" ? failure.status : exchange.status;
    if (status === undefined) return { kind: "none", fault: failure.error ?? failure };
    const response =
      failure.response ??
      (failure.error?.message === "ExpiredProviderToken" ? { reason: "ExpiredProviderToken" } : undefined);
    return this.#answer(exchange, status, response);
  }

  async #connect(): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    if (this.#failed !== undefined && nowMs - this.#failed.atMs < connectRestMs) throw this.#failed.fault;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  async #open(): Promise<void> {
    try {
      const session = await openSession(this.#options);
      this.#failed = undefined;
      if (this.#closed) return session.destroy();
      this.#tame(session);
      this.#client.session = session;
    } catch (fault) {
      this.#failed = { atMs: this.#options.clock.nowMs(), fault };
      throw fault;
    }
  }

  /** Hooks the connection so that its requests are timed by us, and its end is noticed at once. */
  #tame(session: ClientHttp2Session): void {
    const request = session.request.bind(session);
    session.request = (headers?: OutgoingHttpHeaders, ...rest) => {
      const stream = request(headers, ...rest);
      const exchange = this.#exchanges.get(String(headers?.["apns-id"]));
      if (exchange !== undefined) this.#follow(session, stream, exchange);
      return stream;
    };
    session.once("goaway", () => this.#leave(session));
    session.once("close", () => this.#leave(session));
  }

  #follow(session: ClientHttp2Session, stream: ClientHttp2Stream, exchange: Exchange): void {
    stream.once("response", (headers) => {
      exchange.status = Number(headers[constants.HTTP2_HEADER_STATUS]);
      exchange.retryAfter = headers["retry-after"]?.toString();
      this.#lastAnswerAtMs = this.#options.clock.nowMs();
    });
    // On Bun the stream's own time-out leaves a listener on the connection with each request and fires at twice the time.
    stream.setTimeout = (_msecs, onTimeout) => {
      const leftMs = exchange.timeoutMs - (this.#options.clock.nowMs() - exchange.startedAtMs);
      const timer = setTimeout(
        () => {
          // Silent since this request went out: most likely a dead connection, so the next one gets a new one.
          if (this.#lastAnswerAtMs < exchange.startedAtMs) this.#leave(session);
          exchange.timedOut = true;
          onTimeout?.();
          stream.destroy();
        },
        Math.max(leftMs, 1),
      );
      stream.once("close", () => clearTimeout(timer));
      return stream;
    };
  }

  /** Uses the connection no more; requests in flight may end. A line that was in use is opened again at once, so that the next call finds it warm. */
  #leave(session: ClientHttp2Session): void {
    if (this.#client.session !== session) return;
    this.#client.session = null;
    drain(session).catch(() => undefined);
    if (!this.#closed) this.warm().catch(() => undefined);
  }
}

function isUsable(session: ClientHttp2Session | null): boolean {
  return session !== null && !session.closed && !session.destroyed;
}

function notification(note: ApnsNote): apn.Notification {
  const built = new apn.Notification();
  built.id = note.id;
  built.topic = note.topic;
  built.pushType = note.pushType;
  built.priority = note.priority;
  built.expiry = note.expirationSec;
  if (note.collapseId !== undefined) built.collapseId = note.collapseId;
  built.rawPayload = note.body;
  return built;
}

/** A connection whose server has sent its SETTINGS: before, the number of streams it allows is not known. */
function openSession(options: ApnsLineOptions): Promise<ClientHttp2Session> {
  const { url, trust } = options;
  return new Promise((resolve, reject) => {
    const session = connectHttp2(
      url.origin,
      url.protocol === "https:" ? { createConnection: () => openSocket(url, trust) } : {},
    );
    const timer = setTimeout(() => session.destroy(new TimedOut("no connection to APNs")), connectMsMax);
    const fail = (fault: unknown): void => {
      clearTimeout(timer);
      reject(fault);
    };
    session.on("error", fail);
    session.once("close", () => fail(new Error("closed before SETTINGS")));
    session.once("remoteSettings", () => {
      clearTimeout(timer);
      resolve(session);
    });
  });
}

function openSocket(url: URL, trust: Trust): TLSSocket {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const socket = connectTls({
    host,
    port: url.port === "" ? 443 : Number(url.port),
    ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.2",
    rejectUnauthorized: true,
    ...(trust.ca === undefined ? {} : { ca: trust.ca }),
  });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, keepAliveMs);
  return socket;
}

/** Undefined when the promise resolves in time, else what it rejected with, or a time-out. */
async function failureWithin(promise: Promise<void>, msMax: number): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<TimedOut>((resolve) => {
    timer = setTimeout(() => resolve(new TimedOut("no connection to APNs")), msMax);
  });
  const failure = await Promise.race([promise.catch((fault: unknown) => fault), late]);
  clearTimeout(timer);
  return failure;
}

async function drain(session: ClientHttp2Session): Promise<void> {
  if (session.destroyed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => session.destroy(), drainMsMax);
    session.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    // After GOAWAY the connection counts as closed and ends by itself with its last stream.
    if (!session.closed) session.close();
  });
}

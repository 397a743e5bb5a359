import type { Server } from "bun";
import type { HostPort } from "../config/config.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { StrainLevel } from "../observe/strain.ts";
import type { Random } from "../time/random.ts";
import type { Store } from "../store/types.ts";
import type { Callers } from "./callers.ts";
import { docsAsset } from "./docs.ts";
import type { DeviceTokens } from "./device-tokens.ts";
import { bodyBytesMax } from "./json-body.ts";
import type { PeerAddresses } from "./peer-address.ts";
import { problem } from "./problem.ts";
import type { TunnelDoor } from "./tunnel-door.ts";
import type { TunnelData, Tunnels } from "./tunnels.ts";
import { wellKnown, type ServerFacts } from "./well-known.ts";

/** Bun closes what sends no whole header in this time, however it drips. */
const headerSec = 10;
/** A whole request and its answer: a body that drips, a presence that waits 15 s, a proof of 10 s. */
const requestSec = 30;
/** Bodies between our limit and this one still get a problem document; Bun cuts off what is longer. */
const socketBodyBytesMax = 4 * bodyBytesMax;
/** Who comes new waits so long while a thread does not keep up, drawn at random lest all come back at once. */
const shedSecMin = 5;
const shedSecMax = 30;
/** The store worker takes some thousand writes a second: who comes new to a longer line would wait for seconds, and all writes with him. */
const writesWaitingMax = 2_000;
/** What only who comes new asks for. Phones that are known are served to the end: presence, tunnels, calls. */
const shedPaths: ReadonlySet<string> = new Set(["/v1/devices", "/v1/subscriptions", "/v1/devices/me/test-push"]);
/** Elysia looks for the path behind the eleventh character: a shorter host would lose it. */
const elysiaHostCharsMin = 4;

export const tunnelPath = "/v1/tunnel";

/** PEM texts. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface PublicParts {
  readonly listen: HostPort;
  readonly app: { fetch(request: Request): Response | Promise<Response> };
  readonly callers: Callers;
  readonly peers: PeerAddresses;
  readonly door: TunnelDoor;
  readonly tunnels: Tunnels;
  readonly tokens: DeviceTokens;
  readonly facts: ServerFacts;
  readonly metrics: Metrics;
  readonly store: Pick<Store, "writesWaiting">;
  readonly random: Random;
  readonly log: Log;
}

/**
 * The listener for phones: upgrades the tunnel itself on the raw server (1.3 kB a socket instead of 5.1 through Elysia) and hands
 * all else to the app. A new certificate is a second server on the same port; open tunnels of the first go on.
 */
export class PublicListener {
  readonly #parts: PublicParts;
  #server: Server<TunnelData>;

  /** Throws when the address cannot be listened on. */
  constructor(parts: PublicParts, certificate: Certificate | undefined) {
    this.#parts = parts;
    this.#server = this.#serve(parts.listen.port, certificate);
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  /** Bun's own reload leaves the certificate as it was. */
  replaceCertificate(certificate: Certificate): void {
    const before = this.#server;
    this.#server = this.#serve(this.port, certificate);
    this.#stopSoon(before);
  }

  /** Open tunnels end with it. */
  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  /** Requests and tunnels under way go on. */
  #stopSoon(server: Server<TunnelData>): void {
    server.stop().catch((cause: unknown) => this.#parts.log.error("listener.stopFailed", { cause }));
  }

  #serve(port: number, certificate: Certificate | undefined): Server<TunnelData> {
    return Bun.serve<TunnelData>({
      hostname: this.#parts.listen.host,
      port,
      // Only a listener with a certificate has a successor on its port.
      reusePort: certificate !== undefined,
      idleTimeout: headerSec,
      maxRequestBodySize: socketBodyBytesMax,
      ...(certificate === undefined ? {} : { tls: { cert: certificate.cert, key: certificate.key } }),
      fetch: (request, server) => this.#answer(request, server),
      error: (cause) => this.#fault(cause),
      websocket: this.#parts.tunnels.handler,
    });
  }

  async #answer(request: Request, server: Server<TunnelData>): Promise<Response | undefined> {
    server.timeout(request, requestSec);
    const url = URL.parse(request.url);
    if (url === null) return this.#dress(problem({ status: 400, code: "badHost", detail: "no usable Host" }), server);
    const address = this.#parts.peers.of(request, server.requestIP(request)?.address);
    const isTunnel = url.pathname === tunnelPath && request.method !== "OPTIONS";
    const asked = isTunnel || url.host.length >= elysiaHostCharsMin ? request : withLongHost(request, url);
    const arrived = this.#parts.callers.arrived(asked, address);
    if (!arrived.ok) return this.#dress(problem(arrived.refusal), server);
    if (this.#sheds(request, url)) return this.#dress(this.#shed(), server);
    if (!isTunnel) return this.#dress(await this.#plain(asked, url), server);
    const refusal = await this.#parts.door.enter(asked, url.searchParams, server);
    return refusal === undefined ? undefined : this.#dress(refusal, server);
  }

  #sheds(request: Request, url: URL): boolean {
    if (request.method !== "POST" || !shedPaths.has(url.pathname)) return false;
    return this.#parts.metrics.strain() >= StrainLevel.strained || this.#parts.store.writesWaiting() > writesWaitingMax;
  }

  #shed(): Response {
    this.#parts.metrics.requestShed();
    const retryAfterSec = shedSecMin + this.#parts.random.next() * (shedSecMax - shedSecMin);
    return problem({
      status: 503,
      code: "overloaded",
      detail: "the server does not keep up, try again",
      retryAfterSec,
    });
  }

  #plain(request: Request, url: URL): Response | Promise<Response> {
    if (request.method === "OPTIONS") return preflight();
    const document =
      request.method === "GET" || request.method === "HEAD"
        ? (wellKnown(url.pathname, this.#parts.tokens, this.#parts.facts) ?? docsAsset(url.pathname))
        : undefined;
    return document ?? this.#parts.app.fetch(request);
  }

  #fault(cause: unknown): Response {
    this.#parts.metrics.fault("http");
    this.#parts.log.error("http.fault", { where: "listener", cause });
    return problem({ status: 500, code: "internal" });
  }

  #dress(response: Response, server: Server<TunnelData>): Response {
    this.#parts.metrics.httpResponse(response.status);
    const { headers } = response;
    headers.set("x-content-type-options", "nosniff");
    headers.set("referrer-policy", "no-referrer");
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
    // No cookies anywhere: a page of any origin can do no more than its own token lets it.
    headers.set("access-control-allow-origin", "*");
    // Else a script of another origin could not read how long it is to wait.
    headers.set("access-control-expose-headers", "retry-after");
    if (server.protocol === "https") headers.set("strict-transport-security", "max-age=31536000");
    return response;
  }
}

function withLongHost(request: Request, url: URL): Request {
  return new Request(`http://wakeline.invalid${url.pathname}${url.search}`, request);
}

function preflight(): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
      "access-control-allow-headers": "authorization, content-type",
      "access-control-max-age": "86400",
    },
  });
}

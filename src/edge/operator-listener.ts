import { isIP } from "node:net";
import type { Server } from "bun";
import type { HostPort } from "../config/config.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { bodyBytesMax } from "./json-body.ts";
import { problem, type Refusal } from "./problem.ts";

const headerSec = 10;
/** A backup or a key rotation of a large store. */
const requestSec = 250;
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/** The operator's page and its files; undefined for a path that is none of them. */
export type PageHandler = (request: Request) => Response | undefined | Promise<Response | undefined>;

export interface OperatorListenerParts {
  readonly listen: HostPort;
  readonly app: { fetch(request: Request): Response | Promise<Response> };
  readonly page: PageHandler;
  /** True when a bearer token guards the interface. */
  readonly hasToken: boolean;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** The listener for operators: page, interface, metrics, health. Never reachable through the public one. */
export class OperatorListener {
  readonly #parts: OperatorListenerParts;
  readonly #server: Server<undefined>;

  /** Throws when the address cannot be listened on. */
  constructor(parts: OperatorListenerParts) {
    this.#parts = parts;
    this.#server = Bun.serve({
      hostname: parts.listen.host,
      port: parts.listen.port,
      idleTimeout: headerSec,
      maxRequestBodySize: bodyBytesMax,
      fetch: (request, server) => this.#answer(request, server),
      error: (cause) => {
        parts.metrics.fault("operator");
        parts.log.error("http.fault", { where: "operator", cause });
        return problem({ status: 500, code: "internal" });
      },
    });
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(request: Request, server: Server<undefined>): Promise<Response> {
    const url = URL.parse(request.url);
    const refusal = url === null ? { status: 400, code: "badHost" } : this.#foreign(request, url);
    if (refusal !== undefined || url === null) return dress(problem(refusal ?? { status: 400, code: "badHost" }));
    // Events stream as long as somebody watches.
    server.timeout(request, url.pathname === "/operator/v1/events" ? 0 : requestSec);
    const isPage = request.method === "GET" && !/^\/(?:operator|health|metrics)(?:\/|$)/.test(url.pathname);
    const page = isPage ? await this.#parts.page(request) : undefined;
    const asked =
      url.host.length >= 4 ? request : new Request(`http://wakeline.invalid${url.pathname}${url.search}`, request);
    return dress(page ?? (await this.#parts.app.fetch(asked)));
  }

  /**
   * Without a token, being on this machine is all that is asked for, and every web page the operator opens is: so a name that
   * another site made lead here (DNS rebinding) is refused, and so is what another site's page sends.
   */
  #foreign(request: Request, url: URL): Refusal | undefined {
    if (
      request.headers.get("sec-fetch-site") === "cross-site" &&
      request.headers.get("sec-fetch-mode") !== "navigate"
    ) {
      return { status: 403, code: "crossSite" };
    }
    const origin = request.headers.get("origin");
    if (origin !== null && URL.parse(origin)?.host !== url.host) return { status: 403, code: "crossSite" };
    if (this.#parts.hasToken) return undefined;
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
    const isOurs = isIP(host) !== 0 || host === "localhost" || host === this.#parts.listen.host;
    return isOurs
      ? undefined
      : { status: 421, code: "foreignHost", detail: "reach the operator listener by its address" };
  }
}

function dress(response: Response): Response {
  const { headers } = response;
  headers.set("x-content-type-options", "nosniff");
  headers.set("x-frame-options", "DENY");
  headers.set("referrer-policy", "no-referrer");
  headers.set("cross-origin-resource-policy", "same-origin");
  if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
  if (!headers.has("content-security-policy")) headers.set("content-security-policy", policy);
  return response;
}

import { callApi, globalFetch, type CallOptions, type Fetch } from "./fetch.ts";

/** `/.well-known/wakeline.json` of a server. */
export interface ServerFacts {
  readonly name: "wakeline";
  readonly version: string;
  /** Rises when something that was there changes. */
  readonly interface: number;
  readonly api: string;
  readonly tunnel: string;
  readonly docs: string;
  /** Where its SIP requests come from, for a registrar's firewall. */
  readonly egressAddresses: readonly string[];
  /** `applicationServerKey` of `pushManager.subscribe` (RFC 8292); absent when no app of the server uses Web Push. */
  readonly vapidPublicKey?: string;
}

/** Needs no enrolment. Rejects with `WakelineProblem`. */
export function serverFacts(
  server: string,
  options: { readonly fetch?: Fetch } & CallOptions = {},
): Promise<ServerFacts> {
  const url = `${server.replace(/\/+$/, "")}/.well-known/wakeline.json`;
  return callApi(options.fetch ?? globalFetch, { method: "GET", url }, options);
}

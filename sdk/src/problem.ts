import type { FetchAnswer } from "./fetch.ts";

/** One field that the server could not take. */
export interface FieldFault {
  /** Dotted path as it is written in the request: `account.ha1[0].realm`. */
  readonly field: string;
  readonly detail: string;
  /** The same as a JSON pointer (RFC 6901): `#/account/ha1/0/realm`. */
  readonly pointer: string;
}

/**
 * Every `code` that a problem can have. The first four are this package's own, with status 0 or of an answer that is not Wakeline's: no
 * answer came, it took too long, your signal said stop, and something else answered (a proxy's page).
 */
export const problemCodes = [
  "unreachable",
  "timeout",
  "aborted",
  "unknown",
  "badBody",
  "badHost",
  "busy",
  "credentialsRefused",
  "full",
  "handshake",
  "internal",
  "invalid",
  "issuerUnavailable",
  "limitReached",
  "methodNotAllowed",
  "notFound",
  "otherServer",
  "overloaded",
  "registrarUnavailable",
  "storeUnavailable",
  "subprotocol",
  "ticketNotGood",
  "tooLarge",
  "tooManyProofs",
  "tooManyRequests",
  "unauthorized",
  "upgradeRequired",
] as const;

/** A later server may have more. */
export type ProblemCode = (typeof problemCodes)[number] | (string & {});

/** Why a call did not do what it should (RFC 9457). `status` 0: no answer came. `message` is for developers, in English. */
export class WakelineProblem extends Error {
  readonly status: number;
  readonly code: ProblemCode;
  /** For 422, and for 403 `credentialsRefused`: the fields, each with a reason. */
  readonly errors: readonly FieldFault[];
  /** Seconds to wait before the next try, when the server said so (429, 503). */
  readonly retryAfterSec: number | undefined;

  constructor(facts: {
    readonly status: number;
    readonly code: ProblemCode;
    readonly detail: string;
    readonly errors?: readonly FieldFault[];
    readonly retryAfterSec?: number | undefined;
    readonly cause?: unknown;
  }) {
    super(facts.detail, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "WakelineProblem";
    this.status = facts.status;
    this.code = facts.code;
    this.errors = facts.errors ?? [];
    this.retryAfterSec = facts.retryAfterSec;
  }

  /** Whether the same call may go better later: no network, a busy server, a limit. A refusal is no better the second time. */
  get isTemporary(): boolean {
    return (this.status === 0 && this.code !== "aborted") || this.status === 429 || this.status >= 500;
  }
}

interface ProblemBody {
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
  readonly errors?: readonly FieldFault[];
}

export async function problemOf(answer: FetchAnswer): Promise<WakelineProblem> {
  let body: ProblemBody = {};
  try {
    body = Object(await answer.json()) as ProblemBody;
  } catch {
    // Not from Wakeline itself: a proxy's page, an empty body.
  }
  const retryAfter = Number(answer.headers.get("retry-after") ?? Number.NaN);
  return new WakelineProblem({
    status: answer.status,
    code: body.code ?? "unknown",
    detail: body.detail ?? body.title ?? `HTTP ${answer.status}`,
    errors: body.errors ?? [],
    retryAfterSec: Number.isFinite(retryAfter) ? retryAfter : undefined,
  });
}

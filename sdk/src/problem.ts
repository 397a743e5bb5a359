/** One field that the server could not take. */
export interface FieldFault {
  readonly field: string;
  readonly detail: string;
}

/** A refusal of the server (RFC 9457). `status` 0: the server could not be reached. */
export class WakelineProblem extends Error {
  readonly status: number;
  /** The server's own word for it, e.g. "unauthorized", "credentialsRefused". */
  readonly code: string;
  readonly errors: readonly FieldFault[];
  /** Seconds to wait before the next try, when the server said so. */
  readonly retryAfterSec: number | undefined;

  constructor(
    status: number,
    code: string,
    detail: string,
    errors: readonly FieldFault[],
    retryAfterSec: number | undefined,
  ) {
    super(detail);
    this.name = "WakelineProblem";
    this.status = status;
    this.code = code;
    this.errors = errors;
    this.retryAfterSec = retryAfterSec;
  }
}

interface ProblemBody {
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
  readonly errors?: readonly FieldFault[];
}

export async function problemOf(response: Response): Promise<WakelineProblem> {
  let body: ProblemBody = {};
  try {
    body = (await response.json()) as ProblemBody;
  } catch {
    // Not from Wakeline itself: a proxy's page, an empty body.
  }
  const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new WakelineProblem(
    response.status,
    body.code ?? "unknown",
    body.detail ?? body.title ?? `HTTP ${response.status}`,
    body.errors ?? [],
    Number.isFinite(retryAfter) ? retryAfter : undefined,
  );
}

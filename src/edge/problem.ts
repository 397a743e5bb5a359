/** One field of a request that cannot be taken. */
export interface FieldFault {
  /** Dotted path as a developer writes it: `account.ha1[0].realm`. */
  readonly field: string;
  readonly detail: string;
}

/** Why a request is not done: a value, turned into a response at the door. */
export interface Refusal {
  readonly status: number;
  /** Stable word for programs, `camelCase`. */
  readonly code: string;
  readonly detail?: string;
  readonly faults?: readonly FieldFault[];
  readonly retryAfterSec?: number;
}

export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal };

export function done<T>(value: T): { readonly ok: true; readonly value: T } {
  return { ok: true, value };
}

export function refused(
  status: number,
  code: string,
  more: Omit<Refusal, "status" | "code"> = {},
): { readonly ok: false; readonly refusal: Refusal } {
  return { ok: false, refusal: { status, code, ...more } };
}

export function invalid(faults: readonly FieldFault[]): { readonly ok: false; readonly refusal: Refusal } {
  return refused(422, "invalid", { detail: "some fields cannot be taken", faults });
}

/** Foreign and unknown things get the same answer. */
export const notFound: Refusal = { status: 404, code: "notFound" };

const titles: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** What a fault of the whole body is named. */
export const wholeBody = "body";

/** `account.ha1[0].realm` as a JSON pointer (RFC 6901). */
function pointerOf(field: string): string {
  if (field === wholeBody) return "#";
  const parts = field.replaceAll(/\[(\d+)\]/g, ".$1").split(".");
  return `#/${parts.map((part) => part.replaceAll("~", "~0").replaceAll("/", "~1")).join("/")}`;
}

/** RFC 9457, with `errors[]` naming each field. */
export function problemBody({ status, code, detail, faults }: Refusal) {
  return {
    type: `urn:wakeline:problem:${code}`,
    title: titles[status] ?? "Error",
    status,
    code,
    ...(detail === undefined ? {} : { detail }),
    ...(faults === undefined ? {} : { errors: faults.map((fault) => ({ ...fault, pointer: pointerOf(fault.field) })) }),
  };
}

/** The same as a response, `application/problem+json`. */
export function problem(refusal: Refusal, headers: Readonly<Record<string, string>> = {}): Response {
  const { status, retryAfterSec } = refusal;
  return new Response(JSON.stringify(problemBody(refusal)), {
    status,
    headers: {
      "content-type": "application/problem+json",
      ...(status === 401 ? { "www-authenticate": 'Bearer realm="wakeline"' } : {}),
      ...(retryAfterSec === undefined ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryAfterSec))) }),
      ...headers,
    },
  });
}

/** The response of a result: a refusal as its problem, a value as `answer` makes it. */
export function respond<T>(result: Result<T>, answer: (value: T) => Response): Response {
  return result.ok ? answer(result.value) : problem(result.refusal);
}

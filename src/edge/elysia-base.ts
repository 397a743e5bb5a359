import type { TSchema } from "@sinclair/typebox";
import { Elysia, ParseError, ValidationError } from "elysia";
import type { Log } from "../observe/log.ts";
import type { FaultPlace, Metrics } from "../observe/metrics.ts";
import { StoreFault } from "../store/faults.ts";
import { readJson } from "./json-body.ts";
import { notFound, problem, wholeBody, type FieldFault, type Refusal } from "./problem.ts";

/** Carries a refusal through Elysia, whose parsers can refuse only by throwing. */
class RefusedBody extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.code);
    this.refusal = refusal;
  }
}

const bodyParser = "bounded";

/** `parse` of every route with a body: ours does it all; "json" stands there for the OpenAPI document. */
export const jsonBody: [typeof bodyParser, "json"] = [bodyParser, "json"];

async function parseBody({ request }: { readonly request: Request }): Promise<unknown> {
  const read = await readJson(request);
  if (!read.ok) throw new RefusedBody(read.refusal);
  return read.value;
}

/** What every plugin with routes starts from: unknown fields are refused instead of dropped, bodies are bounded. */
export function routes() {
  return new Elysia({ normalize: false }).parser(bodyParser, parseBody);
}

/** `/account/ha1/0/realm` of TypeBox as `account.ha1[0].realm`. */
function fieldOf(path: string): string {
  return path
    .split("/")
    .slice(1)
    .map((part, at) => (/^\d+$/.test(part) ? `[${part}]` : at === 0 ? part : `.${part}`))
    .join("");
}

/** The values of a union of literals, or undefined for any other schema. */
function choicesOf(schema: TSchema | undefined): readonly string[] | undefined {
  const members = schema?.["anyOf"] as readonly { const?: unknown }[] | undefined;
  const values = members?.flatMap((member) => (typeof member.const === "string" ? [member.const] : []));
  return values !== undefined && values.length > 0 && values.length === members?.length ? values : undefined;
}

/** TypeBox's words as a developer reads them. */
function wordsOf(message: string): string {
  return message
    .replace(/^Expected \w+ to be greater or equal to /, "must be at least ")
    .replace(/^Expected \w+ to be less or equal to /, "must be at most ")
    .replace(/^Expected string length less or equal to (\d+)$/, "must be at most $1 characters long")
    .replace(/^Expected array length to be greater or equal to /, "must not have fewer entries than ")
    .replace(/^Expected array length to be less or equal to /, "must not have more entries than ")
    .replace(/^Expected union value$/, "is none of the values that can stand here, see /docs")
    .replace(/^Expected (?=[aeiou])/, "must be an ")
    .replace(/^Expected /, "must be a ")
    .replace(/^Unexpected property$/, "is not known");
}

/** One fault a field, the first that TypeBox names. */
function faultsOf(error: ValidationError): FieldFault[] {
  const faults = new Map<string, FieldFault>();
  for (const one of error.all) {
    if (!("path" in one)) continue;
    const field = fieldOf(one.path);
    const choices = "schema" in one ? choicesOf(one.schema) : undefined;
    const isMissing = "value" in one && one.value === undefined;
    const detail = isMissing
      ? "is needed"
      : choices === undefined
        ? wordsOf(one.message ?? "cannot be taken")
        : `must be one of ${choices.join(", ")}`;
    if (!faults.has(field)) faults.set(field, { field: field === "" ? wholeBody : field, detail });
  }
  return [...faults.values()];
}

/**
 * What Elysia's `onError` answers: every fault as a problem, bugs counted and without a word about their cause. `further`: faults
 * of a refused body that no schema can say.
 */
export function problemOf(
  error: unknown,
  where: FaultPlace,
  metrics: Metrics,
  log: Log,
  further: (body: unknown) => readonly FieldFault[] = () => [],
): Response {
  const cause = error instanceof ParseError ? error.cause : error;
  if (cause instanceof RefusedBody) return problem(cause.refusal);
  if (error instanceof ParseError) return problem({ status: 400, code: "badBody" });
  if (error instanceof ValidationError) {
    const named = faultsOf(error);
    const others = error.type === "body" ? further(error.value) : [];
    const faults = [...named, ...others.filter(({ field }) => !named.some((fault) => fault.field === field))];
    return problem({ status: 422, code: "invalid", detail: "some fields cannot be taken", faults });
  }
  if ((error as { readonly code?: unknown }).code === "NOT_FOUND") return problem(notFound);
  metrics.fault(where);
  log.error("http.fault", { where, cause: error });
  if (error instanceof StoreFault) {
    return problem({ status: 503, code: "storeUnavailable", detail: "nothing can be stored now", retryAfterSec: 5 });
  }
  return problem({ status: 500, code: "internal" });
}

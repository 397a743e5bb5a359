import { inBrackets, isUnspecified } from "../config/addresses.ts";
import type { ChoreConfig } from "../config/config.ts";

/** Rotation and backup of a large store take their time; the server answers or gives up before this. */
const callMs = 260_000;

/** A call of the running server failed; `message` is one line for the operator. */
export class OperatorCallError extends Error {
  readonly status: number | undefined;
  constructor(message: string, status?: number) {
    super(message);
    this.name = "OperatorCallError";
    this.status = status;
  }
}

/**
 * Calls the operator listener of the server that runs with this configuration; resolves with the answer's JSON, undefined
 * when it has none. Throws OperatorCallError when nothing listens there or the answer is no success.
 */
export async function callOperator(
  config: ChoreConfig,
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const { listen, token } = config.operator;
  const name = isUnspecified(listen.host) ? (listen.host.includes(":") ? "::1" : "127.0.0.1") : listen.host;
  const place = `${inBrackets(name)}:${listen.port}`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(`http://${place}${path}`, {
      method,
      redirect: "error",
      signal: AbortSignal.timeout(callMs),
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    text = await response.text();
  } catch (cause) {
    throw new OperatorCallError(unreachable(place, cause));
  }
  const answer = jsonOf(text);
  if (response.ok) return answer;
  throw new OperatorCallError(refused(place, response.status, answer), response.status);
}

function unreachable(place: string, cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (code === "ConnectionRefused" || code === "ECONNREFUSED") {
    return `nothing listens on ${place}: is the server running, and with this configuration (operator.listen)?`;
  }
  if (cause instanceof Error && cause.name === "TimeoutError") return `the server on ${place} did not answer in time`;
  return `the server on ${place} cannot be called: ${cause instanceof Error ? cause.message : String(cause)}`;
}

function refused(place: string, status: number, answer: unknown): string {
  if (status === 401) return `the server on ${place} refuses the token: is operator.token here the one it runs with?`;
  const problem = record(answer);
  const errors = Array.isArray(problem.errors) ? problem.errors.map((error) => record(error).detail) : [];
  const words = [problem.detail ?? problem.title ?? problem.code, ...errors].filter((word) => typeof word === "string");
  return words.length > 0 ? words.join("; ") : `the server on ${place} answers ${status}`;
}

function jsonOf(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** An object's fields; none for anything else. */
export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}

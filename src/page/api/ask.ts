import { signal } from "@preact/signals";

const storageKey = "wakeline.operatorToken";

/**
 * Whether the server lets the page in. "unknown" until it has answered once: then only the summary is asked for, because each
 * request without the right token counts as a guess. Shut: a token is needed, the one given was wrong, or guesses are slowed down.
 */
export const door = signal<"unknown" | "open" | "tokenNeeded" | "tokenWrong" | "tooManyGuesses">("unknown");

export type Asked<T> =
  | { readonly ok: true; readonly value: T }
  | {
      readonly ok: false;
      readonly reason: "unauthorized" | "notFound" | "refused" | "unreachable";
      readonly detail: string;
    };

/** Rises with each new token: what was begun with the old one begins again. */
export const tokenVersion = signal(0);

export function setToken(token: string): void {
  sessionStorage.setItem(storageKey, token);
  tokenVersion.value++;
  door.value = "unknown";
}

/** The token that a request begins with. */
export function currentToken(): string | null {
  return sessionStorage.getItem(storageKey);
}

export function bearerHeaders(token: string | null): Record<string, string> {
  return token === null ? {} : { authorization: `Bearer ${token}` };
}

/** Notes that the server did not take `token`; late news of one that has been replaced is none. */
export function onUnauthorized(status: number, token: string | null): void {
  if (token !== currentToken()) return;
  if (status === 429) door.value = "tooManyGuesses";
  else door.value = token === null ? "tokenNeeded" : "tokenWrong";
}

/** One request to the operator's interface. Never rejects. A 204 has the value `undefined`. */
export async function ask<T>(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<Asked<T>> {
  const token = currentToken();
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, {
      method,
      headers: { ...bearerHeaders(token), ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    text = await response.text();
  } catch {
    return { ok: false, reason: "unreachable", detail: "the server does not answer" };
  }
  if (response.status === 401 || response.status === 429) {
    onUnauthorized(response.status, token);
    return { ok: false, reason: "unauthorized", detail: "a token is needed" };
  }
  const value = readJson(text);
  if (response.ok) return { ok: true, value: value as T };
  return {
    ok: false,
    reason: response.status === 404 ? "notFound" : "refused",
    detail: detailOf(value) ?? `the server answered ${response.status}`,
  };
}

function readJson(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `detail` or `title` of a problem (RFC 9457). */
function detailOf(value: unknown): string | undefined {
  const { detail, title } = Object(value) as { readonly detail?: unknown; readonly title?: unknown };
  return typeof detail === "string" ? detail : typeof title === "string" ? title : undefined;
}

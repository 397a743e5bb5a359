/** Longer waits are of no use to anybody here: every push has a deadline. */
const waitMsMax = 86_400_000;

/**
 * Milliseconds asked for by a Retry-After header, seconds or an HTTP date (RFC 9110 §10.2.3); undefined when absent or
 * unreadable, never negative.
 */
export function readRetryAfterMs(value: string | null | undefined, wallMs: number): number | undefined {
  if (value === null || value === undefined) return undefined;
  const text = value.trim();
  if (/^\d{1,10}$/.test(text)) return Math.min(Number(text) * 1000, waitMsMax);
  if (!/[A-Za-z]{3}/.test(text)) return undefined;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : Math.min(Math.max(atMs - wallMs, 0), waitMsMax);
}

/** 4xx that tell the caller how to ask again (RFC 3261 §16.7 step 6). */
const instructive: ReadonlySet<number> = new Set([401, 407, 415, 420, 484]);

/**
 * Which final response of a fork to pass on (RFC 3261 §16.7 step 6): a 6xx if there is one, else one of the lowest class, among
 * the 4xx one that helps the caller to ask again. 487 and 408 say nothing about the person called, so they come last. -1 when
 * there is none. 2xx never get here: they are passed on at once.
 */
export function bestResponse(statuses: readonly number[]): number {
  let best = -1;
  let bestRank = Infinity;
  for (const [i, status] of statuses.entries()) {
    const rank = rankOf(status);
    if (rank < bestRank) {
      best = i;
      bestRank = rank;
    }
  }
  return best;
}

function rankOf(status: number): number {
  if (status >= 600) return 0;
  if (status === 487 || status === 408) return 90;
  const rank = Math.floor(status / 100) * 10;
  return instructive.has(status) ? rank - 1 : rank;
}

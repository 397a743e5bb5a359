import type { Random } from "../time/random.ts";
import type { DnsRecord } from "./dns.ts";

export type SrvRecord = Extract<DnsRecord, { readonly type: "SRV" }>;

/**
 * The order to try servers in (RFC 2782): lower priority first; within one, drawn by weight, a weight of 0 having a very
 * small chance. Targets that say "no such service here" (a lone dot) are left out.
 */
export function orderServers(records: readonly SrvRecord[], random: Random): readonly SrvRecord[] {
  const ordered: SrvRecord[] = [];
  const byPriority = Map.groupBy(
    records.filter(({ target, port }) => target !== "" && port > 0),
    ({ priority }) => priority,
  );
  for (const priority of [...byPriority.keys()].sort((a, b) => a - b)) {
    // Those of weight 0 come first in the running sum, so that they are drawn only when the draw is 0.
    const left = [...(byPriority.get(priority) ?? [])].sort((a, b) => Math.min(a.weight, 1) - Math.min(b.weight, 1));
    while (left.length > 0) ordered.push(...left.splice(draw(left, random), 1));
  }
  return ordered;
}

function draw(left: readonly SrvRecord[], random: Random): number {
  const total = left.reduce((sum, { weight }) => sum + weight, 0);
  // No weights, no preference: the load is spread evenly.
  if (total === 0) return Math.floor(random.next() * left.length);
  const drawn = Math.floor(random.next() * (total + 1));
  let sum = 0;
  for (const [at, { weight }] of left.entries()) {
    sum += weight;
    if (sum >= drawn) return at;
  }
  return left.length - 1;
}

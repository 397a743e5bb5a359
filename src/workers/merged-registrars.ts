import type { RegistrarStatus } from "./protocol.ts";

const latestStatusesMax = 16;
const breakerOrder = ["closed", "halfOpen", "open"] as const;

/** One line a registrar and transport, of what each shard says of them: counts added up, the breaker that is most open, losses by accounts. */
export function mergedRegistrars(ofShards: readonly (readonly RegistrarStatus[])[]): readonly RegistrarStatus[] {
  const merged = new Map<string, RegistrarStatus>();
  for (const one of ofShards.flat()) {
    const key = `${one.transport} ${one.registrar}`;
    const before = merged.get(key);
    merged.set(key, before === undefined ? one : sum(before, one));
  }
  return [...merged.values()];
}

function sum(a: RegistrarStatus, b: RegistrarStatus): RegistrarStatus {
  const breaker = breakerOrder[Math.max(breakerOrder.indexOf(a.breaker), breakerOrder.indexOf(b.breaker))] ?? "closed";
  const accounts = a.accounts + b.accounts;
  return {
    registrar: a.registrar,
    transport: a.transport,
    accounts,
    registered: a.registered + b.registered,
    refused: a.refused + b.refused,
    window: a.window + b.window,
    inFlight: a.inFlight + b.inFlight,
    ratePerSec: a.ratePerSec + b.ratePerSec,
    waiting: a.waiting + b.waiting,
    lossRatio: accounts === 0 ? 0 : (a.lossRatio * a.accounts + b.lossRatio * b.accounts) / accounts,
    breaker,
    lastStatus: a.lastStatus === 0 ? b.lastStatus : a.lastStatus,
    latestStatuses: [...a.latestStatuses, ...b.latestStatuses].slice(0, latestStatusesMax),
  };
}

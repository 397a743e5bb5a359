import type { Summary, WakeStep, WakeSummary } from "../api/answers.ts";

/** One bar of the wake funnel. */
export interface FunnelStage {
  readonly name: string;
  readonly count: number;
  /** Of the widest bar, 0 to 1. */
  readonly width: number;
  /** Time of this step; absent when it never happened, and for the first one, which begins it all. */
  readonly p50Ms?: number;
  readonly p99Ms?: number;
}

const steps: readonly { readonly step: WakeStep; readonly name: string }[] = [
  { step: "invite_to_push", name: "Push accepted" },
  { step: "push_to_tunnel", name: "Tunnel opened" },
  { step: "tunnel_to_invite", name: "INVITE passed on" },
  { step: "invite_to_ringing", name: "Ringing" },
  { step: "invite_to_answer", name: "Answered" },
];

/** How far wakes get, and how long each step takes; empty before the first wake. Counts are of devices woken, not of calls. */
export function funnelOf({ began, steps: known }: WakeSummary): readonly FunnelStage[] {
  const widest = Math.max(began, ...steps.map(({ step }) => known[step]?.count ?? 0));
  if (widest <= 0) return [];
  return [
    { name: "INVITE came", count: began, width: began / widest },
    ...steps.map(({ step, name }) => {
      const { count = 0, ...times } = known[step] ?? {};
      return { name, count, width: count / widest, ...times };
    }),
  ];
}

/** Providers that have carried pushes of wakes, the busiest first. */
export function providersOf({ wakesByProvider }: Pick<Summary, "wakesByProvider">): readonly string[] {
  return Object.entries(wakesByProvider)
    .sort(([, a], [, b]) => b.began - a.began)
    .map(([provider]) => provider);
}

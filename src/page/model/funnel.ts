import type { Summary, WakeStep } from "../api/answers.ts";

/** One bar of the wake funnel. */
export interface FunnelStage {
  readonly name: string;
  readonly count: number;
  /** Of the widest bar, 0 to 1. */
  readonly width: number;
  /** Time since the stage before; absent when it never happened. */
  readonly p50Ms?: number;
  readonly p99Ms?: number;
}

const steps: readonly { readonly step: WakeStep; readonly name: string }[] = [
  { step: "invite_to_push", name: "Push accepted" },
  { step: "push_to_tunnel", name: "Tunnel opened" },
  { step: "tunnel_to_invite", name: "INVITE passed on" },
  { step: "invite_to_answer", name: "Answered" },
];

/** How far wakes get, and how long each step takes; empty before the first wake. Counts are of devices woken, not of calls. */
export function funnelOf({ wake, wakeCounts }: Pick<Summary, "wake" | "wakeCounts">): readonly FunnelStage[] {
  const widest = Math.max(...steps.map(({ step }) => wakeCounts[step]));
  if (widest <= 0) return [];
  return steps.map(({ step, name }) => ({
    name,
    count: wakeCounts[step],
    width: wakeCounts[step] / widest,
    ...wake[step],
  }));
}

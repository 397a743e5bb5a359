import type { RegistrationState, Summary } from "../api/answers.ts";

/** An hour at a point every two seconds; older points are dropped. */
const pointsMax = 1_800;

export const charted = [
  "registered",
  "registering",
  "retrying",
  "refused",
  "idle",
  "unregistering",
] as const satisfies readonly RegistrationState[];

/** What the page has seen of the summary, oldest first. Columns, as the chart takes them. */
export interface History {
  /** Unix seconds. */
  readonly atSec: readonly number[];
  readonly registrations: Readonly<Record<RegistrationState, readonly number[]>>;
  readonly memoryBytes: readonly number[];
  /** Of the slowest shard. */
  readonly loopDelayMs: readonly number[];
}

export const noHistory: History = {
  atSec: [],
  registrations: { idle: [], registering: [], registered: [], retrying: [], refused: [], unregistering: [] },
  memoryBytes: [],
  loopDelayMs: [],
};

export function withSummary(history: History, summary: Summary, atMs: number): History {
  const add = (column: readonly number[], value: number): readonly number[] => [
    ...(column.length >= pointsMax ? column.slice(1) : column),
    value,
  ];
  const states = Object.keys(noHistory.registrations) as RegistrationState[];
  return {
    atSec: add(history.atSec, atMs / 1_000),
    registrations: Object.fromEntries(
      states.map((state) => [state, add(history.registrations[state], summary.registrations[state])]),
    ) as Record<RegistrationState, readonly number[]>,
    memoryBytes: add(history.memoryBytes, summary.memoryBytes),
    loopDelayMs: add(history.loopDelayMs, Math.max(0, ...summary.shards.map(({ loopDelayMs }) => loopDelayMs ?? 0))),
  };
}

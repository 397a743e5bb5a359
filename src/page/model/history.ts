import type { PastFigures, RegistrationState, Summary } from "../api/answers.ts";

/** Older points are dropped. */
const keptSec = 3_600;
/** A point of the server closer than this to one of the page's own says nothing new. */
const nearSec = 10;

export const charted = [
  "registered",
  "registering",
  "retrying",
  "refused",
  "idle",
  "unregistering",
] as const satisfies readonly RegistrationState[];

/** What the figures were in the last hour: the server's points, then those that the page has seen itself, which are closer. */
export type History = PastFigures;

export const noHistory: History = {
  atSec: [],
  registrations: { idle: [], registering: [], registered: [], retrying: [], refused: [], unregistering: [] },
  memoryBytes: [],
  loopDelayMs: [],
};

/** One more point, seen now. */
export function withSummary(history: History, summary: Summary, atMs: number): History {
  const atSec = atMs / 1_000;
  return joined(history, {
    atSec: [atSec],
    registrations: mapStates((state) => [summary.registrations[state]]),
    memoryBytes: [summary.memoryBytes],
    loopDelayMs: [Math.max(0, ...summary.shards.map(({ loopDelayMs }) => loopDelayMs ?? 0))],
  });
}

/** With what the server remembers of the times that the page has not seen: before it was opened, and while it had no answer. */
export function withPast(history: History, past: PastFigures): History {
  let own = 0;
  const isNew = past.atSec.map((at) => {
    while ((history.atSec[own] ?? Infinity) <= at - nearSec) own++;
    return Math.abs((history.atSec[own] ?? Infinity) - at) >= nearSec;
  });
  const both = joined(pick(past, isNew), history);
  const order = both.atSec.map((_, n) => n).sort((a, b) => (both.atSec[a] ?? 0) - (both.atSec[b] ?? 0));
  return mapColumns(both, (column) => order.map((n) => column[n] ?? 0));
}

function joined(first: History, second: History): History {
  const latest = Math.max(first.atSec.at(-1) ?? 0, second.atSec.at(-1) ?? 0);
  const all: History = {
    atSec: [...first.atSec, ...second.atSec],
    registrations: mapStates((state) => [...first.registrations[state], ...second.registrations[state]]),
    memoryBytes: [...first.memoryBytes, ...second.memoryBytes],
    loopDelayMs: [...first.loopDelayMs, ...second.loopDelayMs],
  };
  const isYoung = all.atSec.map((at) => at > latest - keptSec);
  return isYoung.every(Boolean) ? all : pick(all, isYoung);
}

function pick(history: History, isWanted: readonly boolean[]): History {
  return mapColumns(history, (column) => column.filter((_, n) => isWanted[n]));
}

function mapColumns(history: History, map: (column: readonly number[]) => readonly number[]): History {
  return {
    atSec: map(history.atSec),
    registrations: mapStates((state) => map(history.registrations[state])),
    memoryBytes: map(history.memoryBytes),
    loopDelayMs: map(history.loopDelayMs),
  };
}

function mapStates(map: (state: RegistrationState) => readonly number[]): History["registrations"] {
  return Object.fromEntries(charted.map((state) => [state, map(state)])) as History["registrations"];
}

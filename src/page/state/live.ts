import { computed, effect, signal } from "@preact/signals";
import type {
  AccountLine,
  AccountsPage,
  CallLine,
  PastFigures,
  RegistrarStatus,
  Rung,
  Summary,
} from "../api/answers.ts";
import { ask, door, tokenVersion, type Asked } from "../api/ask.ts";
import { followEvents } from "../api/events.ts";
import type { ServerEvent } from "../api/sse-parser.ts";
import { noHistory, withPast, withSummary } from "../model/history.ts";
import { routeOf, type Route } from "../model/route.ts";

const summaryMs = 2_000;
const registrarsMs = 5_000;
/** Calls are asked for when an event says so, and without events as often as this. */
const callsPollMs = 3_000;
/** With events too: what an event told may have been lost. */
const callsCareMs = 15_000;
/** Shards answer at once or are not well. */
const patienceMs = 800;
/** Events of calls come in bursts: one question for all of a burst. */
const burstMs = 400;
/** A list of calls costs the shards one line a running call: with more of them it is asked for less often. */
const callsManyFrom = 500;
const callsManyMs = 5_000;
export const registrarsShownMax = 50;
/** What is shown of calls at first, what each wish for more adds, and the most that is asked for. */
const callsStep = 50;
export const callsWantedMax = 500;
export const troublesShownMax = 8;
const topics = ["call", "wake", "push"];

export const route = signal<Route>(routeOf(location.hash));
export const nowMs = signal(Date.now());
export const summary = signal<Summary | undefined>(undefined);
/** Undefined while the server answers. */
export const silentSinceMs = signal<number | undefined>(undefined);
export const history = signal(noHistory);
export const registrars = signal<readonly RegistrarStatus[] | undefined>(undefined);
/** Accounts refused or retrying, the newest first. */
export const troubles = signal<readonly AccountLine[] | undefined>(undefined);
export const calls = signal<readonly CallLine[] | undefined>(undefined);
/** How many of the running and how many of the ended ones are asked for. */
export const callsWanted = signal(callsStep);
/** True while events come as they happen, false while the page asks from time to time. */
export const isLive = signal(false);
/** Counts what happened to calls: who shows one asks again. */
export const callsVersion = signal(0);
/** Counts what happened to the account of the route. */
export const accountVersion = signal(0);
const isPatienceOver = signal(false);
/** Whether the overview has what it shows, or has waited long enough for it: panels that fill one after the other would jump. */
export const isFilled = computed(
  () =>
    isPatienceOver.value ||
    (registrars.value !== undefined && troubles.value !== undefined && calls.value !== undefined),
);
/** The last rung of the traced account that came by itself. */
export const tracedRung = signal<{ readonly account: string; readonly rung: Rung } | undefined>(undefined);

async function askSummary(): Promise<void> {
  const asked = await ask<Summary>("GET", "/operator/v1/summary");
  nowMs.value = Date.now();
  if (asked.ok) {
    const hadNone = summary.value === undefined || silentSinceMs.value !== undefined;
    door.value = "open";
    summary.value = asked.value;
    silentSinceMs.value = undefined;
    history.value = withSummary(history.value, asked.value, nowMs.value);
    if (hadNone) void askHistory();
    if (!isPatienceOver.value) setTimeout(() => (isPatienceOver.value = true), patienceMs);
  } else if (asked.reason === "unreachable") silentSinceMs.value ??= nowMs.value;
}

/** What this page has not seen: before it was opened, and while the server was silent. */
async function askHistory(): Promise<void> {
  const asked = await ask<PastFigures>("GET", "/operator/v1/history");
  if (asked.ok) history.value = withPast(history.value, asked.value);
}

async function askRegistrars(): Promise<void> {
  if (route.value.view !== "overview") return;
  // One more than is shown tells whether there are more.
  const [servers, accounts] = await Promise.all([
    ask<readonly RegistrarStatus[]>("GET", `/operator/v1/registrars?limit=${registrarsShownMax + 1}`),
    ask<AccountsPage>("GET", `/operator/v1/troubles?limit=${troublesShownMax + 1}`),
  ]);
  keep(registrars, servers);
  if (accounts.ok) troubles.value = accounts.value.accounts;
}

async function askCalls(): Promise<void> {
  const { view } = route.value;
  if (view === "overview" || view === "calls")
    keep(calls, await ask("GET", `/operator/v1/calls?limit=${callsWanted.value}`));
}

export function wantMoreCalls(): void {
  callsWanted.value = Math.min(callsWantedMax, callsWanted.value + 2 * callsStep);
}

function keep<T>(into: { value: T | undefined }, asked: Asked<T>): void {
  if (asked.ok) into.value = asked.value;
}

/** Runs `work` now and again `ms()` after it has ended, while `may()`. */
function again(work: () => Promise<void>, ms: () => number, may = () => door.value === "open"): void {
  void (async () => {
    for (;;) {
      if (may()) await work();
      await new Promise((resolve) => setTimeout(resolve, ms()));
    }
  })();
}

function paced(ms: number): number {
  return (summary.peek()?.calls.running ?? 0) >= callsManyFrom ? Math.max(ms, callsManyMs) : ms;
}

let isBurst = false;

function onCallNews(): void {
  if (isBurst) return;
  isBurst = true;
  setTimeout(() => {
    isBurst = false;
    callsVersion.value++;
    void askCalls();
  }, paced(burstMs));
}

function onEvent({ topic, data }: ServerEvent): void {
  // Of more than a page can follow the server says only that it happened.
  if (topic === "call" || topic === "wake" || topic === "push" || topic === "skipped") onCallNews();
  const body = Object(JSON.parse(data)) as { readonly account?: string } & Rung;
  const { value: shown } = route;
  if (shown.view !== "account" || body.account !== shown.account) return;
  if (topic === "ladder") tracedRung.value = { account: shown.account, rung: body };
  else accountVersion.value++;
}

/** Begins to watch the server; the page does it once. */
export function startWatching(): void {
  addEventListener("hashchange", () => {
    route.value = routeOf(location.hash);
  });
  again(
    askSummary,
    () => summaryMs,
    () => door.value === "open" || door.value === "unknown",
  );
  again(askRegistrars, () => registrarsMs);
  again(
    async () => {
      if (!isLive.value) callsVersion.value++;
      await askCalls();
    },
    () => paced(isLive.value ? callsCareMs : callsPollMs),
  );
  let followed: string | undefined;
  let stop: (() => void) | undefined;
  effect(() => {
    const account = route.value.view === "account" ? route.value.account : undefined;
    const key = `${tokenVersion.value} ${door.value} ${account ?? ""}`;
    if (key === followed) return;
    followed = key;
    stop?.();
    stop =
      door.value === "open"
        ? followEvents({ topics, account, onEvent, onLive: (live) => (isLive.value = live) })
        : undefined;
  });
  effect(() => {
    // A token was given: at once and not at the next turn.
    if (tokenVersion.value > 0) void askSummary();
  });
  effect(() => {
    const { view } = route.value;
    if (door.value !== "open") return;
    if (view === "overview") void askRegistrars();
    void askCalls();
  });
}

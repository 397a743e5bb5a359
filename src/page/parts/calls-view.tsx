import type { CallLine } from "../api/answers.ts";
import { calls, callsWanted, callsWantedMax, summary, wantMoreCalls } from "../state/live.ts";
import { count } from "../words/figures.ts";
import { CallsTable } from "./calls-table.tsx";

function isRunning({ state, endedAt }: CallLine): boolean {
  return endedAt === undefined && (state === "ringing" || state === "answered");
}

export function CallsView() {
  const all = calls.value;
  const running = all?.filter(isRunning);
  const ended = all?.filter((call) => !isRunning(call));
  const wanted = callsWanted.value;
  const isCut = Math.max(running?.length ?? 0, ended?.length ?? 0) >= wanted;
  return (
    <>
      <h1 tabIndex={-1}>Calls</h1>
      <section class="panel" aria-labelledby="running">
        <h2 id="running">Running</h2>
        <CallsTable calls={running} empty="No call runs now." />
        {(running?.length ?? 0) >= wanted && (
          <p class="dim">
            The newest {wanted} of {count(summary.value?.calls.running ?? 0)} are shown.
          </p>
        )}
      </section>
      <section class="panel" aria-labelledby="recent">
        <h2 id="recent">Recent</h2>
        <CallsTable calls={ended} empty="No call has ended since the start." />
        <p class="dim">The newest, kept in memory. An account's older calls are on its own page.</p>
        {isCut && wanted < callsWantedMax && (
          <button type="button" onClick={wantMoreCalls}>
            Show more
          </button>
        )}
      </section>
    </>
  );
}

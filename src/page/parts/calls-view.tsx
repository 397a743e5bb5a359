import type { CallLine } from "../api/answers.ts";
import { calls, callsShownMax, summary } from "../state/live.ts";
import { count } from "../words/figures.ts";
import { CallsTable } from "./calls-table.tsx";

function isRunning({ state, endedAt }: CallLine): boolean {
  return endedAt === undefined && (state === "ringing" || state === "answered");
}

export function CallsView() {
  const all = calls.value;
  const running = summary.value?.calls.running ?? 0;
  return (
    <>
      <h1 tabIndex={-1}>Calls</h1>
      <section class="panel" aria-labelledby="running">
        <h2 id="running">Running</h2>
        <CallsTable calls={all?.filter(isRunning)} empty="No call runs now." />
        {running > callsShownMax && (
          <p class="dim">
            The newest {callsShownMax} of {count(running)} are shown.
          </p>
        )}
      </section>
      <section class="panel" aria-labelledby="recent">
        <h2 id="recent">Recent</h2>
        <CallsTable calls={all?.filter((call) => !isRunning(call))} empty="No call has ended since the start." />
        <p class="dim">The newest {callsShownMax}, kept in memory. An account's older calls stand in its journal.</p>
      </section>
    </>
  );
}

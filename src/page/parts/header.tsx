import type { ShardFigures, Summary } from "../api/answers.ts";
import { door } from "../api/ask.ts";
import { hrefOf, type Route } from "../model/route.ts";
import { isLive, nowMs, route, silentSinceMs, summary } from "../state/live.ts";
import { count, duration } from "../words/figures.ts";
import { readinessOf } from "../words/readiness.ts";
import { Badge } from "./badge.tsx";

const links: readonly { readonly route: Route; readonly text: string; readonly also: readonly string[] }[] = [
  { route: { view: "overview" }, text: "Overview", also: [] },
  { route: { view: "calls" }, text: "Calls", also: ["call"] },
  { route: { view: "accounts" }, text: "Accounts", also: ["account"] },
];

/** More shards than this are told by number. */
const chipsMax = 6;

/** Who this is and how it is: on every view. */
export function Header() {
  const known = summary.value;
  return (
    <header class="top">
      <div class="bar">
        <a class="brand" href={hrefOf({ view: "overview" })}>
          <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
            <path d="M3 17h7l3-9 6 17 3-8h7" />
          </svg>
          Wakeline
        </a>
        <div class="state" role="status">
          <Readiness known={known} />
        </div>
        {/* Its room is kept while nothing is known: what stands below must not jump. */}
        <dl class="facts">
          <div>
            <dt>Version</dt>
            <dd>{known?.version ?? "–"}</dd>
          </div>
          <div>
            <dt>Up</dt>
            <dd>{known === undefined ? "–" : duration(known.uptimeSec)}</dd>
          </div>
          <div>
            <dt>Updates</dt>
            <dd>{updatesText(known !== undefined)}</dd>
          </div>
        </dl>
      </div>
      <div class="bar second">
        <nav aria-label="Views">
          <ul>
            {links.map(({ route: to, text, also }) => {
              const isHere = route.value.view === to.view || also.includes(route.value.view);
              return (
                <li key={to.view}>
                  <a href={hrefOf(to)} aria-current={isHere ? "page" : undefined}>
                    {text}
                  </a>
                </li>
              );
            })}
          </ul>
        </nav>
        <Shards shards={known?.shards ?? []} />
      </div>
    </header>
  );
}

function updatesText(isKnown: boolean): string {
  if (!isKnown) return "–";
  return isLive.value ? "live" : "polled";
}

function Shards({ shards }: { readonly shards: readonly ShardFigures[] }) {
  return (
    <ul class="chips" aria-label="Shards">
      {shards.length === 0 && <li class="chip">Shards: –</li>}
      {shards.length > chipsMax && (
        <li class="chip">
          {shards.filter(({ ready }) => ready).length} of {shards.length} shards ready
        </li>
      )}
      {chipped(shards).map(({ shard, ready, registered }) => (
        <li key={shard} class={ready ? "chip" : "chip bad"}>
          <span class="dim">Shard {shard}:</span> {ready ? count(registered ?? 0) : "not ready"}
          {ready && <span class="unseen"> registered</span>}
        </li>
      ))}
    </ul>
  );
}

/** With many shards, only those that are not well. */
function chipped(shards: readonly ShardFigures[]): readonly ShardFigures[] {
  return shards.length > chipsMax ? shards.filter(({ ready }) => !ready).slice(0, chipsMax) : shards;
}

function Readiness({ known }: { readonly known: Summary | undefined }) {
  const sinceMs = silentSinceMs.value;
  const { tone, text, why } = readinessOf(
    known,
    door.value !== "open" && door.value !== "unknown",
    sinceMs === undefined ? undefined : (nowMs.value - sinceMs) / 1_000,
  );
  return (
    <>
      <Badge tone={tone} text={text} />
      {why !== undefined && <span class="why">{why}</span>}
    </>
  );
}

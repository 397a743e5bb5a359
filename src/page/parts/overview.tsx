import type { Summary } from "../api/answers.ts";
import { charted } from "../model/history.ts";
import { hrefOf } from "../model/route.ts";
import { calls, history, isFilled, summary } from "../state/live.ts";
import { bytes, count, millis, share } from "../words/figures.ts";
import { stateNames, stateTones } from "../words/registration.ts";
import { Badge } from "./badge.tsx";
import { CallsTable } from "./calls-table.tsx";
import { Chart } from "./chart.tsx";
import { DrainPanel } from "./drain-panel.tsx";
import { Funnel } from "./funnel.tsx";
import { RegistrarsPanel } from "./registrars-panel.tsx";
import { ShardsPanel } from "./shards-panel.tsx";
import { TroublesPanel } from "./troubles-panel.tsx";

const callsHere = 8;

export function Overview() {
  const known = summary.value;
  return (
    <>
      <h1 tabIndex={-1} class="unseen">
        Overview
      </h1>
      {known === undefined || !isFilled.value ? (
        <p class="panel empty">Asking the server…</p>
      ) : (
        <Panels known={known} />
      )}
    </>
  );
}

function Panels({ known }: { readonly known: Summary }) {
  return (
    <>
      <Tiles known={known} />
      <div class="grid">
        <section class="panel wide" aria-labelledby="registrations">
          <h2 id="registrations">Registrations</h2>
          <Chart history={history.value} />
          <States known={known} />
        </section>
        <section class="panel" aria-labelledby="wake">
          <h2 id="wake">Waking phones</h2>
          <Funnel known={known} />
        </section>
        <RegistrarsPanel />
        <TroublesPanel />
        <Outcomes known={known} />
        <section class="panel wide" aria-labelledby="calls">
          <div class="title">
            <h2 id="calls">Latest calls</h2>
            <a href={hrefOf({ view: "calls" })}>All calls</a>
          </div>
          <CallsTable calls={calls.value?.slice(0, callsHere)} empty="No call yet." />
        </section>
        <DrainPanel isDraining={known.ready.reasons.includes("draining")} />
        <ShardsPanel known={known} history={history.value} />
      </div>
    </>
  );
}

function Tiles({ known }: { readonly known: Summary }) {
  const { registrations, calls } = known;
  const slowestMs = Math.max(0, ...known.shards.map(({ loopDelayMs }) => loopDelayMs ?? 0));
  const tiles: readonly (readonly [string, string, string])[] = [
    ["Accounts", count(known.accounts), `${count(known.devices)} ${known.devices === 1 ? "device" : "devices"}`],
    ["Registered", count(registrations.registered), `${share(registrations.registered, known.accounts)} of accounts`],
    ["Refused", count(registrations.refused), registrations.refused === 0 ? "none" : "listed below"],
    ["Calls now", count(calls.running), `${count(known.tunnels)} ${known.tunnels === 1 ? "tunnel" : "tunnels"} open`],
    ["Memory", bytes(known.memoryBytes), `loop delay ${millis(slowestMs)}`],
  ];
  return (
    <dl class="tiles">
      {tiles.map(([name, figure, more]) => (
        <div key={name} class={name === "Refused" && registrations.refused > 0 ? "tile attention" : "tile"}>
          <dt>{name}</dt>
          <dd>
            <strong>{figure}</strong>
            <span>{more}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function States({ known }: { readonly known: Summary }) {
  return (
    <ul class="states" aria-label="Registrations by state, now">
      {charted.map((state) => (
        <li key={state}>
          <span class={`swatch ${state}`} aria-hidden="true" />
          <Badge tone={stateTones[state]} text={stateNames[state]} />
          <strong>{count(known.registrations[state])}</strong>
        </li>
      ))}
    </ul>
  );
}

function Outcomes({ known: { calls } }: { readonly known: Summary }) {
  const lines: readonly (readonly [string, number])[] = [
    ["Answered", calls.answered],
    ["Answered elsewhere", calls.answeredElsewhere],
    ["Cancelled by the caller", calls.cancelled],
    ["Missed", calls.missed],
    ["Declined", calls.refused],
    ["No device to reach", calls.unreachable],
    ["Made by phones", calls.outbound],
  ];
  return (
    <section class="panel" aria-labelledby="outcomes">
      <h2 id="outcomes">Calls since the start</h2>
      <dl class="lines">
        {lines.map(([name, n]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{count(n)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

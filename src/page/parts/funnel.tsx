import { signal } from "@preact/signals";
import type { Summary, WakeSummary } from "../api/answers.ts";
import { funnelOf, providersOf } from "../model/funnel.ts";
import { count, millis } from "../words/figures.ts";
import { providerNames } from "../words/happenings.ts";

/** Undefined: the busiest. */
const chosen = signal<string | undefined>(undefined);

/** How far wakes get, and how long each step takes, by the provider that carried the push. */
export function Funnel({ known }: { readonly known: Summary }) {
  const providers = providersOf(known);
  const shown = providers.find((provider) => provider === chosen.value) ?? providers[0];
  const wakes = shown === undefined ? undefined : known.wakesByProvider[shown];
  if (shown === undefined || wakes === undefined) {
    return <p class="empty">No phone was woken yet. The first call for a sleeping phone shows here.</p>;
  }
  return (
    <>
      {providers.length === 1 ? (
        <p class="dim">By {providerNames[shown] ?? shown}</p>
      ) : (
        <fieldset class="choice">
          <legend class="unseen">Provider</legend>
          {providers.map((provider) => (
            <label key={provider}>
              <input
                type="radio"
                name="provider"
                checked={provider === shown}
                onChange={() => (chosen.value = provider)}
              />
              {providerNames[provider] ?? provider}
            </label>
          ))}
        </fieldset>
      )}
      <Stages wakes={wakes} />
      <p class="dim below">
        Times are of each step, of the latest wakes; ringing and answer since the INVITE was passed on. Counts are of
        devices, since the start.
      </p>
    </>
  );
}

function Stages({ wakes }: { readonly wakes: WakeSummary }) {
  return (
    <table class="funnel">
      <caption class="unseen">Steps of a wake, from the INVITE to the answer</caption>
      <thead>
        <tr>
          <th scope="col">Step</th>
          <th scope="col" class="n">
            Devices
          </th>
          <th scope="col" class="n">
            p50
          </th>
          <th scope="col" class="n">
            p99
          </th>
        </tr>
      </thead>
      <tbody>
        {funnelOf(wakes).map(({ name, count: n, width, p50Ms, p99Ms }) => (
          <tr key={name}>
            <th scope="row">
              {name}
              <svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
                <rect class="under" width="100" height="6" />
                <rect class="over" width={Math.max(width * 100, n > 0 ? 1 : 0)} height="6" />
              </svg>
            </th>
            <td class="n">{count(n)}</td>
            <td class="n">{p50Ms === undefined ? "–" : millis(p50Ms)}</td>
            <td class="n">{p99Ms === undefined ? "–" : millis(p99Ms)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

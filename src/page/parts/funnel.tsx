import type { Summary } from "../api/answers.ts";
import { funnelOf } from "../model/funnel.ts";
import { count, millis } from "../words/figures.ts";

/** How far wakes get, and how long each step takes. */
export function Funnel({ known }: { readonly known: Summary }) {
  const stages = funnelOf(known);
  if (stages.length === 0) {
    return <p class="empty">No phone was woken yet. The first call for a sleeping phone shows here.</p>;
  }
  return (
    <>
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
          {stages.map(({ name, count: n, width, p50Ms, p99Ms }) => (
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
      <p class="dim below">Times since the step before, of the latest wakes. Counts are of devices, since the start.</p>
    </>
  );
}

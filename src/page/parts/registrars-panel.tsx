import type { RegistrarStatus } from "../api/answers.ts";
import { registrars, registrarsShownMax } from "../state/live.ts";
import { count, statusesText } from "../words/figures.ts";
import { healthOf } from "../words/registrar-health.ts";
import { Badge } from "./badge.tsx";
import { Table, type Column } from "./table.tsx";

const columns: readonly Column<RegistrarStatus>[] = [
  {
    name: "Registrar",
    cell: ({ registrar, transport }) => (
      <>
        <span class="name">{registrar}</span> <span class="dim">{transport.toUpperCase()}</span>
      </>
    ),
  },
  { name: "Health", cell: (registrar) => <Badge {...healthOf(registrar)} /> },
  { name: "Accounts", isNumber: true, cell: ({ accounts }) => count(accounts) },
  { name: "Registered", isNumber: true, cell: ({ registered }) => count(registered) },
  { name: "Refused", isNumber: true, cell: ({ refused }) => count(refused) },
  { name: "Waiting", isNumber: true, cell: ({ waiting }) => count(waiting) },
  {
    name: "In flight",
    isNumber: true,
    cell: ({ inFlight, window }) => `${count(inFlight)} of ${count(window)}`,
  },
  { name: "Rate limit", isNumber: true, cell: ({ ratePerSec }) => rate(ratePerSec) },
  { name: "Loss", isNumber: true, cell: ({ lossRatio }) => `${(lossRatio * 100).toFixed(1)}%` },
  { name: "Last answers", cell: ({ latestStatuses }) => statusesText(latestStatuses) },
];

/** From here on the budget does not hold anything back. */
const freePerSec = 100_000;

function rate(perSec: number): string {
  if (perSec >= freePerSec) return "none";
  return `${perSec < 10 ? perSec.toFixed(1) : count(perSec)}/s`;
}

/** The servers that hold our bindings, and how much they bear. */
export function RegistrarsPanel() {
  const known = registrars.value;
  const rows = known?.slice(0, registrarsShownMax) ?? [];
  return (
    <section class="panel full" aria-labelledby="registrars">
      <h2 id="registrars">Registrars</h2>
      {rows.length === 0 ? (
        <p class="empty">
          {known === undefined
            ? "Asking the shards…"
            : "None yet. The first account that goes to the background shows its server here."}
        </p>
      ) : (
        <Table
          caption="Registrars, the largest first"
          columns={columns}
          rows={rows}
          keyOf={({ registrar, transport }) => `${transport} ${registrar}`}
        />
      )}
      {known !== undefined && known.length > registrarsShownMax && (
        <p class="dim">The {registrarsShownMax} largest are shown.</p>
      )}
    </section>
  );
}

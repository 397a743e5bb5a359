import type { AccountLine } from "../api/answers.ts";
import { hrefOf } from "../model/route.ts";
import { nowMs, troubles, troublesShownMax } from "../state/live.ts";
import { fromNow } from "../words/figures.ts";
import { stateNames, stateTones } from "../words/registration.ts";
import { showTroubles } from "./accounts-view.tsx";
import { Badge } from "./badge.tsx";
import { Table, type Column } from "./table.tsx";

const columns: readonly Column<AccountLine>[] = [
  {
    name: "Account",
    cell: ({ id, username, domain }) => (
      <a class="name" href={hrefOf({ view: "account", account: id })}>
        {username}@{domain}
      </a>
    ),
  },
  { name: "State", cell: ({ registration: { state } }) => <Badge tone={stateTones[state]} text={stateNames[state]} /> },
  {
    name: "Why",
    cell: ({ registration: { lastStatus, lastReason } }) =>
      [lastStatus, lastReason].filter((part) => part !== undefined).join(" ") || "–",
  },
  {
    name: "Next attempt",
    isNumber: true,
    cell: ({ registration: { nextAttemptAt } }) =>
      nextAttemptAt === undefined
        ? "by hand"
        : fromNow(new Date(Math.max(Date.parse(nextAttemptAt), nowMs.value)).toISOString(), nowMs.value),
  },
];

/** Which accounts are refused or retrying: a figure alone does not say whom to help. */
export function TroublesPanel() {
  const known = troubles.value;
  return (
    <section class="panel wide" aria-labelledby="troubles">
      <h2 id="troubles">Accounts in trouble</h2>
      {known === undefined || known.length === 0 ? (
        <p class="empty">{known === undefined ? "Asking the server…" : "No account is refused or has to retry."}</p>
      ) : (
        <Table
          caption="Accounts refused or retrying, the newest first"
          columns={columns}
          rows={known.slice(0, troublesShownMax)}
          keyOf={({ id }) => id}
        />
      )}
      {known !== undefined && known.length > troublesShownMax && (
        <p class="below">
          <a href={hrefOf({ view: "accounts" })} onClick={showTroubles}>
            See all in trouble
          </a>
        </p>
      )}
    </section>
  );
}

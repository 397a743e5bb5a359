import type { CallLine } from "../api/answers.ts";
import { hrefOf } from "../model/route.ts";
import { nowMs } from "../state/live.ts";
import { callerText, callNames, callTones } from "../words/calls.ts";
import { duration, millis, timeOf } from "../words/figures.ts";
import { Badge } from "./badge.tsx";
import { Table, type Column } from "./table.tsx";

type Line = Pick<CallLine, "call" | "direction" | "from" | "state" | "startedAt" | "answeredAt" | "endedAt">;

const columns: readonly Column<Line>[] = [
  {
    name: "Call",
    cell: ({ call, direction, from }) => (
      <a class="name" href={hrefOf({ view: "call", call })}>
        {direction === "inbound" ? "From" : "By"} {callerText(from)}
      </a>
    ),
  },
  { name: "State", cell: ({ state }) => <Badge tone={callTones[state]} text={callNames[state]} /> },
  { name: "Began", isNumber: true, cell: ({ startedAt }) => timeOf(startedAt, nowMs.value) },
  { name: "Rang", isNumber: true, cell: rang },
  { name: "Talked", isNumber: true, cell: talked },
];

/** Until somebody answered or it ended. */
function rang({ startedAt, answeredAt, endedAt }: Line): string {
  return between(startedAt, answeredAt ?? endedAt);
}

function talked({ answeredAt, endedAt }: Line): string {
  return answeredAt === undefined ? "–" : between(answeredAt, endedAt);
}

function between(from: string, to: string | undefined): string {
  if (to === undefined) return duration((nowMs.value - Date.parse(from)) / 1_000);
  return millis(Date.parse(to) - Date.parse(from));
}

export function CallsTable({ calls, empty }: { readonly calls: readonly Line[] | undefined; readonly empty: string }) {
  if (calls === undefined) return <p class="empty">Asking the shards…</p>;
  if (calls.length === 0) return <p class="empty">{empty}</p>;
  return <Table caption="Calls, the newest first" columns={columns} rows={calls} keyOf={({ call }) => call} />;
}

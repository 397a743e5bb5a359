import type { ShardFigures, Summary } from "../api/answers.ts";
import type { History } from "../model/history.ts";
import { bytes, count, millis } from "../words/figures.ts";
import { Badge } from "./badge.tsx";
import { Spark } from "./spark.tsx";
import { Table, type Column } from "./table.tsx";

const columns: readonly Column<ShardFigures>[] = [
  { name: "Shard", cell: ({ shard }) => `Shard ${shard}` },
  { name: "State", cell: ({ ready }) => <Badge tone={ready ? "good" : "bad"} text={ready ? "Ready" : "Not ready"} /> },
  { name: "Registered", isNumber: true, cell: ({ registered }) => count(registered ?? 0) },
  { name: "Calls", isNumber: true, cell: ({ callsRunning }) => count(callsRunning ?? 0) },
  { name: "Loop delay", isNumber: true, cell: ({ loopDelayMs }) => millis(loopDelayMs ?? 0) },
  { name: "Restarts", isNumber: true, cell: ({ restarts }) => count(restarts) },
];

export function ShardsPanel({ known, history }: { readonly known: Summary; readonly history: History }) {
  return (
    <section class="panel full" aria-labelledby="shards">
      <h2 id="shards">Shards and memory</h2>
      <Table
        caption="Shards: the worker threads, each with its own accounts"
        columns={columns}
        rows={known.shards}
        keyOf={({ shard }) => String(shard)}
      />
      <div class="sparks">
        <Spark name="Memory" atSec={history.atSec} values={history.memoryBytes} text={bytes} />
        <Spark name="Loop delay, slowest shard" atSec={history.atSec} values={history.loopDelayMs} text={millis} />
      </div>
    </section>
  );
}

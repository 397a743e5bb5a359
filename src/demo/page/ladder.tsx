import type { Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

/** One message or push, in the order in which it happened. */
export interface Arrow {
  readonly atMs: number;
  readonly from: string;
  readonly to: string;
  readonly label: string;
  readonly isPush: boolean;
}

const rails = ["alice", "bob", "wakeline", "server"] as const;
const names: Readonly<Record<string, string>> = {
  alice: "Alice",
  bob: "Bob",
  wakeline: "Wakeline",
  server: "SIP server",
};
const width = 720;
const left = 90;
const gap = 190;
const rowHeight = 26;
const top = 40;
const labelCharsMax = 24;

const railX = (rail: string): number => left + rails.indexOf(rail as (typeof rails)[number]) * gap;

/** The ladder diagram: time runs down, an arrow is a SIP message, a dashed one a push. */
export function Ladder({ arrows }: { readonly arrows: Signal<readonly Arrow[]> }) {
  const shown = arrows.value;
  const box = useRef<HTMLElement>(null);
  // The newest message is what people watch for.
  useEffect(() => {
    box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [shown]);
  const startMs = shown[0]?.atMs ?? 0;
  const height = top + Math.max(4, shown.length + 1) * rowHeight;
  return (
    <section ref={box} class="ladder" aria-label="Messages" tabIndex={0}>
      <h2>What goes over the wire</h2>
      {shown.length === 0 && <p>Nothing yet: let a phone sleep, then call it.</p>}
      <svg
        viewBox={`0 0 ${width} ${height}`}
        role="img"
        aria-label={`${shown.length} messages between the phones, Wakeline and the SIP server`}
      >
        {rails.map((rail) => (
          <g key={rail}>
            <text class="name" x={railX(rail)} y={18} text-anchor="middle">
              {names[rail]}
            </text>
            <line class="rail" x1={railX(rail)} x2={railX(rail)} y1={28} y2={height} />
          </g>
        ))}
        {shown.map((arrow, n) => (
          <Row key={n} arrow={arrow} y={top + (n + 1) * rowHeight - 8} sinceMs={arrow.atMs - startMs} />
        ))}
      </svg>
    </section>
  );
}

function Row({ arrow, y, sinceMs }: { readonly arrow: Arrow; readonly y: number; readonly sinceMs: number }) {
  const from = railX(arrow.from);
  const to = railX(arrow.to);
  const tip = to > from ? to - 8 : to + 8;
  return (
    <g>
      <text class="time" x={4} y={y + 4}>
        {(sinceMs / 1_000).toFixed(2)} s
      </text>
      <line class={arrow.isPush ? "arrow push" : "arrow"} x1={from} x2={tip} y1={y} y2={y} />
      <path class="head" d={`M${to},${y} L${tip},${y - 4} L${tip},${y + 4} Z`} />
      <text x={(from + to) / 2} y={y - 5} text-anchor="middle">
        {arrow.label.length > labelCharsMax ? `${arrow.label.slice(0, labelCharsMax - 1)}…` : arrow.label}
      </text>
    </g>
  );
}

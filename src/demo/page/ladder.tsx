import { useEffect, useRef, useState } from "preact/hooks";
import { fitLabel } from "../../page/model/ladder-layout.ts";
import { story, type DemoRail, type StoryLine } from "./story.ts";

const rails: readonly { readonly rail: DemoRail; readonly name: string; readonly shortName: string }[] = [
  { rail: "alice", name: "Alice", shortName: "Alice" },
  { rail: "alice-wakeline", name: "Wakeline", shortName: "Wakeline" },
  { rail: "server", name: "SIP server", shortName: "Server" },
  { rail: "bob-wakeline", name: "Wakeline", shortName: "Wakeline" },
  { rail: "bob", name: "Bob", shortName: "Bob" },
];
const widthPxMin = 280;
const widePxMin = 560;
const headPx = 30;
const rowPx = 26;
const actPx = 34;
const footPx = 16;

interface Placed {
  readonly line: StoryLine;
  readonly y: number;
}

/** Time runs down; a straight arrow is a SIP message, a dashed one a push. The newest is always in sight. */
export function Ladder() {
  const box = useRef<HTMLElement>(null);
  const [{ widthPx, roomPx }, setSize] = useState({ widthPx: widthPxMin, roomPx: 0 });
  const lines = story.value;
  useEffect(() => {
    const root = box.current;
    if (root === null) return undefined;
    const measure = (): void =>
      setSize({ widthPx: Math.max(widthPxMin, root.clientWidth), roomPx: root.clientHeight - headPx - 1 });
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(root);
    return () => resized.disconnect();
  }, []);
  useEffect(() => box.current?.scrollTo({ top: box.current.scrollHeight }), [lines]);

  const isWide = widthPx >= widePxMin;
  // Half of the first and of the last name stands outside its rail.
  const [leftPx, rightPx] = isWide ? [84, 48] : [58, 22];
  const lane = (widthPx - leftPx - rightPx) / (rails.length - 1);
  const xOf = (rail: DemoRail): number => Math.round(leftPx + lane * rails.findIndex((one) => one.rail === rail));
  const { placed, heightPx: linesPx } = place(lines);
  const heightPx = Math.max(linesPx, roomPx);
  const firstMs = lines[0]?.atMs ?? 0;
  const messages = lines.filter(({ kind }) => kind !== "act").length;
  return (
    <section ref={box} class="ladder" aria-label="What goes over the wire" tabIndex={0}>
      <svg class="heads" width={widthPx} height={headPx} aria-hidden="true">
        {rails.map(({ rail, name, shortName }) => (
          <text key={rail} class={rail.includes("wakeline") ? "name ours" : "name"} x={xOf(rail)} y={20}>
            {isWide ? name : shortName}
          </text>
        ))}
      </svg>
      <svg
        width={widthPx}
        height={heightPx}
        role="img"
        aria-label={`${messages} messages so far between the phones, Wakeline and the SIP server`}
      >
        {rails.map(({ rail }) => (
          <line key={rail} class="rail" x1={xOf(rail)} x2={xOf(rail)} y1={0} y2={heightPx} />
        ))}
        {placed.map(({ line, y }, n) =>
          line.kind === "act" ? (
            <g key={n} class="act">
              <rect x={0} y={y - 17} width={widthPx} height={24} rx={4} />
              <text x={8} y={y}>
                {fitLabel(line.text, widthPx - 16)}
              </text>
            </g>
          ) : (
            <Arrow key={n} line={line} y={y} from={xOf(line.from)} to={xOf(line.to)} sinceMs={line.atMs - firstMs} />
          ),
        )}
      </svg>
    </section>
  );
}

function place(lines: readonly StoryLine[]): { readonly placed: readonly Placed[]; readonly heightPx: number } {
  let y = 0;
  const placed = lines.map((line) => {
    y += line.kind === "act" ? actPx : rowPx;
    return { line, y };
  });
  return { placed, heightPx: y + footPx };
}

function Arrow({
  line,
  y,
  from,
  to,
  sinceMs,
}: {
  readonly line: Extract<StoryLine, { readonly label: string }>;
  readonly y: number;
  readonly from: number;
  readonly to: number;
  readonly sinceMs: number;
}) {
  const back = to > from ? -7 : 7;
  return (
    <g class={`arrow ${line.kind}`}>
      <text class="time" x={2} y={y + 3}>
        {(sinceMs / 1_000).toFixed(2)}
      </text>
      <line x1={from} x2={to + back} y1={y} y2={y} />
      <path d={`M${to} ${y}l${back} -4v8z`} />
      <text class="label" x={(from + to) / 2} y={y - 5}>
        {fitLabel(line.label, Math.abs(to - from) - 8)}
      </text>
    </g>
  );
}

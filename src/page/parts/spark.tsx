import { sparkPath } from "../model/spark-path.ts";

const [widthPx, heightPx] = [200, 36];
/** The last ten minutes. */
const pointsMax = 300;

/** A small line of what a figure was, with its newest value and its range in words. */
export function Spark({
  name,
  values,
  text,
}: {
  readonly name: string;
  readonly values: readonly number[];
  readonly text: (value: number) => string;
}) {
  const latest = values.slice(-pointsMax);
  const [low, high] = [Math.min(...latest), Math.max(...latest)];
  return (
    <div class="spark">
      <p>
        <span class="dim">{name}</span> <strong>{text(latest.at(-1) ?? 0)}</strong>
        {latest.length > 1 && (
          <span class="dim">
            {low === high ? "steady" : `${text(low)} to ${text(high)}`} since this page was opened
          </span>
        )}
      </p>
      <svg viewBox={`0 0 ${widthPx} ${heightPx}`} preserveAspectRatio="none" aria-hidden="true">
        <path d={sparkPath(latest, widthPx, heightPx)} />
      </svg>
    </div>
  );
}

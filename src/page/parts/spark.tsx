import { sparkPath } from "../model/spark-path.ts";
import { duration } from "../words/figures.ts";

const [widthPx, heightPx] = [200, 36];

/** A small line of what a figure was in the last hour, with its newest value and its range in words. */
export function Spark({
  name,
  atSec,
  values,
  text,
}: {
  readonly name: string;
  readonly atSec: readonly number[];
  readonly values: readonly number[];
  readonly text: (value: number) => string;
}) {
  const [low, high] = [text(Math.min(...values)), text(Math.max(...values))];
  const spanSec = (atSec.at(-1) ?? 0) - (atSec[0] ?? 0);
  return (
    <div class="spark">
      <p>
        <span class="dim">{name}</span> <strong>{text(values.at(-1) ?? 0)}</strong>
        {values.length > 1 && (
          <span class="dim">
            {low === high ? "steady" : `${low} to ${high}`} in {duration(spanSec)}
          </span>
        )}
      </p>
      <svg viewBox={`0 0 ${widthPx} ${heightPx}`} preserveAspectRatio="none" aria-hidden="true">
        <path d={sparkPath(atSec, low === high ? values.map(() => 0) : values, widthPx, heightPx)} />
      </svg>
    </div>
  );
}

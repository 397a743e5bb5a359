import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { charted, type History } from "../model/history.ts";
import { count } from "../words/figures.ts";
import { stateNames } from "../words/registration.ts";

const timeAxisPx = 30;
/** Shown at least, so that the first minute does not rush by. */
const spanSecMin = 60;
const timeSteps = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600];
/** A figure in the axis: `1,234,567` fits. */
const axisPx = 72;
const narrowAxisPx = 56;
const dashes: Partial<Record<(typeof charted)[number], number[]>> = {
  registering: [6, 4],
  retrying: [2, 3],
  refused: [8, 3, 2, 3],
  unregistering: [1, 4],
};

/** Registrations by state in the last hour, as far as the server runs. The figures of now stand beside it as text. */
export function Chart({ history }: { readonly history: History }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const isDark = useDark();
  const isEmpty = history.atSec.length === 0;

  useEffect(() => {
    const root = place.current;
    if (root === null || isEmpty) return undefined;
    const chart = new uPlot(optionsOf(root), dataOf(history), root);
    plot.current = chart;
    const resized = new ResizeObserver(() => chart.setSize({ width: root.clientWidth, height: root.clientHeight }));
    resized.observe(root);
    return () => {
      resized.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [isEmpty, isDark]);
  useEffect(() => plot.current?.setData(dataOf(history)), [history]);

  return (
    <div class="chart" ref={place} role="img" aria-label="Line chart of registrations by state in the last hour">
      {isEmpty && <p class="empty">The line begins in a moment.</p>}
    </div>
  );
}

/** Whether colours are dark now: a canvas does not follow by itself. */
function useDark(): boolean {
  const [isDark, setDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const follow = (): void => setDark(query.matches);
    query.addEventListener("change", follow);
    return () => query.removeEventListener("change", follow);
  }, []);
  return isDark;
}

function dataOf({ atSec, registrations }: History): uPlot.AlignedData {
  return [[...atSec], ...charted.map((state) => [...registrations[state]])];
}

function optionsOf(root: HTMLElement): uPlot.Options {
  const style = getComputedStyle(root);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const font = `12px ${style.fontFamily}`;
  const axis = { stroke: colour("dim"), font, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
  const isNarrow = root.clientWidth < 480;
  return {
    width: root.clientWidth,
    height: root.clientHeight,
    legend: { show: false },
    cursor: { show: false },
    // Half of the last time of day stands to the right of its tick.
    padding: [8, 30, 0, 0],
    scales: {
      x: { range: (_plot, first, last) => [Math.min(first, last - spanSecMin), last] },
      y: { range: (_plot, _low, high) => [0, roomAbove(high)] },
    },
    axes: [
      {
        ...axis,
        size: timeAxisPx,
        incrs: timeSteps,
        space: isNarrow ? 90 : 80,
        values: [[1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 0]],
      },
      {
        ...axis,
        size: isNarrow ? narrowAxisPx : axisPx,
        incrs: [1, 2, 5]
          .flatMap((step) => Array.from({ length: 7 }, (_, power) => step * 10 ** power))
          .sort((a, b) => a - b),
        values: (_plot, ticks) => ticks.map(count),
      },
    ],
    series: [
      {},
      ...charted.map((state) => ({
        label: stateNames[state],
        stroke: colour(`state-${state}`),
        width: state === "registered" ? 2 : 1.5,
        points: { show: false },
        ...(dashes[state] === undefined ? {} : { dash: dashes[state] }),
      })),
    ],
  };
}

/** Top of the scale: some air above the highest line, and never nothing. */
function roomAbove(high: number | null): number {
  return Math.max(4, Math.ceil((high ?? 0) * 1.1));
}

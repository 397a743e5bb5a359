import { expect } from "bun:test";
import axe from "axe-core";
import type { CDPSession, Page } from "playwright-core";

/** Layout that moves under a reader's eyes: "good" by web.dev's Core Web Vitals. */
const layoutShiftMax = 0.1;

/** An entry of the Layout Instability API. */
interface ShiftEntry {
  readonly startTime: number;
  readonly value: number;
  readonly hadRecentInput: boolean;
  readonly sources: readonly {
    readonly node: Node | null;
    readonly previousRect: DOMRectReadOnly;
    readonly currentRect: DOMRectReadOnly;
  }[];
}

interface Shifts {
  readonly sum: number;
  /** Each in words: when, how far, what. */
  readonly told: readonly string[];
}

/** Counts from now on how far things jump that nobody touched; call it before the page is opened. */
export async function watchLayoutShift(tab: Page): Promise<void> {
  await tab.addInitScript(() => {
    const shifts = { sum: 0, told: [] as string[] };
    Object.assign(globalThis, { layoutShifts: shifts });
    new PerformanceObserver((list) => {
      const entries = list.getEntries() as unknown as readonly ShiftEntry[];
      for (const { startTime, value, hadRecentInput, sources } of entries) {
        if (hadRecentInput) continue;
        shifts.sum += value;
        const moved = sources.map(({ node, previousRect, currentRect }) => {
          const [name, text] = [node?.nodeName ?? "gone", node?.textContent?.slice(0, 40) ?? ""];
          return `${name} "${text}" from ${previousRect.y} to ${currentRect.y}`;
        });
        shifts.told.push(`${Math.round(startTime)} ms: ${value} ${moved.join(", ")}`);
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
}

/** The layout shifts since the page was opened. */
function layoutShifts(tab: Page): Promise<Shifts> {
  return tab.evaluate(() => (globalThis as unknown as { readonly layoutShifts: Shifts }).layoutShifts);
}

/** Serious findings of axe, as `rule: element`. */
export async function findings(tab: Page): Promise<readonly string[]> {
  await tab.evaluate(axe.source);
  const { violations } = await tab.evaluate<axe.AxeResults>("axe.run(document, { resultTypes: ['violations'] })");
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 120)}`));
}

/** Nothing serious for axe, nothing wider than the screen, nothing that jumped. */
export async function expectSound(tab: Page): Promise<void> {
  expect(await findings(tab)).toEqual([]);
  const overhangPx = await tab.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(overhangPx).toBe(0);
  const { sum, told } = await layoutShifts(tab);
  expect(sum, told.join("\n")).toBeLessThan(layoutShiftMax);
}

/** What a page cost until now: CPU of its main thread, and time by the clock since its navigation began. */
export interface PageCost {
  readonly cpuMs: number;
  readonly wallMs: number;
}

/** Begin before the navigation; ask the returned function when the page can be used. */
export async function watchCost(tab: Page): Promise<() => Promise<PageCost>> {
  const devtools: CDPSession = await tab.context().newCDPSession(tab);
  // Time that the thread ran, not time that passed: other work here must not count.
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  return async () => {
    const wallMs = await tab.evaluate(() => performance.now());
    const { metrics } = await devtools.send("Performance.getMetrics");
    const taskSec = metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN;
    return { cpuMs: taskSec * 1_000, wallMs };
  };
}

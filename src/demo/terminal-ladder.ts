import { styleText } from "node:util";
import type { LadderSink, Rail } from "./story.ts";

const rails: readonly Rail[] = ["phone", "wakeline", "registrar", "caller"];
const gap = 26;
const timeWidth = 10;

/** Draws the ladder on a terminal, a line an arrow, with the milliseconds since the start. */
export function terminalLadder(write: (line: string) => void, nowMs: () => number): LadderSink & { head(): void } {
  const startedAtMs = nowMs();
  const time = (): string => `${(nowMs() - startedAtMs).toFixed(1)} ms`.padStart(timeWidth);
  return {
    head() {
      const names = rails.map((rail) => (rail === "wakeline" ? "Wakeline" : rail).padEnd(gap)).join("");
      write(`${" ".repeat(timeWidth)}  ${styleText("bold", names.trimEnd())}`);
    },
    arrow(from, to, label) {
      const a = rails.indexOf(from);
      const b = rails.indexOf(to);
      const left = Math.min(a, b);
      const right = Math.max(a, b);
      let line = "";
      for (let rail = 0; rail < rails.length; rail++) {
        line += "│";
        if (rail === rails.length - 1) break;
        const isOnWay = rail >= left && rail < right;
        if (!isOnWay) line += " ".repeat(gap - 1);
        else if (rail === left) line += shaft(label, (right - left) * gap - 1, a < b);
        if (isOnWay && rail === left) rail = right - 1;
      }
      write(`${styleText("dim", time())}  ${line}`);
    },
    step(text, ok) {
      write(`${styleText("dim", time())}  ${ok ? styleText("green", `✓ ${text}`) : styleText("red", `✗ ${text}`)}`);
    },
  };
}

function shaft(label: string, width: number, toRight: boolean): string {
  const text = ` ${label.slice(0, width - 6)} `;
  const before = Math.floor((width - 1 - text.length) / 2);
  const after = width - 1 - text.length - before;
  const line = `${"─".repeat(before)}${text}${"─".repeat(after)}`;
  return toRight ? `${line}▶` : `◀${line}`;
}

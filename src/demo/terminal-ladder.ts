import { styleText } from "node:util";
import { ladderHead, ladderLine, type Rail } from "../base/ladder.ts";
import type { LadderSink } from "./story.ts";

const rails: readonly Rail[] = [
  { key: "phone", name: "Phone" },
  { key: "wakeline", name: "Wakeline" },
  { key: "registrar", name: "SIP server" },
  { key: "caller", name: "Caller" },
];

/** Draws the ladder on a terminal while it happens, a line an arrow, with the milliseconds since the start. */
export function terminalLadder(write: (line: string) => void, nowMs: () => number): LadderSink & { head(): void } {
  const startedAtMs = nowMs();
  return {
    head: () => write(styleText("bold", ladderHead(rails))),
    arrow: (from, to, label, detail) =>
      write(
        ladderLine(
          rails,
          { atMs: nowMs(), from, to, label, ...(detail === undefined ? {} : { detail }) },
          nowMs() - startedAtMs,
        ),
      ),
    step: (text, ok) => write(ok ? styleText("green", `✓ ${text}`) : styleText("red", `✗ ${text}`)),
  };
}

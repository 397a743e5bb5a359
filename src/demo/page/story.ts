import { signal } from "@preact/signals";

/** A line down the ladder. Wakeline stands between the SIP server and each phone. */
export type DemoRail = "alice" | "alice-wakeline" | "server" | "bob-wakeline" | "bob";

/** What happened, in the order of `atMs` (Unix ms): a message, a push, or something a person did. */
export type StoryLine =
  | {
      readonly kind: "message" | "push";
      readonly atMs: number;
      readonly from: DemoRail;
      readonly to: DemoRail;
      readonly label: string;
    }
  | { readonly kind: "act"; readonly atMs: number; readonly text: string };

const linesMax = 400;

export const story = signal<readonly StoryLine[]>([]);

/** Puts a line where it belongs: what the server tells arrives a little after what the page sees itself. */
export function tellLine(line: StoryLine): void {
  const lines = story.value;
  const after = lines.findLastIndex(({ atMs }) => atMs <= line.atMs);
  story.value = lines.toSpliced(after + 1, 0, line).slice(-linesMax);
}

/** Something a person or a phone does, now. */
export function tellAct(text: string): void {
  tellLine({ kind: "act", atMs: nowMs(), text });
}

/** Unix ms with fractions, as the server's clock has them. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

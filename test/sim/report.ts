import { maskMessage } from "../../src/sip/message/mask.ts";
import { scan, ScanResult } from "../../src/sip/message/scan.ts";
import { SipView } from "../../src/sip/message/view.ts";
import type { Outcome } from "./scenario.ts";

const textCharsMax = 2_000;

/** The rules that a world broke, one example of each kind with its ladder, and how to see it again. */
export function tellOf({ seed, world, calls }: Outcome): string {
  const lines = [`${world.violations.length} rules broken in world ${seed} (${calls} calls)`];
  const told = new Set<string>();
  for (const { atMs, rule, text, callId } of world.violations) {
    const kind = `${rule} ${text.slice(0, 12)}`;
    if (told.has(kind)) continue;
    told.add(kind);
    lines.push(`  ${atMs.toFixed(1)} ${rule}: ${masked(text).slice(0, textCharsMax)} [${callId}]`);
    if (callId !== "") lines.push(world.ladders.of(callId));
  }
  lines.push(`again: bun test/sim/run.ts --seconds 0 --seed ${seed}`);
  return lines.join("\n");
}

/** A message as ladders show it; any other text as it is. */
function masked(text: string): string {
  const view = new SipView();
  const bytes = Buffer.from(text, "latin1");
  return scan(bytes, 0, bytes.length, view) === ScanResult.ok ? maskMessage(view) : text;
}

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
    lines.push(`  ${atMs.toFixed(1)} ${rule}: ${text.slice(0, textCharsMax)} [${callId}]`);
    if (callId !== "") lines.push(world.ladders.of(callId));
  }
  lines.push(`again: bun test/sim/run.ts --seconds 0 --seed ${seed}`);
  return lines.join("\n");
}

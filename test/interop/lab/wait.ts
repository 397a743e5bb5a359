/** How long a step may take before it counts as not happened; the machine of a check run is busy. */
export const stepMsMax = 15_000;
const pollMs = 20;

/** Polls until `holds` gives something other than undefined and false; throws with `what` (and `detail()`) when it takes too long. */
export async function until<T>(
  what: string,
  holds: () => T | undefined | false | Promise<T | undefined | false>,
  { msMax = stepMsMax, detail }: { readonly msMax?: number; readonly detail?: () => string } = {},
): Promise<T> {
  const endMs = performance.now() + msMax;
  for (;;) {
    const found = await holds();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > endMs) {
      throw new Error(`${what}: not within ${msMax / 1_000} s${detail === undefined ? "" : `\n${detail()}`}`);
    }
    await Bun.sleep(pollMs);
  }
}

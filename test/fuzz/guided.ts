import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corpus } from "./mutate.ts";

/** What a guided run came to. */
export type GuidedOutcome =
  | { readonly kind: "fine"; readonly runs: number; readonly kept: number; readonly places: number }
  | { readonly kind: "fault"; readonly runs: number; readonly fault: string; readonly bytes: Uint8Array }
  | { readonly kind: "noNode"; readonly text: string };

/**
 * Fuzzing that learns which messages reach new code: readers, writers and framing are bundled and run on Node, whose inspector tells what was
 * executed (Bun's does not). `subject`: what is fuzzed, another one in tests.
 */
export async function runGuided(
  seconds: number,
  seed: number,
  subject: string = join(import.meta.dir, "check.ts"),
): Promise<GuidedOutcome> {
  const node = Bun.which("node");
  if (node === null) return { kind: "noNode", text: "guided fuzzing needs Node (20 or later) in the PATH" };
  const folder = mkdtempSync(join(tmpdir(), "wakeline-guided-"));
  try {
    const loop = join(folder, "loop.mjs");
    await bundle(join(import.meta.dir, "guided-loop.ts"), loop);
    const fuzzed = join(folder, "subject.mjs");
    await bundle(subject, fuzzed);
    const task = join(folder, "task.json");
    const messages = corpus.map((bytes) => Buffer.from(bytes).toString("base64"));
    writeFileSync(task, JSON.stringify({ subject: fuzzed, seconds, seed, corpus: messages }));
    const child = Bun.spawn([node, loop, task], { stdout: "pipe", stderr: "inherit" });
    const said = JSON.parse(await new Response(child.stdout).text()) as Record<string, unknown>;
    const runs = Number(said["runs"]);
    if (typeof said["fault"] === "string") {
      const bytes = new Uint8Array(Buffer.from(String(said["bytes"]), "base64"));
      return { kind: "fault", runs, fault: said["fault"], bytes };
    }
    return { kind: "fine", runs, kept: Number(said["kept"]), places: Number(said["places"]) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function bundle(entry: string, to: string): Promise<void> {
  const { outputs } = await Bun.build({ entrypoints: [entry], target: "node", format: "esm" });
  const [only] = outputs;
  if (only === undefined) throw new Error(`nothing was built of ${entry}`);
  writeFileSync(to, await only.text());
}

import type { Summary } from "../api/answers.ts";
import { duration } from "./figures.ts";
import type { Tone } from "./registration.ts";

/** How the server is, in a word, and why. */
export interface Readiness {
  readonly tone: Tone;
  readonly text: string;
  readonly why?: string;
}

/** `silentSec`: for how long it has not answered; undefined while it does. */
export function readinessOf(
  known: Pick<Summary, "ready" | "strain"> | undefined,
  isLocked: boolean,
  silentSec: number | undefined,
): Readiness {
  if (isLocked) return { tone: "quiet", text: "Locked" };
  if (silentSec !== undefined) return { tone: "bad", text: "No answer", why: `for ${duration(silentSec)}` };
  if (known === undefined) return { tone: "busy", text: "Asking" };
  const { ready, strain } = known;
  if (!ready.ok) return unready(ready.reasons);
  if (strain === 0) return { tone: "good", text: "Ready" };
  return strain === 1
    ? { tone: "warn", text: "Ready", why: "under strain: new devices and subscriptions are refused" }
    : { tone: "bad", text: "Overloaded", why: "new calls are refused too" };
}

function unready(reasons: readonly string[]): Readiness {
  const others = reasons.filter((reason) => reason !== "draining");
  const isDraining = others.length < reasons.length;
  return {
    tone: isDraining && others.length === 0 ? "warn" : "bad",
    text: isDraining ? "Draining" : "Not ready",
    ...(others.length === 0 ? {} : { why: others.join(", ") }),
  };
}

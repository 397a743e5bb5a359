import type { RegistrarStatus } from "../api/answers.ts";
import type { Tone } from "./registration.ts";

/** From here on so much is lost that calls suffer too. */
const lossMax = 0.2;

/** How a registrar is, in two words; `breaker` says whether Wakeline holds back. */
export function healthOf({
  breaker,
  lossRatio,
  latestStatuses,
}: Pick<RegistrarStatus, "breaker" | "lossRatio" | "latestStatuses">): { readonly tone: Tone; readonly text: string } {
  switch (breaker) {
    case "open":
      return { tone: "bad", text: "Paused" };
    case "halfOpen":
      return { tone: "warn", text: "Probing" };
    case "closed":
      if (latestStatuses.length === 0) return { tone: "warn", text: "No answer yet" };
      return lossRatio >= lossMax ? { tone: "warn", text: "Losing messages" } : { tone: "good", text: "Healthy" };
    default:
      return breaker satisfies never;
  }
}

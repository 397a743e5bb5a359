import type { BrowserPhone, PhoneState } from "./phone.ts";

const steps = [
  "Send Bob to sleep",
  "Call him with Alice's phone",
  "The push wakes his phone: answer",
  "Hang up, and try the other way",
] as const;

/** Which step comes next, by what the two phones do; undefined while none can be done. */
function stepOf(kinds: readonly PhoneState["kind"][]): number | undefined {
  if (kinds.some((kind) => kind === "starting" || kind === "failed")) return undefined;
  if (kinds.includes("talking")) return 3;
  if (kinds.some((kind) => kind === "calling" || kind === "waking" || kind === "ringing")) return 2;
  return kinds.includes("asleep") ? 1 : 0;
}

/** What to do, and how far one is. */
export function Guide({ phones }: { readonly phones: readonly BrowserPhone[] }) {
  const step = stepOf(phones.map(({ state }) => state.value.kind));
  return (
    <ol class="guide" aria-label="What to try">
      {steps.map((text, nth) => (
        <li
          key={text}
          class={step !== undefined && nth < step ? "done" : undefined}
          aria-current={nth === step ? "step" : undefined}
        >
          <span class="number" aria-hidden="true">
            {step !== undefined && nth < step ? "✓" : nth + 1}
          </span>
          {text}
        </li>
      ))}
    </ol>
  );
}

import type { Tone } from "../words/registration.ts";

/** Told by shape too, for who sees no colours. */
const marks: Readonly<Record<Tone, string>> = { good: "●", busy: "◐", warn: "▲", bad: "■", quiet: "○" };

export function Badge({ tone, text }: { readonly tone: Tone; readonly text: string }) {
  return (
    <span class={`badge ${tone}`}>
      <span class="mark" aria-hidden="true">
        {marks[tone]}
      </span>
      {text}
    </span>
  );
}

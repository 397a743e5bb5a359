/** What a check found, in words with what to do. A problem keeps something from working; a note is worth knowing. */
export interface Finding {
  readonly level: "problem" | "note";
  readonly text: string;
}

export function problem(text: string): Finding {
  return { level: "problem", text };
}

export function note(text: string): Finding {
  return { level: "note", text };
}

/** An error's words on one line. */
export function inWords(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return (text.split("\n")[0] ?? "").trim();
}

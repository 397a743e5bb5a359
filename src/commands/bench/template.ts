/** `u%06d` with 42 is `u000042`; `%d` is not padded. A template without `%…d` stands as it is. */
export function expandTemplate(template: string, n: number): string {
  return template.replace(/%(0(\d{1,2}))?d/, (_whole, _padding, width: string | undefined) =>
    String(n).padStart(width === undefined ? 0 : Number(width), "0"),
  );
}

/** Whether different numbers give different texts. */
export function isTemplate(template: string): boolean {
  return /%(0\d{1,2})?d/.test(template);
}

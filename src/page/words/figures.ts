const secOf = { d: 86_400, h: 3_600, min: 60, s: 1 } as const;

/** `1,234`: groups of three, always the same way, so that figures line up. */
export function count(n: number): string {
  return Math.round(n)
    .toString()
    .replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** `40%`, `<1%`; of nothing: `0%`. */
export function share(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) return "0%";
  const percent = (part / whole) * 100;
  return percent < 1 ? "<1%" : `${percent > 99 && percent < 100 ? 99 : Math.round(percent)}%`;
}

/** `3 d 4 h`, `12 min 5 s`, `8 s`: the two largest units. Negative counts as 0. */
export function duration(sec: number): string {
  let rest = Math.max(0, Math.round(sec));
  const parts: string[] = [];
  for (const [unit, size] of Object.entries(secOf)) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0) parts.push(`${n} ${unit}`);
    else if (parts.length > 0) break;
  }
  return parts.length === 0 ? "0 s" : parts.slice(0, 2).join(" ");
}

/** `0.8 ms`, `35 ms`, `1.2 s`, `40 s`. */
export function millis(ms: number): string {
  if (ms < 0.05) return "0 ms";
  if (ms < 10) return `${trim(ms.toFixed(1))} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${trim((ms / 1_000).toFixed(1))} s`;
  return duration(ms / 1_000);
}

/** `512 MB`, `1.4 GB`. */
export function bytes(n: number): string {
  if (n < 1e9) return `${Math.round(n / 1e6)} MB`;
  return `${trim((n / 1e9).toFixed(1))} GB`;
}

/** `200 ×12, 401 ×4`: each answer and how often, the most frequent first; `–` for none. */
export function statusesText(statuses: readonly number[]): string {
  const counts = new Map<number, number>();
  for (const status of statuses) counts.set(status, (counts.get(status) ?? 0) + 1);
  if (counts.size === 0) return "–";
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([status, n]) => `${status} ×${n}`)
    .join(", ");
}

function trim(text: string): string {
  return text.replace(/\.0$/, "");
}

const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** Time of day here, with the day when it is not today. */
export function timeOf(at: string, nowMs: number): string {
  const date = new Date(at);
  const time = clock.format(date);
  return date.toDateString() === new Date(nowMs).toDateString() ? time : `${day.format(date)}, ${time}`;
}

/** `in 5 min`, `5 min ago`, `now`. */
export function fromNow(at: string, nowMs: number): string {
  const sec = (Date.parse(at) - nowMs) / 1_000;
  if (Math.abs(sec) < 1) return "now";
  const [first] = duration(Math.abs(sec)).split(/(?<=\d [a-z]+) /);
  return sec > 0 ? `in ${first}` : `${first} ago`;
}

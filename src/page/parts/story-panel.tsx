import type { AccountDetail, Happening } from "../api/answers.ts";
import { nowMs } from "../state/live.ts";
import { timeOf } from "../words/figures.ts";
import { wordsOf } from "../words/happenings.ts";
import { Badge } from "./badge.tsx";

/** What happened to an account and became known of its registrar since the server started, newest first. */
export function StoryPanel({ detail }: { readonly detail: AccountDetail }) {
  const { deviceList, registrarNews } = detail;
  const ofRegistrar: readonly Happening[] = registrarNews.map((item) => ({ topic: "registrar", ...item }));
  const story = [...detail.story, ...ofRegistrar].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const deviceName = (device: string): string => deviceList.find((one) => one.device === device)?.name ?? "a device";
  return (
    <section class="panel wide" aria-labelledby="happened">
      <h2 id="happened">What happened</h2>
      {story.length === 0 ? (
        <p class="empty">Nothing to tell since the server started: no trouble, no push.</p>
      ) : (
        <ol class="happenings" tabIndex={0} aria-labelledby="happened">
          {story.map((happening, nth) => {
            const { tone, text } = wordsOf(happening, deviceName);
            return (
              <li key={story.length - nth}>
                <time dateTime={happening.at}>{timeOf(happening.at, nowMs.value)}</time>
                <Badge tone={tone} text={text} />
              </li>
            );
          })}
        </ol>
      )}
    </section>
  );
}

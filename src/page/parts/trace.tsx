import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { AccountDetail, Rung } from "../api/answers.ts";
import { ask } from "../api/ask.ts";
import { isLive, nowMs, tracedRung } from "../state/live.ts";
import { duration } from "../words/figures.ts";
import { Ladder } from "./ladder.tsx";

const minutes = 5;
/** What is drawn; the server keeps more. */
const rungsShownMax = 200;
/** Without events, rungs are fetched. */
const pollMs = 3_000;

/** Until when accounts are traced, as far as this page asked for it. */
const tracedUntilMs = signal<Readonly<Record<string, number>>>({});

/** Returns what went wrong in words; undefined when the trace has begun. */
export async function startTrace(account: string): Promise<string | undefined> {
  const asked = await ask<{ readonly until: string }>("POST", "/operator/v1/trace", { account, minutes });
  if (!asked.ok) return `Not traced: ${asked.detail}.`;
  tracedUntilMs.value = { ...tracedUntilMs.value, [account]: Date.parse(asked.value.until) };
  return undefined;
}

/** The live ladder of an account: what was traced already, and each rung as it comes. */
export function Trace({ detail: { id, deviceList } }: { readonly detail: AccountDetail }) {
  const [rungs, setRungs] = useState<readonly Rung[]>([]);
  useEffect(() => {
    let isWanted = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const fetchAll = async (): Promise<void> => {
      const asked = await ask<readonly Rung[]>("GET", `/operator/v1/trace/${encodeURIComponent(id)}`);
      if (isWanted && asked.ok) setRungs(asked.value.slice(-rungsShownMax));
      if (isWanted && !isLive.peek()) timer = setTimeout(() => void fetchAll(), pollMs);
    };
    void fetchAll();
    const stop = tracedRung.subscribe((traced) => {
      if (traced?.account === id) setRungs((before) => [...before, traced.rung].slice(-rungsShownMax));
    });
    return () => {
      isWanted = false;
      clearTimeout(timer);
      stop();
    };
  }, [id, isLive.value]);
  const leftSec = ((tracedUntilMs.value[id] ?? 0) - nowMs.value) / 1_000;
  return (
    <section class="panel" aria-labelledby="trace">
      <h2 id="trace">Trace</h2>
      {leftSec > 0 && <p class="dim">Traced for another {duration(leftSec)}.</p>}
      <Ladder
        rungs={rungs}
        empty={
          leftSec > 0
            ? "Nothing has passed yet. What comes in or goes out for this account shows here at once."
            : "Not traced. “Trace 5 min” shows every message of this account's calls as it passes."
        }
        deviceName={(device, nth) =>
          deviceList.find((one) => one.device === device)?.name ?? (nth === 0 ? "Device" : `Device ${nth + 1}`)
        }
      />
    </section>
  );
}

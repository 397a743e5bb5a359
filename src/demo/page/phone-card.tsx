import { useEffect, useRef, useState } from "preact/hooks";
import type { BrowserPhone, PhoneState } from "./phone.ts";
import { titleOf } from "./settings.ts";
import { nowMs } from "./story.ts";

/** Drawn on the phone's screen; paths for a box of 24 by 24. */
const marks: Readonly<Record<PhoneState["kind"], string>> = {
  starting: "M12 3a9 9 0 1 0 9 9",
  awake: "M7 3h10v18H7zM10.5 18h3",
  asleep: "M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z",
  waking: "M13 2 5 14h6l-1 8 8-12h-6z",
  ringing: "M6 17V11a6 6 0 0 1 12 0v6l2 2H4zM10 21.5h4",
  calling: "M5 4h4l2 5-2.5 1.5a11 11 0 0 0 5 5L15 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 6a2 2 0 0 1 2-2",
  talking: "M4 10v4M8 6v12M12 3v18M16 7v10M20 10v4",
  failed: "M12 4v10M12 18.5v1",
};

interface Words {
  readonly state: string;
  readonly more: string;
}

function wordsOf(state: PhoneState, talkedSec: number): Words {
  switch (state.kind) {
    case "starting":
      return { state: "Starting", more: "Hands its account over to Wakeline." };
    case "awake":
      return { state: "Awake", more: state.news ?? "The app is open, its tunnel too." };
    case "asleep":
      return { state: "Asleep", more: "No socket, no timer. Wakeline is registered in its place." };
    case "waking":
      return { state: "Waking", more: "A push came; it opens the tunnel." };
    case "ringing":
      return {
        state: `${titleOf(state.from)} calls`,
        more: state.wokeMs === undefined ? "It was awake." : `Rings ${millis(state.wokeMs)} after the push.`,
      };
    case "calling":
      return {
        state: `Calling ${titleOf(state.to)}`,
        more: state.isRinging ? "It rings there." : "The INVITE is on its way.",
      };
    case "talking":
      return { state: `Talking ${clock(talkedSec)}`, more: "Sound goes straight from phone to phone." };
    case "failed":
      return { state: "Something went wrong", more: state.why };
    default:
      return state satisfies never;
  }
}

/** One phone: what its screen shows, and what a person can do with it. */
export function PhoneCard({ phone, other }: { readonly phone: BrowserPhone; readonly other: BrowserPhone }) {
  const state = phone.state.value;
  const { value: stream } = phone.remote;
  const audio = useRef<HTMLAudioElement>(null);
  const talkedSec = useSeconds(state.kind === "talking" ? state.sinceMs : undefined);
  useEffect(() => {
    if (audio.current !== null) audio.current.srcObject = stream ?? null;
  }, [stream]);
  const words = wordsOf(state, talkedSec);
  const name = titleOf(phone.user);
  return (
    <section class="phone" data-state={state.kind} aria-label={`${name}'s phone`}>
      <div class="screen">
        <h2>{name}</h2>
        <div class="mark" aria-hidden="true">
          <svg viewBox="0 0 24 24" width="44" height="44">
            <path d={marks[state.kind]} />
          </svg>
        </div>
        <div class="words" aria-live="polite">
          {/* The clock of a call is not read out each second. */}
          <p class="state" aria-live={state.kind === "talking" ? "off" : undefined}>
            {words.state}
          </p>
          <p class="more">{words.more}</p>
        </div>
        <div class="buttons">
          <Buttons phone={phone} other={other} state={state} />
        </div>
      </div>
      <audio ref={audio} autoplay />
    </section>
  );
}

function Buttons({
  phone,
  other,
  state,
}: {
  readonly phone: BrowserPhone;
  readonly other: BrowserPhone;
  readonly state: PhoneState;
}) {
  const otherState = other.state.value.kind;
  // Where the guide begins.
  const isFirst = phone.user === "bob" && otherState === "awake";
  switch (state.kind) {
    case "awake":
      return (
        <>
          <button
            type="button"
            class={otherState === "asleep" ? "main" : undefined}
            disabled={otherState !== "asleep" && otherState !== "awake"}
            onClick={() => phone.call(other.user)}
          >
            Call {titleOf(other.user)}
          </button>
          <button type="button" class={isFirst ? "main" : undefined} onClick={() => phone.sleep()}>
            Send to sleep
          </button>
        </>
      );
    case "asleep":
      return (
        <button type="button" onClick={() => phone.wake()}>
          Open the app
        </button>
      );
    case "ringing":
      return (
        <>
          <button type="button" class="main" onClick={() => phone.answer()}>
            Answer
          </button>
          <button type="button" class="end" onClick={() => phone.hangUp()}>
            Decline
          </button>
        </>
      );
    case "calling":
    case "talking":
      return (
        <button type="button" class="end" onClick={() => phone.hangUp()}>
          Hang up
        </button>
      );
    case "starting":
    case "waking":
    case "failed":
      return null;
    default:
      return state satisfies never;
  }
}

/** Whole seconds since then, counted while shown. */
function useSeconds(sinceMs: number | undefined): number {
  const [sec, setSec] = useState(0);
  useEffect(() => {
    if (sinceMs === undefined) return undefined;
    const count = (): void => setSec(Math.floor((nowMs() - sinceMs) / 1_000));
    count();
    const timer = setInterval(count, 1_000);
    return () => clearInterval(timer);
  }, [sinceMs]);
  return sec;
}

function clock(sec: number): string {
  return `${Math.floor(sec / 60)}:${String(sec % 60).padStart(2, "0")}`;
}

function millis(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

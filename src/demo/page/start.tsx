import { signal } from "@preact/signals";
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { readPush } from "../../../sdk/src/index.ts";
import { Ladder, type Arrow } from "./ladder.tsx";
import { BrowserPhone, type PhoneAccount, type PhoneState } from "./phone.ts";

/** What the demo's server tells the page at its start. */
interface Settings {
  readonly server: string;
  readonly app: string;
  readonly appKey: string;
  readonly accounts: readonly PhoneAccount[];
}

const arrowsMax = 400;
const arrows = signal<readonly Arrow[]>([]);

function addArrow(arrow: Omit<Arrow, "atMs">): void {
  arrows.value = [...arrows.value, { ...arrow, atMs: performance.now() }].slice(-arrowsMax);
}

const words: Readonly<Record<PhoneState["kind"], string>> = {
  starting: "Handing the account over …",
  awake: "Awake, with its tunnel open",
  asleep: "Asleep: no socket, no timer, no battery. Wakeline is registered in its place.",
  waking: "A push came; opening the tunnel …",
  ringing: "Ringing",
  calling: "Calling …",
  talking: "Talking; the sound goes from browser to browser",
  failed: "Something went wrong",
};

function Phone({ phone, other }: { readonly phone: BrowserPhone; readonly other: BrowserPhone }) {
  const state = phone.state.value;
  const audio = useRef<HTMLAudioElement>(null);
  const { value: stream } = phone.remote;
  useEffect(() => {
    if (audio.current !== null) audio.current.srcObject = stream ?? null;
  }, [stream]);
  const name = title(phone.user);
  const isBusy = state.kind === "calling" || state.kind === "talking";
  return (
    <section class="phone" data-asleep={state.kind === "asleep"} data-state={state.kind} aria-label={`${name}'s phone`}>
      <h2>{name}</h2>
      <p class={state.kind === "failed" ? "state fault" : "state"} aria-live="polite">
        {words[state.kind]}
        {state.kind === "ringing" && `: ${title(state.from)} calls`}
        {state.kind === "failed" && `: ${state.why}`}
      </p>
      <div class="buttons">
        {state.kind === "awake" && (
          <>
            <button class="main" onClick={() => phone.call(other.user)}>
              Call {title(other.user)}
            </button>
            <button onClick={() => phone.sleep()}>Send to sleep</button>
          </>
        )}
        {state.kind === "asleep" && <button onClick={() => phone.wake()}>Wake by hand</button>}
        {state.kind === "ringing" && (
          <>
            <button class="main" onClick={() => phone.answer()}>
              Answer
            </button>
            <button onClick={() => phone.hangUp()}>Decline</button>
          </>
        )}
        {isBusy && <button onClick={() => phone.hangUp()}>Hang up</button>}
      </div>
      <audio ref={audio} autoplay />
    </section>
  );
}

function Page({ phones }: { readonly phones: readonly [BrowserPhone, BrowserPhone] }) {
  const [alice, bob] = phones;
  return (
    <main>
      <header>
        <h1>Two phones that sleep</h1>
        <p>
          Each is a stock JsSIP phone in this page. Send one to sleep, call it with the other: the SIP server sends the
          INVITE to Wakeline, Wakeline wakes the phone by a push, the phone opens the tunnel and rings. Here the push
          comes over the page's own channel (a webhook that the page listens to); on real phones it is APNs, FCM or Web
          Push.
        </p>
      </header>
      <div class="phones">
        <Phone phone={alice} other={bob} />
        <Phone phone={bob} other={alice} />
      </div>
      <Ladder arrows={arrows} />
    </main>
  );
}

function title(user: string): string {
  return user.charAt(0).toUpperCase() + user.slice(1);
}

async function start(): Promise<void> {
  const settings = (await (await fetch("/settings.json")).json()) as Settings;
  const [first, second] = settings.accounts.map((account) => new BrowserPhone(account, addArrow));
  if (first === undefined || second === undefined) return;
  const events = new EventSource("/events");
  events.addEventListener("push", ({ data }: MessageEvent<string>) => {
    const { token, payload } = JSON.parse(data) as { token: string; payload: unknown };
    const push = readPush(payload);
    if (push === undefined) return;
    addArrow({ from: "wakeline", to: token, label: `push: ${push.kind}`, isPush: true });
    [first, second].find(({ user }) => user === token)?.onPush(push);
  });
  events.addEventListener("wire", ({ data }: MessageEvent<string>) => {
    const { isFromServer, label } = JSON.parse(data) as { isFromServer: boolean; label: string };
    addArrow({
      from: isFromServer ? "server" : "wakeline",
      to: isFromServer ? "wakeline" : "server",
      label,
      isPush: false,
    });
  });
  const root = document.querySelector("#page");
  if (root !== null) render(<Page phones={[first, second]} />, root);
  await Promise.all([first, second].map((phone) => phone.start(settings.server, settings.app, settings.appKey)));
}

void start();

import { render } from "preact";
import { readPush, type PushPayload } from "../../../sdk/src/index.ts";
import { Guide } from "./guide.tsx";
import { Ladder } from "./ladder.tsx";
import { PhoneCard } from "./phone-card.tsx";
import { BrowserPhone } from "./phone.ts";
import { PushNote } from "./push-note.tsx";
import type { PhoneAccount, Settings } from "./settings.ts";
import { tellLine, type DemoRail } from "./story.ts";
import { listenToServiceWorker, pushRoute, pushThatOpened, settleRoute, useWebPush } from "./web-push.ts";

function Page({
  phones,
  operator,
  onAllow,
}: {
  readonly phones: readonly [BrowserPhone, BrowserPhone];
  readonly operator: string;
  readonly onAllow: () => Promise<void>;
}) {
  const [alice, bob] = phones;
  return (
    <main>
      <header>
        <h1>Every call rings, although the phone sleeps</h1>
        <Guide phones={[bob, alice]} />
      </header>
      <PhoneCard phone={alice} other={bob} />
      <Ladder />
      <PhoneCard phone={bob} other={alice} />
      <footer>
        <PushNote onAllow={onAllow} />
        <p>
          Both phones are stock JsSIP. Wakeline stands between each phone and the SIP server, which is not changed; it
          is drawn twice here, and is one program. No microphone is used: you hear soft notes. The same calls are on{" "}
          <a href={operator} target="_blank" rel="noopener">
            the operator's page
          </a>
          .
        </p>
      </footer>
    </main>
  );
}

/** A message that passed the SIP server, as the demo's registrar saw it. */
interface Wire {
  readonly atMs: number;
  readonly isFromServer: boolean;
  readonly user: string;
  readonly label: string;
}

function listenToServer(onPush: (token: string, payload: PushPayload) => void): void {
  const events = new EventSource("/events");
  events.addEventListener("push", ({ data }: MessageEvent<string>) => {
    const { token, payload } = JSON.parse(data) as { readonly token: string; readonly payload: unknown };
    const push = readPush(payload);
    if (push !== undefined) onPush(token, push);
  });
  events.addEventListener("wire", ({ data }: MessageEvent<string>) => {
    const { atMs, isFromServer, user, label } = JSON.parse(data) as Wire;
    const wakeline: DemoRail = user === "alice" ? "alice-wakeline" : "bob-wakeline";
    const [from, to] = isFromServer ? (["server", wakeline] as const) : ([wakeline, "server"] as const);
    tellLine({ kind: "message", atMs, from, to, label });
  });
}

function accountOf(accounts: readonly PhoneAccount[], user: string): PhoneAccount {
  const found = accounts.find((account) => account.user === user);
  if (found === undefined) throw new Error(`the demo's server has no account ${user}`);
  return found;
}

async function start(): Promise<void> {
  const settings = (await (await fetch("/settings.json")).json()) as Settings;
  const alice = new BrowserPhone("alice", accountOf(settings.accounts, "alice"));
  const bob = new BrowserPhone("bob", accountOf(settings.accounts, "bob"));
  const phones = [alice, bob] as const;
  const opened = pushThatOpened();
  listenToServer((token, payload) => phones.find((phone) => phone.pushToken === token)?.onPush(payload));
  const allow = async (): Promise<void> => {
    const enrolled = phones.flatMap(({ user, pushToken, device }) =>
      device === undefined ? [] : [{ user, pushToken, device }],
    );
    if (settings.vapidPublicKey !== undefined) await useWebPush(settings.vapidPublicKey, enrolled);
  };
  const root = document.querySelector("#page");
  if (root !== null) render(<Page phones={[alice, bob]} operator={settings.operator} onAllow={allow} />, root);
  const [hasWorker] = await Promise.all([
    listenToServiceWorker(["alice", "bob"], ({ push, isOf }) =>
      phones.find(({ user }) => isOf(user))?.onPush(push),
    ).catch((cause: unknown) => {
      const why = `its service worker did not start: ${cause instanceof Error ? cause.message : String(cause)}`;
      pushRoute.value = { kind: "ownChannel", why, mayAsk: false };
      return false;
    }),
    ...phones.map((phone) => phone.start(settings, opened?.isOf(phone.user) === true ? opened.push : undefined)),
  ]);
  if (hasWorker && settleRoute() === "granted") await allow();
}

void start();

import { useEffect, useRef } from "preact/hooks";
import { door } from "../api/ask.ts";
import { route } from "../state/live.ts";
import { AccountView } from "./account-view.tsx";
import { AccountsView } from "./accounts-view.tsx";
import { CallView } from "./call-view.tsx";
import { CallsView } from "./calls-view.tsx";
import { Door } from "./door.tsx";
import { Header } from "./header.tsx";
import { Overview } from "./overview.tsx";

/** The whole page: header, and the view that the address names. */
export function App() {
  const isOpen = door.value === "open" || door.value === "unknown";
  const { view } = route.value;
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  // A new view is a new page to who cannot see it: focus and title move along.
  useEffect(() => {
    const heading = main.current?.querySelector("h1");
    document.title = `${heading?.textContent ?? "Wakeline"} · Wakeline`;
    if (!isFirst.current) {
      heading?.focus();
      scrollTo(0, 0);
    }
    isFirst.current = false;
  }, [view, isOpen]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => skip(event, main.current)}>
        Skip to content
      </a>
      <Header />
      <main id="main" tabIndex={-1} ref={main}>
        {isOpen ? <View /> : <Door />}
      </main>
    </>
  );
}

/** The fragment is the view's: the link must not change it. */
function skip(event: Event, main: HTMLElement | null): void {
  event.preventDefault();
  main?.focus();
}

function View() {
  const shown = route.value;
  switch (shown.view) {
    case "overview":
      return <Overview />;
    case "calls":
      return <CallsView />;
    case "call":
      return <CallView key={shown.call} call={shown.call} />;
    case "accounts":
      return <AccountsView />;
    case "account":
      return <AccountView key={shown.account} account={shown.account} />;
    default:
      return shown satisfies never;
  }
}

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Browser, BrowserContext, Page, Worker } from "playwright-core";
import { startDemoServer } from "../../src/commands/demo-server.ts";
import { openDemoPage, type DemoPage } from "../../src/demo/page-server.ts";
import type { PushPayload } from "../../src/push/types.ts";
import { askAgainSoon, openBrowser } from "../page/browser.ts";
import { expectSound, watchCost, watchLayoutShift } from "../page/sound.ts";
import { claimPorts } from "./lab/claim-ports.ts";
import { stepMsMax, until } from "./lab/wait.ts";

/** CPU of the page's main thread until its buttons work: of the second that a person waits, what does not depend on other work here. */
const startCpuMsMax = 400;

let browser: Browser;
beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser.close());

/** A demo of its own: each browser that opens one adds its two phones. */
let page: DemoPage;
let stop: () => Promise<void> = async () => {};
beforeEach(async () => {
  page = await openDemoPage(0, async (webhookUrl) => {
    const server = await startDemoServer(webhookUrl, await claimPorts());
    stop = () => server.stop();
    return server;
  });
});
afterEach(async () => {
  await page.close();
  await stop();
});

interface Opened {
  readonly tab: Page;
  readonly context: BrowserContext;
  readonly faults: readonly string[];
}

async function openTab(
  options: { readonly width?: number; readonly colorScheme?: "light" | "dark" } = {},
): Promise<Opened> {
  const { width = 1280, colorScheme = "light" } = options;
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const tab = await context.newPage();
  await watchLayoutShift(tab);
  await askAgainSoon(tab);
  tab.setDefaultTimeout(stepMsMax);
  const faults: string[] = [];
  tab.on("pageerror", (cause) => faults.push(cause.message));
  tab.on("console", (message) => {
    if (message.type() === "error") faults.push(message.text());
  });
  tab.on("response", (response) => {
    if (response.status() >= 400) faults.push(`${response.status()} ${response.url()}`);
  });
  return { tab, context, faults };
}

function phoneIn(tab: Page, name: string) {
  return tab.getByRole("region", { name: `${name}'s phone` });
}

/** Sound that arrives: a track is muted until the first packet of it. */
function audibleTracks(tab: Page): Promise<number> {
  return tab.evaluate(
    () =>
      [...document.querySelectorAll("audio")].filter(
        ({ srcObject }) =>
          srcObject instanceof MediaStream &&
          srcObject.getAudioTracks().some((track) => track.readyState === "live" && !track.muted),
      ).length,
  );
}

describe("demo --page, in Chromium", () => {
  test("its buttons work within a second", async () => {
    const { tab, context } = await openTab();
    const cost = await watchCost(tab);
    await tab.goto(page.url);
    await Promise.all(["Alice", "Bob"].map((name) => phoneIn(tab, name).getByText("Send to sleep").waitFor()));
    const { cpuMs, wallMs } = await cost();
    console.log(`demo page: usable after ${Math.round(wallMs)} ms, ${Math.round(cpuMs)} ms of them CPU`);
    expect(cpuMs).toBeLessThan(startCpuMsMax);
    await context.close();
  });

  test.each([
    { width: 1280, colorScheme: "light" },
    { width: 768, colorScheme: "dark" },
    { width: 360, colorScheme: "light" },
  ] as const)("a sleeping browser phone is woken by a call and talks, $width px", async (screen) => {
    const { tab, context, faults } = await openTab(screen);
    await tab.goto(page.url);
    await phoneIn(tab, "Bob").getByRole("button", { name: "Send to sleep" }).waitFor();
    await expectSound(tab);
    await phoneIn(tab, "Bob").getByRole("button", { name: "Send to sleep" }).click();
    await expectSound(tab);
    await phoneIn(tab, "Alice").getByRole("button", { name: "Call Bob" }).click();
    await phoneIn(tab, "Bob").getByRole("button", { name: "Answer" }).waitFor();
    await phoneIn(tab, "Bob")
      .getByText(/Rings \d+ ms after the push/)
      .waitFor();
    await expectSound(tab);
    await phoneIn(tab, "Bob").getByRole("button", { name: "Answer" }).click();
    await phoneIn(tab, "Alice").getByText("Talking").waitFor();
    await phoneIn(tab, "Bob").getByText("Talking").waitFor();
    await expectSound(tab);
    await until("sound arrives at both", async () => (await audibleTracks(tab)) === 2);
    await phoneIn(tab, "Alice").getByRole("button", { name: "Hang up" }).click();
    await phoneIn(tab, "Bob").getByText("The call is over.").waitFor();
    await phoneIn(tab, "Bob").getByRole("button", { name: "Call Alice" }).waitFor();
    await tab.getByText(/^push/).first().waitFor();
    expect(await tab.getByText(/^push/).count()).toBe(1);
    const [operators] = await Promise.all([
      context.waitForEvent("page"),
      tab.getByRole("link", { name: "the operator's page" }).click(),
    ]);
    await operators.getByRole("region", { name: "Latest calls" }).getByText("Ended").first().waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  test("says why pushes come over its own channel, when the browser does not subscribe", async () => {
    const { tab, context } = await openTab();
    await context.grantPermissions(["notifications"], { origin: page.url });
    await tab.goto(page.url);
    await tab.getByRole("status").getByText("this browser did not subscribe").waitFor();
    // The phone is still woken.
    await phoneIn(tab, "Bob").getByRole("button", { name: "Send to sleep" }).click();
    await phoneIn(tab, "Alice").getByRole("button", { name: "Call Bob" }).click();
    await phoneIn(tab, "Bob").getByRole("button", { name: "Decline" }).click();
    await phoneIn(tab, "Alice").getByRole("button", { name: "Call Bob" }).waitFor();
    await context.close();
  });

  test("goes back to its own channel when the browser subscribes and the push service cannot be reached", async () => {
    const { tab, context } = await openTab();
    await context.grantPermissions(["notifications"], { origin: page.url });
    // No push service is here: what a subscription of one looks like, at a host that nobody has.
    await tab.addInitScript(() => {
      const point = new Uint8Array(65);
      crypto.getRandomValues(point);
      point[0] = 4;
      const text = (bytes: Uint8Array) =>
        btoa(String.fromCharCode(...bytes))
          .replaceAll("+", "-")
          .replaceAll("/", "_")
          .replaceAll("=", "");
      const keys = { p256dh: text(point), auth: text(crypto.getRandomValues(new Uint8Array(16))) };
      PushManager.prototype.subscribe = () =>
        Promise.resolve({ endpoint: "https://push.invalid/one", keys } as unknown as PushSubscription);
    });
    await tab.goto(page.url);
    await tab
      .getByRole("status")
      .getByText(/did not subscribe/)
      .waitFor();
    await phoneIn(tab, "Bob").getByRole("button", { name: "Send to sleep" }).click();
    await phoneIn(tab, "Alice").getByRole("button", { name: "Call Bob" }).click();
    await phoneIn(tab, "Bob").getByRole("button", { name: "Answer" }).waitFor();
    await context.close();
  });

  test("a Web Push wakes the phone through the service worker", async () => {
    const { tab, context } = await openTab();
    await context.grantPermissions(["notifications"], { origin: page.url });
    // What the page's own channel would carry is delivered here as a browser's push service does.
    await context.route("**/events", (route) => route.fulfill({ contentType: "text/event-stream", body: "" }));
    const pushes = await pushesFrom(page.url);
    const deliver = await pushDelivery(context, tab);
    await tab.goto(page.url);
    await tab.getByRole("status").getByText("did not subscribe").waitFor();
    await until("Bob's service worker is active", () => tab.evaluate(isWorkerActive));
    const worker = await workerOf(context, "bob");
    await worker.evaluate(watchWorker);
    await phoneIn(tab, "Bob").getByRole("button", { name: "Send to sleep" }).click();
    await phoneIn(tab, "Alice").getByRole("button", { name: "Call Bob" }).click();
    await deliver(await pushes.next("call"));
    await phoneIn(tab, "Bob").getByRole("button", { name: "Answer" }).click();
    await phoneIn(tab, "Alice").getByText("Talking").waitFor();
    // Nobody who looks at the page needs a notification.
    expect((await worker.evaluate(seenByWorker)).shown).toEqual([]);
    await pushes.end();
    await context.close();
  });

  test("with its tab closed, a notification tells of the call, and the page that it opens rings", async () => {
    const bobs = await openTab();
    await bobs.context.grantPermissions(["notifications"], { origin: page.url });
    const deliver = await pushDelivery(bobs.context, await bobs.context.newPage());
    await bobs.tab.goto(page.url);
    await bobs.tab.getByRole("status").getByText("did not subscribe").waitFor();
    await phoneIn(bobs.tab, "Bob").getByRole("button", { name: "Send to sleep" }).click();
    const kept = await bobs.tab.evaluate(keptSubscription);
    await until("Bob's service worker is active", () => bobs.tab.evaluate(isWorkerActive));
    await bobs.tab.close();
    const worker = await workerOf(bobs.context, "bob");
    await worker.evaluate(watchWorker);
    let seen: Awaited<ReturnType<typeof seenByWorker>> = { pages: [], shown: [] };
    const see = async () => (seen = await worker.evaluate(seenByWorker));
    const detail = () => JSON.stringify(seen);
    await until("the worker has no page left", async () => (await see()).pages.length === 0, { detail });

    const alices = await openTab();
    const pushes = await pushesFrom(page.url);
    await alices.tab.goto(page.url);
    await phoneIn(alices.tab, "Alice").getByRole("button", { name: "Call Bob" }).click();
    const push = await pushes.next("call");
    await deliver(push);
    await until("the notification", async () => (await see()).shown.includes("alice@demo.example calls"), { detail });
    const address = await worker.evaluate(clickNote);
    const opened = await bobs.context.newPage();
    await opened.goto(`${page.url}${address}`);
    // With the push's ticket, not by chance; and it is the phone of before.
    await phoneIn(opened, "Bob")
      .getByText(/Rings .* after the push/)
      .waitFor();
    expect(await opened.evaluate(keptSubscription)).toBe(kept);
    await phoneIn(opened, "Bob").getByRole("button", { name: "Answer" }).click();
    await phoneIn(alices.tab, "Alice").getByText("Talking").waitFor();
    expect<string | undefined>(push.subscription).toBe(kept);
    await pushes.end();
    await bobs.context.close();
    await alices.context.close();
  });
});

/** Runs in the page: Bob's subscription, as it is kept. */
function keptSubscription(): string {
  const kept = JSON.parse(localStorage.getItem("wakeline.demo.bob") ?? "{}") as { readonly subscription?: string };
  return kept.subscription ?? "";
}

/** Runs in the page: a push for a worker that is not active yet goes nowhere, and the page waits for Alice's alone. */
async function isWorkerActive(): Promise<boolean> {
  return (await navigator.serviceWorker.getRegistration("/bob/"))?.active?.state === "activated";
}

/** What `watchWorker` leaves in the service worker. */
interface WatchedWorker {
  readonly registration: ServiceWorkerRegistration;
  readonly clients: {
    matchAll(options: object): Promise<readonly { readonly url: string; readonly visibilityState: string }[]>;
  };
  shown?: string[];
}

/**
 * Runs in the service worker: from now on titles of what it shows are kept. To ask for its notifications again and again would not do: Chromium
 * forgets one that it is asked for between noting it and showing it.
 */
function watchWorker(): void {
  const worker = globalThis as unknown as WatchedWorker;
  const { registration } = worker;
  const shown: string[] = (worker.shown = []);
  const show = registration.showNotification.bind(registration);
  registration.showNotification = async (title, options) => {
    await show(title, options);
    shown.push(title);
  };
}

/** Runs in the service worker: the pages that it could tell, and titles of what it has shown. */
async function seenByWorker(): Promise<{ readonly pages: readonly string[]; readonly shown: readonly string[] }> {
  const { clients, shown = [] } = globalThis as unknown as WatchedWorker;
  const pages = await clients.matchAll({ type: "window", includeUncontrolled: true });
  return { pages: pages.map(({ url, visibilityState }) => `${url} ${visibilityState}`), shown };
}

/** Runs in the service worker: a click on what it shows. Headless, no person can; what it would open is returned. */
async function clickNote(): Promise<string> {
  const worker = globalThis as unknown as {
    readonly registration: ServiceWorkerRegistration;
    readonly clients: { openWindow(url: string): Promise<null> };
    readonly NotificationEvent: new (type: string, init: { readonly notification: Notification }) => Event;
  };
  const [notification] = await worker.registration.getNotifications();
  if (notification === undefined) throw new Error("nothing is shown");
  return new Promise((resolve) => {
    worker.clients.openWindow = (url) => {
      resolve(url);
      return Promise.resolve(null);
    };
    globalThis.dispatchEvent(new worker.NotificationEvent("notificationclick", { notification }));
  });
}

/** The running worker of a phone, once it runs: both run the same file. */
function workerOf(context: BrowserContext, user: string): Promise<Worker> {
  return until(`a service worker runs for ${user}`, async () => {
    for (const worker of context.serviceWorkers()) {
      const scope = await worker.evaluate(
        () => (globalThis as unknown as { readonly registration: ServiceWorkerRegistration }).registration.scope,
      );
      if (new URL(scope).pathname === `/${user}/`) return worker;
    }
    return undefined;
  });
}

/** The pushes for Bob that the demo's server hands to its pages, each taken once. */
async function pushesFrom(url: string): Promise<{ next(kind: string): Promise<PushPayload>; end(): Promise<void> }> {
  const channel = await fetch(`${url}/events`);
  const reader = (channel.body ?? new ReadableStream<Uint8Array>()).getReader();
  const decoder = new TextDecoder();
  let rest = "";
  return {
    async next(kind) {
      for (;;) {
        const event = /event: push\ndata: (.*)\n\n/.exec(rest);
        if (event === null) {
          const { done, value } = await reader.read();
          if (done) throw new Error("the channel has ended");
          rest += decoder.decode(value, { stream: true });
          continue;
        }
        rest = rest.slice(event.index + event[0].length);
        const { payload } = JSON.parse(event[1] ?? "") as { readonly payload: PushPayload };
        if (payload.kind === kind) return payload;
      }
    },
    end: () => reader.cancel(),
  };
}

/** Gives Bob's service worker a push as the browser would after decrypting it (RFC 8291). */
async function pushDelivery(context: BrowserContext, tab: Page): Promise<(payload: PushPayload) => Promise<void>> {
  const devtools = await context.newCDPSession(tab);
  const registrations = new Map<string, string>();
  devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations: updated }) => {
    for (const { registrationId, scopeURL } of updated) registrations.set(new URL(scopeURL).pathname, registrationId);
  });
  await devtools.send("ServiceWorker.enable");
  return async (payload) => {
    const registrationId = await until("Bob's service worker is registered", () => registrations.get("/bob/"));
    const data = JSON.stringify(payload);
    await devtools.send("ServiceWorker.deliverPushMessage", { origin: page.url, registrationId, data });
  };
}

import { chromium, type Browser, type Page } from "playwright-core";

/** Debian's Chromium, that asks nobody anything by itself. `flags`: further ones of its command line. */
export function openBrowser(...flags: readonly string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...flags,
    ],
  });
}

const askAgainMs = 50;

/**
 * For phones in a page whose server runs in the test's own process: what holds the test up makes the server refuse who comes new for up to half
 * a minute, so it is asked again sooner than it says.
 */
export async function askAgainSoon(tab: Page): Promise<void> {
  await tab.route(/\/v1\/(?:devices|subscriptions)$/, async (route) => {
    for (;;) {
      const response = await route.fetch();
      if (response.status() !== 503) return route.fulfill({ response });
      await Bun.sleep(askAgainMs);
    }
  });
}

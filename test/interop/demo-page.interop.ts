import { expect, test } from "bun:test";
import { chromium } from "playwright-core";
import { startDemoServer } from "../../src/commands/demo-server.ts";
import { openDemoPage } from "../../src/demo/page-server.ts";

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
];

test("demo --page: a sleeping browser phone is woken by a call and talks, in Chromium", async () => {
  let stop: () => Promise<void> = async () => {};
  const page = await openDemoPage(0, async (webhookUrl) => {
    const server = await startDemoServer(webhookUrl);
    stop = () => server.stop();
    return server;
  });
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: flags });
  try {
    const tab = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const faults: string[] = [];
    tab.on("pageerror", (cause) => faults.push(cause.message));
    tab.on("console", (message) => {
      if (message.type() === "error") faults.push(message.text());
    });
    await tab.goto(page.url);
    const phone = (name: string) => tab.getByRole("region", { name: `${name}'s phone` });
    await phone("Bob").getByRole("button", { name: "Send to sleep" }).click();
    await phone("Alice").getByRole("button", { name: "Call Bob" }).click();
    await phone("Bob").getByRole("button", { name: "Answer" }).click();
    await phone("Alice").getByText("Talking").waitFor();
    await phone("Bob").getByText("Talking").waitFor();
    // Sound flows between the browsers: the far end's stream has a live track.
    const live = () =>
      tab.evaluate(() =>
        [...document.querySelectorAll("audio")].map(({ srcObject }) =>
          srcObject instanceof MediaStream
            ? srcObject.getAudioTracks().filter((track) => track.readyState === "live").length
            : 0,
        ),
      );
    expect(await live()).toEqual([1, 1]);
    await phone("Alice").getByRole("button", { name: "Hang up" }).click();
    await phone("Bob").getByRole("button", { name: "Call Alice" }).waitFor();
    expect(await tab.getByText("push: call").count()).toBe(1);
    expect(faults).toEqual([]);
  } finally {
    await browser.close();
    await page.close();
    await stop();
  }
}, 60_000);

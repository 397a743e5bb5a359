import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { openBrowser } from "../page/browser.ts";
import { expectSound, findings, watchCost, watchLayoutShift } from "../page/sound.ts";
import { openStage, type Stage } from "../page/stage.ts";
import { stepMsMax, until } from "./lab/wait.ts";
import { binaryUnderTest } from "./lab/wakeline.ts";

const token = "operator-token-of-the-page-test";
/** CPU of the page's main thread until it can be used: of the second that a person waits, what does not depend on other work here. */
const startCpuMsMax = 400;
/** Layout Instability API: for half a second after an input a shift has `hadRecentInput`. */
const noInputMs = 600;
const screens = [
  { width: 1440, height: 900, colorScheme: "light" },
  { width: 1440, height: 900, colorScheme: "dark" },
  { width: 768, height: 1024, colorScheme: "light" },
  { width: 360, height: 740, colorScheme: "light" },
  { width: 360, height: 740, colorScheme: "dark" },
] as const;

let browser: Browser;
beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser.close());

/** A tab that remembers what went wrong in it: errors, refusals of the content policy, requests to other hosts. */
async function openTab(
  { operatorUrl }: Stage,
  { width, height, colorScheme }: (typeof screens)[number] = screens[0],
): Promise<{ readonly tab: Page; readonly faults: readonly string[] }> {
  const tab = await browser.newPage({ viewport: { width, height }, colorScheme });
  await watchLayoutShift(tab);
  tab.setDefaultTimeout(stepMsMax);
  const faults: string[] = [];
  tab.on("pageerror", (cause) => faults.push(cause.message));
  tab.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") faults.push(message.text());
  });
  tab.on("request", (request) => {
    if (!request.url().startsWith(`${operatorUrl}/`)) faults.push(`asked ${request.url()}`);
  });
  return { tab, faults };
}

describe("the operator's page in Chromium", () => {
  let stage: Stage;
  let hangUp: () => Promise<void>;
  beforeAll(async () => {
    stage = await openStage([binaryUnderTest()]);
    await stage.refusedAccount("carol");
    await stage.silentAccount("dave");
    await stage.cancelledCall();
    await (
      await stage.answeredCall()
    )();
    hangUp = await stage.answeredCall();
  }, 60_000);
  afterAll(() => stage.stop());

  test("shows its figures, and its buttons work, within a second", async () => {
    const { tab } = await openTab(stage);
    const cost = await watchCost(tab);
    await tab.goto(stage.operatorUrl);
    await tab.getByRole("region", { name: "Registrations" }).locator("canvas").waitFor();
    await tab.getByRole("region", { name: "Registrars" }).getByRole("row").nth(2).waitFor();
    await tab.getByRole("button", { name: "Drain…" }).click({ trial: true });
    const { cpuMs, wallMs } = await cost();
    console.log(`operator page: usable after ${Math.round(wallMs)} ms, ${Math.round(cpuMs)} ms of them CPU`);
    expect(cpuMs).toBeLessThan(startCpuMsMax);
    await tab.close();
  });

  test.each(screens)("every panel has its data, $width px, $colorScheme", async (screen) => {
    const { tab, faults } = await openTab(stage, screen);
    await tab.goto(stage.operatorUrl);
    const panel = (name: string) => tab.getByRole("region", { name, exact: true });
    await tab
      .getByRole("banner")
      .getByText(/^\W*Ready$/)
      .waitFor();
    await tab.getByRole("banner").getByText("live").waitFor();
    await panel("Registrations").locator("canvas").waitFor();
    await panel("Registrars").getByRole("row").nth(2).waitFor();
    await panel("Waking phones")
      .getByRole("row", { name: /Answered.*2/ })
      .waitFor();
    await panel("Waking phones")
      .getByRole("row", { name: /Ringing.*2.*ms/ })
      .waitFor();
    await panel("Waking phones").getByText("By webhook").waitFor();
    await panel("Registrars")
      .getByText(/401 ×3, 200 ×1/)
      .waitFor();
    await panel("Latest calls").getByText("Cancelled").waitFor();
    await panel("Accounts in trouble").getByText("carol@stage.example").waitFor();
    await panel("Shards and memory").getByRole("rowheader", { name: "Shard 1" }).waitFor();
    await panel("Calls since the start").getByText("Cancelled by the caller").waitFor();
    await expectSound(tab);

    await tab.getByRole("link", { name: "All calls" }).click();
    await panel("Running")
      .getByText(/^\W*Answered$/)
      .waitFor();
    await expectSound(tab);
    await panel("Recent").getByRole("link").first().click();
    await tab.getByRole("heading", { level: 1, name: "Call from bob@stage.example" }).waitFor();
    await tab.getByRole("button", { name: /^ACK, Wakeline to device/ }).waitFor();
    await expectSound(tab);

    await tab.getByRole("link", { name: "Accounts", exact: true }).click();
    await tab.getByRole("searchbox").fill("car");
    await tab.getByText("1 shown.").waitFor();
    await tab.getByRole("link", { name: "carol@stage.example" }).click();
    await tab.getByText("What to do:").waitFor();
    await panel("Devices").getByText("Phone of carol").waitFor();
    await panel("What happened")
      .getByText(/Refused at .*: 401 Unauthorized/)
      .waitFor();
    await panel("What happened")
      .getByText("Push to Phone of carol (the registrar refuses): taken by webhook.")
      .waitFor();
    await expectSound(tab);
    expect(faults).toEqual([]);
    await tab.close();
  });

  test("a message opens by keyboard, masked; focus follows to each view", async () => {
    const { tab, faults } = await openTab(stage);
    await tab.goto(`${stage.operatorUrl}/#/calls`);
    await tab.getByRole("region", { name: "Running" }).getByRole("link").click();
    await tab.getByRole("button", { name: /^INVITE, server to Wakeline/ }).waitFor();
    await tab.locator("h1:focus").waitFor();
    await tab.getByRole("button", { name: /^INVITE, server to Wakeline/ }).focus();
    await tab.keyboard.press("Enter");
    const text = tab.getByLabel("Text of the message");
    await text.filter({ hasText: /^INVITE sip:/ }).waitFor();
    expect(await text.textContent()).not.toContain("m=audio");
    await tab.keyboard.press("ArrowDown");
    await tab.keyboard.press(" ");
    await text.filter({ hasText: /^SIP\/2\.0 100/ }).waitFor();
    await expectSound(tab);
    expect(faults).toEqual([]);
    await tab.close();
  });

  test("nothing of a call jumps when its account's name comes late", async () => {
    const { tab, faults } = await openTab(stage, screens[2]);
    await tab.route("**/operator/v1/accounts/*", async (route) => {
      // What moves sooner after a click counts as the click's doing.
      await Bun.sleep(noInputMs);
      await route.continue();
    });
    await tab.goto(`${stage.operatorUrl}/#/calls`);
    await tab.getByRole("region", { name: "Recent" }).getByRole("link").first().click();
    await tab.getByRole("link", { name: "alice@stage.example" }).waitFor();
    await expectSound(tab);
    expect(faults).toEqual([]);
    await tab.close();
  });

  test("a call shows by itself; without events too, after some seconds", async () => {
    const { tab: live } = await openTab(stage);
    const { tab: polling } = await openTab(stage);
    await polling.route("**/operator/v1/events*", (route) => route.abort());
    await Promise.all([live, polling].map((tab) => tab.goto(`${stage.operatorUrl}/#/calls`)));
    await live.getByText("live").waitFor();
    await polling.getByText("polled").waitFor();
    for (const tab of [live, polling]) await tab.getByRole("region", { name: "Running" }).getByRole("link").waitFor();
    await hangUp();
    for (const tab of [live, polling]) await tab.getByText("No call runs now.").waitFor();
    await stage.cancelledCall();
    for (const tab of [live, polling]) {
      await tab.getByRole("region", { name: "Recent" }).getByText("Cancelled").nth(1).waitFor();
      await tab.close();
    }
  });

  test("a page opened now shows what was before it", async () => {
    const { tab } = await openTab(stage);
    await tab.goto(stage.operatorUrl);
    const memory = tab.getByRole("region", { name: "Shards and memory" }).getByText(/(?:steady|MB) in /);
    // The server notes its figures every ten seconds; what a page that is just open has seen itself spans less than three.
    await until(
      "the page knows more than it has seen",
      async () => {
        await tab.reload();
        const span = /in (?:(\d+) min)? ?(?:(\d+) s)?$/.exec((await memory.textContent()) ?? "");
        return Number(span?.[1] ?? 0) * 60 + Number(span?.[2] ?? 0) >= 8;
      },
      { msMax: 2 * stepMsMax },
    );
    await tab.close();
  });

  test("more calls are shown when they are asked for, and not without end", async () => {
    const { tab } = await openTab(stage);
    const asked: number[] = [];
    await tab.route("**/operator/v1/calls?*", async (route) => {
      const limit = Number(new URL(route.request().url()).searchParams.get("limit"));
      asked.push(limit);
      const line = {
        callId: "c",
        account: "a",
        direction: "inbound",
        from: { uri: "sip:x@y" },
        state: "ended",
        devices: [],
      };
      const at = new Date().toISOString();
      const json = Array.from({ length: limit }, (_, n) => ({ ...line, call: `c${n}`, startedAt: at, endedAt: at }));
      await route.fulfill({ json });
    });
    await tab.goto(`${stage.operatorUrl}/#/calls`);
    const rows = tab.getByRole("region", { name: "Recent" }).getByRole("rowheader");
    const more = tab.getByRole("button", { name: "Show more" });
    for (const shown of [50, 150, 250, 350, 450]) {
      await rows.nth(shown - 1).waitFor();
      expect(await rows.count()).toBe(shown);
      await more.click();
    }
    await rows.nth(499).waitFor();
    expect(await more.count()).toBe(0);
    expect(Math.max(...asked)).toBe(500);
    await tab.close();
  });

  test("accounts in trouble are a list of their own", async () => {
    const { tab, faults } = await openTab(stage);
    await tab.goto(`${stage.operatorUrl}/#/accounts`);
    await tab.getByRole("link", { name: "alice@stage.example" }).waitFor();
    await tab.getByLabel("In trouble").check();
    await tab.getByRole("link", { name: "carol@stage.example" }).waitFor();
    expect(await tab.getByRole("link", { name: "alice@stage.example" }).count()).toBe(0);
    await expectSound(tab);
    // Who types searches among all.
    await tab.getByRole("searchbox").fill("@STAGE");
    await tab.getByRole("link", { name: "alice@stage.example" }).waitFor();
    expect(await tab.getByLabel("All").isChecked()).toBe(true);
    await tab.getByRole("searchbox").fill("lice");
    await tab.getByText("No account begins with “lice”.").waitFor();
    expect(faults).toEqual([]);
    await tab.close();
  });

  test("an account's trace fills as its messages pass; retry and remove do what they say", async () => {
    const { tab, faults } = await openTab(stage);
    await tab.goto(`${stage.operatorUrl}/#/accounts`);
    await tab.getByRole("link", { name: "alice@stage.example" }).click();
    await tab.getByText("Registered in the phone's place").waitFor();
    await tab.getByRole("button", { name: "Trace 5 min" }).click();
    await tab.getByText("Traced for another").waitFor();
    await stage.cancelledCall();
    await tab.getByRole("button", { name: /^CANCEL, server to Wakeline/ }).waitFor();
    await expectSound(tab);

    await tab.goto(`${stage.operatorUrl}/#/accounts`);
    await tab.getByRole("link", { name: "dave@stage.example" }).click();
    await tab.getByRole("button", { name: "Retry now" }).click();
    await tab.getByText("It is tried now").waitFor();
    await tab.getByRole("button", { name: "Remove…" }).click();
    const dialog = tab.getByRole("dialog", { name: "Remove dave@stage.example?" });
    await dialog.waitFor();
    await expectSound(tab);
    await tab.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    expect(await tab.evaluate(() => document.activeElement?.textContent)).toBe("Remove…");
    await tab.getByRole("button", { name: "Remove…" }).click();
    await tab.getByRole("button", { name: "Remove", exact: true }).click();
    await tab.getByRole("heading", { level: 1, name: "Accounts" }).waitFor();
    await tab.getByText("2 of 2 shown.").waitFor();
    expect(await tab.getByText("dave@stage.example").count()).toBe(0);
    expect(faults).toEqual([]);
    await tab.close();
  });
});

describe("the operator's page of a server that was started again, in Chromium", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage([binaryUnderTest()]);
    await stage.refusedAccount("carol");
  }, 60_000);
  afterAll(() => stage.stop());

  test("who was refused before is still listed; the page goes on by itself and keeps what it has seen", async () => {
    const { tab } = await openTab(stage);
    await tab.goto(stage.operatorUrl);
    const troubles = tab.getByRole("region", { name: "Accounts in trouble" });
    await troubles.getByText("carol@stage.example").waitFor();
    await stage.restart();
    await tab.getByRole("banner").getByText("live").waitFor();
    const { tab: fresh } = await openTab(stage);
    await fresh.goto(stage.operatorUrl);
    await fresh.getByRole("region", { name: "Accounts in trouble" }).getByText("carol@stage.example").waitFor();
    // The hour before is the server's to tell: one point is enough for a line.
    await fresh.getByRole("region", { name: "Registrations" }).locator("canvas").waitFor();
    await fresh.close();
    await tab.close();
  });
});

describe("the operator's page of a server with a token, in Chromium", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage([binaryUnderTest()], token);
  }, 60_000);
  afterAll(() => stage.stop());

  test("asks for it, says when it is wrong, keeps it in the tab; empty panels have words", async () => {
    const { tab, faults } = await openTab(stage);
    await tab.goto(stage.operatorUrl);
    const field = tab.getByLabel("Operator token");
    await field.waitFor();
    expect(await findings(tab)).toEqual([]);
    await field.fill("wrong");
    await tab.keyboard.press("Enter");
    await tab.getByRole("alert").getByText("does not take that token").waitFor();
    await field.fill(token);
    await tab.keyboard.press("Enter");
    await tab.getByText("No phone was woken yet.").waitFor();
    await tab.getByText("No call yet.").waitFor();
    await tab.getByText("No account is refused or has to retry.").waitFor();
    expect(await findings(tab)).toEqual([]);
    await tab.reload();
    await tab.getByRole("banner").getByText("live").waitFor();
    expect(await tab.evaluate(() => localStorage.length + document.cookie.length)).toBe(0);
    // Chromium itself reports each 401; nothing else may stand there.
    expect(faults.filter((fault) => !fault.includes("401 (Unauthorized)"))).toEqual([]);
    await tab.close();
  });

  test("drains after a question, and says so when the server is gone", async () => {
    const { tab } = await openTab(stage);
    await tab.goto(stage.operatorUrl);
    await tab.getByLabel("Operator token").fill(token);
    await tab.keyboard.press("Enter");
    await tab.getByRole("button", { name: "Drain…" }).click();
    await tab.getByRole("dialog").getByRole("button", { name: "Keep it" }).click();
    await tab
      .getByRole("banner")
      .getByText(/^\W*Ready$/)
      .waitFor();
    await tab.getByRole("button", { name: "Drain…" }).click();
    await tab.getByRole("dialog").getByRole("button", { name: "Drain", exact: true }).click();
    await tab.getByRole("banner").getByText("No answer").waitFor();
    await tab.close();
  });
});

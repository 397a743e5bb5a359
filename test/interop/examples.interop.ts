import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import { domain, openWorld, type World } from "../sdk/world.ts";
import { stepMsMax } from "./lab/wait.ts";

const root = join(import.meta.dir, "../..");

let browser: Browser;
let world: World;
beforeAll(async () => {
  browser = await chromium.launch({
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
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream",
    ],
  });
  world = await openWorld();
}, 60_000);
afterAll(async () => {
  await browser.close();
  await world.close();
});

/** Serves an example as its reader does. */
async function serve(example: string): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const child = Bun.spawn([process.execPath, `examples/${example}/index.html`, "--port=0"], {
    cwd: root,
    env: { ...process.env, NO_COLOR: "1" },
    stdout: "pipe",
  });
  let said = "";
  for await (const chunk of child.stdout) {
    said += Buffer.from(chunk).toString();
    const url = /http:\/\/\S+/.exec(said)?.[0];
    if (url !== undefined) {
      return {
        url,
        async stop() {
          child.kill();
          await child.exited;
        },
      };
    }
  }
  throw new Error(`the example was not served: ${said}`);
}

async function openPhone(url: string, username: string): Promise<{ readonly tab: Page; readonly faults: string[] }> {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(stepMsMax);
  const faults: string[] = [];
  tab.on("pageerror", (cause) => faults.push(cause.message));
  await tab.goto(url);
  const fields = {
    Wakeline: world.server,
    App: world.app,
    "Enrolment key": world.appKey,
    "SIP user": username,
    "SIP domain": domain,
    "SIP password": world.passwords.get(username) ?? "",
    "SIP proxy": `127.0.0.1:${world.registrar.port}`,
  };
  for (const [label, value] of Object.entries(fields)) await tab.getByLabel(label).fill(value);
  await tab.getByRole("button", { name: "Start" }).click();
  await shows(tab, "ready");
  return { tab, faults };
}

function shows(tab: Page, text: string): Promise<void> {
  return tab.getByRole("status").getByText(text).waitFor();
}

describe("examples in Chromium", () => {
  test("browser-jssip and browser-sipjs call each other, both ways, with sound", async () => {
    const [jsSip, sipJs] = await Promise.all([serve("browser-jssip"), serve("browser-sipjs")]);
    try {
      const alice = await openPhone(jsSip.url, "alice");
      const bob = await openPhone(sipJs.url, "bob");
      for (const [caller, callee, name, target] of [
        [alice, bob, "alice", `sip:bob@${domain}`],
        [bob, alice, "bob", `sip:alice@${domain}`],
      ] as const) {
        await caller.tab.getByLabel("Call whom").fill(target);
        await caller.tab.getByRole("button", { name: "Call" }).click();
        await shows(callee.tab, `${name} calls`);
        await callee.tab.getByRole("button", { name: "Answer" }).click();
        for (const { tab } of [caller, callee]) {
          await shows(tab, "talking");
          await tab.waitForFunction(() => {
            const { srcObject } = document.querySelector("audio") ?? {};
            const tracks = srcObject instanceof MediaStream ? srcObject.getAudioTracks() : [];
            return tracks.some((track) => track.readyState === "live" && !track.muted);
          });
        }
        await callee.tab.getByRole("button", { name: "Hang up" }).click();
        for (const { tab } of [caller, callee]) await shows(tab, "ready");
      }
      expect([alice.faults, bob.faults]).toEqual([[], []]);
    } finally {
      await Promise.all([jsSip.stop(), sipJs.stop()]);
    }
  }, 60_000);
});

describe("the documentation page of a server, in Chromium", () => {
  test("shows every call with an example, and asks nobody else for anything", async () => {
    const tab = await browser.newPage();
    tab.setDefaultTimeout(stepMsMax);
    const faults: string[] = [];
    tab.on("pageerror", (cause) => faults.push(cause.message));
    tab.on("console", (message) => {
      if (message.type() === "error") faults.push(message.text());
    });
    tab.on("request", (request) => {
      if (!request.url().startsWith("data:") && !request.url().startsWith(`${world.server}/`))
        faults.push(request.url());
    });
    await tab.goto(`${world.server}/docs`);
    await tab.getByText("Keep an account reachable").click();
    await tab.getByText('"sip.example.net"').first().waitFor();
    const { paths } = (await (await fetch(`${world.server}/openapi.json`)).json()) as { readonly paths: object };
    const calls = Object.values(paths).flatMap((methods: object) => Object.keys(methods)).length;
    expect(await tab.locator(".opblock-summary-path").count()).toBe(calls);
    expect(faults).toEqual([]);
    await tab.close();
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Browser, Page, WebSocketRoute } from "playwright-core";
import { openBrowser } from "../page/browser.ts";
import { domain, openWorld, type World } from "../sdk/world.ts";
import { stepMsMax, until } from "./lab/wait.ts";

const root = join(import.meta.dir, "../..");

let browser: Browser;
let world: World;
beforeAll(async () => {
  browser = await openBrowser("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream");
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

interface OpenPhone {
  readonly tab: Page;
  readonly faults: string[];
  /** What has crossed its tunnel: first lines, from the phone. */
  readonly sent: string[];
  /** The tunnel dies, as when the phone leaves the Wi-Fi; resolves when the phone has opened another. */
  cut(): Promise<void>;
}

async function openPhone(url: string, username: string): Promise<OpenPhone> {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(stepMsMax);
  const sent: string[] = [];
  let tunnel: WebSocketRoute | undefined;
  let tunnels = 0;
  await tab.routeWebSocket(/\/v1\/tunnel/, (route) => {
    tunnel = route;
    tunnels++;
    const server = route.connectToServer();
    route.onMessage((message) => {
      sent.push(String(message).split("\r\n")[0] ?? "");
      server.send(message);
    });
  });
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
  return {
    tab,
    faults,
    sent,
    async cut() {
      const before = tunnels;
      await tunnel?.close({ code: 4999 });
      await until("the tunnel is opened again", () => tunnels > before);
    },
  };
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
        // From Wi-Fi to mobile and back: each phone's tunnel comes again, and its media finds the new way.
        for (const phone of [caller, callee]) {
          const before = phone.sent.filter((line) => line.startsWith("INVITE")).length;
          await phone.cut();
          await shows(phone.tab, "talking");
          await until("an offer for the new network", () => {
            return phone.sent.filter((line) => line.startsWith("INVITE")).length > before;
          });
          await until("its ACK", () => phone.sent.at(-1)?.startsWith("ACK") === true);
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

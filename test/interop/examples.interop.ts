import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Browser, Page, WebSocketRoute } from "playwright-core";
import { askAgainSoon, openBrowser } from "../page/browser.ts";
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
  readonly username: string;
  readonly tab: Page;
  readonly faults: string[];
  /** What has crossed its tunnels: `> INVITE 2` from the phone, `< 200 2 INVITE` to it. */
  readonly passed: string[];
  /** The tunnel dies, as when the phone leaves the Wi-Fi; resolves when the phone has opened another. */
  cut(): Promise<void>;
}

/** `INVITE 2`, `200 2 INVITE`; a keep-alive is empty. */
function gistOf(frame: string | Buffer): string {
  const text = String(frame);
  const [number = "", method = ""] = (/^CSeq: *(.*)$/im.exec(text)?.[1] ?? "").trim().split(/ +/);
  const status = /^SIP\/2\.0 (\d+)/.exec(text)?.[1];
  return status === undefined ? `${method} ${number}`.trim() : `${status} ${number} ${method}`;
}

async function openPhone(url: string, username: string): Promise<OpenPhone> {
  const tab = await browser.newPage();
  await askAgainSoon(tab);
  tab.setDefaultTimeout(stepMsMax);
  const passed: string[] = [];
  let tunnel: WebSocketRoute | undefined;
  let tunnels = 0;
  await tab.routeWebSocket(/\/v1\/tunnel/, (route) => {
    tunnel = route;
    tunnels++;
    passed.push(`tunnel ${tunnels}`);
    const server = route.connectToServer();
    route.onMessage((message) => {
      passed.push(`> ${gistOf(message)}`);
      server.send(message);
    });
    server.onMessage((message) => {
      passed.push(`< ${gistOf(message)}`);
      route.send(message);
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
  return {
    username,
    tab,
    faults,
    passed,
    async cut() {
      const before = tunnels;
      await tunnel?.close({ code: 4999 });
      await until("the tunnel is opened again", () => tunnels > before);
    },
  };
}

/** For the reader of a failure. */
async function storyOf({ username, tab, faults, passed }: OpenPhone): Promise<string> {
  const shown = await tab.getByRole("status").textContent();
  return [`${username} shows "${shown}"`, ...passed, ...faults].join("\n  ");
}

/**
 * A new offer crosses the tunnel that is cut, and is answered. Its ACK has to arrive before the next cut: one that dies with a tunnel is sent
 * again only as long as the answer is repeated, and JsSIP stops that when it hangs up, and holds its BYE back for half a minute.
 */
async function cutAndRenew(phone: OpenPhone, other: OpenPhone): Promise<void> {
  const [before, othersBefore] = [phone.passed.length, other.passed.length];
  await phone.cut();
  await shows(phone.tab, "talking");
  await until("an offer for the new network, its answer and ACK", () => {
    const since = phone.passed.slice(before);
    const offer = since.findLast((line) => line.startsWith("> INVITE "))?.slice("> INVITE ".length);
    if (offer === undefined || !since.includes(`< 200 ${offer} INVITE`)) return false;
    return other.passed.slice(othersBefore).includes(`< ACK ${offer}`);
  });
}

function shows(tab: Page, text: string): Promise<void> {
  return tab.getByRole("status").getByText(text).waitFor();
}

describe("examples in Chromium", () => {
  test("browser-jssip and browser-sipjs call each other, both ways, with sound", async () => {
    const [jsSip, sipJs] = await Promise.all([serve("browser-jssip"), serve("browser-sipjs")]);
    const alice = await openPhone(jsSip.url, "alice");
    const bob = await openPhone(sipJs.url, "bob");
    try {
      for (const { tab } of [alice, bob]) await shows(tab, "ready");
      for (const [caller, callee] of [
        [alice, bob],
        [bob, alice],
      ] as const) {
        await caller.tab.getByLabel("Call whom").fill(`sip:${callee.username}@${domain}`);
        await caller.tab.getByRole("button", { name: "Call" }).click();
        await shows(callee.tab, `${caller.username} calls`);
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
        await cutAndRenew(caller, callee);
        await cutAndRenew(callee, caller);
        await callee.tab.getByRole("button", { name: "Hang up" }).click();
        for (const { tab } of [caller, callee]) await shows(tab, "ready");
      }
      expect([alice.faults, bob.faults]).toEqual([[], []]);
    } catch (cause) {
      throw new Error((await Promise.all([alice, bob].map(storyOf))).join("\n"), { cause });
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

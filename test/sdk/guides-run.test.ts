import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPush, WakelineDevice, type PushPayload } from "../../sdk/src/index.ts";
import { closeWindow, openWindow, silentStream } from "../interop/lab/js-sip-phone.ts";
import { until } from "../interop/lab/wait.ts";
import { fencesOf } from "../manual/fences.ts";
import { repository } from "../manual/post.ts";
import { domain, openWorld, type World } from "./world.ts";

const account = { uri: `sip:alice@${domain}`, password: "wonderland" };

let world: World;
let device: WakelineDevice;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "wakeline-guides-"));
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"));
  world = await openWorld();
  expect(await world.bob.register(600)).toBe(200);
  openWindow();
  Object.defineProperty(navigator, "mediaDevices", {
    value: { getUserMedia: () => Promise.resolve(silentStream) },
    configurable: true,
  });
});
afterAll(async () => {
  Reflect.deleteProperty(navigator, "mediaDevices");
  closeWindow();
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

// One each: the phone of a guide keeps its tunnel until its device is gone.
beforeEach(async () => {
  device = await WakelineDevice.enrol(
    { server: world.server, app: world.app, appKey: world.appKey, push: { provider: "webhook", token: "guide" } },
    world,
  );
  const proxy = `127.0.0.1:${world.registrar.port}`;
  const { id } = await device.subscribe({ username: "alice", domain, password: account.password, proxy });
  expect((await device.setPresence(id, "background")).state).toBe("registered");
});
afterEach(() => device.leave());

/** The code of a guide that holds this text, as a module. */
async function moduleOf(page: string, holds: string): Promise<unknown> {
  const fence = fencesOf(page).find(({ language, text }) => language === "ts" && text.includes(holds));
  if (fence === undefined) throw new Error(`${page} has no code with ${holds}`);
  const file = join(folder, `${fence.line}-${holds.replaceAll(/\W/g, "")}.ts`);
  const client = JSON.stringify(join(repository, "sdk/src/index.ts"));
  writeFileSync(file, fence.text.replaceAll('"@wakeline/client"', client));
  return import(file);
}

async function nextCall(): Promise<PushPayload> {
  const payload = readPush(await world.webhook.next("call"));
  if (payload === undefined) throw new Error("no push");
  return payload;
}

function late(payload: PushPayload): PushPayload {
  return { ...payload, sentAt: new Date(Date.parse(payload.sentAt) - 30_000).toISOString() };
}

interface GuidePhone {
  onPush(delivered: unknown, isReported: boolean, priority?: "high" | "normal"): Promise<void>;
}
type PhoneClass = new (device: WakelineDevice, account: object, callKeep: object) => GuidePhone;

/** react-native-callkeep, as the guide uses it: what it was told, and what the person does. */
class CallKeepScript {
  readonly told: string[] = [];
  readonly #listeners = new Map<string, (event: { callUUID: string }) => void>();

  displayIncomingCall(uuid: string, handle: string): void {
    this.told.push(`display ${uuid} ${handle}`);
  }

  reportEndCallWithUUID(uuid: string, reason: number): void {
    this.told.push(`end ${uuid} ${reason}`);
  }

  addEventListener(type: string, listener: (event: { callUUID: string }) => void): void {
    this.#listeners.set(type, listener);
  }

  does(type: "answerCall" | "endCall", callUUID: string): void {
    this.#listeners.get(type)?.({ callUUID });
  }
}

describe("the phone of docs/guides/react-native.md runs", () => {
  const page = "docs/guides/react-native.md";

  test("woken, shown once, answered before the INVITE is there, ended by the caller", async () => {
    const { Phone } = (await moduleOf(page, "class Phone")) as { readonly Phone: PhoneClass };
    const callKeep = new CallKeepScript();
    const phone = new Phone(device, account, callKeep);
    const caller = world.bob.call("alice");
    const payload = await nextCall();
    await phone.onPush({ wakeline: JSON.stringify(payload) }, false, "high");
    callKeep.does("answerCall", payload.call ?? "");
    await phone.onPush(payload, false);
    await caller.until("answered");
    caller.acts.bye();
    await until("the end is told", () => callKeep.told.length >= 2);
    expect(callKeep.told).toEqual([`display ${payload.call} ${payload.from?.uri}`, `end ${payload.call} 2`]);
  });

  test("a late push of a call that is gone shows nothing, and ends what the native side has reported", async () => {
    const { Phone } = (await moduleOf(page, "class Phone")) as { readonly Phone: PhoneClass };
    const callKeep = new CallKeepScript();
    const phone = new Phone(device, account, callKeep);
    const caller = world.bob.call("alice");
    const payload = await nextCall();
    caller.acts.cancel();
    await caller.until("failed");
    await until("the server knows", async () => (await device.callState(payload.call ?? "")).state === "cancelled");
    await phone.onPush(late(payload), false);
    expect(callKeep.told).toEqual([]);
    await new Phone(device, account, callKeep).onPush(late(payload), true);
    expect(callKeep.told).toEqual([`end ${payload.call} 3`]);
  });
});

describe("the page of docs/guides/web.md runs", () => {
  test("a push from the service worker makes it ring; the one of a call that is gone is missed", async () => {
    const { listen } = (await moduleOf("docs/guides/web.md", "export function listen")) as {
      readonly listen: (device: WakelineDevice, account: object, show: (text: string) => void) => void;
    };
    let deliver: (event: { data: { payload: unknown } }) => void = () => {};
    const serviceWorker = { addEventListener: (_type: string, listener: typeof deliver) => (deliver = listener) };
    Object.defineProperty(navigator, "serviceWorker", { value: serviceWorker, configurable: true });
    Object.assign(globalThis, { location: { hash: "", pathname: "/" } });
    try {
      const shown: string[] = [];
      listen(device, account, (text) => shown.push(text));
      const caller = world.bob.call("alice");
      const payload = await nextCall();
      deliver({ data: { payload } });
      await until("it rings", () => shown.includes("rings"));
      caller.acts.cancel();
      await until("it stops", () => shown.includes("Canceled"));
      deliver({ data: { payload: late(payload) } });
      await until("it is told as missed", () => shown.includes(`missed: ${payload.from?.uri}`));
    } finally {
      Reflect.deleteProperty(navigator, "serviceWorker");
      Reflect.deleteProperty(globalThis, "location");
    }
  });
});

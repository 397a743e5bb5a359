import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readPush, Tunnel, WakelineDevice, type TunnelState } from "../../sdk/src/index.ts";
import type { UaCall } from "../../src/demo/ua.ts";
import { dropSockets, socketsOf } from "../interop/lab/frames.ts";
import { jsSipPhone } from "../interop/lab/js-sip-phone.ts";
import { messages, nextCall, untilStep, type Phone, type PhoneCall } from "../interop/lab/phone.ts";
import { sipJsPhone } from "../interop/lab/sip-js-phone.ts";
import { until } from "../interop/lab/wait.ts";
import { domain, openWorld, type World } from "./world.ts";

let world: World;
let device: WakelineDevice;
beforeAll(async () => {
  world = await openWorld();
  device = await WakelineDevice.enrol(
    { server: world.server, app: world.app, appKey: world.appKey, push: { provider: "webhook", token: "phone-1" } },
    world,
  );
  const account = { username: "alice", domain, password: "wonderland", proxy: `127.0.0.1:${world.registrar.port}` };
  const { id } = await device.subscribe(account);
  expect((await device.setPresence(id, "background")).state).toBe("registered");
  expect(await world.bob.register(600)).toBe(200);
});
afterAll(async () => {
  await device.leave();
  await world.close();
});

interface Rung {
  readonly phone: Phone;
  readonly tunnel: Tunnel;
  readonly states: readonly TunnelState[];
  /** The phone's side, and bob's. */
  readonly call: PhoneCall;
  readonly caller: UaCall;
}

/** Bob calls, the push comes, the stack starts on the kit's tunnel and rings. */
async function ring(makePhone: typeof jsSipPhone): Promise<Rung> {
  const caller = world.bob.call("alice");
  const payload = readPush(await world.webhook.next("call"));
  const decision = payload === undefined ? undefined : await device.decideCall(payload);
  if (decision?.kind !== "ring") throw new Error(`judged ${decision?.kind}`);
  const tunnel = new Tunnel({ url: decision.tunnel, fallbackUrl: device.tunnelUrl() });
  const states: TunnelState[] = [];
  tunnel.onState((state) => states.push(state));
  const phone = makePhone({
    url: decision.tunnel,
    tunnel,
    username: "alice",
    domain,
    password: "wonderland",
    register: false,
  });
  await phone.start();
  const call = await nextCall(phone);
  await caller.until("provisional");
  return { phone, tunnel, states, call, caller };
}

/** The cable is pulled; resolves once the kit knows. */
async function cut({ phone, tunnel }: Rung): Promise<void> {
  dropSockets(phone.options.url);
  await until("the loss is noticed", () => tunnel.state.kind === "resuming");
}

/** JsSIP would wait two seconds for its transactions before it lets go. */
async function stop({ phone, tunnel }: Rung): Promise<void> {
  await phone.stop();
  tunnel.close();
}

function resumed({ states }: Rung): Promise<true> {
  return until("the tunnel is back", () => {
    const last = states.at(-1);
    return last?.kind === "open" && last.resumed;
  });
}

describe.each([
  ["JsSIP", jsSipPhone],
  ["SIP.js", sipJsPhone],
] as const)("%s on the kit's tunnel, against a server", (_name, makePhone) => {
  test("a socket cut while it rings: the same call rings on and is answered, the caller sees nothing", async () => {
    const rung = await ring(makePhone);
    await cut(rung);
    await resumed(rung);
    await until("the INVITE comes again", () => messages(rung.phone, "in", "INVITE").length >= 2);
    await rung.call.answer();
    await rung.caller.until("answered");
    await untilStep(rung.phone, rung.call, "confirmed");
    expect(rung.phone.calls).toHaveLength(1);
    expect(socketsOf(rung.phone.options.url)).toBe(2);
    rung.caller.acts.bye();
    await untilStep(rung.phone, rung.call, "ended");
    await stop(rung);
  });

  test("answered while the socket is cut: the answer waits and goes out", async () => {
    const rung = await ring(makePhone);
    await cut(rung);
    await rung.call.answer();
    await rung.caller.until("answered");
    await untilStep(rung.phone, rung.call, "confirmed");
    rung.caller.acts.bye();
    await untilStep(rung.phone, rung.call, "ended");
    await stop(rung);
  });

  test("a socket cut in a call: what the far end does meanwhile arrives", async () => {
    const rung = await ring(makePhone);
    await rung.call.answer();
    await rung.caller.until("answered");
    await untilStep(rung.phone, rung.call, "confirmed");
    await cut(rung);
    rung.caller.acts.bye();
    await untilStep(rung.phone, rung.call, "ended");
    await stop(rung);
  });

  test("hung up while the socket is cut: the BYE waits and goes out", async () => {
    const rung = await ring(makePhone);
    await rung.call.answer();
    await rung.caller.until("answered");
    await untilStep(rung.phone, rung.call, "confirmed");
    await cut(rung);
    await rung.call.bye();
    await rung.caller.until("ended");
    await stop(rung);
  });

  test("another tunnel of the device takes over: the stack is told and does not fight for it", async () => {
    const rung = await ring(makePhone);
    const other = new Tunnel({ url: device.tunnelUrl() });
    other.open();
    await until("the first is closed", () => rung.tunnel.state.kind === "closed");
    expect(rung.tunnel.state).toEqual({ kind: "closed", why: "takenOver", code: 4001 });
    await stop(rung);
    rung.caller.acts.cancel();
    await rung.caller.until("failed");
    other.close();
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Bridge, openBridge } from "../../examples/native-bridge.ts";
import { readPush, Tunnel, WakelineDevice } from "../../sdk/src/index.ts";
import { domain, openWorld, type World } from "../sdk/world.ts";
import { type Baresip, startBaresip } from "./lab/baresip.ts";

let world: World;
let device: WakelineDevice;
beforeAll(async () => {
  world = await openWorld();
  device = await WakelineDevice.enrol(
    { server: world.server, app: world.app, appKey: world.appKey, push: { provider: "webhook", token: "native" } },
    world,
  );
  const account = { username: "alice", domain, password: "wonderland", proxy: `127.0.0.1:${world.registrar.port}` };
  const { id } = await device.subscribe(account);
  expect((await device.setPresence(id, "background")).state).toBe("registered");
  expect(await world.bob.register(600)).toBe(200);
}, 30_000);
afterAll(async () => {
  await device.leave();
  await world.close();
});

/** A native stack on a tunnel: baresip, which speaks no WebSocket. */
async function nativePhone(
  url: string,
): Promise<{ readonly phone: Baresip; readonly bridge: Bridge; readonly sent: readonly string[] }> {
  const tunnel = new Tunnel({ url });
  const sent: string[] = [];
  const send = tunnel.send.bind(tunnel);
  tunnel.send = (text) => {
    sent.push(text);
    return send(text);
  };
  const bridge = await openBridge(tunnel);
  const proxy = bridge.proxy.replace(/^sip:|;.*$/g, "");
  const phone = await startBaresip({
    username: "alice",
    proxy,
    at: { domain, password: "wonderland", transport: "tcp" },
  });
  // The INVITE came when the tunnel opened, before this answer.
  await phone.registered();
  return { phone, bridge, sent };
}

describe("examples/native-bridge.ts with baresip, a stack without WebSocket", () => {
  test("is woken by the push, rings, answers; the caller hangs up, and the phone hears it", async () => {
    const caller = world.bob.call("alice");
    const payload = readPush(await world.webhook.next("call"));
    const { phone, bridge } = await nativePhone(payload?.tunnel ?? "");
    try {
      await phone.command("accept");
      await caller.until("answered");
      await phone.event("CALL_ESTABLISHED");
      caller.acts.bye();
      await phone.event("CALL_CLOSED");
    } finally {
      await phone.stop();
      bridge.close();
    }
  }, 60_000);

  test("the phone hangs up itself: its BYE comes through the bridge, not by another way (RFC 3261 §12.2.1.1)", async () => {
    const caller = world.bob.call("alice");
    const payload = readPush(await world.webhook.next("call"));
    const { phone, bridge, sent } = await nativePhone(payload?.tunnel ?? "");
    try {
      await phone.command("accept");
      await caller.until("answered");
      await phone.event("CALL_ESTABLISHED");
      await phone.command("hangup");
      await caller.until("ended");
      expect(sent.filter((text) => text.startsWith("BYE "))).toHaveLength(1);
      // Nobody beyond the phone hears of the bridge.
      const routes = sent.flatMap((text) => text.match(/^(?:record-)?route:.*$/gim) ?? []);
      expect(routes.filter((route) => route.includes(bridge.proxy.slice(4, 20)))).toEqual([]);
    } finally {
      await phone.stop();
      bridge.close();
    }
  }, 60_000);

  test("calls out: its ACK and BYE come through the bridge, too", async () => {
    const { phone, bridge, sent } = await nativePhone(device.tunnelUrl());
    try {
      const arriving = world.bobsCall();
      await phone.command("dial", `sip:bob@${domain}`);
      const callee = await arriving;
      callee.acts.answer();
      await phone.event("CALL_ESTABLISHED");
      await phone.command("hangup");
      await callee.until("ended");
      // A repeated answer is acknowledged again, by the same ACK.
      const methods = [...new Set(sent)].map((text) => text.split(" ")[0]);
      // The first ACK is for the server's challenge, the second for the answer.
      expect(methods.filter((word) => word === "ACK" || word === "BYE")).toEqual(["ACK", "ACK", "BYE"]);
    } finally {
      await phone.stop();
      bridge.close();
    }
  }, 60_000);
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Lab, openLab } from "./lab/lab.ts";
import { messages } from "./lab/phone.ts";
import { startSipp } from "./lab/sipp.ts";
import { phoneOn, sleeper } from "./lab/stories.ts";

/** Upgrade's answer without a WebSocket stack in between: the status is what counts. */
async function upgradeStatus(url: string): Promise<number> {
  const response = await fetch(url.replace(/^ws/, "http"), {
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      "sec-websocket-protocol": "sip",
    },
  });
  return response.status;
}

describe("the wake deadline, RFC 3261 §21.4.18", () => {
  const deadlineSec = 2;
  let lab: Lab;
  beforeAll(async () => {
    lab = await openLab({ wakeline: { deadlineSec } });
  });
  afterAll(() => lab.stop());

  test("a phone that does not come: 480 at the deadline, a missed push, a ticket of no worth", async () => {
    const { user, device } = await sleeper(lab);
    const before = await lab.wakeline.metric('wakeline_calls_total{outcome="missed"}');
    const startedMs = performance.now();
    const caller = await startSipp("fails-with-480", { server: lab.kamailio.proxy, user });
    const push = await lab.relay.next(device.pushToken, "call");

    await caller.finished();

    const tookSec = (performance.now() - startedMs) / 1_000;
    expect(tookSec).toBeGreaterThan(deadlineSec - 0.2);
    expect(tookSec).toBeLessThan(deadlineSec + 3);
    await lab.relay.next(device.pushToken, "missed");
    await device.untilCallState(push.call ?? "", "missed");
    expect(await lab.wakeline.metric('wakeline_calls_total{outcome="missed"}')).toBe(before + 1);
    expect(await upgradeStatus(push.tunnel ?? "")).toBe(403);
    const phone = phoneOn("SIP.js", device.tunnelUrl, user, true);
    await phone.start();
    expect(messages(phone, "in", "INVITE")).toEqual([]);
    await phone.stop();
  });

  test("without a ticket or token: 401; a made-up ticket: 403", async () => {
    expect(await upgradeStatus(`${lab.wakeline.url}/v1/tunnel`)).toBe(401);
    expect(await upgradeStatus(`${lab.wakeline.url}/v1/tunnel?ticket=${"A".repeat(43)}`)).toBe(403);
  });

  test("with onUnreachable the caller is sent elsewhere: 302", async () => {
    const { user } = await sleeper(lab, { onUnreachable: { forwardTo: "sip:voicemail@lab.test" } });

    const caller = await startSipp("fails-with-302", { server: lab.kamailio.proxy, user });

    expect(await caller.finished()).toContain("sip:voicemail@lab.test");
  });
});

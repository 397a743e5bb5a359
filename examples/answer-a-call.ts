/**
 * A phone in one file: enrols, hands its SIP account over, sleeps until a push comes, opens the tunnel and prints the INVITE.
 * WAKELINE_SERVER, WAKELINE_APP, WAKELINE_APP_KEY, SIP_USER, SIP_DOMAIN, SIP_PASSWORD, SIP_PROXY; pushes are read from stdin, a JSON a line,
 * as a push relay would pass them on.
 */
import { createInterface } from "node:readline";
import { jsSipSocket, judgeCall, readPush, WakelineDevice } from "../sdk/src/index.ts";

const env = (name: string): string => process.env[name] ?? "";

const device = await WakelineDevice.enrol({
  server: env("WAKELINE_SERVER"),
  app: env("WAKELINE_APP"),
  appKey: env("WAKELINE_APP_KEY"),
  push: { provider: "webhook", token: "example" },
});
const subscription = await device.subscribe({
  username: env("SIP_USER"),
  domain: env("SIP_DOMAIN"),
  password: env("SIP_PASSWORD"),
  proxy: env("SIP_PROXY"),
});
const { state } = await device.setPresence(subscription.id, "background");
console.log(`asleep, ${state}`);

for await (const line of createInterface({ input: process.stdin })) {
  const payload = readPush(line);
  if (payload === undefined) continue;
  await device.acknowledge(payload);
  const verdict = judgeCall(payload);
  if (verdict.kind === "ignore") continue;
  if (verdict.kind === "ask" && (await device.callState(payload.call ?? "")).state !== "ringing") continue;
  const socket = jsSipSocket(verdict.tunnel);
  socket.ondata = (data) => {
    const text = typeof data === "string" ? data : new TextDecoder().decode(data as ArrayBuffer);
    console.log(`through the tunnel: ${text.split("\r\n")[0] ?? ""}`);
  };
  socket.connect();
}
await device.leave();

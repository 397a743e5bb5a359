import { afterEach, describe, expect, test } from "bun:test";
import { Lab } from "../integration/lab.ts";
import { jsSipPhone } from "./lab/js-sip-phone.ts";
import { nextCall, type Phone, type PhoneStack, untilStep } from "./lab/phone.ts";
import { sipJsPhone } from "./lab/sip-js-phone.ts";

let lab: Lab | undefined;
let phone: Phone | undefined;
afterEach(async () => {
  await phone?.stop();
  await lab?.close();
  [lab, phone] = [undefined, undefined];
});

/** Stock stacks ring on when their socket closes, and JsSIP forgets the transaction that a CANCEL is for: only a CANCEL in the same tunnel helps. */
describe("a shard's thread dies while a stock phone rings, docs/relay.md rule 19", () => {
  test.each<PhoneStack>(["SIP.js", "JsSIP"])("%s falls silent", async (stack) => {
    const at = (lab = await Lab.open());
    const { phone: device, account } = await at.sleeper();
    at.provider.sends("INVITE", account.username);
    const { tunnel: url = "" } = await device.push("call");
    const { username, domain, password } = account;
    phone = (stack === "JsSIP" ? jsSipPhone : sipJsPhone)({ url, username, domain, password, register: false });
    await phone.start();
    const call = await nextCall(phone);

    await at.killShards();

    await untilStep(phone, call, "cancelled");
    expect(call.trail).not.toContain("accepted");
  });
});

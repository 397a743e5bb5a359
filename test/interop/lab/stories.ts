import type { SipText } from "../../fakes/sip-text.ts";
import type { DialogSide, Extra } from "../../integration/sip.ts";
import type { FarEnd } from "./far-end.ts";
import { jsSipPhone } from "./js-sip-phone.ts";
import { domain, passwordOf } from "./kamailio.ts";
import type { Lab } from "./lab.ts";
import { nextCall, type Phone, type PhoneCall, type PhoneStack, untilStep } from "./phone.ts";
import type { Push } from "./pushes.ts";
import { sipJsPhone } from "./sip-js-phone.ts";
import { type Sipp, startSipp } from "./sipp.ts";
import type { EnrolledDevice, Subscription } from "./wakeline.ts";

/** A phone that sleeps: its account is registered by Wakeline. */
export interface Sleeper {
  readonly user: string;
  readonly device: EnrolledDevice;
  readonly subscription: Subscription;
}

export async function sleeper(lab: Lab, more: Readonly<Record<string, unknown>> = {}): Promise<Sleeper> {
  const user = lab.newUser();
  const device = await lab.newDevice();
  return { user, device, subscription: await device.sleepWith(lab.account(user, more)) };
}

/** The phone's stack, about to connect to this URL. */
export function phoneOn(stack: PhoneStack, url: string, username: string, register = false): Phone {
  const options = { url, username, domain, password: passwordOf(username), register };
  return stack === "SIP.js" ? sipJsPhone(options) : jsSipPhone(options);
}

export interface WokenCall {
  readonly caller: Sipp;
  readonly push: Push;
  readonly phone: Phone;
  readonly call: PhoneCall;
}

/** A call between a phone and a far end without a stack. */
export interface FarCall {
  readonly far: FarEnd;
  readonly phone: Phone;
  readonly call: PhoneCall;
  /** As the far end sent it. */
  readonly invite: SipText;
  readonly push: Push;
}

/** A far end calls, the push comes, the phone opens the push's tunnel and has the call. */
export async function calledBy(
  lab: Lab,
  far: FarEnd,
  { user, device }: Sleeper,
  stack: PhoneStack,
  extra: Extra = {},
): Promise<FarCall> {
  const invite = far.invites(user, extra);
  const push = await lab.relay.next(device.pushToken, "call");
  const phone = phoneOn(stack, push.tunnel ?? "", user);
  await phone.start();
  return { far, phone, call: await nextCall(phone), invite, push };
}

/** The phone answers; returns the dialog as the far end sees it. */
export async function talking({ far, phone, call, invite }: FarCall): Promise<DialogSide> {
  await call.answer();
  const side = far.acks(invite, await far.gets("200 INVITE", invite.get("Call-ID")));
  await untilStep(phone, call, "confirmed");
  return side;
}

/** A caller's scenario begins, the push comes, the phone opens the push's tunnel and has the call. */
export async function wakenBy(
  lab: Lab,
  { user, device }: Sleeper,
  scenario: string,
  { stack, register = false }: { readonly stack: PhoneStack; readonly register?: boolean },
): Promise<WokenCall> {
  const caller = await startSipp(scenario, { server: lab.kamailio.proxy, user });
  const push = await lab.relay.next(device.pushToken, "call");
  const phone = phoneOn(stack, push.tunnel ?? "", user, register);
  await phone.start();
  return { caller, push, phone, call: await nextCall(phone) };
}

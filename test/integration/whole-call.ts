import type { SipText } from "../fakes/sip-text.ts";
import type { Lab, Phone } from "./lab.ts";
import { calleeSide } from "./sip.ts";

/** What follows a push: the phone opens its tunnel with the ticket, rings, answers, talks and hangs up; the server sees each step. */
export async function answersAndHangsUp(
  { provider }: Lab,
  phone: Phone,
  invite: SipText,
  tunnel: string | undefined,
): Promise<void> {
  const callId = invite.get("Call-ID");
  await phone.opens(tunnel);
  const offered = await phone.gets("INVITE", callId);
  phone.answersTo(offered, 180);
  await provider.gets("180 INVITE", callId);
  const answer = phone.answersTo(offered, 200);
  provider.acks(invite, await provider.gets("200 INVITE", callId));
  await phone.gets("ACK", callId);
  phone.inDialog("BYE", calleeSide(offered, answer), 1);
  provider.answersTo(await provider.gets("BYE", callId), 200);
  await phone.gets("200 BYE", callId);
}

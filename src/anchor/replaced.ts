import type { AccountId } from "../base/ids.ts";
import { Header } from "../sip/message/header.ts";
import type { SipView } from "../sip/message/view.ts";
import type { Dialog, DialogTable } from "./dialog.ts";

/**
 * The dialog that an INVITE from the server takes the place of, or joins (Replaces, RFC 3891 §3; Join, RFC 3911 §4): only the phone that
 * has it can answer, and no other is to ring. Undefined when the INVITE names none, or one that is not the account's here.
 */
export function replacedDialog(dialogs: DialogTable, invite: SipView, accountId: AccountId): Dialog | undefined {
  const value = invite.value(Header.replaces) ?? invite.value(Header.join);
  if (value === undefined) return undefined;
  const [callId = "", ...parameters] = value.split(";").map((part) => part.trim());
  const tag = (name: string): string =>
    parameters.find((parameter) => parameter.toLowerCase().startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
  // The to-tag is the receiver's own.
  const dialog = dialogs.find(callId, tag("to-tag"), tag("from-tag"));
  return dialog?.accountId === accountId && dialog.inCall ? dialog : undefined;
}

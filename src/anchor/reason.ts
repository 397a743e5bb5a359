import { Header } from "../sip/message/header.ts";
import { listValues } from "../sip/message/read-list.ts";
import type { SipView } from "../sip/message/view.ts";

/** What other devices are told when one has answered (RFC 3326 §3.1). */
export const answeredElsewhereReason = 'SIP;cause=200;text="Call completed elsewhere"';
/** ... when one has declined for all. */
export const declinedReason = 'SIP;cause=603;text="Declined on another device"';
/** ... when nobody came in time. */
export const missedReason = 'SIP;cause=408;text="Nobody answered in time"';
/** ... when the phone is no longer the account's. */
export const removedReason = 'SIP;cause=480;text="Subscription removed"';
/** ... when it answers a call that is long gone. */
export const forgottenReason = 'SIP;cause=481;text="Call is gone"';
/** What the far end is told when the phone is lost for good. */
export const lostReason = 'SIP;cause=480;text="Phone lost"';

/** ... when its BYE was challenged and it did not try again. */
export const unrepeatedReason = 'SIP;cause=200;text="Phone has hung up"';

/** What a phone is told when we have lost its call. */
export const shardLostReason = 'SIP;cause=500;text="Call lost by the server"';

/** All Reason values as one header value, as they came (rule 12: pass them on); undefined when there is none. */
export function reasonOf(view: SipView): string | undefined {
  const values = listValues(view, Header.reason);
  return values.length === 0 ? undefined : values.join(", ");
}

/**
 * Whether a CANCEL's Reason says that the call was answered on another device. Lenient: `SIP ;cause=200 ;text=…`, a second
 * Reason header, `Q.850;cause=26` (non-selected user clearing), or the text alone.
 */
export function saysAnsweredElsewhere(reason: string | undefined): boolean {
  if (reason === undefined) return false;
  return (
    /(^|,)\s*SIP\s*(;[^,]*)?;\s*cause\s*=\s*"?200\b/i.test(reason) ||
    /(^|,)\s*Q\.850\s*(;[^,]*)?;\s*cause\s*=\s*"?26\b/i.test(reason) ||
    /completed\s+elsewhere|answered\s+elsewhere/i.test(reason)
  );
}

/** The `text` of the first value that has one. */
export function reasonText(reason: string | undefined): string | undefined {
  const text = /;\s*text\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,\s]+))/i.exec(reason ?? "");
  const found = (text?.[1] ?? text?.[2] ?? "").replace(/\\(.)/g, "$1").trim();
  return found === "" ? undefined : found;
}

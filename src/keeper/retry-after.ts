import { Header } from "../sip/message/header.ts";
import { readNumber } from "../sip/message/read-number.ts";
import type { SipView } from "../sip/message/view.ts";

const retryAfterSecMax = 3600;

/** Milliseconds that the response asks us to wait (RFC 3261 §20.33), an hour at most; 0: nothing, or no number. */
export function retryAfterMs(view: SipView): number {
  const sec = readNumber(view, Header.retryAfter);
  return sec > 0 ? Math.min(sec, retryAfterSecMax) * 1000 : 0;
}

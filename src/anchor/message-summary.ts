import { latin1 } from "../sip/message/chars.ts";
import type { SipView } from "../sip/message/view.ts";

/** What a message-summary body says (RFC 3842 §5.2). */
export interface MessageSummary {
  readonly waiting: boolean;
  /** Voice messages; -1 when the body does not count them. */
  readonly newCount: number;
  readonly oldCount: number;
}

const bodyBytesMax = 4_096;

/** Undefined when the body has no `Messages-Waiting` line. */
export function readMessageSummary(view: SipView): MessageSummary | undefined {
  const body = latin1(view.bytes, view.bodyFrom, Math.min(view.bodyTo, view.bodyFrom + bodyBytesMax));
  let waiting: boolean | undefined;
  let newCount = -1;
  let oldCount = -1;
  for (const line of body.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "messages-waiting") waiting ??= /^yes$/i.test(value);
    else if (name === "voice-message") {
      const counts = /^(\d{1,9})\s*\/\s*(\d{1,9})/.exec(value);
      if (counts === null) continue;
      newCount = Number(counts[1]);
      oldCount = Number(counts[2]);
    }
  }
  return waiting === undefined ? undefined : { waiting, newCount, oldCount };
}

/** `2 new, 8 old`; undefined without counts. */
export function summaryText(summary: MessageSummary): string | undefined {
  return summary.newCount < 0 ? undefined : `${summary.newCount} new, ${summary.oldCount} old`;
}

import { Header } from "../sip/message/header.ts";
import { addressOf } from "../sip/message/read-address.ts";
import { readNumber } from "../sip/message/read-number.ts";
import { rewrite } from "../sip/message/rewrite.ts";
import type { SipView } from "../sip/message/view.ts";
import type { MessageWriter } from "../sip/message/writer.ts";

/**
 * The four rewritings of the relay. Towards the server: one Via, our Contact, Max-Forwards. Towards the phone: Via, Max-Forwards,
 * the Request-URI. All else goes byte for byte. Results are valid until the writer's next message.
 */

const maxForwardsFirst = 70;

/** Max-Forwards to send on (RFC 3261 §16.6 step 3): -1 when the request may go no further (§16.3 step 3). */
export function hopsLeft(view: SipView): number {
  const hops = readNumber(view, Header.maxForwards);
  return hops < 0 ? maxForwardsFirst : hops - 1;
}

export interface ToServer {
  readonly via: string;
  /** Our Contact in brackets; put in only where the phone has one. */
  readonly contact: string;
  /** Whole Route lines put in place of the phone's; undefined leaves those (in a dialog). */
  readonly routes?: readonly string[];
}

export function requestToServer(writer: MessageWriter, view: SipView, { via, contact, routes }: ToServer): Uint8Array {
  return rewrite(
    view,
    {
      replaceVias: "",
      pushVia: via,
      contact: contactValue(view, contact),
      maxForwards: Math.max(hopsLeft(view), 0),
      ...(routes === undefined ? {} : { drop: [Header.route], add: routes.map((route) => `Route: ${route}`) }),
    },
    writer,
  );
}

/** `vias` as the request had them. A 3xx or 4xx Contact names other places, not the phone: it stays (§21.3, §21.4.23). */
export function responseToServer(writer: MessageWriter, view: SipView, vias: string, contact: string): Uint8Array {
  return rewrite(
    view,
    { replaceVias: vias, ...(view.status < 300 ? { contact: contactValue(view, contact) } : {}) },
    writer,
  );
}

/** `requestUri`: where the phone knows itself (design rule 10). */
export function requestToPhone(writer: MessageWriter, view: SipView, via: string, requestUri: string): Uint8Array {
  return rewrite(
    view,
    { replaceVias: "", pushVia: via, requestUri: plainSip(requestUri), maxForwards: Math.max(hopsLeft(view), 0) },
    writer,
  );
}

export function responseToPhone(writer: MessageWriter, view: SipView, vias: string): Uint8Array {
  return rewrite(view, { replaceVias: vias }, writer);
}

/** Phones answer 416 to `sips:` (design rule 10). */
function plainSip(uri: string): string {
  return /^sips:/i.test(uri) ? `sip:${uri.slice(5)}` : uri;
}

/** What the phone's own Contact says about its binding or reachability; with our URI it would be untrue. */
const bindingParams: ReadonlySet<string> = new Set([
  "+sip.instance",
  "reg-id",
  "expires",
  "q",
  "pub-gruu",
  "temp-gruu",
  "received",
]);

/** Our Contact with the phone's capabilities (RFC 3840: `isfocus`, `audio` …). */
function contactValue(view: SipView, ours: string): string {
  const address = addressOf(view, Header.contact);
  if (address === undefined) return ours;
  let value = ours;
  for (const [name, text] of address.params) {
    if (bindingParams.has(name) || name.startsWith("+sip.pn") || !/^[\w.!%*+`'~-]+$/.test(name)) continue;
    value += text === "" ? `;${name}` : `;${name}="${text.replace(/(["\\])/g, "\\$1")}"`;
  }
  return value;
}

import type { RegistrationIndex } from "../base/ids.ts";
import { Header } from "../sip/message/header.ts";
import { latin1 } from "../sip/message/chars.ts";
import { Address, isStar, readAddress } from "../sip/message/read-address.ts";
import { Parameter, parameter, readParameter } from "../sip/message/read-parameter.ts";
import { readNumber } from "../sip/message/read-number.ts";
import type { SipView } from "../sip/message/view.ts";
import type { ServerTransaction } from "../sip/transaction/transactions.ts";
import { parseUriText, uriParam } from "../sip/uri.ts";
import { PhoneAsker } from "./asker.ts";
import { newTag } from "./call-uuid.ts";
import type { Belonging, Core } from "./core.ts";
import type { DeviceLink } from "./device-link.ts";
import { tunnelExpiresSecMin, tunnelExpiresSecUnregistered } from "./limits.ts";

interface Contact {
  readonly uri: string;
  /** Everything of the value but an `expires` parameter. */
  readonly value: string;
  readonly expiresSec: number | undefined;
}

const address = new Address();

/**
 * REGISTER through a tunnel (RFC 3261 §10.3, in small): the phone runs its stock stack and hears 200, the real binding is the
 * keeper's. What it registers here is its Contact behind this tunnel, which is gone with it.
 */
export class TunnelRegistrar {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** `row`: the account of its From, one of the device's. */
  onRegister(tx: ServerTransaction, view: SipView, link: DeviceLink, row: RegistrationIndex): void {
    const { book, clock } = this.#core.options;
    const accountId = book.accountId(row);
    const belonging: Belonging = { record: undefined, accountId, deviceId: link.deviceId };
    this.#core.received(belonging, "device", view);
    const asker = new PhoneAsker(this.#core, tx, belonging);
    const toTag = newTag(this.#core.options.random);
    const headers = [`Date: ${new Date(clock.wallMs()).toUTCString()}`];
    const expiresSec = readNumber(view, Header.expires);
    if (hasStar(view)) {
      // §10.2.2: `*` goes with Expires: 0 and nothing else.
      if (expiresSec !== 0 || contactsOf(view).length > 0) return asker.answer(400, "Invalid Contact", { toTag });
      this.#unregister(link, row);
      return asker.answer(200, "OK", { toTag, headers });
    }
    const granted = this.#grantedSec(row);
    const contacts = contactsOf(view);
    const provider = this.#pushParameters(link, contacts);
    if (provider !== undefined) headers.push(`Feature-Caps: *;+sip.pns="${provider}"`);
    let kept = 0;
    for (const contact of contacts) {
      const asked = contact.expiresSec ?? (expiresSec < 0 ? granted : expiresSec);
      if (asked === 0) continue;
      headers.push(`Contact: ${contact.value};expires=${Math.min(asked, granted)}`);
      link.contacts.set(accountId, contact.uri);
      link.away.delete(accountId);
      kept++;
    }
    if (contacts.length > 0 && kept === 0) this.#unregister(link, row);
    // A REGISTER without Contact asks what is bound (§10.2.3).
    const bound = link.contacts.get(accountId);
    if (contacts.length === 0 && bound !== undefined) headers.push(`Contact: <${bound}>;expires=${granted}`);
    asker.answer(200, "OK", { toTag, headers });
  }

  #unregister(link: DeviceLink, row: RegistrationIndex): void {
    const accountId = this.#core.options.book.accountId(row);
    link.contacts.delete(accountId);
    link.away.add(accountId);
  }

  #grantedSec(row: RegistrationIndex): number {
    const left = Math.floor(this.#core.options.book.secondsLeft(row));
    return left <= 0 ? tunnelExpiresSecUnregistered : Math.max(left, tunnelExpiresSecMin);
  }

  /** RFC 8599 §4.1: the token of the phone's push service stands in the Contact URI. Returns the provider when it is there. */
  #pushParameters(link: DeviceLink, contacts: readonly Contact[]): string | undefined {
    for (const contact of contacts) {
      const uri = parseUriText(contact.uri);
      if (uri === undefined || contact.expiresSec === 0) continue;
      const provider = unescape(uriParam(uri, "pn-provider"));
      const prid = unescape(uriParam(uri, "pn-prid"));
      if (provider === undefined || !/^[\w.-]{1,32}$/.test(provider) || prid === undefined) continue;
      const param = unescape(uriParam(uri, "pn-param"));
      this.#core.options.uplink.emit({
        kind: "pushParameters",
        deviceId: link.deviceId,
        provider,
        prid,
        ...(param === undefined ? {} : { param }),
      });
      return provider;
    }
    return undefined;
  }
}

function unescape(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  const plain = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  // oxlint-disable-next-line no-control-regex -- escapes may spell what the parser refused plain
  return /[\x00-\x1f\x7f]/.test(plain) ? undefined : plain;
}

function hasStar(view: SipView): boolean {
  const i = view.find(Header.contact);
  if (i < 0) return false;
  readAddress(view.bytes, view.valueFrom(i), view.valueTo(i), address);
  return address.ok && isStar(view.bytes, address);
}

function contactsOf(view: SipView): Contact[] {
  const found: Contact[] = [];
  for (let i = view.find(Header.contact); i >= 0; i = view.find(Header.contact, i)) {
    let at = view.valueFrom(i);
    while (at >= 0) {
      const next = readAddress(view.bytes, at, view.valueTo(i), address);
      if (address.ok && !isStar(view.bytes, address)) found.push(contactOf(view.bytes));
      at = next;
    }
  }
  return found;
}

function contactOf(bytes: Uint8Array): Contact {
  const { uriFrom, uriTo, paramsFrom, paramsTo, displayFrom, displayTo } = address;
  const uri = latin1(bytes, uriFrom, uriTo);
  const display = displayTo > displayFrom ? `${latin1(bytes, displayFrom, displayTo).trim()} ` : "";
  const expires = parameter(bytes, paramsFrom, paramsTo, "expires");
  // §20.10: an expires that is no number counts as 3600; what we grant is less anyway.
  const expiresSec = expires === undefined ? undefined : /^\d{1,10}$/.test(expires) ? Number(expires) : 3_600;
  return { uri, value: `${display}<${uri}>${paramsWithoutExpires(bytes, paramsFrom, paramsTo)}`, expiresSec };
}

const param = new Parameter();

function paramsWithoutExpires(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  let at = from;
  while (at < to) {
    const next = readParameter(bytes, at, to, param);
    if (next < 0) break;
    if (!param.isNamed(bytes, "expires")) text += latin1(bytes, at, next).trim();
    at = next;
  }
  return text;
}

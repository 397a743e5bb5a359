import type { Caller } from "../workers/protocol.ts";
import { formatHostPort } from "../sip/host-port.ts";
import { Header } from "../sip/message/header.ts";
import { addressesOf, addressOf, type AddressText } from "../sip/message/read-address.ts";
import { listValues } from "../sip/message/read-list.ts";
import type { SipView } from "../sip/message/view.ts";
import { parseUriText } from "../sip/uri.ts";
import { callerCharsMax } from "./limits.ts";

const anonymous: Caller = { uri: "sip:anonymous@anonymous.invalid", name: "Anonymous" };

/**
 * Who a push may say is calling: P-Asserted-Identity when the request comes from the account's own server (`trusted`, RFC
 * 3325 §9.1), else From. A caller who asked for privacy of identity (RFC 3323 §4.2, RFC 3325 §7) is anonymous. The URI loses its
 * parameters and headers: phones look names up by it.
 */
export function callerOf(view: SipView, trusted: boolean): Caller {
  if (asksForPrivacy(view)) return anonymous;
  const from = addressOf(view, Header.from);
  if (trusted) {
    for (const identity of addressesOf(view, Header.pAssertedIdentity)) {
      // The asserted identity often comes without a name where From has one: the same person, so the name is his.
      const caller = callerFrom(identity, from);
      if (caller !== undefined) return caller;
    }
  }
  return (from === undefined ? undefined : callerFrom(from, undefined)) ?? anonymous;
}

function asksForPrivacy(view: SipView): boolean {
  // The values of one Privacy header are separated by semicolons (RFC 3323 §4.2).
  return listValues(view, Header.privacy)
    .flatMap((value) => value.split(";"))
    .some((value) => /^\s*(id|user|header)\s*$/i.test(value));
}

function callerFrom(address: AddressText, named: AddressText | undefined): Caller | undefined {
  const uri = parseUriText(address.uri);
  if (uri === undefined) return undefined;
  const shown =
    uri.scheme === "sip" || uri.scheme === "sips"
      ? `${uri.scheme}:${uri.user === undefined ? "" : `${uri.user}@`}${formatHostPort(uri.host, uri.port)}`
      : uri.scheme === "tel"
        ? `tel:${uri.user ?? ""}`
        : address.uri;
  const sameUser = named !== undefined && parseUriText(named.uri)?.user === uri.user;
  const name = address.display ?? (sameUser ? named.display : undefined);
  return {
    uri: shown.slice(0, callerCharsMax),
    ...(name === undefined ? {} : { name: name.slice(0, callerCharsMax) }),
  };
}

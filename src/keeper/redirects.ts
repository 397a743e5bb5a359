import { Header } from "../sip/message/header.ts";
import { addressesOf } from "../sip/message/read-address.ts";
import type { SipView } from "../sip/message/view.ts";
import { parseUriText, uriParam } from "../sip/uri.ts";
import type { ProfileKey } from "./profile.ts";

/** Contacts of a 3xx that are looked at. */
const redirectsMax = 8;

/** The first Contact of a 3xx that may be followed (RFC 3261 §8.1.3.4), as the key of a profile; undefined when there is none. */
export function redirectTarget(view: SipView, key: ProfileKey): ProfileKey | undefined {
  for (const contact of addressesOf(view, Header.contact).slice(0, redirectsMax)) {
    const uri = parseUriText(contact.uri);
    if (uri === undefined || (uri.scheme !== "sip" && uri.scheme !== "sips") || uri.host === "") continue;
    const named = uriParam(uri, "transport")?.toLowerCase();
    const isTls = uri.scheme === "sips" || named === "tls";
    // A TLS account never leaves TLS.
    if (key.secure && !isTls) continue;
    const transport = isTls ? "tls" : named === "tcp" || named === "udp" ? named : "auto";
    const place = uri.host.includes(":") ? `[${uri.host}]` : uri.host;
    const requestUri = `sip:${place}${uri.port === undefined ? "" : `:${uri.port}`}`;
    return {
      ...key,
      target: { host: uri.host, port: uri.port, transport },
      secure: key.secure || isTls,
      // 305 names a proxy: the same request, Request-URI and all, goes by it (§21.3.4).
      redirectedUri: view.status === 305 ? key.redirectedUri : requestUri,
    };
  }
  return undefined;
}

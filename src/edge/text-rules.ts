import { parseHostPort, parsePort, isIpv4, isIpv6, type HostPort } from "../sip/host-port.ts";
import { parseUriText } from "../sip/uri.ts";

/** Longest text field, in bytes of UTF-8. */
const textBytesMax = 255;

// C0, DEL, C1 and the line separators: nothing a person types, everything an injection needs.
const control = /[\p{Cc}\p{Zl}\p{Zp}]/u;
/** What some reader behind us may turn back into a control character. */
const escapedControl = /%(?:[01][0-9a-f]|7f)/i;

/** Each rule returns what is wrong with the text, in words, or undefined. */
export type TextRule = (text: string) => string | undefined;

/** What holds for every text of an account. Empty is refused: leave the field out. */
const plain: TextRule = (text) => {
  if (text === "") return "must not be empty";
  if (control.test(text)) return "must not hold control characters";
  if (!text.isWellFormed()) return "must be well-formed Unicode";
  if (Buffer.byteLength(text) > textBytesMax) return `must be at most ${textBytesMax} bytes long`;
  return undefined;
};

function all(...rules: readonly TextRule[]): TextRule {
  return (text) => {
    for (const rule of rules) {
      const fault = rule(text);
      if (fault !== undefined) return fault;
    }
    return undefined;
  };
}

function without(pattern: RegExp, fault: string): TextRule {
  return (text) => (pattern.test(text) ? fault : undefined);
}

const noEscapedControl = without(escapedControl, "must not hold escaped control characters");

/** Goes into a quoted-string (RFC 3261 §25.1) as it is. */
export const quotable = all(plain, noEscapedControl, without(/["\\]/, "must not hold quotes or backslashes"));

/** The user part of an address of record; what §25.1 does not allow there is escaped when written. */
export const userPart = all(
  plain,
  noEscapedControl,
  without(/[\s"\\<>@:]/, "must be the user part alone, without spaces, quotes, <, >, @ or :"),
);

export const passwordText: TextRule = plain;

export const userAgentText = all(quotable, without(/[^\u0020-\u007e]/, "must be ASCII"));

/** `+sip.instance` without brackets (RFC 5626 §4.1). */
export const instanceText = all(quotable, without(/[<>\s]/, "must not hold spaces, < or >"), (text) =>
  /^(?:urn:[a-z0-9][a-z0-9-]{1,31}:[\x21-\x7e]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i.test(text)
    ? undefined
    : "must be a URN (urn:uuid:…) or a UUID",
);

/** 302 target: a SIP, SIPS or tel URI. */
export const forwardUri = all(
  plain,
  noEscapedControl,
  without(/[\s"<>\\]/, "must not hold spaces, quotes, < or >"),
  (text) => {
    const uri = parseUriText(text);
    const known = uri !== undefined && ["sip", "sips", "tel"].includes(uri.scheme) && uri.password === undefined;
    return known ? undefined : "must be a sip, sips or tel URI";
  },
);

/**
 * A literal address as the resolver reads it and nothing else: no leading zeros (octal to some), no name whose last label
 * begins with a digit (`127.0.0.0x1`; RFC 3261 §25.1, toplabel).
 */
function isPlainHost({ host }: HostPort): boolean {
  if (isIpv6(host)) return true;
  if (isIpv4(host)) return host.split(".").every((part) => part === "0" || !part.startsWith("0"));
  return /^[a-z]/i.test(host.replace(/\.$/, "").split(".").at(-1) ?? "");
}

/** The domain of an address of record: a name, an IPv4 address, or an IPv6 address in brackets; no port. */
export const domainText = all(plain, (text) => {
  const place = parseHostPort(text);
  const bare = place !== undefined && !/^sips?:|[<>\s;]/i.test(text) && (!isIpv6(place.host) || text.startsWith("["));
  if (!bare || !isPlainHost(place)) return "must be a domain name or an address (IPv6 in brackets)";
  return place.port === undefined ? undefined : "must not hold a port: that belongs to proxy";
});

/** `host`, `host:port`, or a SIP URI with transport and without a user. */
export const proxyText = all(plain, noEscapedControl, (text) => {
  const place = parseHostPort(text);
  const bare = place !== undefined && !/[\s"<>\\@?]/.test(text) && isPlainHost(place);
  return bare ? undefined : "must be host, host:port or a SIP URI with transport";
});

/** Where a domain or proxy leads, when it is written as an address; undefined for a name, which is judged when it is resolved. */
export function literalAddress(
  text: string,
): { readonly address: string; readonly port: number | undefined } | undefined {
  const place = parseHostPort(text);
  return place !== undefined && (isIpv4(place.host) || isIpv6(place.host))
    ? { address: place.host, port: place.port }
    : undefined;
}

/** RFC 6455 and Web Push endpoints: host and port of a URL. */
export function urlPlace(url: URL): { readonly host: string; readonly port: number } {
  const port = url.port === "" ? undefined : parsePort(url.port);
  return { host: url.hostname.replace(/^\[(.*)\]$/, "$1"), port: port ?? (url.protocol === "http:" ? 80 : 443) };
}

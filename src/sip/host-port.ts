import { hexValue, isDigit, latin1 } from "./message/chars.ts";

export interface HostPort {
  /** Name in lower case, or numeric address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  /** From `transport=` of a SIP URI, or "tls" for sips; undefined when nothing says. */
  readonly transport: "udp" | "tcp" | "tls" | undefined;
}

/** RFC 1035: a name has at most 255 characters, a label at most 63. */
const hostLengthMax = 255;
const labelLengthMax = 63;

/** Dotted decimal without leading zeros: what some read as octal, none may read differently from the egress policy. */
export function isIpv4(text: string): boolean {
  const parts = text.split(".", 5);
  return parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

/** IPv6 without brackets or zone (RFC 4291 §2.2), an embedded IPv4 address included. */
export function isIpv6(text: string): boolean {
  if (text.length > 45 || !text.includes(":")) return false;
  let groups = 0;
  let compressed = false;
  let at = 0;
  if (text.startsWith("::")) {
    compressed = true;
    at = 2;
  }
  while (at < text.length) {
    let end = at;
    while (end < text.length && text[end] !== ":") end++;
    const group = text.slice(at, end);
    if (group.includes(".")) {
      if (end !== text.length || !isIpv4(group)) return false;
      groups += 2;
      break;
    }
    if (group.length === 0 || group.length > 4 || !isHex(group)) return false;
    groups++;
    if (end === text.length) break;
    at = end + 1;
    if (text[at] === ":") {
      if (compressed) return false;
      compressed = true;
      at++;
    } else if (at === text.length) return false;
  }
  return compressed ? groups <= 7 : groups === 8;
}

function isHex(text: string): boolean {
  for (let i = 0; i < text.length; i++) if ((hexValue[text.charCodeAt(i)] ?? 0) === 0) return false;
  return true;
}

/** In a host name: 1 letters and `_`, 2 digits, 3 `-`, 4 `.`, 0 everything else. */
const nameClass = new Uint8Array(256);
for (let i = 0; i < 26; i++) nameClass[0x41 + i] = nameClass[0x61 + i] = 1;
for (let i = 0; i < 10; i++) nameClass[0x30 + i] = 2;
nameClass[0x5f] = 1;
nameClass[0x2d] = 3;
nameClass[0x2e] = 4;

/** Whether bytes[from, to) are a host name of letters, digits, `-` and `_` (which RFC 3261 forbids and networks use), or an IPv4 address. */
export function isNameOrIpv4(bytes: Uint8Array, from: number, to: number): boolean {
  // A dot at the end marks the root and is no label.
  const end = to > from + 1 && nameClass[bytes[to - 1]!] === 4 ? to - 1 : to;
  if (end === from || to - from > hostLengthMax) return false;
  let label = from;
  let digitsOnly = true;
  for (let at = from; at < end; at++) {
    const kind = nameClass[bytes[at]!]!;
    if (kind === 0) return false;
    if (kind === 4) {
      if (at === label || nameClass[bytes[at - 1]!] === 3) return false;
      label = at + 1;
      digitsOnly = true;
    } else {
      if (kind !== 2) digitsOnly = false;
      if ((kind === 3 && at === label) || at - label >= labelLengthMax) return false;
    }
  }
  if (label === end || nameClass[bytes[end - 1]!] === 3) return false;
  // A last label of digits alone is no name (RFC 3261 §25.1, toplabel): then it must be an address.
  return !digitsOnly || isIpv4(latin1(bytes, from, end));
}

/** A host name as `isNameOrIpv4` takes it, or an address; IPv6 without brackets. */
export function isHost(text: string): boolean {
  if (text.length === 0 || text.length > hostLengthMax) return false;
  if (text.includes(":")) return isIpv6(text);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return false;
    bytes[i] = code;
  }
  return isNameOrIpv4(bytes, 0, bytes.length);
}

/** A port of one to five digits from 1 to 65535; undefined otherwise. */
export function parsePort(text: string): number | undefined {
  if (text.length === 0 || text.length > 5) return undefined;
  for (let i = 0; i < text.length; i++) if (!isDigit(text.charCodeAt(i))) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** As it stands in a URI or Via: IPv6 gets brackets. */
export function formatHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

export function formatHostPort(host: string, port: number | undefined): string {
  return port === undefined ? formatHost(host) : `${formatHost(host)}:${port}`;
}

/**
 * Reads `host`, `host:port`, `1.2.3.4:port`, `[::1]`, `[::1]:port`, `::1`, or a SIP URI without user: `sip:host:port;transport=tcp`,
 * `sips:host`, in `<>` or not. What operators and phones write as a proxy. Undefined for anything else.
 */
export function parseHostPort(text: string): HostPort | undefined {
  let rest = text.trim();
  if (rest.startsWith("<") && rest.endsWith(">")) rest = rest.slice(1, -1);
  const scheme = /^(sips?):(?!\d+$)/i.exec(rest)?.[1]?.toLowerCase();
  let transport: HostPort["transport"];
  if (scheme !== undefined) {
    const [place = "", ...params] = rest.slice(scheme.length + 1).split(";");
    rest = place;
    for (const param of params) {
      const [name = "", value = ""] = param.split("=", 2);
      if (name.toLowerCase() !== "transport") continue;
      const named = transportOf(value);
      if (named === undefined) return undefined;
      transport = named;
    }
    if (scheme === "sips") {
      // RFC 3261 §26.2.2: sips is TLS over whatever is named; UDP it cannot be.
      if (transport === "udp") return undefined;
      transport = "tls";
    }
  }
  const place = splitHostPort(rest);
  return place === undefined ? undefined : { ...place, transport };
}

function transportOf(value: string): HostPort["transport"] {
  const lower = value.toLowerCase();
  return lower === "udp" || lower === "tcp" || lower === "tls" ? lower : undefined;
}

function splitHostPort(text: string): { readonly host: string; readonly port: number | undefined } | undefined {
  if (text.startsWith("[")) {
    const close = text.indexOf("]");
    const host = text.slice(1, close < 0 ? 0 : close).toLowerCase();
    return isIpv6(host) ? withPort(host, text.slice(close + 1)) : undefined;
  }
  if (isIpv6(text)) return { host: text.toLowerCase(), port: undefined };
  const colon = text.indexOf(":");
  const host = (colon < 0 ? text : text.slice(0, colon)).toLowerCase();
  return isHost(host) ? withPort(host, colon < 0 ? "" : text.slice(colon)) : undefined;
}

function withPort(
  host: string,
  tail: string,
): { readonly host: string; readonly port: number | undefined } | undefined {
  if (tail === "") return { host, port: undefined };
  const port = tail.startsWith(":") ? parsePort(tail.slice(1)) : undefined;
  return port === undefined ? undefined : { host, port };
}

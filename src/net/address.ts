import ipaddr from "ipaddr.js";
import { isIpv4, isIpv6 } from "../sip/host-port.ts";

const mappedPrefix = "::ffff:";
const leadingZero = /(?:^|\.)0\d/;

/**
 * The one spelling of a numeric address that everything in `net` compares by: dotted IPv4, RFC 5952 IPv6 without brackets
 * or zone, an IPv4-mapped address as IPv4. Undefined for names and for spellings that parsers disagree on (`127.1`,
 * `0x7f000001`, `010.0.0.1`), so that no two readers of one text mean two hosts.
 */
export function canonicalAddress(text: string): string | undefined {
  if (isIpv4(text)) return leadingZero.test(text) ? undefined : text;
  if (!isIpv6(text)) return undefined;
  const parsed = ipaddr.IPv6.parse(text);
  return parsed.isIPv4MappedAddress() ? parsed.toIPv4Address().toString() : parsed.toRFC5952String();
}

/** HOT. The canonical spelling of what a socket reports, which differs only for IPv4 on a socket of both families. */
export function sourceAddress(text: string): string {
  return text.startsWith(mappedPrefix) && text.includes(".") ? text.slice(mappedPrefix.length) : text;
}

export function isIpv6Text(address: string): boolean {
  return address.includes(":");
}

/** True for the addresses that mean "all of this machine's". */
export function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

/** The 4 or 16 bytes of a canonical address. */
export function addressBytes(address: string): readonly number[] {
  return ipaddr.parse(address).toByteArray();
}

/** What limits count by: an IPv4 address, or the /64 of an IPv6 address, for one household has all of it. */
export function limitKey(address: string): string {
  if (!isIpv6(address.split("%", 1)[0] ?? "")) return address;
  const [head = "", tail] = address.split("%", 1)[0]?.split("::") ?? [];
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups =
    tail === undefined
      ? front
      : [...front, ...Array<string>(Math.max(0, 8 - front.length - back.length)).fill("0"), ...back];
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, "").toLowerCase())
    .join(":");
}

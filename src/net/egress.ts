import { BlockList } from "node:net";
import { networkInterfaces } from "node:os";
import ipaddr from "ipaddr.js";
import type { Clock } from "../time/clock.ts";
import { systemClock } from "../time/clock.ts";
import { canonicalAddress, isIpv6Text, isWildcard } from "./address.ts";

/** IANA's special-purpose IPv4 networks (RFC 6890 and its registry), multicast and the reserved block. */
const specialIpv4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
];

/** Only global unicast is public; these lie inside it and are not: IETF assignments with Teredo, documentation, 6to4, AS112. */
const globalIpv6 = "2000::/3";
const specialIpv6 = ["2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"];

/** Networks whose addresses carry an IPv4 address, and at which byte (RFC 6052 §2.2 for the well-known prefix, RFC 3056). */
const carriers = [
  { network: "64:ff9b::/96", at: 12 },
  { network: "2002::/16", at: 2 },
] as const;

const lowPorts: ReadonlySet<number> = new Set([80, 443, 5060, 5061]);
const firstFreePort = 1024;
const ownAddressesFreshMs = 10_000;

export type EgressVerdict = { readonly allowed: true } | { readonly allowed: false; readonly text: string };

export interface EgressOptions {
  /** CIDR networks or single addresses that are allowed although not public (`sip.egress_allow`). */
  readonly allow?: readonly string[];
  /** Further addresses that are this machine's, beside its interfaces': `advertise` when numeric. */
  readonly own?: readonly string[];
  /** Local addresses of the interfaces; the system's when absent. */
  readonly interfaces?: () => readonly string[];
  readonly clock?: Clock;
}

const allowed: EgressVerdict = { allowed: true };
const denied = (text: string): EgressVerdict => ({ allowed: false, text });

/**
 * Where accounts may make us send to: the public internet and what the operator allows, on SIP's ports, the web's, and
 * those from 1024 up. It judges resolved addresses only, at each look-up and again before the first byte (a name can
 * change its address in between). Never this machine itself unless the operator allows that, and never our own sockets.
 */
export class EgressPolicy {
  readonly #special = new BlockList();
  readonly #global = new BlockList();
  readonly #allow = new BlockList();
  readonly #carriers = carriers.map(({ network, at }) => ({ list: listOf([network]), at }));
  readonly #own: ReadonlySet<string>;
  readonly #interfaces: () => readonly string[];
  readonly #clock: Clock;
  readonly #listening = new Set<string>();
  #ownNow: ReadonlySet<string> = new Set();
  #ownReadAtMs = Number.NEGATIVE_INFINITY;

  /** Throws a RangeError when `allow` holds what is no network: the config has refused that before. */
  constructor(options: EgressOptions = {}) {
    for (const network of [...specialIpv4, ...specialIpv6]) addNetwork(this.#special, network);
    addNetwork(this.#global, globalIpv6);
    for (const network of options.allow ?? []) addNetwork(this.#allow, network);
    this.#own = new Set((options.own ?? []).flatMap((address) => canonicalAddress(address) ?? []));
    this.#interfaces = options.interfaces ?? systemAddresses;
    this.#clock = options.clock ?? systemClock;
  }

  /** Tells a socket of ours: sending there is refused whatever is allowed, for it would be a loop. */
  addListening(address: string, port: number): void {
    this.#listening.add(`${address} ${port}`);
  }

  /** `address` is numeric; a name or an odd spelling is denied. */
  verdict(address: string, port: number): EgressVerdict {
    const canonical = canonicalAddress(address);
    if (canonical === undefined) return denied("not a numeric address");
    if (!Number.isInteger(port) || port < 1 || port > 65_535) return denied("not a port");
    if (port < firstFreePort && !lowPorts.has(port)) return denied(`port ${port} is not one of SIP's`);
    if (this.#isListening(canonical, port)) return denied("this is Wakeline itself");
    return this.#addressVerdict(canonical);
  }

  #addressVerdict(address: string): EgressVerdict {
    const family = isIpv6Text(address) ? "ipv6" : "ipv4";
    const carried = this.#carriedIpv4(address);
    if (this.#allow.check(address, family)) {
      // Allowing a translator's prefix opens the public internet behind it, not the private networks.
      return carried === undefined ? allowed : this.#addressVerdict(carried);
    }
    if (carried !== undefined || this.#special.check(address, family)) return denied("a special-purpose network");
    if (family === "ipv6" && !this.#global.check(address, family)) return denied("not a global unicast address");
    return this.#isOwn(address) ? denied("an address of this machine") : allowed;
  }

  #carriedIpv4(address: string): string | undefined {
    if (!isIpv6Text(address)) return undefined;
    for (const { list, at } of this.#carriers) {
      if (list.check(address, "ipv6"))
        return ipaddr
          .parse(address)
          .toByteArray()
          .slice(at, at + 4)
          .join(".");
    }
    return undefined;
  }

  #isListening(address: string, port: number): boolean {
    if (this.#listening.has(`${address} ${port}`)) return true;
    const wildcard = isIpv6Text(address) ? "::" : "0.0.0.0";
    if (!this.#listening.has(`${wildcard} ${port}`)) return false;
    return isWildcard(address) || address === "::1" || address.startsWith("127.") || this.#isOwn(address);
  }

  #isOwn(address: string): boolean {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#ownReadAtMs >= ownAddressesFreshMs) {
      this.#ownReadAtMs = nowMs;
      this.#ownNow = new Set(this.#interfaces());
    }
    return this.#own.has(address) || this.#ownNow.has(address);
  }
}

function systemAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries) =>
    (entries ?? []).flatMap((entry) => canonicalAddress(entry.address.split("%", 1)[0] ?? "") ?? []),
  );
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) addNetwork(list, network);
  return list;
}

function addNetwork(list: BlockList, text: string): void {
  const network = parseNetwork(text);
  if (network === undefined) throw new RangeError(`not a network: ${text}`);
  list.addSubnet(network.address, network.bits, isIpv6Text(network.address) ? "ipv6" : "ipv4");
}

/** Reads `10.0.0.0/8`, `2001:db8::/32` or a single address. Undefined for anything else. */
export function parseNetwork(text: string): { readonly address: string; readonly bits: number } | undefined {
  const [place = "", length, ...rest] = text.trim().split("/");
  const address = canonicalAddress(place);
  if (address === undefined || rest.length > 0) return undefined;
  const bitsMax = isIpv6Text(address) ? 128 : 32;
  if (length === undefined) return { address, bits: bitsMax };
  if (!/^\d{1,3}$/.test(length) || Number(length) > bitsMax) return undefined;
  return { address, bits: Number(length) };
}

import type { Random } from "../time/random.ts";
import { canonicalAddress } from "./address.ts";
import type { DnsAnswer, DnsType } from "./dns.ts";
import type { CachedAnswer } from "./dns-cache.ts";
import type { Endpoint, SipTarget, Transport } from "./network.ts";
import { orderServers, type SrvRecord } from "./srv-order.ts";

/** Questions that one resolve may ask, and places that it may name: a hostile zone costs no more. */
const lookupsMax = 8;
const targetsMax = 32;

const defaultPort: Readonly<Record<Transport, number>> = { udp: 5060, tcp: 5060, tls: 5061 };
const servicePrefix: Readonly<Record<Transport, string>> = { udp: "_sip._udp.", tcp: "_sip._tcp.", tls: "_sips._tcp." };
/** Order for `auto` where the domain states none (NAPTR): what every server speaks first. */
const autoOrder: readonly Transport[] = ["udp", "tcp", "tls"];
/** NAPTR services (RFC 3263 §4.1, registered there). */
const naptrTransport: ReadonlyMap<string, Transport> = new Map([
  ["SIP+D2U", "udp"],
  ["SIP+D2T", "tcp"],
  ["SIPS+D2T", "tls"],
]);

/** What one look at the answers so far has come to. */
export type LookupState =
  | { readonly kind: "asking"; readonly questions: readonly (readonly [DnsType, string])[] }
  | { readonly kind: "found"; readonly endpoints: readonly Endpoint[]; readonly expiresAtMs: number }
  | { readonly kind: "notFound" }
  | { readonly kind: "failed"; readonly text: string };

export interface LookupOptions {
  readonly target: SipTarget;
  readonly random: Random;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Answers that are known already; undefined has to be asked. */
  readonly peek: (type: DnsType, name: string) => CachedAnswer | undefined;
  /** Addresses of names that no resolver is asked for. */
  readonly hosts: (name: string) => readonly string[] | undefined;
}

/** A service to be located: its SRV name and what it speaks. */
interface Service {
  readonly transport: Transport;
  readonly name: string;
}

interface Place {
  readonly transport: Transport;
  readonly host: string;
  readonly port: number;
}

/**
 * One resolve of RFC 3263 §4: looks at the answers there are and says what to ask next, until nothing is missing. No I/O:
 * the locator asks and tells the answers. Weights are drawn once.
 */
export class Lookup {
  readonly #options: LookupOptions;
  readonly #answers = new Map<string, CachedAnswer>();
  readonly #asked = new Set<string>();
  readonly #drawn = new Map<string, readonly SrvRecord[]>();
  #missing: (readonly [DnsType, string])[] = [];
  #expiresAtMs = Number.POSITIVE_INFINITY;
  #failure: string | undefined;

  constructor(options: LookupOptions) {
    this.#options = options;
  }

  answer(type: DnsType, name: string, answer: CachedAnswer): void {
    this.#answers.set(`${type} ${name}`, answer);
  }

  look(): LookupState {
    this.#missing = [];
    this.#failure = undefined;
    this.#expiresAtMs = Number.POSITIVE_INFINITY;
    const places = this.#places();
    const endpoints = places === undefined ? [] : this.#endpoints(places);
    if (this.#missing.length > 0) return { kind: "asking", questions: this.#missing };
    if (endpoints.length > 0) return { kind: "found", endpoints, expiresAtMs: this.#expiresAtMs };
    return this.#failure === undefined ? { kind: "notFound" } : { kind: "failed", text: this.#failure };
  }

  /** Hosts and ports in the order to try; undefined while (or since) answers are missing. */
  #places(): readonly Place[] | undefined {
    const { target } = this.#options;
    const { host, port, transport } = target;
    if (canonicalAddress(host) !== undefined || port !== undefined) {
      // §4.1: a numeric target, or one with a port, is used as it stands; over UDP when nothing says otherwise.
      const spoken = transport === "auto" ? "udp" : transport;
      return [{ transport: spoken, host, port: port ?? defaultPort[spoken] }];
    }
    const bare = (transport === "auto" ? (["udp", "tcp"] as const) : [transport]).map((spoken) => ({
      transport: spoken,
      host,
      port: defaultPort[spoken],
    }));
    if (this.#options.hosts(host) !== undefined) return bare;
    const services = transport === "auto" ? this.#autoServices(host) : [serviceOf(transport, host)];
    return this.#served(services) ?? (this.#missing.length > 0 || this.#failure !== undefined ? undefined : bare);
  }

  /** §4.1: by NAPTR in its order; without any, each transport's SRV, asked along with it. */
  #autoServices(host: string): readonly Service[] {
    const usual = autoOrder.map((transport) => serviceOf(transport, host));
    const naptr = this.#ask("NAPTR", host);
    for (const { name } of usual) this.#ask("SRV", name);
    if (naptr === undefined) return [];
    if (naptr.kind !== "records") return usual;
    const named = naptr.records
      .filter((record) => record.type === "NAPTR")
      .filter(({ flags, replacement }) => flags === "s" && replacement !== "")
      .sort((a, b) => a.order - b.order || a.preference - b.preference)
      .flatMap(({ service, replacement }) => {
        const transport = naptrTransport.get(service);
        return transport === undefined ? [] : [{ transport, name: replacement }];
      });
    return named.length > 0 ? named : usual;
  }

  /** §4.2. Undefined when no service has an SRV record: then the name itself is the server. */
  #served(services: readonly Service[]): readonly Place[] | undefined {
    const places: Place[] = [];
    let known = false;
    for (const { transport, name } of services) {
      const answer = this.#ask("SRV", name);
      if (answer?.kind === "records") {
        known = true;
        for (const { target, port } of this.#draw(name, answer)) places.push({ transport, host: target, port });
      } else if (answer?.kind === "failed" && !answer.answered) {
        // Nobody said that there is none: the bare name may be somebody else, a web server for one.
        this.#failure ??= answer.text;
      }
    }
    return known ? places : undefined;
  }

  #endpoints(places: readonly Place[]): readonly Endpoint[] {
    const serverName = this.#options.target.host;
    const endpoints: Endpoint[] = [];
    const seen = new Set<string>();
    for (const { transport, host, port } of places) {
      for (const address of this.#addresses(host)) {
        const key = `${transport} ${address} ${port}`;
        if (seen.has(key) || endpoints.length >= targetsMax) continue;
        seen.add(key);
        endpoints.push(transport === "tls" ? { transport, address, port, serverName } : { transport, address, port });
      }
    }
    return endpoints;
  }

  /** IPv4 first: SIP servers of both families are reached by it without fail, and UDP cannot race the two (RFC 8305). */
  #addresses(host: string): readonly string[] {
    const { ipv4, ipv6, hosts } = this.#options;
    const usable = (address: string) => (address.includes(":") ? ipv6 : ipv4);
    const numeric = canonicalAddress(host);
    if (numeric !== undefined) return [numeric].filter(usable);
    const here = hosts(host);
    if (here !== undefined) return here.filter(usable);
    const addresses: string[] = [];
    for (const type of ["A", "AAAA"] as const) {
      if (!(type === "A" ? ipv4 : ipv6)) continue;
      const answer = this.#ask(type, host);
      if (answer?.kind === "records") {
        for (const record of answer.records) if (record.type === type) addresses.push(record.address);
      } else if (answer?.kind === "failed") this.#failure ??= answer.text;
    }
    return addresses;
  }

  /** The answer, when known; else it goes to the missing ones, as far as the bound allows. */
  #ask(type: DnsType, name: string): DnsAnswer | undefined {
    const key = `${type} ${name}`;
    if (!this.#asked.has(key)) {
      if (this.#asked.size >= lookupsMax) return { kind: "none" };
      this.#asked.add(key);
    }
    let known = this.#answers.get(key);
    if (known === undefined) {
      known = this.#options.peek(type, name);
      if (known === undefined) {
        if (!this.#missing.some(([otherType, other]) => otherType === type && other === name))
          this.#missing.push([type, name]);
        return undefined;
      }
      this.#answers.set(key, known);
    }
    this.#expiresAtMs = Math.min(this.#expiresAtMs, known.expiresAtMs);
    return known.answer;
  }

  #draw(name: string, answer: Extract<DnsAnswer, { readonly kind: "records" }>): readonly SrvRecord[] {
    let drawn = this.#drawn.get(name);
    if (drawn === undefined) {
      drawn = orderServers(
        answer.records.filter((record) => record.type === "SRV"),
        this.#options.random,
      ).slice(0, targetsMax);
      this.#drawn.set(name, drawn);
    }
    return drawn;
  }
}

function serviceOf(transport: Transport, host: string): Service {
  return { transport, name: servicePrefix[transport] + host };
}

import { LRUCache } from "lru-cache";
import { formatHost } from "../sip/host-port.ts";
import type { Clock } from "../time/clock.ts";
import { canonicalAddress, isIpv6Text, isWildcard } from "./address.ts";

const routesMax = 16_384;
/** Routes change when the machine's network does: asked again after this, the old answer serving meanwhile. */
const routeFreshMs = 60_000;
/** A destination without a route is asked again after this. */
const noRouteMs = 5_000;
/** What a phone behind a home router would show, where `sip.nat_address` says nothing. */
const natAddressDefault = "192.168.1.20";

/** The address that the system would send from; undefined when there is no route. */
export type FindRoute = (address: string) => Promise<string | undefined>;

export interface LocalAddressesOptions {
  readonly clock: Clock;
  /** Addresses that we are bound to. */
  readonly listen: readonly string[];
  /** `sip.advertise`: a name or a numeric address. */
  readonly advertise: string | undefined;
  /** `sip.nat_address`. */
  readonly natAddress: string | undefined;
  /** There is no way to an address that was asked for. */
  readonly onNoRoute: (destination: string) => void;
  readonly findRoute?: FindRoute;
}

/** What goes for destinations of one family. */
interface Family {
  /** Addresses that we are bound to. */
  readonly ours: readonly string[];
  /** The first of them, unless one is all addresses. */
  readonly bound: string | undefined;
  /** What a setting shows, as it stands in a URI; undefined where the route decides. */
  readonly shown: string | undefined;
  /** The same for accounts with NAT emulation. */
  readonly shownBehindNat: string | undefined;
}

interface Route {
  readonly address: string | undefined;
  readonly atMs: number;
}

/**
 * Which host we show to whom: `advertise`, the private address for accounts with NAT emulation, else the route's own. A
 * numeric setting is for destinations of its family only.
 */
export class LocalAddresses {
  readonly #clock: Clock;
  readonly #ipv4: Family;
  readonly #ipv6: Family;
  readonly #onNoRoute: (destination: string) => void;
  readonly #findRoute: FindRoute;
  readonly #routes = new LRUCache<string, Route>({ max: routesMax });
  readonly #asked = new Set<string>();

  constructor(options: LocalAddressesOptions) {
    this.#clock = options.clock;
    this.#ipv4 = familyOf(options, false);
    this.#ipv6 = familyOf(options, true);
    this.#onNoRoute = options.onNoRoute;
    this.#findRoute = options.findRoute ?? findRoute;
  }

  /** HOT. As it stands in a URI (IPv6 in brackets). Undefined while the route is being asked for, or when there is none. */
  host(destination: string, natEmulation: boolean): string | undefined {
    const { shown, shownBehindNat } = this.#family(destination);
    const setting = natEmulation ? shownBehindNat : shown;
    if (setting !== undefined) return setting;
    const own = this.route(destination);
    return own === undefined ? undefined : formatHost(own);
  }

  /**
   * The numeric address that the way to `destination` leaves from, one that we are bound to where we are not bound to all;
   * undefined as for `host`.
   */
  route(destination: string): string | undefined {
    const { ours, bound } = this.#family(destination);
    if (bound !== undefined && ours.length === 1) return bound;
    const route = this.#systemRoute(destination);
    return route === undefined || bound === undefined || ours.includes(route) ? route : bound;
  }

  #family(destination: string): Family {
    return isIpv6Text(destination) ? this.#ipv6 : this.#ipv4;
  }

  #systemRoute(destination: string): string | undefined {
    const known = this.#routes.get(destination);
    const freshMs = known?.address === undefined ? noRouteMs : routeFreshMs;
    const stale = known === undefined || this.#clock.nowMs() - known.atMs >= freshMs;
    if (stale && !this.#asked.has(destination)) void this.#ask(destination);
    return known?.address;
  }

  async #ask(destination: string): Promise<void> {
    this.#asked.add(destination);
    let address: string | undefined;
    try {
      address = await this.#findRoute(destination);
    } catch {
      // The system says that there is no way.
    }
    this.#asked.delete(destination);
    this.#routes.set(destination, { address, atMs: this.#clock.nowMs() });
    if (address === undefined) this.#onNoRoute(destination);
  }
}

function familyOf({ listen, advertise, natAddress = natAddressDefault }: LocalAddressesOptions, ipv6: boolean): Family {
  const ours = listen.filter((address) => isIpv6Text(address) === ipv6);
  return {
    ours,
    bound: ours.some(isWildcard) ? undefined : ours[0],
    shown: advertise === undefined ? undefined : shownTo(ipv6, advertise),
    shownBehindNat: shownTo(ipv6, natAddress),
  };
}

/** A name is for everybody, an address for its own family. */
function shownTo(ipv6: boolean, setting: string): string | undefined {
  const address = canonicalAddress(setting);
  return address === undefined || isIpv6Text(address) === ipv6 ? formatHost(address ?? setting) : undefined;
}

/** Asks the system by a connected UDP socket, which sends nothing. */
async function findRoute(address: string): Promise<string | undefined> {
  const socket = await Bun.udpSocket({ connect: { hostname: address, port: 5060 }, socket: { data() {} } });
  const own = canonicalAddress(socket.address.address);
  socket.close();
  return own === undefined || isWildcard(own) ? undefined : own;
}

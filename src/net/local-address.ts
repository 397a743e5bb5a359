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
  readonly #listen: readonly string[];
  readonly #advertise: string | undefined;
  readonly #natAddress: string;
  readonly #onNoRoute: (destination: string) => void;
  readonly #findRoute: FindRoute;
  readonly #routes = new LRUCache<string, Route>({ max: routesMax });
  readonly #asked = new Set<string>();

  constructor(options: LocalAddressesOptions) {
    this.#clock = options.clock;
    this.#listen = options.listen;
    this.#advertise =
      options.advertise === undefined ? undefined : (canonicalAddress(options.advertise) ?? options.advertise);
    this.#natAddress = options.natAddress ?? natAddressDefault;
    this.#onNoRoute = options.onNoRoute;
    this.#findRoute = options.findRoute ?? findRoute;
  }

  /** As it stands in a URI (IPv6 in brackets). Undefined while the route is being asked for, or when there is none. */
  host(destination: string, natEmulation: boolean): string | undefined {
    const shown = natEmulation ? this.#natAddress : this.#advertise;
    if (shown !== undefined && fits(shown, destination)) return formatHost(shown);
    const own = this.route(destination);
    return own === undefined ? undefined : formatHost(own);
  }

  /**
   * The numeric address that the way to `destination` leaves from, one that we are bound to where we are not bound to all;
   * undefined as for `host`.
   */
  route(destination: string): string | undefined {
    const ours = this.#listen.filter((address) => isIpv6Text(address) === isIpv6Text(destination));
    const bound = ours.some(isWildcard) ? undefined : ours[0];
    if (bound !== undefined && ours.length === 1) return bound;
    const route = this.#systemRoute(destination);
    return route === undefined || bound === undefined || ours.includes(route) ? route : bound;
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

/** A name fits everywhere, an address where its family does. */
function fits(host: string, destination: string): boolean {
  return canonicalAddress(host) === undefined || isIpv6Text(host) === isIpv6Text(destination);
}

/** Asks the system by a connected UDP socket, which sends nothing. */
async function findRoute(address: string): Promise<string | undefined> {
  const socket = await Bun.udpSocket({ connect: { hostname: address, port: 5060 }, socket: { data() {} } });
  const own = canonicalAddress(socket.address.address);
  socket.close();
  return own === undefined || isWildcard(own) ? undefined : own;
}

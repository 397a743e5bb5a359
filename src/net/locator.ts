import { isHost } from "../sip/host-port.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";
import type { DnsClient, DnsType } from "./dns.ts";
import { DnsCache, ttlCapSec, ttlFloorSec } from "./dns-cache.ts";
import type { EgressPolicy } from "./egress.ts";
import { HostsFile } from "./hosts-file.ts";
import { Lookup } from "./lookup.ts";
import type { LocateResult, Locator, SipTarget } from "./network.ts";

/** A resolve takes no longer than this, whatever the servers do. */
const resolveMs = 3_000;
/** NAPTR and SRV get a part of it, so that addresses can still be asked for. */
const serviceQueryMs = 1_000;
/** Resolves that ask at the same time; more wait, so that a start with thousands of domains does not time itself out. */
const runningMax = 64;
const waitingMax = 65_536;

export interface DnsLocatorOptions {
  readonly dns: DnsClient;
  readonly egress: EgressPolicy;
  readonly clock: Clock;
  readonly random: Random;
  /** Families that a socket of ours speaks. */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly hosts?: Pick<HostsFile, "find">;
}

/** RFC 3263 with bounds, a cache, and the egress policy on every address that comes out. */
export class DnsLocator implements Locator {
  readonly #options: DnsLocatorOptions;
  readonly #cache: DnsCache;
  readonly #hosts: Pick<HostsFile, "find">;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: DnsLocatorOptions) {
    this.#options = options;
    this.#cache = new DnsCache(options.dns, options.clock);
    this.#hosts = options.hosts ?? new HostsFile(options.clock);
  }

  /** `done` is called once; during the call when everything is known already. */
  locate(target: SipTarget, done: (result: LocateResult) => void): void {
    const host = (target.host.endsWith(".") ? target.host.slice(0, -1) : target.host).toLowerCase();
    if (!isHost(host)) return done({ ok: false, reason: "notFound", text: "not a host name" });
    const lookup = new Lookup({
      target: { ...target, host },
      random: this.#options.random,
      ipv4: this.#options.ipv4,
      ipv6: this.#options.ipv6,
      peek: (type, name) => this.#cache.peek(type, name),
      hosts: (name) => this.#hosts.find(name),
    });
    const state = lookup.look();
    if (state.kind !== "asking") return done(this.#result(host, state));
    const start = () => this.#run(host, lookup, done);
    if (this.#running < runningMax) return start();
    if (this.#waiting.length >= waitingMax)
      return done({ ok: false, reason: "unavailable", text: "too many look-ups" });
    this.#waiting.push(start);
  }

  #run(host: string, lookup: Lookup, done: (result: LocateResult) => void): void {
    const { clock } = this.#options;
    const untilMs = clock.nowMs() + resolveMs;
    this.#running++;
    const step = (): void => {
      const state = lookup.look();
      if (state.kind !== "asking") {
        this.#running--;
        this.#waiting.shift()?.();
        return done(this.#result(host, state));
      }
      let left = state.questions.length;
      for (const [type, name] of state.questions) {
        this.#cache.ask(type, name, timeFor(type, untilMs - clock.nowMs()), (answer) => {
          lookup.answer(type, name, answer);
          if (--left === 0) step();
        });
      }
    };
    step();
  }

  #result(host: string, state: Exclude<ReturnType<Lookup["look"]>, { readonly kind: "asking" }>): LocateResult {
    if (state.kind === "failed") return { ok: false, reason: "unavailable", text: state.text };
    if (state.kind === "notFound") return { ok: false, reason: "notFound", text: `no address for ${host}` };
    const judged = state.endpoints.map((endpoint) => ({
      endpoint,
      verdict: this.#options.egress.verdict(endpoint.address, endpoint.port),
    }));
    const endpoints = judged.filter(({ verdict }) => verdict.allowed).map(({ endpoint }) => endpoint);
    if (endpoints.length === 0) {
      const refused = judged.map(({ verdict }) => verdict).find((verdict) => !verdict.allowed);
      return { ok: false, reason: "egress", text: refused?.text ?? "not allowed" };
    }
    const leftSec = Math.floor((state.expiresAtMs - this.#options.clock.nowMs()) / 1_000);
    return { ok: true, endpoints, ttlSec: Math.min(Math.max(leftSec, ttlFloorSec), ttlCapSec) };
  }
}

function timeFor(type: DnsType, leftMs: number): number {
  const left = Math.max(leftMs, 1);
  return type === "NAPTR" || type === "SRV" ? Math.min(left, serviceQueryMs) : left;
}

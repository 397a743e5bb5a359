import { Resolver } from "node:dns";
import { canonicalAddress } from "./address.ts";

/** One resource record, as far as RFC 3263 needs it. Names are in lower case without a final dot. */
export type DnsRecord =
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | {
      readonly type: "SRV";
      readonly target: string;
      readonly port: number;
      readonly priority: number;
      readonly weight: number;
    }
  | {
      readonly type: "NAPTR";
      readonly order: number;
      readonly preference: number;
      readonly flags: string;
      readonly service: string;
      readonly replacement: string;
    };

export type DnsType = DnsRecord["type"];

export type DnsAnswer =
  | {
      readonly kind: "records";
      readonly records: readonly DnsRecord[];
      /** Undefined where the resolver does not tell it (SRV and NAPTR by node:dns). */
      readonly ttlSec: number | undefined;
    }
  /** The name or the type does not exist. */
  | { readonly kind: "none" }
  /** Nobody could tell: time-out, refusal, server failure. */
  | {
      readonly kind: "failed";
      /** A server answered, with a failure; false when none answered. */
      readonly answered: boolean;
      readonly text: string;
    };

/** Asks one question; injected, so that tests and simulations answer themselves. */
export interface DnsClient {
  /** `done` is called once, at the latest after `timeoutMs`; possibly during the call. */
  query(type: DnsType, name: string, timeoutMs: number, done: (answer: DnsAnswer) => void): void;
}

/** Of one answer; the rest is ignored. */
const recordsMax = 128;
/** Time for one server before the next is asked. */
const serverMs = 400;
const serverTries = 2;

/** Answers of a resolver that mean "there is no such thing", not "I cannot tell". */
const noneCodes: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA", "ENONAME", "EBADNAME"]);

/** The system's servers, or those of `sip.resolver` (`address` or `address:port`, IPv6 in brackets with a port). */
export class SystemDnsClient implements DnsClient {
  readonly #resolver = new Resolver({ timeout: serverMs, tries: serverTries });

  /** Throws when a server is not a numeric address. */
  constructor(servers: readonly string[] = []) {
    if (servers.length > 0) this.#resolver.setServers(servers);
  }

  query(type: DnsType, name: string, timeoutMs: number, done: (answer: DnsAnswer) => void): void {
    let open = true;
    const once = (answer: DnsAnswer) => {
      if (!open) return;
      open = false;
      clearTimeout(timer);
      done(answer);
    };
    const timer = setTimeout(
      () => once({ kind: "failed", answered: false, text: `${type} ${name}: no answer in time` }),
      timeoutMs,
    );
    const told = <Raw>(read: (raw: Raw) => DnsRecord | undefined, ttlOf?: (raw: Raw) => number) => {
      return (error: NodeJS.ErrnoException | null, raw?: readonly Raw[]) =>
        once(readAnswer(`${type} ${name}`, error, raw, read, ttlOf));
    };
    const address = (raw: { address: string; ttl: number }): DnsRecord | undefined => {
      const canonical = canonicalAddress(raw.address);
      return canonical === undefined ? undefined : { type: type === "A" ? "A" : "AAAA", address: canonical };
    };
    try {
      if (type === "A")
        this.#resolver.resolve4(
          name,
          { ttl: true },
          told(address, (raw) => raw.ttl),
        );
      else if (type === "AAAA")
        this.#resolver.resolve6(
          name,
          { ttl: true },
          told(address, (raw) => raw.ttl),
        );
      else if (type === "SRV") {
        this.#resolver.resolveSrv(
          name,
          told((raw) => ({
            type: "SRV",
            target: plainName(raw.name),
            port: raw.port,
            priority: raw.priority,
            weight: raw.weight,
          })),
        );
      } else {
        this.#resolver.resolveNaptr(
          name,
          told((raw) => ({
            type: "NAPTR",
            order: raw.order,
            preference: raw.preference,
            flags: raw.flags.toLowerCase(),
            service: raw.service.toUpperCase(),
            replacement: plainName(raw.replacement),
          })),
        );
      }
    } catch (cause) {
      once({ kind: "failed", answered: true, text: `${type} ${name}: ${String(cause)}` });
    }
  }
}

/** A server that says so much has at least been reached. */
const answeredCodes: ReadonlySet<string> = new Set(["ESERVFAIL", "EREFUSED", "ENOTIMP", "EFORMERR", "EBADRESP"]);

function readAnswer<Raw>(
  question: string,
  error: NodeJS.ErrnoException | null,
  raw: readonly Raw[] | undefined,
  read: (raw: Raw) => DnsRecord | undefined,
  ttlOf: ((raw: Raw) => number) | undefined,
): DnsAnswer {
  if (error !== null) {
    const code = error.code ?? error.message;
    if (noneCodes.has(code)) return { kind: "none" };
    return { kind: "failed", answered: answeredCodes.has(code), text: `${question}: ${code}` };
  }
  const some = (raw ?? []).slice(0, recordsMax);
  const records = some.flatMap((one) => read(one) ?? []);
  if (records.length === 0) return { kind: "none" };
  return { kind: "records", records, ttlSec: ttlOf === undefined ? undefined : Math.min(...some.map(ttlOf)) };
}

function plainName(name: string): string {
  return (name.endsWith(".") ? name.slice(0, -1) : name).toLowerCase();
}

import { isIP } from "node:net";
import type { Config } from "../../config/config.ts";
import type { DnsAnswer, DnsClient, DnsType } from "../../net/dns.ts";
import { parseHostPort } from "../../sip/host-port.ts";
import { accountPlaces } from "../../store/inspect.ts";
import { note, problem, type Finding } from "./finding.ts";
import type { LookUp } from "./names.ts";

const questionMs = 3_000;
/** Places of accounts that are looked up: the most used ones. */
const placesMax = 50;
/** Asked about when `public_url` has no name; any answer will do, also that there is no such thing. */
const someName = "example.com";

export interface Resolvers {
  /** A client of these servers; of the system's for none. */
  dns(servers: readonly string[]): DnsClient;
  /** Addresses of the system's servers. */
  readonly systemServers: readonly string[];
  readonly lookUp: LookUp;
}

/** Whether DNS servers answer at all, and whether the names in accounts lead anywhere (RFC 3263 §4). */
export async function checkResolvers(config: Config, resolvers: Resolvers): Promise<readonly Finding[]> {
  const findings = await checkServers(config, resolvers);
  // Where nobody answers, nothing can be said about names.
  return findings.length > 0 ? findings : checkPlaces(config, resolvers);
}

async function checkServers({ sip, publicUrl }: Config, resolvers: Resolvers): Promise<readonly Finding[]> {
  const host = URL.parse(publicUrl)?.hostname ?? "";
  const name = isIP(host) !== 0 || host.startsWith("[") || !host.includes(".") ? someName : host;
  const servers = sip.resolver.length > 0 ? sip.resolver : resolvers.systemServers;
  const asked = await Promise.all(
    servers.map(async (server) => ({ server, answer: await ask(resolvers.dns([server]), "SRV", `_sip._udp.${name}`) })),
  );
  const failed = asked.flatMap(({ server, answer }) => (answer.kind === "failed" ? [{ server, answer }] : []));
  if (sip.resolver.length > 0) {
    return failed.map(({ server, answer }) =>
      problem(
        `sip.resolver: ${server} ${answer.answered ? "answers, but refuses or fails" : "does not answer"} (${answer.text}): correct the address, or let the server answer this machine`,
      ),
    );
  }
  if (servers.length === 0 || failed.length < servers.length) return [];
  const names = servers.join(" and ");
  return [
    note(
      `DNS: ${names} does not answer here, so no account's server can be found by name: see /etc/resolv.conf, or set sip.resolver`,
    ),
  ];
}

async function checkPlaces({ dataDir, sip }: Config, resolvers: Resolvers): Promise<readonly Finding[]> {
  const dns = resolvers.dns(sip.resolver);
  const found = await Promise.all(
    placesIn(dataDir).map(async ({ place, accounts }) => {
      const { host = "", port } = parseHostPort(place) ?? {};
      if (isIP(host) !== 0 || host === "" || (await leadsSomewhere(host, port, dns, resolvers.lookUp))) return [];
      const records = port === undefined ? "neither A, AAAA, SRV nor NAPTR records" : "neither A nor AAAA records";
      return [
        note(`accounts: ${place} (${accounts} of them) has ${records}: they cannot register until the name is right`),
      ];
    }),
  );
  return found.flat();
}

/** A database that cannot be opened has been told of with the files. */
function placesIn(dataDir: string): ReturnType<typeof accountPlaces> {
  try {
    return accountPlaces(dataDir, placesMax);
  } catch {
    return [];
  }
}

async function leadsSomewhere(
  host: string,
  port: number | undefined,
  dns: DnsClient,
  lookUp: LookUp,
): Promise<boolean> {
  const services = ["_sip._udp.", "_sip._tcp.", "_sips._tcp."].map((prefix) => ["SRV", prefix + host] as const);
  const questions = [
    ["A", host],
    ["AAAA", host],
    ...(port === undefined ? [["NAPTR", host] as const, ...services] : []),
  ] as const;
  const answers = await Promise.all(questions.map(([type, name]) => ask(dns, type, name)));
  // What could not be asked is not called wrong.
  if (answers.some(({ kind }) => kind !== "none")) return true;
  return lookUp(host).then(
    (addresses) => addresses.length > 0,
    () => false,
  );
}

function ask(dns: DnsClient, type: DnsType, name: string): Promise<DnsAnswer> {
  return new Promise((resolve) => dns.query(type, name, questionMs, resolve));
}

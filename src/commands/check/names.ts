import { networkInterfaces } from "node:os";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { isLoopback } from "../../config/addresses.ts";
import type { Config } from "../../config/config.ts";
import { note, problem, type Finding } from "./finding.ts";

const lookupMs = 5_000;

/** Addresses of a host name; rejects when it has none. */
export type LookUp = (name: string) => Promise<readonly string[]>;

/** What the outside is told to call: public_url and sip.advertise. `ownAddresses`: of this machine's interfaces. */
export async function checkNames(
  config: Config,
  lookUp: LookUp,
  ownAddresses: readonly string[],
): Promise<readonly Finding[]> {
  const url = URL.parse(config.publicUrl);
  const host = url?.hostname.replace(/^\[|\]$/g, "") ?? "";
  const findings: Finding[] = [];
  if (isLoopback(host)) {
    findings.push(
      note(`public_url: ${config.publicUrl} reaches this machine only; phones elsewhere need a name of the network`),
    );
  } else if (url?.protocol === "http:") {
    findings.push(problem(`public_url: ${config.publicUrl} would carry passwords and calls unencrypted; use https://`));
  }
  const { advertise } = config.sip;
  const [publicFinding, advertised] = await Promise.all([
    resolved("public_url", host, lookUp, ownAddresses),
    advertise === undefined ? [] : resolved("sip.advertise", advertise, lookUp, ownAddresses),
  ]);
  findings.push(...publicFinding, ...advertised);
  if (advertise === undefined && !config.sip.listen.every(isLoopback) && !ownAddresses.some(isPublic)) {
    findings.push(
      note(
        "sip.advertise: this machine has private addresses only; SIP servers beyond its NAT need sip.advertise = its public address",
      ),
    );
  }
  return findings;
}

async function resolved(
  key: string,
  host: string,
  lookUp: LookUp,
  ownAddresses: readonly string[],
): Promise<readonly Finding[]> {
  if (isIP(host) !== 0 || host === "" || host === "localhost") return [];
  let addresses: readonly string[];
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("no answer in time")), lookupMs);
    });
    addresses = await Promise.race([lookUp(host), late]);
  } catch (cause) {
    const code =
      cause instanceof Error && "code" in cause ? String(cause.code) : cause instanceof Error ? cause.message : "";
    return [problem(`${key}: ${host} does not resolve (${code}): add its A or AAAA record, or correct the name`)];
  } finally {
    clearTimeout(timer);
  }
  if (addresses.length === 0) return [problem(`${key}: ${host} has no address: add its A or AAAA record`)];
  if (addresses.every(isLoopback)) {
    return [
      problem(
        `${key}: ${host} resolves to ${addresses.join(" and ")} here, which reaches nobody from outside: see /etc/hosts`,
      ),
    ];
  }
  if (addresses.some((address) => ownAddresses.includes(address))) return [];
  return [
    note(
      `${key}: ${host} resolves to ${addresses.join(" and ")}, none of which this machine has: right when NAT, a proxy or a load balancer in front passes it on`,
    ),
  ];
}

export function interfaceAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .map(({ address }) => address);
}

function isPublic(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.parse(address).range() === "unicast";
}

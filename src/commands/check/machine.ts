import { readFileSync } from "node:fs";
import { isLoopback } from "../../config/addresses.ts";
import type { Config } from "../../config/config.ts";
import { socketBufferBytes } from "../../net/udp-bind.ts";
import { note, type Finding } from "./finding.ts";

/** A socket for each phone's tunnel and each registrar's connection, and some hundred for the rest. */
const filesMin = 16_384;
const capNetAdmin = 1n << 12n;

/** Reads a file of /proc; undefined where there is none. */
export type ReadSystem = (file: string) => string | undefined;

export const systemFile: ReadSystem = (file) => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
};

/** Limits of this machine and this process that a large server meets, and what its firewall must let through. */
export function checkMachine(config: Config, read: ReadSystem): readonly Finding[] {
  return [...checkFiles(read), ...checkBuffers(read), ...firewall(config)];
}

function checkFiles(read: ReadSystem): readonly Finding[] {
  const limit = /^Max open files\s+\d+\s+(\d+)/m.exec(read("/proc/self/limits") ?? "")?.[1];
  if (limit === undefined || Number(limit) >= filesMin) return [];
  return [
    note(
      `open files: this process may have ${limit}, and every tunnel is one: raise LimitNOFILE (the unit of docs/deploy does) or \`ulimit -n\``,
    ),
  ];
}

/** With CAP_NET_ADMIN the system's limit is no limit (SO_RCVBUFFORCE). */
function checkBuffers(read: ReadSystem): readonly Finding[] {
  const effective = /^CapEff:\s+([0-9a-f]+)/m.exec(read("/proc/self/status") ?? "")?.[1];
  if (effective !== undefined && (BigInt(`0x${effective}`) & capNetAdmin) !== 0n) return [];
  const low = ["rmem_max", "wmem_max"].filter((name) => {
    const bytes = Number(read(`/proc/sys/net/core/${name}`));
    return bytes > 0 && bytes < socketBufferBytes;
  });
  if (low.length === 0) return [];
  const names = low.map((name) => `net.core.${name}`).join(" and ");
  return [
    note(
      `${names}: below ${socketBufferBytes} bytes, so bursts of datagrams may be lost: raise it with sysctl, or give the server CAP_NET_ADMIN (the unit of docs/deploy does)`,
    ),
  ];
}

/** Whether a port can be reached from outside cannot be seen from inside: said, so that it is thought of. */
function firewall({ publicUrl, sip }: Config): readonly Finding[] {
  if (sip.port === 0 || sip.listen.every(isLoopback)) return [];
  const range = (first: number): string => (sip.shards === 1 ? String(first) : `${first}-${first + sip.shards - 1}`);
  const tls = sip.tlsPort > 0 ? ` and TCP ${range(sip.tlsPort)}` : "";
  const url = URL.parse(publicUrl);
  const isLocal = url === null || isLoopback(url.hostname.replace(/^\[|\]$/g, ""));
  const phones = isLocal
    ? ""
    : `, TCP ${url.port === "" ? (url.protocol === "https:" ? 443 : 80) : url.port} for phones`;
  return [
    note(
      `firewall: let in UDP and TCP ${range(sip.port)}${tls} from SIP servers${phones}; from inside this cannot be tried`,
    ),
  ];
}

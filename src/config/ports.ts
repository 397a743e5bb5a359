import { inBrackets, isLoopback, isUnspecified } from "./addresses.ts";
import type { Config } from "./config.ts";
import type { Reading } from "./table.ts";

interface Listener {
  readonly key: string;
  readonly hosts: readonly string[];
  readonly first: number;
  readonly count: number;
}

/** Shard n listens on port + n: the ranges must exist and must not meet each other, nor the listeners for HTTP. */
export function checkPorts(config: Config, reading: Reading): void {
  const { sip, http, operator } = config;
  const listeners: readonly Listener[] = [
    { key: "http.listen", hosts: [http.listen.host], first: http.listen.port, count: 1 },
    { key: "operator.listen", hosts: [operator.listen.host], first: operator.listen.port, count: 1 },
    { key: "sip.port", hosts: sip.listen, first: sip.port, count: sip.shards },
    { key: "sip.tls_port", hosts: sip.listen, first: sip.tlsPort, count: sip.shards },
  ].filter((listener) => listener.first > 0 && !reading.hasFault(listener.key));
  for (const { key, first, count } of listeners) {
    const last = first + count - 1;
    if (last > 65_535)
      reading.fault(key, `${key} ${first} leaves no room for ${count} shards: the last would listen on ${last}`);
  }
  listeners.forEach((one, n) => {
    for (const other of listeners.slice(0, n)) {
      const isApart = one.first + one.count <= other.first || other.first + other.count <= one.first;
      if (isApart || !one.hosts.some((host) => other.hosts.some((against) => meet(host, against)))) continue;
      reading.fault(one.key, `${one.key} (${range(one)}) meets ${other.key} (${range(other)})`);
    }
  });
}

function meet(one: string, other: string): boolean {
  if (one === other || isUnspecified(one) || isUnspecified(other)) return true;
  return (one === "localhost" || other === "localhost") && isLoopback(one) && isLoopback(other);
}

function range({ hosts, first, count }: Listener): string {
  const ports = count === 1 ? String(first) : `${first} to ${first + count - 1}`;
  return `${hosts.map(inBrackets).join(" ")} port ${ports}`;
}

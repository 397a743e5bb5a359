import { createSocket } from "node:dgram";
import { createServer, isIPv6 } from "node:net";
import { inBrackets, isUnspecified } from "../../config/addresses.ts";
import type { Config } from "../../config/config.ts";
import { isDataDirLocked } from "../../store/lock.ts";
import { note, problem, type Finding } from "./finding.ts";

interface Place {
  readonly key: string;
  readonly transport: "UDP" | "TCP";
  readonly host: string;
  readonly port: number;
}

/** Every port is listened on for a moment; not while a server runs on the same data folder, for it has them. */
export async function checkPorts(config: Config): Promise<readonly Finding[]> {
  if (isDataDirLocked(config.dataDir)) {
    return [note(`a Wakeline is running on ${config.dataDir}: whether its ports are free was not tried`)];
  }
  const findings: Finding[] = [];
  for (const place of placesOf(config)) {
    const code = place.transport === "UDP" ? await tryUdp(place) : await tryTcp(place);
    if (code !== undefined) findings.push(problem(inWords(place, code)));
  }
  return findings;
}

function placesOf({ http, operator, sip }: Config): readonly Place[] {
  const places: Place[] = [
    { key: "http.listen", transport: "TCP", host: http.listen.host, port: http.listen.port },
    { key: "operator.listen", transport: "TCP", host: operator.listen.host, port: operator.listen.port },
  ];
  for (let shard = 0; shard < sip.shards; shard++) {
    for (const host of sip.listen) {
      if (sip.port > 0) {
        places.push({ key: `sip.port (shard ${shard})`, transport: "UDP", host, port: sip.port + shard });
        places.push({ key: `sip.port (shard ${shard})`, transport: "TCP", host, port: sip.port + shard });
      }
      if (sip.tlsPort > 0)
        places.push({ key: `sip.tls_port (shard ${shard})`, transport: "TCP", host, port: sip.tlsPort + shard });
    }
  }
  return places;
}

function tryTcp({ host, port }: Place): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (cause) => resolve(codeOf(cause)));
    server.listen({ host, port, exclusive: true, ipv6Only: isUnspecified(host) && isIPv6(host) }, () => {
      server.close(() => resolve(undefined));
    });
  });
}

function tryUdp({ host, port }: Place): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: isIPv6(host) ? "udp6" : "udp4", ipv6Only: isIPv6(host) });
    socket.once("error", (cause) => {
      socket.close();
      resolve(codeOf(cause));
    });
    socket.bind({ address: host, port, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
}

function inWords({ key, transport, host, port }: Place, code: string): string {
  const where = `${key}: ${transport} port ${port} on ${inBrackets(host)}`;
  switch (code) {
    case "EADDRINUSE":
      return `${where} is in use by another program: stop that or choose another port`;
    case "EACCES":
      return `${where} is not allowed to this user: choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE`;
    case "EADDRNOTAVAIL":
      return `${where} cannot be had: the address is not one of this machine's`;
    default:
      return `${where} cannot be listened on (${code})`;
  }
}

import type { Config, HostPort } from "../config/config.ts";
import { canonicalAddress } from "./address.ts";

/** A socket of ours; address numeric. */
export interface OwnSocket {
  readonly address: string;
  readonly port: number;
}

const localhost = ["127.0.0.1", "::1"];

/**
 * Every socket that this server listens on, as far as its configuration names their ports: HTTP, operator, and the SIP ports of all shards. Those of
 * port 0 are known once they are open.
 */
export function ownSockets({ http, operator, sip }: Pick<Config, "http" | "operator" | "sip">): readonly OwnSocket[] {
  const shards = Array.from({ length: sip.shards }, (_, shard) => shard);
  const sipPorts = [sip.port, sip.tlsPort].flatMap((port) => (port === 0 ? [] : shards.map((shard) => port + shard)));
  return [
    ...socketsOf(http.listen),
    ...socketsOf(operator.listen),
    ...sipPorts.flatMap((port) => sip.listen.map((address) => ({ address, port }))),
  ];
}

/** The sockets of a listener; none while its port is 0. */
export function socketsOf({ host, port }: HostPort): readonly OwnSocket[] {
  if (port === 0) return [];
  const addresses = host === "localhost" ? localhost : [canonicalAddress(host) ?? ""];
  return addresses.filter((address) => address !== "").map((address) => ({ address, port }));
}

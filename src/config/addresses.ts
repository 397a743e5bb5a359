import { isIP, isIPv6 } from "node:net";
import type { HostPort } from "./config.ts";

/** Numeric address without brackets, as `isIP` knows them; undefined for anything else. */
export function parseAddress(text: string): string | undefined {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (bare !== text && !isIPv6(bare)) return undefined;
  return isIP(bare) === 0 || bare.includes("%") ? undefined : bare.toLowerCase();
}

export function isHostName(text: string): boolean {
  if (text.length > 253 || isIP(text) !== 0 || /^[0-9.]+$/.test(text)) return false;
  return /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?$/.test(text);
}

/** "127.0.0.1:8080", "[::1]:8080" or "name:8080"; undefined for anything else. Port 0 asks the system for a free one. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(\[[^\]]*\]|[^:[\]]+):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, host = "", digits] = match;
  const port = Number(digits);
  const name = parseAddress(host) ?? (isHostName(host) ? host.toLowerCase() : undefined);
  return name === undefined || port > 65_535 ? undefined : { host: name, port };
}

/** "10.0.0.0/8" or a single address, as `address/prefix`; undefined for anything else. */
export function parseNetwork(text: string): string | undefined {
  const [host = "", prefix, ...rest] = text.split("/");
  const address = parseAddress(host);
  if (address === undefined || rest.length > 0) return undefined;
  const most = isIPv6(address) ? 128 : 32;
  if (prefix === undefined) return `${address}/${most}`;
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= most ? `${address}/${Number(prefix)}` : undefined;
}

/** An address that stands for all local addresses. */
export function isUnspecified(address: string): boolean {
  return /^[0.:]+$/.test(address);
}

export function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) !== 0 && (host.startsWith("127.") || host.startsWith("::ffff:127."));
}

/** As it stands in a URL or before a port. */
export function inBrackets(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}

/** Hosts that never leave this machine: the only ones that plain HTTP may reach. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

export type EndpointResult = { readonly ok: true; readonly url: URL } | { readonly ok: false; readonly text: string };

/** A provider's address from the configuration: https, or plain http to this machine only. */
export function readEndpoint(name: string, text: string): EndpointResult {
  const url = URL.parse(text);
  if (url === null) return { ok: false, text: `${name} is not a URL: ${text}` };
  if (url.protocol === "https:" || (url.protocol === "http:" && isLoopbackHost(url.hostname))) return { ok: true, url };
  return { ok: false, text: `${name} must be https (http only to this machine): ${text}` };
}

/** Trust for one provider: with a `ca_file` its certificates alone are trusted, without one the system's. */
export interface Trust {
  readonly ca: string | undefined;
}

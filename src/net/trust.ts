import { readFileSync } from "node:fs";
import { getCACertificates, rootCertificates } from "node:tls";

/** PEM of a certificate chain and its key. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
}

/**
 * Authorities that may vouch for a SIP server: the system's, or Bun's own list where the system has none, and those of
 * `sip.ca_file` beside them. Throws when the file cannot be read or holds no certificate.
 */
export function trustedAuthorities(caFile: string | undefined): readonly string[] {
  const system = getCACertificates("system");
  const known = system.length > 0 ? system : rootCertificates;
  if (caFile === undefined) return [...known];
  const text = readFileSync(caFile, "utf8");
  const own = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (own.length === 0) throw new Error(`no certificate in ${caFile}`);
  return [...known, ...own];
}

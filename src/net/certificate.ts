import { canonicalAddress } from "./address.ts";

/** Who a certificate says it is, of what SIP may accept (RFC 5922 §7.1). Names in lower case. */
export interface CertificateNames {
  /** Hosts of `sip:` URIs without user part. */
  readonly uriHosts: readonly string[];
  readonly dnsNames: readonly string[];
  /** Canonical numeric addresses. */
  readonly addresses: readonly string[];
}

interface Value {
  readonly tag: number;
  readonly from: number;
  readonly to: number;
}

const sequenceTag = 0x30;
const extensionsTag = 0xa3;
const octetsTag = 0x04;
const dnsTag = 0x82;
const uriTag = 0x86;
const addressTag = 0x87;
/** 2.5.29.17, subjectAltName (RFC 5280 §4.2.1.6), as an encoded OBJECT IDENTIFIER. */
const alternativeNameId = [0x06, 0x03, 0x55, 0x1d, 0x11];
const namesMax = 256;

/** Reads the alternative names of a DER certificate. What does not parse has no names: nothing matches it. */
export function readCertificateNames(der: Uint8Array): CertificateNames {
  const uriHosts: string[] = [];
  const dnsNames: string[] = [];
  const addresses: string[] = [];
  for (const { tag, from, to } of alternativeNames(der).slice(0, namesMax)) {
    const content = der.subarray(from, to);
    if (tag === dnsTag) dnsNames.push(lower(content));
    else if (tag === uriTag) {
      const host = sipUriHost(lower(content));
      if (host !== undefined) uriHosts.push(host);
    } else if (tag === addressTag) {
      const address = addressText(content);
      if (address !== undefined) addresses.push(address);
    }
  }
  return { uriHosts, dnsNames, addresses };
}

/**
 * Whether the certificate is `serverName`'s (RFC 5922 §7.2): whole names, no wildcards; DNS names count only when there is no
 * SIP URI. A numeric server name needs that address.
 */
export function certifies(names: CertificateNames, serverName: string): boolean {
  const address = canonicalAddress(serverName);
  if (address !== undefined) return names.addresses.includes(address) || names.uriHosts.includes(address);
  const accepted = names.uriHosts.length > 0 ? names.uriHosts : names.dnsNames;
  return accepted.includes(withoutDot(serverName.toLowerCase()));
}

function alternativeNames(der: Uint8Array): readonly Value[] {
  const certificate = valueAt(der, 0, der.length);
  const body = certificate && valueAt(der, certificate.from, certificate.to);
  if (body?.tag !== sequenceTag) return [];
  const holder = valuesIn(der, body).find(({ tag }) => tag === extensionsTag);
  const list = holder && valueAt(der, holder.from, holder.to);
  if (list?.tag !== sequenceTag) return [];
  for (const extension of valuesIn(der, list)) {
    if (!alternativeNameId.every((byte, at) => der[extension.from + at] === byte)) continue;
    const octets = valuesIn(der, extension).at(-1);
    const names = octets?.tag === octetsTag ? valueAt(der, octets.from, octets.to) : undefined;
    return names?.tag === sequenceTag ? valuesIn(der, names) : [];
  }
  return [];
}

/** The values that lie in `outer` one after another; those before a fault when there is one. */
function valuesIn(der: Uint8Array, outer: Value): readonly Value[] {
  const values: Value[] = [];
  let at = outer.from;
  while (at < outer.to) {
    const value = valueAt(der, at, outer.to);
    if (value === undefined) break;
    values.push(value);
    at = value.to;
  }
  return values;
}

/** One tag, length, content (X.690 §8.1, definite form). */
function valueAt(der: Uint8Array, at: number, end: number): Value | undefined {
  const tag = der[at];
  const first = der[at + 1];
  if (tag === undefined || first === undefined || at + 2 > end) return undefined;
  let from = at + 2;
  let length = first;
  if (first >= 0x80) {
    const digits = first & 0x7f;
    if (digits === 0 || digits > 3 || from + digits > end) return undefined;
    length = 0;
    for (const stop = from + digits; from < stop; from++) length = length * 256 + (der[from] ?? 0);
  }
  return from + length > end ? undefined : { tag, from, to: from + length };
}

/** Host of `sip:host`, with or without port and parameters; undefined for other schemes and for a person's URI. */
function sipUriHost(uri: string): string | undefined {
  if (!uri.startsWith("sip:") || uri.includes("@")) return undefined;
  const place = uri.slice(4).split(/[;?]/, 1)[0] ?? "";
  if (place.startsWith("[")) return canonicalAddress(place.slice(1, Math.max(place.indexOf("]"), 1)));
  const host = withoutDot(place.split(":", 1)[0] ?? "");
  return host === "" ? undefined : host;
}

function addressText(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return undefined;
  const groups = Array.from({ length: 8 }, (_, n) =>
    (((bytes[n * 2] ?? 0) << 8) | (bytes[n * 2 + 1] ?? 0)).toString(16),
  );
  return canonicalAddress(groups.join(":"));
}

function lower(bytes: Uint8Array): string {
  return withoutDot(Buffer.from(bytes).toString("latin1").toLowerCase());
}

function withoutDot(name: string): string {
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

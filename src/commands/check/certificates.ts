import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { isLoopback } from "../../config/addresses.ts";
import type { Config } from "../../config/config.ts";
import { inWords, note, problem, type Finding } from "./finding.ts";

const dayMs = 24 * 60 * 60_000;
const soonDays = 14;
const pemBlock = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** Certificates and keys of the listeners, and further CAs: readable, in date, matching, and with the names that peers check. */
export function checkCertificates(config: Config, nowMs: number): readonly Finding[] {
  const { http, sip } = config;
  const findings: Finding[] = [];
  const publicHost = URL.parse(config.publicUrl)?.hostname.replace(/^\[|\]$/g, "") ?? "";
  const phones = isLoopback(publicHost) ? [] : [{ key: "public_url", host: publicHost }];
  const servers = sip.tlsPort > 0 && sip.advertise !== undefined ? [{ key: "sip.advertise", host: sip.advertise }] : [];
  for (const pair of pairsOf(config)) {
    const isShared = sip.tlsCert === http.tlsCert;
    const hosts = pair.key === "sip" ? servers : isShared ? [...phones, ...servers] : phones;
    findings.push(...checkPair({ ...pair, hosts }, nowMs));
  }
  for (const [key, file] of [
    ["sip.ca_file", sip.caFile],
    ...config.apps.flatMap((app) => [
      [`apns.ca_file of ${app.id}`, app.apns?.caFile],
      [`fcm.ca_file of ${app.id}`, app.fcm?.caFile],
    ]),
  ] as const) {
    if (file !== undefined) findings.push(...checkAuthorities(String(key), file, nowMs));
  }
  return findings;
}

interface Pair {
  readonly key: string;
  readonly cert: string;
  readonly privateKey: string;
  /** What peers call this machine, and the key that tells them so. */
  readonly hosts: readonly { readonly key: string; readonly host: string }[];
}

/** The pairs that listeners use: HTTP's, and SIP's when it has its own. */
function pairsOf({ http, sip }: Config): readonly Omit<Pair, "hosts">[] {
  const pairs: Omit<Pair, "hosts">[] = [];
  if (http.tlsCert !== undefined && http.tlsKey !== undefined) {
    pairs.push({ key: "http", cert: http.tlsCert, privateKey: http.tlsKey });
  }
  if (sip.tlsPort > 0 && sip.tlsCert !== http.tlsCert && sip.tlsCert !== undefined && sip.tlsKey !== undefined) {
    pairs.push({ key: "sip", cert: sip.tlsCert, privateKey: sip.tlsKey });
  }
  return pairs;
}

/** Certificates and keys that no listener could take, one line each: what `serve` asks before it starts, and at SIGHUP before it lets go of the old ones. */
export function unusableCertificates(config: Config): readonly string[] {
  return pairsOf(config).flatMap((pair) => {
    const chain = readChain(pair);
    if (!chain.ok) return [chain.words];
    return keyFault(pair, chain.leaf) ?? [];
  });
}

type Chain =
  | { readonly ok: true; readonly leaf: X509Certificate; readonly rest: readonly X509Certificate[] }
  | { readonly ok: false; readonly words: string };

function readChain({ key, cert }: Omit<Pair, "hosts">): Chain {
  const chain = certificatesIn(cert);
  if (!chain.ok) return { ok: false, words: `${key}.tls_cert: ${cert} ${chain.words}` };
  const [leaf, ...rest] = chain.certificates;
  if (leaf === undefined) return { ok: false, words: `${key}.tls_cert: ${cert} holds no certificate` };
  return { ok: true, leaf, rest };
}

function keyFault({ key, cert, privateKey }: Omit<Pair, "hosts">, leaf: X509Certificate): string | undefined {
  try {
    if (leaf.checkPrivateKey(createPrivateKey(readFileSync(privateKey, "utf8")))) return undefined;
    return `${key}.tls_key: ${privateKey} is not the key of the first certificate in ${cert}; the server's own certificate comes first`;
  } catch (cause) {
    return `${key}.tls_key: ${privateKey} is no private key that can be used: ${inWords(cause)}`;
  }
}

function checkPair(pair: Pair, nowMs: number): readonly Finding[] {
  const { key, cert, hosts } = pair;
  const chain = readChain(pair);
  if (!chain.ok) return [problem(chain.words)];
  const { leaf, rest } = chain;
  const findings = [...checkDates(`${key}.tls_cert`, cert, leaf, nowMs)];
  const fault = keyFault(pair, leaf);
  if (fault !== undefined) findings.push(problem(fault));
  for (const { key: hostKey, host } of hosts) {
    if ((isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(host)) !== undefined) continue;
    const names = (leaf.subjectAltName ?? "no name").replaceAll("IP Address:", "").replaceAll("DNS:", "");
    findings.push(
      problem(`${key}.tls_cert: ${cert} is for ${names}, not for ${host} (${hostKey}): peers will refuse it`),
    );
  }
  if (leaf.issuer === leaf.subject) {
    findings.push(note(`${key}.tls_cert: ${cert} is self-signed: only peers that were told to trust it will`));
  } else if (rest.length === 0) {
    findings.push(
      note(`${key}.tls_cert: ${cert} has no intermediate certificate; phones need the whole chain, without the root`),
    );
  } else if (rest[0] !== undefined && !leaf.checkIssued(rest[0])) {
    findings.push(
      problem(`${key}.tls_cert: the second certificate in ${cert} did not issue the first; put the chain in order`),
    );
  }
  return findings;
}

function checkAuthorities(key: string, file: string, nowMs: number): readonly Finding[] {
  const found = certificatesIn(file);
  if (!found.ok) return [problem(`${key}: ${file} ${found.words}`)];
  if (found.certificates.length === 0) return [problem(`${key}: ${file} holds no certificate`)];
  return found.certificates.flatMap((certificate) => checkDates(key, file, certificate, nowMs));
}

function checkDates(key: string, file: string, certificate: X509Certificate, nowMs: number): readonly Finding[] {
  const from = Date.parse(certificate.validFrom);
  const to = Date.parse(certificate.validTo);
  const day = (atMs: number): string => new Date(atMs).toISOString().slice(0, 10);
  if (to < nowMs) return [problem(`${key}: ${file} expired on ${day(to)}; renew it, then send SIGHUP`)];
  if (from > nowMs) return [problem(`${key}: ${file} is valid from ${day(from)} on; is this machine's clock right?`)];
  const days = Math.floor((to - nowMs) / dayMs);
  return days < soonDays
    ? [note(`${key}: ${file} expires on ${day(to)}, in ${days} days; renew it, then send SIGHUP`)]
    : [];
}

type Found =
  | { readonly ok: true; readonly certificates: readonly X509Certificate[] }
  | { readonly ok: false; readonly words: string };

function certificatesIn(file: string): Found {
  try {
    const blocks = readFileSync(file, "utf8").match(pemBlock) ?? [];
    return { ok: true, certificates: blocks.map((block) => new X509Certificate(block)) };
  } catch (cause) {
    return { ok: false, words: `cannot be read as certificates in PEM: ${inWords(cause)}` };
  }
}

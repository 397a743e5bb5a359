import { createSign, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from "node:crypto";

/** A certificate and its private key, PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority that lives as long as a test: nothing trusts it but what is given its `ca`. */
export interface TestAuthority {
  readonly ca: string;
  /** A server certificate for these names; what parses as an IPv4 or IPv6 address becomes an address entry (RFC 5280 §4.2.1.6). */
  issue(names: readonly string[], validity?: { readonly fromMs: number; readonly toMs: number }): Certificate;
}

const dayMs = 86_400_000;
const ecdsaWithSha256 = "1.2.840.10045.4.3.2";

/** One DER value: tag, length, content (X.690 §8.1). */
function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  if (content.length < 128) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = Buffer.from(content.length.toString(16).padStart(content.length > 0xff ? 4 : 2, "0"), "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

const sequence = (...items: readonly Uint8Array[]): Buffer => der(0x30, ...items);
const octets = (content: Uint8Array): Buffer => der(0x04, content);
const bits = (content: Uint8Array): Buffer => der(0x03, Buffer.from([0]), content);
const yes = der(0x01, Buffer.from([0xff]));

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

const commonName = (text: string): Buffer =>
  sequence(der(0x31, sequence(objectId("2.5.4.3"), der(0x0c, Buffer.from(text)))));

function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]/g, "").slice(0, 14);
  return der(0x18, Buffer.from(`${text}Z`));
}

function addressBytes(name: string): Buffer | undefined {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(name)) return Buffer.from(name.split(".").map(Number));
  if (name === "::1") return Buffer.from([...Array.from({ length: 15 }, () => 0), 1]);
  return undefined;
}

function alternativeNames(names: readonly string[]): Buffer {
  const entries = names.map((name) => {
    const address = addressBytes(name);
    return address ? der(0x87, address) : der(0x82, Buffer.from(name));
  });
  return sequence(objectId("2.5.29.17"), octets(sequence(...entries)));
}

const authorityExtension = sequence(objectId("2.5.29.19"), yes, octets(sequence(yes)));
function pem(bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

interface Fields {
  readonly subject: string;
  readonly issuer: string;
  readonly subjectKey: KeyObject;
  readonly issuerKey: KeyObject;
  readonly extension: Uint8Array;
  readonly fromMs: number;
  readonly toMs: number;
}

function sign(fields: Fields): string {
  const algorithm = sequence(objectId(ecdsaWithSha256));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([0x01]), randomBytes(8)])),
    algorithm,
    commonName(fields.issuer),
    sequence(time(fields.fromMs), time(fields.toMs)),
    commonName(fields.subject),
    fields.subjectKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(fields.extension)),
  );
  const signature = createSign("sha256").update(body).sign(fields.issuerKey);
  return pem(sequence(body, algorithm, bits(signature)));
}

/** Makes an authority of its own each time, so two of them do not trust each other. Valid from a day ago for ten days. */
export function createTestAuthority(name = "Wakeline test authority"): TestAuthority {
  const authority = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const now = Date.now();
  const always = { fromMs: now - dayMs, toMs: now + 10 * dayMs };
  const ca = sign({
    subject: name,
    issuer: name,
    subjectKey: authority.publicKey,
    issuerKey: authority.privateKey,
    extension: authorityExtension,
    ...always,
  });
  if (!new X509Certificate(ca).verify(authority.publicKey)) throw new Error("test authority does not verify itself");
  return {
    ca,
    issue(names, validity = always) {
      const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const cert = sign({
        subject: names[0] ?? "nameless",
        issuer: name,
        subjectKey: pair.publicKey,
        issuerKey: authority.privateKey,
        extension: alternativeNames(names),
        ...validity,
      });
      return { cert, key: pair.privateKey.export({ type: "pkcs8", format: "pem" }) };
    },
  };
}

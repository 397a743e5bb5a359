import { createHash, X509Certificate } from "node:crypto";
import { LRUCache } from "lru-cache";

/** Who vouched for a server's key, and until when. No secret is in it. */
export interface ServerCertificate {
  /** The name (or numeric address) that it was accepted for, lower case. */
  readonly server: string;
  /** SHA-256 of the public key (SubjectPublicKeyInfo), base64url. */
  readonly key: string;
  /** The issuer's distinguished name in one line. */
  readonly issuer: string;
  /** Unix ms; 0 when it does not say. */
  readonly validToMs: number;
}

const issuerCharsMax = 255;
/** Servers whose certificate is remembered so that it is told once; beyond, the longest unheard of is told again. */
const serversMax = 4096;

/** Reads a DER certificate; undefined when it cannot be read. */
export function readServerCertificate(server: string, der: Uint8Array): ServerCertificate | undefined {
  try {
    const { publicKey, issuer, validTo } = new X509Certificate(der);
    const spki = publicKey.export({ type: "spki", format: "der" });
    return {
      server: server.toLowerCase(),
      key: createHash("sha256").update(spki).digest("base64url"),
      issuer: issuer.replace(/\s*\n\s*/g, ", ").slice(0, issuerCharsMax),
      validToMs: Date.parse(validTo) || 0,
    };
  } catch {
    return undefined;
  }
}

/** Tells each server's certificate once, and again when it is another. */
export class CertificateWatch {
  readonly #told = new LRUCache<string, string>({ max: serversMax });
  readonly #tell: (certificate: ServerCertificate) => void;

  constructor(tell: (certificate: ServerCertificate) => void) {
    this.#tell = tell;
  }

  /** A handshake with the server has accepted this certificate. */
  onAccepted(server: string, der: Uint8Array): void {
    const print = createHash("sha256").update(der).digest("base64url");
    if (this.#told.get(server) === print) return;
    this.#told.set(server, print);
    const certificate = readServerCertificate(server, der);
    if (certificate !== undefined) this.#tell(certificate);
  }
}

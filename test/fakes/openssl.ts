import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Certificate } from "./certificates.ts";

function openssl(folder: string, ...args: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { cwd: folder });
  if (exitCode !== 0) throw new Error(`openssl ${args[0]}: ${stderr.toString()}`);
}

/** An authority and certificates by the openssl command, in a temporary folder that `dispose` removes. */
export class OpensslAuthority {
  readonly folder = mkdtempSync(join(tmpdir(), "wakeline-openssl-"));
  #serial = 0;

  constructor() {
    openssl(
      this.folder,
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=Wakeline openssl authority",
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
    );
  }

  get caFile(): string {
    return join(this.folder, "ca.pem");
  }

  /**
   * `alternativeNames` as openssl writes them: `DNS:a.example,URI:sip:example.com,IP:127.0.0.1`; undefined for none.
   * `days` may be negative: expired. The common name is `commonName`.
   */
  async issue(
    alternativeNames: string | undefined,
    options: { readonly days?: number; readonly commonName?: string; readonly selfSigned?: boolean } = {},
  ): Promise<Certificate> {
    const name = `c${++this.#serial}`;
    const { days = 2, commonName = "server", selfSigned = false } = options;
    writeFileSync(
      join(this.folder, `${name}.ext`),
      alternativeNames === undefined ? "" : `subjectAltName=${alternativeNames}\n`,
    );
    openssl(
      this.folder,
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-subj",
      `/CN=${commonName}`,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
    );
    const signer = selfSigned ? ["-signkey", `${name}.key`] : ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(
      this.folder,
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      ...signer,
      "-days",
      String(days),
      "-extfile",
      `${name}.ext`,
      "-out",
      `${name}.pem`,
    );
    return {
      cert: await Bun.file(join(this.folder, `${name}.pem`)).text(),
      key: await Bun.file(join(this.folder, `${name}.key`)).text(),
    };
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

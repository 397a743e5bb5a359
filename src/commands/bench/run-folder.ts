import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../free-ports.ts";

export const loadApp = "com.example.load";

/** A data folder and a configuration of their own, for one run. */
export interface RunFolder {
  readonly path: string;
  readonly dataDir: string;
  readonly configFile: string;
  /** `host:port` of the operator listener. */
  readonly operator: string;
  readonly sipPort: number;
  remove(): void;
}

/** `registrar`: numeric address or name of the registrar; only a loopback one keeps the server on loopback. */
export async function makeRunFolder(options: {
  readonly registrarHost: string;
  readonly shards: number;
  readonly webhookUrl: string;
}): Promise<RunFolder> {
  const { registrarHost } = options;
  const path = mkdtempSync(join(tmpdir(), "wakeline-load-"));
  const isLoopback = registrarHost === "localhost" || registrarHost.startsWith("127.") || registrarHost === "::1";
  const listen = isLoopback ? (registrarHost === "::1" ? "::1" : "127.0.0.1") : "0.0.0.0";
  const allow = ["127.0.0.0/8", "::1/128"];
  const family = isIP(registrarHost);
  if (family !== 0) allow.push(`${registrarHost}/${family === 4 ? 32 : 128}`);
  const http = await freePorts(2 + options.shards);
  const [operatorPort, sipPort] = [http + 1, http + 2];
  const configFile = join(path, "wakeline.toml");
  writeFileSync(
    configFile,
    [
      'data_dir = "./data"',
      `public_url = "http://127.0.0.1:${http}"`,
      "drain_sec = 0",
      "[http]",
      `listen = "127.0.0.1:${http}"`,
      "[operator]",
      `listen = "127.0.0.1:${operatorPort}"`,
      "[sip]",
      `listen = "${listen}"`,
      `port = ${sipPort}`,
      `shards = ${options.shards}`,
      `egress_allow = ${JSON.stringify(allow)}`,
      "[[apps]]",
      `id = "${loadApp}"`,
      `key = "sha256:${createHash("sha256").update(randomBytes(24)).digest("hex")}"`,
      `webhook = { url = "${options.webhookUrl}", secret = "${randomBytes(16).toString("hex")}" }`,
      "",
    ].join("\n"),
    { mode: 0o600 },
  );
  return {
    path,
    dataDir: join(path, "data"),
    configFile,
    operator: `127.0.0.1:${operatorPort}`,
    sipPort,
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

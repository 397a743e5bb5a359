import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse as parseToml, TomlError } from "smol-toml";
import { inBrackets, isLoopback, isUnspecified } from "./addresses.ts";
import { readApps, type AppSources } from "./apps.ts";
import { ConfigError, type ChoreConfig, type Config, type ConfigFault, type HostPort } from "./config.ts";
import { overlay, type Environment } from "./environment.ts";
import { keyLines } from "./lines.ts";
import { checkPorts } from "./ports.ts";
import {
  address,
  dnsServer,
  host,
  hostPort,
  line,
  listOf,
  network,
  numberAbove,
  oneOf,
  path,
  publicUrl,
  secretText,
  textThat,
  wholeNumber,
} from "./parsers.ts";
import { dereference, reasonOf } from "./references.ts";
import { Reading, type RawTable, type Table } from "./table.ts";

const masterKeySource = textThat('"file:PATH" or "env:NAME"', (text) =>
  /^(file|env):./.test(text) ? text : undefined,
);

/**
 * Reads a TOML file (none when `file` is undefined) and the WAKELINE_* variables of `env` over it. Everything is checked at
 * once: throws ConfigError with every fault, in the order of the file, each with its line where it has one. Paths are made
 * absolute, from the file's folder or else the present one; "env:" and "file:" secrets are resolved, except `masterKey`.
 * The result is frozen, deeply.
 */
export function loadConfig(file: string | undefined, env: Environment): Config {
  const { config, faults } = readConfig(file, env);
  if (faults.length > 0) throw new ConfigError(faults);
  return deepFreeze(config);
}

/**
 * The same for a chore, which may run as another user and without the server's environment: variables and files that it does not
 * need itself may be missing. `calls`: it calls the running server, so the operator's token must be there. Whatever is wrong in
 * the text itself is a fault all the same.
 */
export function loadChoreConfig(file: string | undefined, env: Environment, calls = true): ChoreConfig {
  const { config, faults } = readConfig(file, env);
  const standing = faults.filter(({ key, isAbsent }) => !isAbsent || (calls && key.startsWith("operator.")));
  if (standing.length > 0) throw new ConfigError(standing);
  const { dataDir, masterKey, operator } = config;
  return deepFreeze({ file: config.file, dataDir, masterKey, operator });
}

function readConfig(
  file: string | undefined,
  env: Environment,
): { readonly config: Config; readonly faults: readonly ConfigFault[] } {
  const { raw, lines } = file === undefined ? { raw: {}, lines: new Map<string, number>() } : readToml(file);
  const reading = new Reading(lines);
  for (const { name, text } of overlay(raw, env)) reading.fault(name, text);
  const config = new Loader(reading, file, env).read(reading.table(raw, ""));
  return { config, faults: reading.finish() };
}

function readToml(file: string): { readonly raw: RawTable; readonly lines: ReadonlyMap<string, number> } {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError([
      { key: "", line: undefined, text: `cannot read ${file}: ${reasonOf(cause)}`, isAbsent: false },
    ]);
  }
  try {
    return { raw: parseToml(text), lines: keyLines(text) };
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const words = (cause.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
    const text = `not TOML: ${words} (column ${cause.column})`;
    throw new ConfigError([{ key: "", line: cause.line, text, isAbsent: false }]);
  }
}

class Loader {
  readonly #reading: Reading;
  readonly #file: string | undefined;
  readonly #folder: string;
  readonly #env: Environment;

  constructor(reading: Reading, file: string | undefined, env: Environment) {
    this.#reading = reading;
    this.#file = file === undefined ? undefined : resolve(file);
    this.#folder = file === undefined ? process.cwd() : dirname(resolve(file));
    this.#env = env;
  }

  read(root: Table): Config {
    const dataDir = this.#resolve(root.get("data_dir", path) ?? "./data");
    const http = this.#http(root.table("http"));
    const operator = this.#operator(root.table("operator"));
    const sip = this.#sip(root.table("sip"), http);
    const config: Config = {
      file: this.#file,
      dataDir,
      publicUrl: root.get("public_url", publicUrl) ?? urlOf(http.listen, http.tlsCert !== undefined),
      masterKey: this.#masterKey(root, dataDir),
      drainSec: root.get("drain_sec", wholeNumber(0, 3_600)) ?? 30,
      http,
      operator,
      sip,
      wake: this.#wake(root.table("wake")),
      limits: this.#limits(root.table("limits")),
      apps: readApps(root.tables("apps"), this.#sources),
    };
    checkPorts(config, this.#reading);
    return config;
  }

  #masterKey(root: Table, dataDir: string): string {
    const source = root.get("master_key", masterKeySource);
    if (source === undefined) return `file:${resolve(dataDir, "master.key")}`;
    if (source.startsWith("file:")) return `file:${this.#resolve(source.slice("file:".length))}`;
    // The variable's text stays out of the configuration; that it is there and right is the vault's to say.
    this.#secret(root, "master_key", source);
    return source;
  }

  #http(table: Table): Config["http"] {
    const listen = table.get("listen", hostPort) ?? { host: "127.0.0.1", port: 8080 };
    const tls = this.#certificate(table);
    const trustedProxies = table.get("trusted_proxies", listOf(network)) ?? [];
    if (!table.has("tls_cert") && !table.has("tls_key") && !table.has("trusted_proxies") && !isLoopback(listen.host)) {
      table.fault(
        "listen",
        `${inBrackets(listen.host)}:${listen.port} without TLS would be open to the network: set ${table.pathOf("tls_cert")} and ` +
          `${table.pathOf("tls_key")}, or ${table.pathOf("trusted_proxies")} when a proxy in front does TLS, or listen on 127.0.0.1`,
      );
    }
    return { listen, ...tls, trustedProxies };
  }

  #operator(table: Table): Config["operator"] {
    const listen = table.get("listen", hostPort) ?? { host: "127.0.0.1", port: 9090 };
    const token = this.#secret(table, "token", table.get("token", secretText));
    if (!table.has("token") && !isLoopback(listen.host)) {
      const isNear = this.#env.WAKELINE_OPERATOR_TOKEN !== undefined;
      const example = isNear ? ' (token = "env:WAKELINE_OPERATOR_TOKEN" takes the variable that is set)' : "";
      table.fault(
        "token",
        `is missing: ${table.pathOf("listen")} is not a loopback address, so a token is needed${example}`,
      );
    }
    return { listen, token };
  }

  #sip(table: Table, http: Config["http"]): Config["sip"] {
    // Without a file nothing is said about this machine's network: loopback only.
    const listen = table.get("listen", listOf(address)) ?? [this.#file === undefined ? "127.0.0.1" : "0.0.0.0"];
    if (listen.length === 0) table.fault("listen", "is empty: name an address");
    if (new Set(listen).size < listen.length) table.fault("listen", "names an address twice");
    const tls = this.#certificate(table);
    const tlsPort = table.get("tls_port", wholeNumber(0, 65_535)) ?? 0;
    const tlsCert = table.has("tls_cert") ? tls.tlsCert : http.tlsCert;
    const tlsKey = table.has("tls_key") ? tls.tlsKey : http.tlsKey;
    if (
      tlsPort > 0 &&
      !table.has("tls_cert") &&
      http.tlsCert === undefined &&
      !this.#reading.hasFault("http.tls_cert")
    ) {
      table.fault(
        "tls_port",
        `needs a certificate: set ${table.pathOf("tls_cert")} and ${table.pathOf("tls_key")}, or those of [http]`,
      );
    }
    const advertise = table.get("advertise", host);
    if (advertise !== undefined && isUnspecified(advertise)) {
      table.fault("advertise", `must be an address that SIP servers can reach, not ${advertise}`);
    }
    const shards = table.get("shards", wholeNumber(0, 256)) ?? 0;
    return {
      listen,
      port: table.get("port", wholeNumber(0, 65_535)) ?? 5060,
      tlsPort,
      tlsCert,
      tlsKey,
      advertise,
      shards: shards === 0 ? Math.max(1, Math.min(256, navigator.hardwareConcurrency)) : shards,
      userAgent: table.get("user_agent", line) ?? "Wakeline",
      egressAllow: table.get("egress_allow", listOf(network)) ?? [],
      resolver: table.get("resolver", listOf(dnsServer)) ?? [],
      caFile: this.#readable(table, "ca_file", table.get("ca_file", path)),
      natAddress: table.get("nat_address", address),
    };
  }

  #wake(table: Table): Config["wake"] {
    return {
      deadlineSec: table.get("deadline_sec", wholeNumber(1, 600)) ?? 40,
      ring: table.get("ring", oneOf("on_push", "on_device", "immediate")) ?? "on_push",
    };
  }

  #limits(table: Table): Config["limits"] {
    return {
      accountsPerDevice: table.get("accounts_per_device", wholeNumber(1, 10_000)) ?? 16,
      devicesPerAccount: table.get("devices_per_account", wholeNumber(1, 1_000)) ?? 8,
      leaseDays: table.get("lease_days", numberAbove(0, 3_650)) ?? 14,
    };
  }

  /** Both or neither. */
  #certificate(table: Table): { readonly tlsCert: string | undefined; readonly tlsKey: string | undefined } {
    const tlsCert = this.#readable(table, "tls_cert", table.get("tls_cert", path));
    const tlsKey = this.#readable(table, "tls_key", table.get("tls_key", path));
    if (table.has("tls_cert") !== table.has("tls_key")) {
      const [given, missing] = table.has("tls_cert") ? ["tls_cert", "tls_key"] : ["tls_key", "tls_cert"];
      table.fault(given, `needs ${table.pathOf(missing)} beside it`);
    }
    return { tlsCert, tlsKey };
  }

  #resolve(name: string): string {
    return resolve(this.#folder, name);
  }

  #readable(table: Table, key: string, name: string | undefined): string | undefined {
    if (name === undefined) return undefined;
    const file = this.#resolve(name);
    try {
      accessSync(file, constants.R_OK);
      if (statSync(file).isDirectory()) table.fault(key, `names ${file}, which is a folder`);
    } catch (cause) {
      table.absent(key, `names ${file}, which cannot be read: ${reasonOf(cause)}`);
    }
    return file;
  }

  #secret(table: Table, key: string, secret: string | undefined): string | undefined {
    if (secret === undefined) return undefined;
    if (secret.startsWith("env:")) this.#reading.referenced.add(secret.slice("env:".length));
    const found = dereference(secret, this.#folder, this.#env);
    if (found.ok) return found.text;
    table.absent(key, found.words);
    return undefined;
  }

  readonly #sources: AppSources = {
    file: (table, key, name) => this.#readable(table, key, name),
    secret: (table, key, secret) => this.#secret(table, key, secret),
  };
}

function urlOf(listen: HostPort, isTls: boolean): string {
  const name = isUnspecified(listen.host) ? "127.0.0.1" : listen.host;
  return `${isTls ? "https" : "http"}://${inBrackets(name)}:${listen.port}`;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}

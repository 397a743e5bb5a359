/** The frozen result of reading `wakeline.toml` and WAKELINE_* variables. Field names are the file's, in camelCase; units last. */
export interface Config {
  /** Path of the file read, or undefined when running on embedded defaults. */
  readonly file: string | undefined;
  readonly dataDir: string;
  readonly publicUrl: string;
  /** "file:PATH" or "env:NAME". */
  readonly masterKey: string;
  readonly drainSec: number;
  readonly http: {
    readonly listen: HostPort;
    readonly tlsCert: string | undefined;
    readonly tlsKey: string | undefined;
    readonly trustedProxies: readonly string[];
  };
  readonly operator: { readonly listen: HostPort; readonly token: string | undefined };
  readonly sip: {
    /** Local addresses to listen on, numeric without brackets. */
    readonly listen: readonly string[];
    readonly port: number;
    /** 0: no TLS listener. */
    readonly tlsPort: number;
    readonly tlsCert: string | undefined;
    readonly tlsKey: string | undefined;
    readonly advertise: string | undefined;
    /** Resolved: never 0. */
    readonly shards: number;
    readonly userAgent: string;
    readonly egressAllow: readonly string[];
    readonly resolver: readonly string[];
    readonly caFile: string | undefined;
    readonly natAddress: string | undefined;
  };
  readonly wake: { readonly deadlineSec: number; readonly ring: "on_push" | "on_device" | "immediate" };
  readonly limits: {
    readonly accountsPerDevice: number;
    readonly devicesPerAccount: number;
    readonly leaseDays: number;
  };
  readonly apps: readonly AppConfig[];
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface AppConfig {
  readonly id: string;
  /** Lower-case hex SHA-256 of the enrolment key (without the "sha256:" prefix). */
  readonly keySha256: string | undefined;
  readonly jwksUrl: string | undefined;
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
  readonly apns: ApnsConfig | undefined;
  readonly fcm: FcmConfig | undefined;
  readonly webpush: { readonly subject: string } | undefined;
  readonly webhook: { readonly url: string; readonly secret: string } | undefined;
}

export interface ApnsConfig {
  readonly keyFile: string;
  readonly keyId: string;
  readonly teamId: string;
  readonly topic: string;
  /** Base URL; undefined means Apple's, chosen by the device's environment. */
  readonly endpoint: string | undefined;
  readonly caFile: string | undefined;
}

export interface FcmConfig {
  readonly serviceAccountFile: string;
  readonly endpoint: string | undefined;
  readonly tokenEndpoint: string | undefined;
  readonly caFile: string | undefined;
}

/** What a chore on the running server needs: how to call it, and where its data and its master key are. */
export type ChoreConfig = Pick<Config, "file" | "dataDir" | "masterKey" | "operator">;

/** One fault of a configuration, with the line of the file where known. */
export interface ConfigFault {
  readonly key: string;
  readonly line: number | undefined;
  readonly text: string;
  /** Nothing is wrong with the text: the variable or file that the key names is not there for this process. */
  readonly isAbsent: boolean;
}

/** Every fault of a configuration at once; the command line prints a line each and exits 2. */
export class ConfigError extends Error {
  readonly faults: readonly ConfigFault[];
  constructor(faults: readonly ConfigFault[]) {
    super(faults.map((fault) => fault.text).join("; "));
    this.name = "ConfigError";
    this.faults = faults;
  }
}

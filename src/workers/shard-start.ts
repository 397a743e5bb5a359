import type { Config } from "../config/config.ts";

/** PEM text of a certificate chain and its key. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
}

/** What the pool sends to a new shard worker, once, before any command. */
export interface ShardStart {
  readonly kind: "start";
  readonly shard: number;
  /** How many shards there are: placement is computed from it. */
  readonly shards: number;
  readonly config: Config;
  readonly columnsFile: string;
  readonly lanes: SharedArrayBuffer;
  readonly tls: TlsMaterial | undefined;
  /** Raw key material of the vault, by key id; kept in memory only. */
  readonly vaultKeys: VaultKeys;
  readonly logLevel: "debug" | "info" | "warning" | "error";
}

/** As the vault hands it to workers: see store/vault.ts. */
export type VaultKeys = unknown;

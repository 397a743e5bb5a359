import type { Config } from "../config/config.ts";
import type { TlsMaterial } from "../net/trust.ts";
import type { VaultKeys } from "../store/vault.ts";

/** What the pool sends to a new shard worker, once, before any command. */
export interface ShardStart {
  readonly kind: "start";
  readonly shard: number;
  /** How many shards there are: placement is computed from it. */
  readonly shards: number;
  readonly config: Config;
  /** One lane a shard, and the main thread's behind them. */
  readonly lanes: SharedArrayBuffer;
  /** For the TLS listener; undefined when there is none. */
  readonly tls: TlsMaterial | undefined;
  readonly vaultKeys: VaultKeys;
  readonly logLevel: LogLevel;
}

export type LogLevel = "debug" | "info" | "warning" | "error";

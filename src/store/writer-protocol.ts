import type { Failure } from "./faults.ts";
import type { VaultKeys } from "./vault.ts";
import type { Write } from "./writes.ts";

/** Main thread → store worker. The first is `open` or, in a thread of its own that ends with it, `backup`. */
export type WriterCommand =
  | {
      readonly kind: "open";
      readonly dataDir: string;
      /** Raw master key: needed to wrap a new data key. */
      readonly master: Uint8Array;
      readonly vaultKeys: VaultKeys;
    }
  /** One transaction. Ids are the sender's, never reused while the process lives. */
  | { readonly kind: "batch"; readonly writes: readonly NumberedWrite[] }
  | { readonly kind: "rotate"; readonly id: number }
  | { readonly kind: "close" }
  | { readonly kind: "backup"; readonly dataDir: string; readonly file: string };

export interface NumberedWrite {
  readonly id: number;
  readonly write: Write;
}

export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly failure: Failure };

export interface NumberedOutcome {
  readonly id: number;
  readonly outcome: Outcome;
}

/** Store worker → main thread. */
export type WriterReport =
  | { readonly kind: "opened" }
  | { readonly kind: "failed"; readonly text: string }
  /** The batch is committed; outcomes of its erasing writes come later, by `settled`. */
  | { readonly kind: "committed"; readonly outcomes: readonly NumberedOutcome[] }
  | { readonly kind: "settled"; readonly outcomes: readonly NumberedOutcome[] }
  | { readonly kind: "backedUp" }
  | { readonly kind: "closed" };

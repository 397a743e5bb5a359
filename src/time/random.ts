import { randomFillSync } from "node:crypto";

/** Randomness, injected so that a simulation replays from its seed. */
export interface Random {
  /** A float in [0, 1): jitter, never secrets. */
  next(): number;
  /** Fills `into` with unpredictable bytes (tags, branches, line tokens); in a simulation with seeded ones. */
  bytes(into: Uint8Array): void;
}

export const systemRandom: Random = {
  next: Math.random,
  bytes: (into) => {
    randomFillSync(into);
  },
};

import type { PushProvider } from "../store/types.ts";
import type { Delivery } from "./types.ts";

/** Where the gateway counts. Called on the main thread only. */
export interface PushMetrics {
  /** One answer of a provider; a retried push counts each of its attempts. */
  outcome(provider: PushProvider, outcome: Delivery["kind"]): void;
  /** Seconds from handing a push to its provider to the provider's answer. */
  seconds(provider: PushProvider, seconds: number): void;
  /** A fault of our own configuration that keeps phones asleep; `reason` is a provider's or this program's word, never a token. */
  alarm(app: string, provider: PushProvider, reason: string): void;
}

export const silentPushMetrics: PushMetrics = { outcome() {}, seconds() {}, alarm() {} };

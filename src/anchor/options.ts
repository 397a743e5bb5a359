import type { AccountBook } from "./account-book.ts";
import type { Directory } from "../base/records.ts";
import type { Locator, Network } from "../net/network.ts";
import type { Lane } from "../observe/lanes.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";
import type { Event } from "../workers/protocol.ts";

/** Takes events upward, at any time inside an entry of the anchor. */
export interface Uplink {
  emit(event: Event): void;
}

export interface AnchorSettings {
  /** How long an INVITE waits for a phone. */
  readonly deadlineSec: number;
  /** When the caller hears ringing; see `[wake] ring`. */
  readonly ring: "on_push" | "on_device" | "immediate";
  readonly userAgent: string;
  readonly shard: number;
}

/** What the call side of a shard works with. */
export interface AnchorOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly locator: Locator;
  readonly book: AccountBook;
  readonly directory: Directory;
  readonly uplink: Uplink;
  readonly lane: Lane;
  readonly settings: AnchorSettings;
  /** Whether new calls from servers are to be refused because a thread does not keep up; absent: never. */
  readonly isOverloaded?: () => boolean;
}

import { LRUCache } from "lru-cache";
import type { DeviceId } from "../base/ids.ts";

const devicesMax = 100_000;
/** The latest wakes of a device that count: it may have moved to another network, or got another app. */
const timesKept = 15;
/** Fewer say nothing about the slowest in ten. */
const timesMin = 5;
/** For a device of which nothing is known: most phones are there in 1 to 4 s. */
const silenceFirstMs = 6_000;
/** A push needs its time, however quick the phone was before; and a call does not wait for ever. */
const silenceMsMin = 3_000;
const silenceMsMax = 15_000;

/** How long each device takes from the push that its provider accepted to its tunnel. In memory: a restart learns anew. */
export class WakeTimes {
  readonly #times = new LRUCache<DeviceId, readonly number[]>({ max: devicesMax });

  /** The device came after so many ms. */
  add(deviceId: DeviceId, ms: number): void {
    this.#times.set(deviceId, [...(this.#times.get(deviceId) ?? []), Math.max(0, ms)].slice(-timesKept));
  }

  /** Nine wakes of ten were quicker; undefined while there are too few. */
  p90Ms(deviceId: DeviceId): number | undefined {
    const times = this.#times.get(deviceId) ?? [];
    if (times.length < timesMin) return undefined;
    return times.toSorted((a, b) => a - b)[Math.ceil(times.length * 0.9) - 1];
  }

  /** After so long without a tunnel the push has most likely gone astray: twice the p90, within bounds. */
  silenceMs(deviceId: DeviceId): number {
    const p90Ms = this.p90Ms(deviceId);
    return p90Ms === undefined ? silenceFirstMs : Math.min(Math.max(p90Ms * 2, silenceMsMin), silenceMsMax);
  }
}

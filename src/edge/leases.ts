import type { Log } from "../observe/log.ts";
import type { DeviceRecord, Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import type { Devices } from "./devices.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Subscriptions } from "./subscriptions.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** When a device is told that its lease ends. */
const warnings = [
  { beforeMs: dayMs, text: "This phone has not been seen for long. Open the app, or its calls stop in a day." },
  { beforeMs: hourMs, text: "This phone has not been seen for long. Open the app, or its calls stop in an hour." },
] as const;
/** Devices looked at in one sweep: those that are between the first warning and their end. */
const warnedMax = 20_000;
/** Each costs a few writes and an un-REGISTER for every account; the rest go with the next sweep. */
const droppedMax = 200;
const orphansMax = 200;
const pushesAtOnce = 16;
const settingName = "leasesSweptAtMs";
/** A sweep reads what is near its end: not oftener than this, nor seldomer. */
const sweepMsMin = 1_000;
const sweepMsMax = 300_000;

/** How often to sweep, in ms: a lease of `leaseDays` ends at most a tenth of itself late. */
export function leaseSweepMs(leaseDays: number): number {
  return Math.max(sweepMsMin, Math.min(sweepMsMax, (leaseDays * dayMs) / 10));
}

/**
 * Leases: a device not seen for `lease_days` is dropped with its accounts, and warned before. A warning is due when its moment
 * lies between the last sweep and this one; that moment is kept in the store, so a restart neither repeats nor forgets one.
 */
export class Leases {
  readonly #store: Store;
  readonly #devices: Devices;
  readonly #subscriptions: Subscriptions;
  readonly #dispatcher: Dispatcher;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #leaseMs: number;

  constructor(options: {
    readonly store: Store;
    readonly devices: Devices;
    readonly subscriptions: Subscriptions;
    readonly dispatcher: Dispatcher;
    readonly clock: Clock;
    readonly log: Log;
    readonly leaseDays: number;
  }) {
    this.#store = options.store;
    this.#devices = options.devices;
    this.#subscriptions = options.subscriptions;
    this.#dispatcher = options.dispatcher;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#leaseMs = options.leaseDays * dayMs;
  }

  /** Resolves when all warnings of this sweep are with their providers and all drops are done. Called every few minutes. */
  async sweep(): Promise<void> {
    const nowMs = this.#clock.wallMs();
    for (const accountId of this.#store.orphans(orphansMax)) await this.#subscriptions.removeAccount(accountId);
    for (const device of this.#store.staleDevices(nowMs - this.#leaseMs, droppedMax)) {
      this.#log.info("lease.ended", { device: device.deviceId, app: device.app });
      await this.#devices.remove(device);
    }
    const sweptAtMs = Number(this.#store.setting(settingName) ?? nowMs);
    const due = this.#dueWarnings(sweptAtMs, nowMs);
    for (let at = 0; at < due.length; at += pushesAtOnce) {
      await Promise.all(
        due
          .slice(at, at + pushesAtOnce)
          .map(({ device, text }) =>
            this.#dispatcher.push(device, "lease", { text, deadlineMs: this.#devices.leaseUntilMs(device) }),
          ),
      );
    }
    await this.#store.putSetting(settingName, String(nowMs));
  }

  #dueWarnings(sweptAtMs: number, nowMs: number): { readonly device: DeviceRecord; readonly text: string }[] {
    const firstMs = Math.max(...warnings.map(({ beforeMs }) => beforeMs));
    const stale = this.#store.staleDevices(nowMs - Math.max(0, this.#leaseMs - firstMs) + 1, warnedMax);
    if (stale.length === warnedMax) this.#log.warn("lease.tooManyStale", { looked: warnedMax });
    return stale.flatMap((device) =>
      warnings.flatMap(({ beforeMs, text }) => {
        const atMs = this.#devices.leaseUntilMs(device) - beforeMs;
        // A lease shorter than the warning's time would warn a phone at the moment it was last seen.
        const isDue = beforeMs < this.#leaseMs && atMs > sweptAtMs && atMs <= nowMs;
        return isDue ? [{ device, text }] : [];
      }),
    );
  }
}

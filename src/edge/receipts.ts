import { LRUCache } from "lru-cache";
import type { DeviceId } from "../base/ids.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { DeviceRecord } from "../store/types.ts";
import type { WakeFigures } from "./views.ts";

const pushesMax = 100_000;
const devicesMax = 100_000;
const latenciesKept = 15;
/** A phone that has sent receipts and then misses this many in a row gets no pushes any more, or cannot tell. */
const unansweredAlarm = 3;

interface DeviceFigures {
  receipts: number;
  /** Accepted pushes since the last receipt. */
  unanswered: number;
  isAlarmed: boolean;
  /** The latest, in ms, as they came. */
  latencies: number[];
}

interface SentPush {
  readonly deviceId: DeviceId;
  readonly provider: string;
  readonly sentAtMs: number;
  hasReceipt: boolean;
}

/**
 * What phones say about the pushes they got: the only proof that a push a provider accepted has arrived. Kept in memory: wake
 * latency of each device, and an alarm when a device's receipts stop.
 */
export class Receipts {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #pushes = new LRUCache<string, SentPush>({ max: pushesMax });
  readonly #devices = new LRUCache<DeviceId, DeviceFigures>({ max: devicesMax });

  constructor(log: Log, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** A push goes out now. A phone's receipt may overtake its provider's answer. `sentAtMs`: Unix ms. */
  sending(id: string, device: DeviceRecord, sentAtMs: number): void {
    if (this.#pushes.has(id)) return;
    this.#pushes.set(id, { deviceId: device.deviceId, provider: device.push.provider, sentAtMs, hasReceipt: false });
  }

  /** A provider took the push. */
  accepted(id: string): void {
    const push = this.#pushes.get(id);
    if (push === undefined || push.hasReceipt) return;
    const { deviceId, provider } = push;
    const figures = this.#figures(deviceId);
    if (figures.receipts > 0 && figures.unanswered >= unansweredAlarm && !figures.isAlarmed) {
      figures.isAlarmed = true;
      this.#metrics.alarm("receipts_stopped");
      this.#log.warn("receipts.stopped", { device: deviceId, provider, unanswered: figures.unanswered });
    }
    figures.unanswered++;
  }

  /** False when no such push was sent to this device. A second receipt for a push counts nothing. `receivedAtMs`: Unix ms. */
  received(id: string, deviceId: DeviceId, receivedAtMs: number, priority: string | undefined): boolean {
    const push = this.#pushes.get(id);
    if (push?.deviceId !== deviceId) return false;
    if (push.hasReceipt) return true;
    push.hasReceipt = true;
    const latencyMs = Math.max(0, receivedAtMs - push.sentAtMs);
    this.#metrics.receipt(push.provider, latencyMs);
    const figures = this.#figures(deviceId);
    figures.receipts++;
    figures.unanswered = 0;
    figures.isAlarmed = false;
    figures.latencies = [...figures.latencies, latencyMs].slice(-latenciesKept);
    // Android lowers the priority of an app that wakes the phone for nothing: calls then come late.
    if (priority === "normal") this.#metrics.alarm("priority_lowered");
    return true;
  }

  /** Whether the phone has said that it got the push. */
  has(id: string): boolean {
    return this.#pushes.get(id)?.hasReceipt === true;
  }

  of(deviceId: DeviceId): WakeFigures {
    const figures = this.#devices.get(deviceId);
    const sorted = [...(figures?.latencies ?? [])].sort((a, b) => a - b);
    return {
      receipts: figures?.receipts ?? 0,
      medianMs: sorted[sorted.length >> 1],
      unanswered: figures?.unanswered ?? 0,
    };
  }

  #figures(deviceId: DeviceId): DeviceFigures {
    let figures = this.#devices.get(deviceId);
    if (figures === undefined) {
      figures = { receipts: 0, unanswered: 0, isAlarmed: false, latencies: [] };
      this.#devices.set(deviceId, figures);
    }
    return figures;
  }
}

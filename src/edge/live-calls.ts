import type { AccountId, CallUuid, DeviceId } from "../base/ids.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Clock } from "../time/clock.ts";
import type { CallState, Caller } from "../workers/protocol.ts";
import { WakeTimes } from "./wake-times.ts";

/** Calls known at once; beyond, the oldest are forgotten here and stand in the journal only. */
const callsMax = 50_000;
/** How long an ended call answers from memory: the journal is written by another thread. */
const keptMs = 300_000;
/** A call whose end nobody reports. */
const callMsMax = 12 * 3_600_000;

/** APNs delivers a VoIP push this much after the deadline at the latest: it was told not to store it. */
const voipReportMs = 60_000;

/** What is known of waking one device for a call. Times are Unix ms. */
interface Wake {
  readonly provider: string;
  readonly isVoip: boolean;
  /** Pushes that were to go out, the first included. */
  pushes: number;
  acceptedAtMs: number | undefined;
  tunnelAtMs: number | undefined;
  inviteAtMs: number | undefined;
}

export interface LiveCall {
  readonly call: CallUuid;
  readonly callId: string;
  readonly accountId: AccountId;
  readonly from: Caller;
  readonly startedAtMs: number;
  readonly deadlineMs: number | undefined;
  readonly state: CallState;
}

interface Known extends LiveCall {
  state: CallState;
  deadlineMs: number | undefined;
  isOver: boolean;
  overAtMs: number;
  readonly wakes: Map<DeviceId, Wake>;
  /** Its devices and, where a journal line told it, what the call is for each: answered here is answered elsewhere there. */
  readonly states: Map<DeviceId, CallState | undefined>;
}

/**
 * The inbound calls of now and of the last minutes, as the main thread needs them: to answer a phone that asks about a call
 * before the journal has it, and to measure each step of a wake.
 */
export class LiveCalls {
  /** How quickly each device has come when it was woken. */
  readonly times = new WakeTimes();
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  /** In order of first mention. */
  readonly #calls = new Map<CallUuid, Known>();
  /** Calls a device is woken for that have not reached it yet. */
  readonly #awaited = new Map<DeviceId, Set<Known>>();
  /** Calls whose INVITE a woken device has and that it does not ring for yet. */
  readonly #silent = new Map<DeviceId, Set<Known>>();

  constructor(clock: Clock, metrics: Metrics) {
    this.#clock = clock;
    this.#metrics = metrics;
  }

  /** The call as one of its devices may see it; undefined for any other device. */
  of(call: CallUuid, deviceId: DeviceId): LiveCall | undefined {
    const known = this.#calls.get(call);
    return known?.states.has(deviceId) === true
      ? { ...known, state: known.states.get(deviceId) ?? known.state }
      : undefined;
  }

  /** A device is about to be woken. False when it was already (the same call, told of twice). */
  waking(call: Omit<LiveCall, "state">, deviceId: DeviceId, isVoip: boolean, provider: string): boolean {
    const known = this.#know({ ...call, state: "ringing" });
    known.deadlineMs ??= call.deadlineMs;
    if (!known.states.has(deviceId)) known.states.set(deviceId, undefined);
    if (known.wakes.has(deviceId)) return false;
    this.#metrics.wakeBegan(provider);
    known.wakes.set(deviceId, {
      provider,
      isVoip,
      pushes: 1,
      acceptedAtMs: undefined,
      tunnelAtMs: undefined,
      inviteAtMs: undefined,
    });
    join(this.#awaited, deviceId, known);
    return true;
  }

  /** A device is about to be woken once more for a call. Which push it is, the first being 1; undefined when the call is over or unknown. */
  wakingAgain(call: CallUuid, deviceId: DeviceId): number | undefined {
    const known = this.#calls.get(call);
    const wake = known?.wakes.get(deviceId);
    return wake === undefined || known?.state !== "ringing" ? undefined : ++wake.pushes;
  }

  /** A provider took the push of a wake. */
  accepted(call: CallUuid, deviceId: DeviceId): void {
    const known = this.#calls.get(call);
    const wake = known?.wakes.get(deviceId);
    if (known === undefined || wake === undefined || wake.acceptedAtMs !== undefined) return;
    wake.acceptedAtMs = this.#clock.wallMs();
    this.#metrics.wakeStep("invite_to_push", wake.acceptedAtMs - known.startedAtMs, wake.provider);
    // The phone may have been quicker than its provider's answer.
    if (wake.tunnelAtMs !== undefined) {
      this.#metrics.wakeStep("push_to_tunnel", 0, wake.provider);
      this.times.add(deviceId, 0);
    }
  }

  /**
   * The device opened a tunnel: ends the wait for it. Returns the call that a VoIP push announced and that the device must be
   * shown even when it is gone (the system demands a report); undefined when there is none.
   */
  tunnelOpened(deviceId: DeviceId): CallUuid | undefined {
    let announced: CallUuid | undefined;
    for (const known of this.#awaited.get(deviceId) ?? []) {
      const wake = known.wakes.get(deviceId);
      if (wake === undefined || wake.tunnelAtMs !== undefined) continue;
      wake.tunnelAtMs = this.#clock.wallMs();
      if (wake.acceptedAtMs !== undefined) {
        const tookMs = wake.tunnelAtMs - wake.acceptedAtMs;
        this.#metrics.wakeStep("push_to_tunnel", tookMs, wake.provider);
        // Behind the deadline nobody has waited: its owner may have opened the app by chance.
        if (wake.tunnelAtMs <= (known.deadlineMs ?? known.startedAtMs)) this.times.add(deviceId, tookMs);
      }
      if (wake.isVoip && wake.tunnelAtMs <= (known.deadlineMs ?? known.startedAtMs) + voipReportMs)
        announced = known.call;
    }
    return announced;
  }

  /** A frame goes to the device. Costs nothing unless the device is awaited and the frame is an INVITE. */
  frameSent(deviceId: DeviceId, text: string): void {
    const awaited = this.#awaited.get(deviceId);
    if (awaited === undefined || !text.startsWith("INVITE ")) return;
    for (const known of awaited) {
      const wake = known.wakes.get(deviceId);
      if (wake?.tunnelAtMs === undefined || !text.includes(known.callId)) continue;
      wake.inviteAtMs = this.#clock.wallMs();
      this.#metrics.wakeStep("tunnel_to_invite", wake.inviteAtMs - wake.tunnelAtMs, wake.provider);
      part(this.#awaited, deviceId, known);
      join(this.#silent, deviceId, known);
      return;
    }
  }

  /** A frame came from the device. Costs nothing unless it is to ring and the frame says that it does (180, 183). */
  frameCame(deviceId: DeviceId, text: string): void {
    const silent = this.#silent.get(deviceId);
    if (silent === undefined || !text.startsWith("SIP/2.0 18")) return;
    for (const known of silent) {
      const wake = known.wakes.get(deviceId);
      if (wake?.inviteAtMs === undefined || !text.includes(known.callId)) continue;
      this.#metrics.wakeStep("invite_to_ringing", this.#clock.wallMs() - wake.inviteAtMs, wake.provider);
      part(this.#silent, deviceId, known);
      return;
    }
  }

  /** What the call is for some of its devices. */
  changed(call: LiveCall, devices: readonly DeviceId[]): void {
    const known = this.#know(call);
    for (const deviceId of devices) known.states.set(deviceId, call.state);
  }

  /** What the call is as a whole. */
  stateOf(call: CallUuid, state: CallState, isOver: boolean): void {
    const known = this.#calls.get(call);
    if (known === undefined) return;
    if (state === "answered" && known.state === "ringing") this.#answered(known);
    known.state = state;
    for (const [deviceId, own] of known.states) if (own === "ringing") known.states.set(deviceId, undefined);
    if (state !== "ringing") for (const deviceId of known.wakes.keys()) part(this.#silent, deviceId, known);
    if (isOver && !known.isOver) {
      known.isOver = true;
      known.overAtMs = this.#clock.wallMs();
    }
  }

  /** Forgets what has long been over. */
  sweep(): void {
    const nowMs = this.#clock.wallMs();
    for (const known of this.#calls.values()) {
      if (known.isOver ? nowMs - known.overAtMs > keptMs : nowMs - known.startedAtMs > callMsMax) this.#forget(known);
    }
  }

  get size(): number {
    return this.#calls.size;
  }

  /** Which device answered is not said: the first that had the INVITE stands for it. */
  #answered(known: Known): void {
    let first: { readonly inviteAtMs: number; readonly provider: string } | undefined;
    for (const { inviteAtMs, provider } of known.wakes.values()) {
      if (inviteAtMs !== undefined && inviteAtMs < (first?.inviteAtMs ?? Infinity)) first = { inviteAtMs, provider };
    }
    if (first === undefined) return;
    this.#metrics.wakeStep("invite_to_answer", this.#clock.wallMs() - first.inviteAtMs, first.provider);
  }

  #know(call: LiveCall): Known {
    const before = this.#calls.get(call.call);
    if (before !== undefined) return before;
    const known: Known = { ...call, isOver: false, overAtMs: 0, wakes: new Map(), states: new Map() };
    this.#calls.set(call.call, known);
    if (this.#calls.size > callsMax) {
      for (const oldest of this.#calls.values()) {
        this.#forget(oldest);
        break;
      }
    }
    return known;
  }

  #forget(known: Known): void {
    this.#calls.delete(known.call);
    for (const deviceId of known.wakes.keys()) {
      part(this.#awaited, deviceId, known);
      part(this.#silent, deviceId, known);
    }
  }
}

type CallsOfDevices = Map<DeviceId, Set<Known>>;

function join(calls: CallsOfDevices, deviceId: DeviceId, known: Known): void {
  calls.set(deviceId, (calls.get(deviceId) ?? new Set()).add(known));
}

function part(calls: CallsOfDevices, deviceId: DeviceId, known: Known): void {
  const of = calls.get(deviceId);
  of?.delete(known);
  if (of?.size === 0) calls.delete(deviceId);
}

import { reasonText } from "./reason.ts";
import type { WakeAgain } from "../workers/protocol.ts";
import type { CallRecord } from "./call-book.ts";
import type { Core } from "./core.ts";
import type { Leg } from "./leg.ts";

/** The pushes about one inbound call: its wakes, and the word that it is over. */
export class CallPushes {
  readonly #core: Core;
  readonly #record: CallRecord;

  constructor(core: Core, record: CallRecord) {
    this.#core = core;
    this.#record = record;
  }

  /** One event for all these legs. */
  wake(legs: readonly Leg[], again?: WakeAgain): void {
    if (legs.length === 0) return;
    const { call, callId, accountId, from, startedAtMs } = this.#record;
    for (const leg of legs) {
      leg.wake = "sent";
      leg.wakes++;
      const label = again === undefined ? "wake" : "wake again";
      this.#core.recorder.note(this.#record.ladder, accountId, "wakeline", "push", label, leg.deviceId);
    }
    this.#core.options.uplink.emit({
      kind: "wake",
      call,
      callId,
      accountId,
      targets: targetsOf(legs),
      from,
      receivedAtMs: startedAtMs,
      deadlineMs: startedAtMs + this.#core.settings.deadlineSec * 1_000,
      ...(again === undefined ? {} : { again }),
    });
  }

  /** For phones that were woken and are not here: stop ringing. `reason` as for CANCEL. */
  cancel(legs: readonly Leg[], reason: string): void {
    const text = reasonText(reason);
    // A wake that failed rang nowhere.
    this.#notify("cancel", targetsOf(legs.filter((leg) => leg.wake === "sent")), text);
  }

  /** Nobody came in time; for those who want to hear of it. What failed as a wake may still get through as an alert. */
  missed(legs: readonly Leg[]): void {
    const wanting = new Set(
      this.#core.options.directory
        .subscriptions(this.#record.accountId)
        .flatMap((subscription) => (subscription.notify.missed ? [subscription.subscriptionId] : [])),
    );
    const targets = targetsOf(legs.filter((leg) => leg.wake === "sent" || leg.wake === "failed"));
    this.#notify(
      "missed",
      targets.filter(({ subscriptionId }) => wanting.has(subscriptionId)),
      undefined,
    );
  }

  #notify(push: "cancel" | "missed", targets: ReturnType<typeof targetsOf>, text: string | undefined): void {
    if (targets.length === 0) return;
    const { call, callId, accountId, from } = this.#record;
    this.#core.options.uplink.emit({
      kind: "notify",
      push,
      accountId,
      targets,
      call,
      callId,
      from,
      ...(text === undefined ? {} : { text }),
    });
  }
}

function targetsOf(legs: readonly Leg[]): { deviceId: Leg["deviceId"]; subscriptionId: Leg["subscriptionId"] }[] {
  return legs.map(({ deviceId, subscriptionId }) => ({ deviceId, subscriptionId }));
}

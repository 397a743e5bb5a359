import type { CallUuid, DeviceId, SubscriptionId, TunnelId } from "../base/ids.ts";
import type { CallSummary, Event, LastWord } from "./protocol.ts";

interface Running {
  readonly summary: CallSummary;
  /** Who was woken for it, by device. */
  readonly woken: Map<DeviceId, SubscriptionId>;
  /** The device that answered. */
  speaker: DeviceId | undefined;
}

type Answer = Extract<LastWord, { to: "server" }>;

/**
 * What a shard leaves to be told should it die: the calls that die with it, and what phones and servers then need to hear. Kept outside
 * the shard's thread, from its own events; while the shard lives it costs a map's entry a call and one an open INVITE.
 */
export class LastWill {
  readonly #words = new Map<string, LastWord>();
  readonly #calls = new Map<CallUuid, Running>();

  /** Calls and words that are waiting. */
  get size(): number {
    return this.#words.size + this.#calls.size;
  }

  onEvent(event: Event): void {
    switch (event.kind) {
      case "will":
        if (event.word === undefined) this.#words.delete(event.id);
        else this.#words.set(event.id, event.word);
        return;
      case "journal":
        return this.#onJournal(event.summary, event.targets);
      case "wake":
        for (const { deviceId, subscriptionId } of event.targets) {
          this.#calls.get(event.call)?.woken.set(deviceId, subscriptionId);
        }
        return;
      case "callState":
        if (event.over) this.#calls.delete(event.call);
        return;
      default:
    }
  }

  /**
   * The shard is gone: the events that it would have sent, could it have known, and the answers that its next life is to give; then
   * nothing is left to tell. Phones with a tunnel hear it there; those that were woken and are not here by push. `wallMs`: now, Unix ms.
   */
  execute(
    tunnels: ReadonlyMap<DeviceId, TunnelId>,
    wallMs: number,
  ): { readonly events: readonly Event[]; readonly answers: readonly Answer[] } {
    const events: Event[] = [];
    const answers: Answer[] = [];
    for (const word of this.#words.values()) {
      if (word.to === "server") answers.push(word);
      else {
        const tunnelId = tunnels.get(word.deviceId);
        if (tunnelId !== undefined) events.push({ kind: "frame", tunnelId, text: word.text });
      }
    }
    for (const { summary, woken, speaker } of this.#calls.values()) {
      const { call, callId, accountId, from } = summary;
      const state = speaker === undefined ? "missed" : "ended";
      events.push({ kind: "callState", call, state, over: true });
      const ended = { ...summary, state, endedAtMs: wallMs } as const;
      events.push({ kind: "journal", summary: ended, targets: speaker === undefined ? summary.devices : [speaker] });
      if (speaker !== undefined) continue;
      const targets = [...woken]
        .filter(([deviceId]) => !tunnels.has(deviceId))
        .map(([deviceId, subscriptionId]) => ({ deviceId, subscriptionId }));
      if (targets.length === 0) continue;
      for (const push of ["cancel", "missed"] as const)
        events.push({ kind: "notify", push, accountId, targets, call, callId, from });
    }
    this.#words.clear();
    this.#calls.clear();
    return { events, answers };
  }

  #onJournal(summary: CallSummary, targets: readonly DeviceId[]): void {
    const { call, state } = summary;
    if (state === "ringing") this.#calls.set(call, { summary, woken: new Map(), speaker: undefined });
    const running = state === "answered" ? this.#calls.get(call) : undefined;
    if (running !== undefined) running.speaker = targets[0];
  }
}

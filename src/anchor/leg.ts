import type { DeviceId, SubscriptionId } from "../base/ids.ts";
import type { SipView } from "../sip/message/view.ts";
import type { ClientTransaction } from "../sip/transaction/transactions.ts";
import type { Alarm } from "./alarms.ts";
import type { Approach, Target } from "./targets.ts";

/** What a push does for a leg. "due": one goes out when the tunnel stays silent. */
export type Wake = "none" | "due" | "sent" | "failed";

/** One device's side of an inbound call; a device has exactly one leg, however many tunnels it opens. */
export class Leg {
  readonly deviceId: DeviceId;
  readonly subscriptionId: SubscriptionId;
  readonly approach: Approach;
  readonly wakeable: boolean;
  wake: Wake = "none";
  /** Pushes that were asked for, the first included. */
  wakes = 0;
  /** Stays the same on every tunnel, so that a phone that has the call sees a repetition (design rule 6). */
  readonly branch: string;
  tx: ClientTransaction | undefined;
  /** The phone was sent the INVITE at least once. */
  isSent = false;
  /** Any 1xx has come, 100 included. */
  isHeard = false;
  /** An 18x has come. */
  isRinging = false;
  /** The phone's final response of 300 or more. */
  final: SipView | undefined;
  /** Why it was cancelled; the value of a Reason header, "" for none. Undefined while it was not. */
  cancelReason: string | undefined;
  /** The device is no longer the account's: even a 2xx that is on its way does not count. */
  isRemoved = false;
  /** To-tag of a 2xx that was acknowledged and ended by us. */
  unwantedTag: string | undefined;
  /** A push goes out then. */
  silence: Alarm | undefined;

  constructor(target: Target, branch: string) {
    this.deviceId = target.deviceId;
    this.subscriptionId = target.subscriptionId;
    this.approach = target.approach;
    this.wakeable = target.wakeable;
    this.branch = branch;
  }

  /** Something may still come of it. A leg that is only held in silence does not count: its phone is rung by the server itself. */
  get isPending(): boolean {
    if (this.isDone) return false;
    return this.tx !== undefined || this.wake === "sent" || this.wake === "due";
  }

  get isHeld(): boolean {
    return !this.isDone && this.approach === "hold" && this.tx === undefined;
  }

  get isDone(): boolean {
    return this.final !== undefined || this.cancelReason !== undefined;
  }
}

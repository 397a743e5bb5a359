import type { AccountId, DeviceId } from "../base/ids.ts";
import { Header } from "../sip/message/header.ts";
import { addressOf } from "../sip/message/read-address.ts";
import { readCSeq } from "../sip/message/read-cseq.ts";
import { listValues } from "../sip/message/read-list.ts";
import { MessageKind, type SipView } from "../sip/message/view.ts";
import type { CallRecord } from "./call-book.ts";
import type { Flow } from "./flow.ts";
import { dialogsPerDeviceMax } from "./limits.ts";

/**
 * A peer relation between a phone and its far end (RFC 3261 §12) that we relay. Both tags are the parties' own. What is kept
 * beside them is our Contact and flow, and what a BYE of ours would need should the phone be lost.
 */
export interface Dialog {
  readonly callId: string;
  /** The phone's tag. */
  readonly deviceTag: string;
  /** The far end's; "" with an RFC 2543 peer that has none. */
  readonly remoteTag: string;
  readonly accountId: AccountId;
  readonly deviceId: DeviceId;
  /** The call that it belongs to; undefined for subscriptions on their own. */
  readonly record: CallRecord | undefined;
  /** Our Contact towards the server, in brackets; stable while the dialog lives. */
  readonly contact: string;
  flow: Flow;
  /** The far end's own address, where requests go in its server's stead; see `learnFarEnd`. */
  direct: Flow | undefined;
  /** The phone's Contact URI: the Request-URI of what goes to it. */
  deviceTarget: string;
  /** The far end's Contact URI. */
  remoteTarget: string;
  /** Route set towards the far end, as the phone sees it (§12.1). */
  routes: readonly string[];
  /** From or To value of either side, tags included. */
  readonly deviceAddress: string;
  readonly remoteAddress: string;
  deviceCSeq: number;
  remoteCSeq: number;
  confirmed: boolean;
  /** Whether there is an INVITE usage that has not ended (RFC 5057 §4). */
  inCall: boolean;
  /** Event subscriptions in the dialog: `refer;3` or `presence;` to their end in monotonic ms. */
  readonly subscriptions: Map<string, number>;
  lastUsedMs: number;
  /** No usage is left: it stays for `dialogLingerMs` so that late messages are answered right. */
  over: boolean;
}

/** Reads what a dialog keeps from the message that makes it. `deviceSide`: which of From and To is the phone's. */
export function dialogFields(
  view: SipView,
  deviceSide: "from" | "to",
): Pick<Dialog, "callId" | "deviceTag" | "remoteTag" | "deviceAddress" | "remoteAddress"> {
  const from = addressOf(view, Header.from)?.params.get("tag") ?? "";
  const to = addressOf(view, Header.to)?.params.get("tag") ?? "";
  const fromText = view.value(Header.from) ?? "";
  const toText = view.value(Header.to) ?? "";
  const isFrom = deviceSide === "from";
  return {
    callId: view.value(Header.callId) ?? "",
    deviceTag: isFrom ? from : to,
    remoteTag: isFrom ? to : from,
    deviceAddress: isFrom ? fromText : toText,
    remoteAddress: isFrom ? toText : fromText,
  };
}

/** The URI of the Contact of a message that forms or refreshes a dialog (§12.1, §12.2); undefined when it has none. */
export function targetOf(view: SipView): string | undefined {
  return addressOf(view, Header.contact)?.uri;
}

/** The route set that the receiver (of a request) or sender (of the request that a response answers) keeps (§12.1). */
export function routeSetOf(view: SipView): readonly string[] {
  const values = listValues(view, Header.recordRoute);
  return view.kind === MessageKind.response ? values.toReversed() : values;
}

/** The sequence number in use, 0 when there is none. */
export function cseqOf(view: SipView): number {
  return Math.max(readCSeq(view), 0);
}

function keyOf(callId: string, deviceTag: string, remoteTag: string): string {
  // A NUL is in none of the three: validateRequest refuses it.
  return `${callId}\0${deviceTag}\0${remoteTag}`;
}

/** The dialogs of a shard by their three identifiers, bounded per device. */
export class DialogTable {
  readonly #byKey = new Map<string, Dialog>();
  readonly #byCallId = new Map<string, Set<Dialog>>();
  readonly #byDevice = new Map<DeviceId, Set<Dialog>>();

  get size(): number {
    return this.#byKey.size;
  }

  find(callId: string, deviceTag: string, remoteTag: string): Dialog | undefined {
    return this.#byKey.get(keyOf(callId, deviceTag, remoteTag));
  }

  ofCallId(callId: string): ReadonlySet<Dialog> | undefined {
    return this.#byCallId.get(callId);
  }

  ofDevice(deviceId: DeviceId): ReadonlySet<Dialog> | undefined {
    return this.#byDevice.get(deviceId);
  }

  all(): Iterable<Dialog> {
    return this.#byKey.values();
  }

  /** False when the device has too many: then nothing is kept. */
  add(dialog: Dialog): boolean {
    const ofDevice = this.#byDevice.get(dialog.deviceId) ?? new Set();
    if (ofDevice.size >= dialogsPerDeviceMax) return false;
    const key = keyOf(dialog.callId, dialog.deviceTag, dialog.remoteTag);
    const before = this.#byKey.get(key);
    if (before !== undefined) this.remove(before);
    this.#byKey.set(key, dialog);
    ofDevice.add(dialog);
    this.#byDevice.set(dialog.deviceId, ofDevice);
    const ofCallId = this.#byCallId.get(dialog.callId) ?? new Set();
    ofCallId.add(dialog);
    this.#byCallId.set(dialog.callId, ofCallId);
    return true;
  }

  remove(dialog: Dialog): void {
    const key = keyOf(dialog.callId, dialog.deviceTag, dialog.remoteTag);
    if (this.#byKey.get(key) !== dialog) return;
    this.#byKey.delete(key);
    take(this.#byDevice, dialog.deviceId, dialog);
    take(this.#byCallId, dialog.callId, dialog);
  }
}

function take<K>(index: Map<K, Set<Dialog>>, key: K, dialog: Dialog): void {
  const set = index.get(key);
  set?.delete(dialog);
  if (set?.size === 0) index.delete(key);
}

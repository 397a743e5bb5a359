import type { AccountId, DeviceId, TunnelId } from "../base/ids.ts";
import { latin1 } from "../sip/message/chars.ts";
import type { SipView } from "../sip/message/view.ts";
import type { ClientTransaction, ServerTransaction } from "../sip/transaction/transactions.ts";
import type { TrackedHop } from "./flow.ts";
import { answersKeptBytesMax, answersKeptMax, heldBytesMax, heldFramesMax } from "./limits.ts";
import type { Uplink } from "./options.ts";

/** A final answer to a request of the phone that went into a tunnel and, for all that we know, may have died with it. */
interface Answered {
  readonly tx: ServerTransaction;
  /** Undefined for INVITE, whose transaction keeps its answer until the ACK. */
  readonly bytes: Uint8Array | undefined;
  /** From then on the phone has given up (timer F), monotonic ms. */
  readonly untilMs: number;
}

/**
 * The way to one device: its open tunnel or, while there is none, the frames held for the next. A hop to the transactions
 * above, which need not know which tunnel carries them: a call outlives its tunnel.
 */
export class DeviceLink implements TrackedHop {
  /** A WebSocket loses nothing while it lives (RFC 7118 §5.2). */
  readonly reliable = true;
  readonly deviceId: DeviceId;
  /** Accounts of the device on this shard. */
  readonly accounts = new Set<AccountId>();
  /** Accounts that the phone un-REGISTERed through the tunnel that is open: it is not asked for their calls. */
  readonly away = new Set<AccountId>();
  /** Contact URIs that the phone registered through the tunnel (design rule 10). */
  readonly contacts = new Map<AccountId, string>();
  /** Requests to the phone without a final answer, in the order in which they began. */
  readonly pending = new Set<ClientTransaction>();
  /** Those of them that are among the held frames and were never sent. */
  readonly #unsent = new Set<ClientTransaction>();
  #answered: Answered[] = [];
  /** When the last tunnel closed, monotonic ms. */
  closedAtMs: number;
  readonly #uplink: Uplink;
  #tunnelId: TunnelId | undefined;
  #held: Uint8Array[] = [];
  readonly #owed: ClientTransaction[] = [];
  #heldBytes = 0;

  constructor(deviceId: DeviceId, uplink: Uplink, nowMs: number) {
    this.deviceId = deviceId;
    this.#uplink = uplink;
    this.closedAtMs = nowMs;
  }

  get tunnelId(): TunnelId | undefined {
    return this.#tunnelId;
  }

  get isOpen(): boolean {
    return this.#tunnelId !== undefined;
  }

  /** Whether calls of the account go into the tunnel now. */
  serves(accountId: AccountId): boolean {
    return this.isOpen && this.accounts.has(accountId) && !this.away.has(accountId);
  }

  /** What the phone has not been told yet. */
  get heldFrames(): number {
    return this.#held.length + this.#owed.length;
  }

  /** A new tunnel takes over from any other, and its phone's Contacts go with it. Nothing is sent yet: see `release`. */
  open(tunnelId: TunnelId, accounts: readonly AccountId[]): void {
    if (this.#tunnelId !== tunnelId) {
      this.contacts.clear();
      this.away.clear();
    }
    this.#tunnelId = tunnelId;
    this.accounts.clear();
    for (const accountId of accounts) this.accounts.add(accountId);
  }

  /** A request began while there was no tunnel: its bytes are among the held ones. */
  noteUnsent(tx: ClientTransaction): void {
    this.#unsent.add(tx);
  }

  /** A request got no answer in its time: the tunnel was dying, or there was none. The next one is to bring it once more. */
  owe(tx: ClientTransaction): void {
    if (this.#unsent.delete(tx)) this.#unhold(tx.request);
    this.#owed.push(tx);
    if (this.#owed.length > heldFramesMax) this.#owed.shift();
  }

  /** What is owed, in the order in which it fell due; it is the caller's now. */
  takeOwed(): readonly ClientTransaction[] {
    return this.#owed.splice(0);
  }

  /** The phone was given a final answer that nobody repeats: not the 2xx to an INVITE, which its maker does (RFC 3261 §13.3.1.4). */
  noteAnswered(answered: Answered): void {
    // Without a tunnel the answer is among the held frames.
    if (!this.isOpen) return;
    this.#answered.push(answered);
    while (this.#answered.length > answersKeptMax || this.#answeredBytes > answersKeptBytesMax) this.#answered.shift();
  }

  /**
   * Answers that may have gone into a dying tunnel, in order, to be sent again before `release`: over a reliable transport neither side
   * repeats anything (RFC 3261 §17.1.2, §17.2.1), and the phone would wait in vain. One that it has is dropped there (§18.1.2). The
   * next tunnel may die as quickly: they stay until their time is over.
   */
  answersStill(nowMs: number): readonly Answered[] {
    this.#answered = this.#answered.filter(({ untilMs }) => nowMs < untilMs);
    return this.#answered;
  }

  get #answeredBytes(): number {
    return this.#answered.reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0);
  }

  /** Requests that went out on an earlier tunnel and have no final answer: to be sent again, before `release`. */
  takeInterrupted(): ClientTransaction[] {
    const interrupted = [...this.pending].filter((tx) => !this.#unsent.has(tx));
    this.#unsent.clear();
    return interrupted;
  }

  removeAccount(accountId: AccountId): void {
    this.accounts.delete(accountId);
    this.contacts.delete(accountId);
  }

  close(nowMs: number): void {
    this.#tunnelId = undefined;
    this.closedAtMs = nowMs;
  }

  /** One frame to the phone, or into the held ones; the oldest goes when there are too many. */
  send(bytes: Uint8Array): void {
    if (this.#tunnelId !== undefined) {
      this.#emit(this.#tunnelId, bytes);
      return;
    }
    this.#hold(bytes);
  }

  #hold(bytes: Uint8Array): void {
    this.#held.push(bytes.slice());
    this.#heldBytes += bytes.length;
    while (this.#held.length > heldFramesMax || this.#heldBytes > heldBytesMax) {
      this.#heldBytes -= this.#held.shift()?.length ?? 0;
    }
  }

  /** Sends what was held, in order, once. */
  release(): void {
    const tunnelId = this.#tunnelId;
    if (tunnelId === undefined) return;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const bytes of held) this.#emit(tunnelId, bytes);
  }

  dropHeld(): void {
    this.#held = [];
    this.#heldBytes = 0;
    this.#owed.length = 0;
  }

  #unhold({ bytes, from, to }: SipView): void {
    const at = this.#held.findIndex((held) => Buffer.compare(held, bytes.subarray(from, to)) === 0);
    if (at >= 0) this.#heldBytes -= this.#held.splice(at, 1)[0]?.length ?? 0;
  }

  #emit(tunnelId: TunnelId, bytes: Uint8Array): void {
    this.#uplink.emit({ kind: "frame", tunnelId, text: latin1(bytes, 0, bytes.length) });
  }
}

/** Every device that has a tunnel to this shard, or had one and is still owed something. */
export class DeviceLinks {
  readonly #uplink: Uplink;
  readonly #byDevice = new Map<DeviceId, DeviceLink>();
  readonly #byTunnel = new Map<TunnelId, DeviceLink>();

  constructor(uplink: Uplink) {
    this.#uplink = uplink;
  }

  get size(): number {
    return this.#byDevice.size;
  }

  find(deviceId: DeviceId): DeviceLink | undefined {
    return this.#byDevice.get(deviceId);
  }

  /** The link of a tunnel that is the device's present one. */
  ofTunnel(tunnelId: TunnelId): DeviceLink | undefined {
    return this.#byTunnel.get(tunnelId);
  }

  /** The device's link, made when there is none. */
  ensure(deviceId: DeviceId, nowMs: number): DeviceLink {
    let link = this.#byDevice.get(deviceId);
    if (link === undefined) {
      link = new DeviceLink(deviceId, this.#uplink, nowMs);
      this.#byDevice.set(deviceId, link);
    }
    return link;
  }

  open(deviceId: DeviceId, tunnelId: TunnelId, accounts: readonly AccountId[], nowMs: number): DeviceLink {
    const link = this.ensure(deviceId, nowMs);
    if (link.tunnelId !== undefined) this.#byTunnel.delete(link.tunnelId);
    link.open(tunnelId, accounts);
    this.#byTunnel.set(tunnelId, link);
    return link;
  }

  /** The link whose tunnel this was; undefined when another has taken over. */
  close(tunnelId: TunnelId, nowMs: number): DeviceLink | undefined {
    const link = this.#byTunnel.get(tunnelId);
    if (link === undefined) return undefined;
    this.#byTunnel.delete(tunnelId);
    link.close(nowMs);
    return link;
  }

  forget(link: DeviceLink): void {
    if (!link.isOpen) this.#byDevice.delete(link.deviceId);
  }
}

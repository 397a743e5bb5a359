import { createHash } from "node:crypto";
import type { CallUuid, DeviceId } from "../base/ids.ts";
import type { Clock } from "../time/clock.ts";
import type { Random } from "../time/random.ts";

const ticketBytes = 32;
/** A ticket in use at once for every device of a very large server; beyond, the oldest go. */
const ticketsMax = 200_000;
/** The end of a call that nobody reports (its shard died) still ends its tickets. */
const callMsMax = 12 * 3_600_000;

/** What a ticket opens the tunnel for. */
export interface Ticket {
  readonly deviceId: DeviceId;
  /** Undefined for a message's. */
  readonly call: CallUuid | undefined;
  /** Unix ms. */
  readonly deadlineMs: number;
}

interface Issued extends Ticket {
  isOver: boolean;
}

/**
 * Tunnel tickets: 256 random bits in a push, kept here only as a hash. Good for one device and call, until the deadline and then
 * as long as the call lives, as often as the phone needs it (JsSIP reconnects to the same URL when the network changes).
 */
export class Tickets {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #max: number;
  /** In order of issue. */
  readonly #issued = new Map<string, Issued>();
  readonly #byCall = new Map<CallUuid, Issued[]>();

  constructor(clock: Clock, random: Random, max: number = ticketsMax) {
    this.#clock = clock;
    this.#random = random;
    this.#max = max;
  }

  issue(ticket: Ticket): string {
    const bytes = new Uint8Array(ticketBytes);
    this.#random.bytes(bytes);
    const text = Buffer.from(bytes).toString("base64url");
    const issued: Issued = { ...ticket, isOver: ticket.call === undefined };
    this.#issued.set(hashOf(text), issued);
    if (ticket.call !== undefined) this.#byCall.set(ticket.call, [...(this.#byCall.get(ticket.call) ?? []), issued]);
    if (this.#issued.size > this.#max) this.#forgetOldest();
    return text;
  }

  /** Undefined when the ticket is unknown or no longer good. */
  check(text: string): Ticket | undefined {
    const issued = this.#issued.get(hashOf(text));
    return issued !== undefined && this.#isGood(issued) ? issued : undefined;
  }

  /** The call has ended: its tickets are good until their deadline only. */
  callOver(call: CallUuid): void {
    for (const issued of this.#byCall.get(call) ?? []) issued.isOver = true;
    this.#byCall.delete(call);
  }

  /** Forgets what is no longer good. */
  sweep(): void {
    for (const [hash, issued] of this.#issued) if (!this.#isGood(issued)) this.#forget(hash, issued);
  }

  get size(): number {
    return this.#issued.size;
  }

  #isGood({ deadlineMs, isOver }: Issued): boolean {
    return this.#clock.wallMs() <= deadlineMs + (isOver ? 0 : callMsMax);
  }

  #forgetOldest(): void {
    for (const [hash, issued] of this.#issued) {
      this.#forget(hash, issued);
      return;
    }
  }

  #forget(hash: string, issued: Issued): void {
    this.#issued.delete(hash);
    if (issued.call === undefined) return;
    const left = (this.#byCall.get(issued.call) ?? []).filter((other) => other !== issued);
    if (left.length === 0) this.#byCall.delete(issued.call);
    else this.#byCall.set(issued.call, left);
  }
}

/** A look-up by hash tells an attacker nothing by its time. */
function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

import { CR, LF } from "./chars.ts";
import { messageBytesMax } from "./limits.ts";
import { scanHead } from "./scan.ts";
import { SipView } from "./view.ts";

/** Why a stream cannot be read on: where the next message begins is not known any more. Answer 400 and close. */
export const FrameFaultReason = {
  tooLarge: "tooLarge",
  badContentLength: "badContentLength",
  missingContentLength: "missingContentLength",
} as const;

export interface FrameFault {
  readonly reason: (typeof FrameFaultReason)[keyof typeof FrameFaultReason];
  /** A copy of the head that brought it, for `scan` and a 400; cut when it was too large. */
  readonly head: Uint8Array;
}

export interface FrameReceiver {
  /** bytes[from, to) is one message; valid only during the call. */
  onMessage(bytes: Uint8Array, from: number, to: number): void;
  /** CR LF CR LF between messages: answer CR LF (RFC 5626 §3.5.1). */
  onPing(): void;
  /** A single CR LF between messages. */
  onPong(): void;
}

export interface FrameLimits {
  /** Head and body together. */
  readonly messageBytesMax: number;
}

export const defaultFrameLimits: FrameLimits = { messageBytesMax };

const firstRoom = 4_096;

/**
 * Cuts a TCP or TLS stream into messages by Content-Length (RFC 3261 §18.3, §7.5), whatever the segments. Each byte is
 * looked at a bounded number of times, however it drips.
 */
export class StreamFramer {
  readonly #limits: FrameLimits;
  readonly #receiver: FrameReceiver;
  readonly #view = new SipView();
  #held = new Uint8Array(0);
  #heldLength = 0;
  /** Where the search for the end of the head goes on in what is held. */
  #searched = 0;
  /** Length of the message at the start of what is held; -1 while its head has not ended. */
  #messageLength = -1;
  /** CR LFs since the last message that are not part of a pair yet: 0 or 1. */
  #halfPing = false;
  #pongsDue = 0;
  #fault: FrameFault | undefined;

  constructor(limits: FrameLimits, receiver: FrameReceiver) {
    this.#limits = limits;
    this.#receiver = receiver;
  }

  /** Bytes of an unfinished message that are held: what a time limit for half-sent messages asks. */
  get heldBytes(): number {
    return this.#heldLength;
  }

  /** Whether the head of the unfinished message is whole: what a time limit for heads asks. */
  get headEnded(): boolean {
    return this.#messageLength >= 0;
  }

  /** Call it after sending a ping: the next single CR LF is its pong, even when another follows. */
  expectPong(): void {
    this.#pongsDue++;
  }

  /**
   * Takes what arrived; messages go to the receiver during the call. Returns a fault when the stream is lost, and the same
   * fault ever after.
   */
  push(bytes: Uint8Array): FrameFault | undefined {
    if (this.#fault !== undefined) return this.#fault;
    if (this.#heldLength === 0) this.#consume(bytes, 0, bytes.length);
    else {
      this.#hold(bytes, 0, bytes.length);
      const held = this.#held;
      const length = this.#heldLength;
      this.#heldLength = 0;
      this.#consume(held, 0, length);
    }
    return this.#fault;
  }

  #consume(bytes: Uint8Array, from: number, to: number): void {
    let at = from;
    while (at < to) {
      if (this.#messageLength < 0 && this.#searched === 0) {
        const next = this.#skipCrlfs(bytes, at, to);
        at = next;
        if (at >= to) break;
        if (bytes[at] === CR && at + 1 === to) break;
      }
      if (this.#messageLength < 0 && !this.#measure(bytes, at, to)) break;
      if (to - at < this.#messageLength) break;
      const end = at + this.#messageLength;
      this.#messageLength = -1;
      this.#searched = 0;
      this.#halfPing = false;
      this.#receiver.onMessage(bytes, at, end);
      at = end;
    }
    if (this.#fault !== undefined) this.#held = new Uint8Array(0);
    else if (at < to) this.#holdRest(bytes, at, to);
    else if (this.#held.length > firstRoom * 4) this.#held = new Uint8Array(0);
  }

  /** CR LFs between messages. */
  #skipCrlfs(bytes: Uint8Array, from: number, to: number): number {
    let at = from;
    while (at + 1 < to && bytes[at] === CR && bytes[at + 1] === LF) {
      at += 2;
      if (this.#pongsDue > 0) {
        this.#pongsDue--;
        this.#receiver.onPong();
      } else if (this.#halfPing) {
        this.#halfPing = false;
        this.#receiver.onPing();
      } else {
        this.#halfPing = true;
        // A single CR LF that nothing follows yet is told at once; a second one later still makes a ping of them.
        if (at + 1 >= to || bytes[at] !== CR || bytes[at + 1] !== LF) this.#receiver.onPong();
      }
    }
    return at;
  }

  /** Finds the end of the head and the length of the message. False when it is not known yet, or never will be (fault). */
  #measure(bytes: Uint8Array, from: number, to: number): boolean {
    const headEnd = endOfHead(bytes, from + Math.max(this.#searched - 3, 0), to);
    if (headEnd < 0) {
      this.#searched = to - from;
      if (this.#searched > this.#limits.messageBytesMax) this.#fail(FrameFaultReason.tooLarge, bytes, from, to);
      return false;
    }
    if (headEnd - from > this.#limits.messageBytesMax)
      return this.#fail(FrameFaultReason.tooLarge, bytes, from, headEnd);
    scanHead(bytes, from, headEnd, this.#view);
    // A line of noise with no header at all can have no body: it goes up as a message, to be counted and dropped.
    const length = this.#view.headerCount === 0 ? 0 : this.#view.contentLength;
    if (length === -1) return this.#fail(FrameFaultReason.missingContentLength, bytes, from, headEnd);
    if (length < 0) return this.#fail(FrameFaultReason.badContentLength, bytes, from, headEnd);
    if (headEnd - from + length > this.#limits.messageBytesMax)
      return this.#fail(FrameFaultReason.tooLarge, bytes, from, headEnd);
    this.#messageLength = headEnd - from + length;
    return true;
  }

  #fail(reason: FrameFault["reason"], bytes: Uint8Array, from: number, to: number): false {
    const headBytes = Math.min(to - from, this.#limits.messageBytesMax);
    this.#fault = { reason, head: bytes.slice(from, from + headBytes) };
    return false;
  }

  #holdRest(bytes: Uint8Array, from: number, to: number): void {
    if (bytes === this.#held) {
      if (from > 0) bytes.copyWithin(0, from, to);
      this.#heldLength = to - from;
    } else this.#hold(bytes, from, to);
  }

  #hold(bytes: Uint8Array, from: number, to: number): void {
    const needed = this.#heldLength + to - from;
    if (needed > this.#held.length) {
      const grown = new Uint8Array(Math.max(needed, this.#held.length * 2, firstRoom));
      grown.set(this.#held.subarray(0, this.#heldLength));
      this.#held = grown;
    }
    this.#held.set(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), this.#heldLength);
    this.#heldLength = needed;
  }
}

/** Offset after the first CR LF CR LF of [from, to), or -1. Looks where its last byte would be and leaps as far as that byte allows. */
function endOfHead(bytes: Uint8Array, from: number, to: number): number {
  let at = from + 3;
  while (at < to) {
    const byte = bytes[at]!;
    if (byte === LF) {
      if (bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) return at + 1;
      at += 2;
    } else at += byte === CR ? 1 : 4;
  }
  return -1;
}

import type { Tunnel } from "../../../sdk/src/index.ts";
import { type Frame, framesOf, headerOf } from "./frames.ts";
import { until } from "./wait.ts";

export interface PhoneOptions {
  readonly url: string;
  readonly username: string;
  readonly domain: string;
  readonly password: string;
  /** Whether the stack sends its own REGISTER once it is connected. */
  readonly register: boolean;
  /** The client package's tunnel, to `url`, in the place of the stack's own WebSocket. */
  readonly tunnel?: Tunnel;
}

/** One call at a phone, whatever the stack under it. */
export interface PhoneCall {
  /** What happened to it, in order: "progress", "accepted", "confirmed", "ended", "failed", "cancelled", "info", "refused" (its re-INVITE). */
  readonly trail: readonly string[];
  /** Says 183 to the caller, reliably if the caller supports it (RFC 3262); resolves once that one is acknowledged. The stacks say 180 by themselves. */
  progress(): Promise<void> | void;
  answer(): Promise<void> | void;
  /** `contact`: where a redirect sends the caller. */
  reject(status: number, contact?: string): Promise<void> | void;
  /** Offers new media by re-INVITE, as for hold. */
  reinvite(): Promise<void> | void;
  /** Refreshes by UPDATE (RFC 3311); SIP.js has none. */
  update(): void;
  bye(): Promise<void> | void;
  /** DTMF by INFO. */
  info(digit: string): Promise<void> | void;
  /** Blind transfer. */
  refer(target: string): Promise<void> | void;
  /** Attended transfer: the far end shall take this phone's place in another of its calls (Replaces, RFC 3891). */
  referTo(other: PhoneCall): Promise<void> | void;
}

/** A phone on a stock SIP stack. */
export interface Phone {
  readonly options: PhoneOptions;
  readonly calls: readonly PhoneCall[];
  /** Resolves once the WebSocket is open and, with `register`, the REGISTER was answered by 200. */
  start(): Promise<void>;
  call(target: string): PhoneCall;
  stop(): Promise<void>;
}

export type PhoneStack = "SIP.js" | "JsSIP";

function frames(phone: Phone): readonly Frame[] {
  return framesOf(phone.options.url);
}

/** Messages the phone received (or sent) whose first line begins so. */
export function messages(phone: Phone, direction: Frame["direction"], start: string): readonly string[] {
  return frames(phone)
    .filter((frame) => frame.direction === direction && frame.text.startsWith(start))
    .map(({ text }) => text);
}

/** CSeqs of the phone's answers that were acknowledged: who repeats an answer gets its ACK again. */
export function acknowledged(phone: Phone): ReadonlySet<string> {
  return new Set(messages(phone, "in", "ACK").map((text) => headerOf(text, "CSeq") ?? ""));
}

function ladderOf(phone: Phone): string {
  return frames(phone)
    .map(
      ({ direction, text }) =>
        `${direction === "in" ? "->" : "<-"} ${text.split("\r\n")[0]} (${headerOf(text, "CSeq")})`,
    )
    .join("\n");
}

/** The phone's nth call, once it is there. */
export function nextCall(phone: Phone, n = 0): Promise<PhoneCall> {
  return until("a call at the phone", () => phone.calls[n], { detail: () => ladderOf(phone) });
}

export function untilStep(phone: Phone, call: PhoneCall, step: string): Promise<true> {
  return until(`the phone's call ${step}`, () => call.trail.includes(step), {
    detail: () => `trail: ${call.trail.join(" ")}\n${ladderOf(phone)}`,
  });
}

/** An audio description; media is not this lab's matter, so its port is one where nobody listens. */
export const phoneSdp = [
  "v=0",
  "o=phone 1 1 IN IP4 127.0.0.1",
  "s=-",
  "c=IN IP4 127.0.0.1",
  "t=0 0",
  "m=audio 9 RTP/AVP 0 8",
  "a=rtpmap:0 PCMU/8000",
  "a=rtpmap:8 PCMA/8000",
  "a=sendrecv",
  "",
].join("\r\n");

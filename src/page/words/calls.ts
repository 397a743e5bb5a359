import type { CallState } from "../api/answers.ts";
import type { Tone } from "./registration.ts";

export const callNames: Readonly<Record<CallState, string>> = {
  ringing: "Ringing",
  answered: "Answered",
  answeredElsewhere: "Answered elsewhere",
  cancelled: "Cancelled",
  missed: "Missed",
  ended: "Ended",
};

export const callTones: Readonly<Record<CallState, Tone>> = {
  ringing: "busy",
  answered: "good",
  answeredElsewhere: "quiet",
  cancelled: "quiet",
  missed: "warn",
  ended: "quiet",
};

/** `Bob · sip:bob@x`, without the scheme. */
export function callerText(from: { readonly uri: string; readonly name?: string }): string {
  const address = from.uri.replace(/^sips?:/i, "").replace(/[;?].*$/, "");
  return from.name === undefined || from.name === "" ? address : `${from.name} (${address})`;
}

import type { PushPayload } from "./types.ts";

export interface AlertText {
  readonly title: string;
  readonly body: string;
}

/** The caller as people read it: the name, else the address without scheme and parameters. */
function callerOf(payload: PushPayload): string {
  const from = payload.from;
  if (from === undefined) return "Unknown caller";
  return from.name ?? from.uri.replace(/^(?:sips?|tel):/i, "").replace(/[;?].*$/s, "");
}

/**
 * What a locked screen shows when the app itself cannot speak (APNs type `alert`). Plain English and no localisation keys:
 * a key that the app does not know would be shown as such. An app that wants other words rewrites them in its notification
 * service extension, which the push allows (`mutable-content`).
 */
export function alertText(payload: PushPayload): AlertText {
  switch (payload.kind) {
    case "call":
      return { title: "Incoming call", body: callerOf(payload) };
    case "cancel":
      return { title: "Call ended", body: callerOf(payload) };
    case "message":
      return { title: callerOf(payload), body: payload.text ?? "New message" };
    case "voicemail":
      return { title: "Voicemail", body: payload.text ?? "You have new voicemail" };
    case "missed":
      return { title: "Missed call", body: callerOf(payload) };
    case "refused":
      return {
        title: "Sign-in refused",
        body: payload.text ?? "Your phone service refused the sign-in. Check the account.",
      };
    case "lease":
      return { title: "Calls will soon stop arriving", body: payload.text ?? "Open the app to keep receiving calls." };
    case "test":
      return { title: "Test", body: payload.text ?? "Notifications reach this phone." };
    default:
      return payload.kind satisfies never;
  }
}

import type { Enrolment } from "../../../sdk/src/index.ts";

/** What a phone keeps between two openings of the page: an app would hold it in its keychain. */
export interface KeptPhone {
  readonly enrolment: Enrolment;
  /** What the page's own channel knows this phone by, as a webhook knows a device. */
  readonly pushToken: string;
  readonly subscription: string;
}

/** Undefined when nothing was kept, or by the phone of another run of the demo: its server is gone. */
export function readKeptPhone(appKey: string, user: string): KeptPhone | undefined {
  const text = localStorage.getItem(keyOf(user));
  const kept = text === null ? undefined : (JSON.parse(text) as KeptPhone & { readonly appKey: string });
  return kept?.appKey === appKey ? kept : undefined;
}

export function keepPhone(appKey: string, user: string, phone: KeptPhone): void {
  localStorage.setItem(keyOf(user), JSON.stringify({ appKey, ...phone }));
}

function keyOf(user: string): string {
  return `wakeline.demo.${user}`;
}

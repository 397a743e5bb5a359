/** What the demo's server tells the page at its start. */
export interface Settings {
  readonly server: string;
  /** The operator's page of the same server. */
  readonly operator: string;
  readonly app: string;
  readonly appKey: string;
  /** What browsers subscribe to Web Push with (RFC 8292). */
  readonly vapidPublicKey?: string;
  readonly accounts: readonly PhoneAccount[];
}

export interface PhoneAccount {
  readonly user: string;
  readonly domain: string;
  readonly password: string;
  readonly proxy: string;
}

/** `Alice`: as people read the user's name. */
export function titleOf(user: string): string {
  return user.charAt(0).toUpperCase() + user.slice(1);
}

export type PushProvider = "apns" | "fcm" | "webpush" | "webhook";

/** How this installation is woken. `token`: APNs VoIP token, FCM token or installation id, Web Push subscription as JSON text, or any string for a webhook. */
export interface PushAddress {
  readonly provider: PushProvider;
  readonly token: string;
  /** APNs alert token: for everything that does not ring. */
  readonly alertToken?: string;
  readonly environment?: "production" | "development";
}

export interface Account {
  readonly username: string;
  readonly domain: string;
  readonly password?: string;
  /** Instead of the password. */
  readonly ha1?: readonly { readonly realm: string; readonly algorithm: string; readonly hash: string }[];
  readonly authUsername?: string;
  readonly displayName?: string;
  readonly proxy?: string;
  readonly alternateProxy?: string;
  readonly transport?: "auto" | "udp" | "tcp" | "tls";
  readonly expiresSec?: number;
  readonly registrationMode?: "auto" | "alternate" | "continuous" | "singleDevice";
  readonly natEmulation?: boolean;
  readonly instanceId?: string;
  readonly userAgent?: string;
  readonly onUnreachable?: { readonly forwardTo: string };
}

export type Presence = "background" | "foreground";

export interface Notify {
  readonly message?: boolean;
  readonly voicemail?: boolean;
  readonly missed?: boolean;
  readonly preview?: boolean;
}

export interface Registration {
  readonly mode: string;
  readonly state: "idle" | "registering" | "registered" | "retrying" | "refused" | "unregistering";
  readonly expiresAt?: string;
  readonly lastStatus?: number;
  readonly lastReason?: string;
  readonly nextAttemptAt?: string;
  readonly registrar?: string;
  readonly transport?: string;
}

export interface Subscription {
  readonly id: string;
  readonly account: Omit<Account, "password" | "ha1">;
  readonly presence: Presence;
  readonly notify: Required<Notify>;
  readonly registration: Registration;
  readonly createdAt: string;
  readonly lastSeenAt: string;
}

export type CallState = "ringing" | "answered" | "answeredElsewhere" | "cancelled" | "missed" | "ended";

export interface CallerName {
  readonly uri: string;
  readonly name?: string;
}

/** What a push carries: APNs under the key `wakeline`, FCM as JSON text in `data.wakeline`, Web Push and webhook as the body. */
export interface PushPayload {
  readonly v: 1;
  readonly id: string;
  readonly kind: "call" | "cancel" | "message" | "voicemail" | "missed" | "refused" | "lease" | "test";
  readonly subscription?: string;
  readonly sentAt: string;
  readonly call?: string;
  readonly callId?: string;
  readonly from?: CallerName;
  readonly tunnel?: string;
  readonly deadline?: string;
  readonly text?: string;
}

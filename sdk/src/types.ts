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

type Clearable =
  | "authUsername"
  | "displayName"
  | "proxy"
  | "alternateProxy"
  | "instanceId"
  | "userAgent"
  | "onUnreachable";

/** What is absent stays; `null` takes an optional field away. `username` and `domain` cannot change. */
export type AccountChange = Partial<Omit<Account, Clearable>> & {
  readonly [Field in Clearable]?: Account[Field] | null;
};

export type Presence = "background" | "foreground";

/** Which pushes other than calls are wanted. */
export interface Notify {
  readonly message?: boolean;
  readonly voicemail?: boolean;
  readonly missed?: boolean;
  /** Whether a MESSAGE's text stands in its push. */
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

/** This installation as the server sees it. */
export interface Device {
  readonly deviceId: string;
  readonly app: string;
  readonly name?: string;
  /** `state`: "alive", or "dead" once the provider has said so: give the token of now with `setPush`. */
  readonly push: {
    readonly provider: PushProvider;
    readonly environment?: "production" | "development";
    readonly state: string;
    readonly alertState?: string;
  };
  readonly wake: { readonly receipts: number; readonly medianMs?: number; readonly unanswered: number };
  readonly createdAt: string;
  readonly lastSeenAt: string;
  /** The device is dropped then, unless it is seen before. */
  readonly leaseUntil: string;
}

/** What the provider said to a test push. `reason` is the provider's own word. */
export interface TestPush {
  readonly id: string;
  readonly outcome: "accepted" | "tokenDead" | "retry" | "refused";
  readonly reason?: string;
}

export type CallState = "ringing" | "answered" | "answeredElsewhere" | "cancelled" | "missed" | "ended";

export interface Caller {
  readonly uri: string;
  readonly name?: string;
}

export interface CallStatus {
  readonly state: CallState;
  readonly from: Caller;
  readonly at: string;
  readonly deadline?: string;
}

/** A line of the device's call list. */
export interface CallRecord {
  readonly call: string;
  readonly callId: string;
  readonly subscription?: string;
  readonly direction: "inbound" | "outbound";
  readonly state: CallState;
  readonly from: Caller;
  readonly at: string;
  readonly answeredAt?: string;
  readonly endedAt?: string;
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
  readonly from?: Caller;
  readonly tunnel?: string;
  readonly deadline?: string;
  readonly text?: string;
}

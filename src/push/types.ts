import type { CallUuid, DeviceId, SubscriptionId } from "../base/ids.ts";
import type { DeviceRecord } from "../store/types.ts";

export type PushKind = "call" | "cancel" | "message" | "voicemail" | "missed" | "refused" | "lease" | "test";

/** What a device receives, as JSON (`interface` version 1). Under 4 KB; `from.name` is cut first. */
export interface PushPayload {
  readonly v: 1;
  readonly id: string;
  readonly kind: PushKind;
  readonly subscription?: SubscriptionId;
  readonly sentAt: string;
  readonly call?: CallUuid;
  readonly callId?: string;
  readonly from?: { readonly uri: string; readonly name?: string };
  readonly tunnel?: string;
  readonly deadline?: string;
  readonly text?: string;
}

/** A provider's answer to one push. `tokenDead` names which token. Our own configuration faults are `refused`, never `tokenDead`. */
export type Delivery =
  | { readonly kind: "accepted"; readonly providerId?: string }
  | { readonly kind: "tokenDead"; readonly which: "token" | "alertToken"; readonly reason: string }
  | { readonly kind: "retry"; readonly afterMs: number; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string; readonly ours: boolean };

/** One provider of one app. `ttlMs` is the time left in which the push is of use. Never rejects. */
export interface PushSender {
  send(device: DeviceRecord, payload: PushPayload, ttlMs: number): Promise<Delivery>;
  /** Opens connections before they are needed. */
  warm(): Promise<void>;
  /** For `wakeline check`: asks the provider something harmless; undefined when all is well, else what is wrong in words. */
  probe(): Promise<string | undefined>;
  close(): Promise<void>;
}

export interface PushRequest {
  readonly deviceId: DeviceId;
  readonly payload: PushPayload;
  /** Unix ms after which nothing is retried. */
  readonly deadlineMs: number;
  /** APNs: as an alert to the alert token, though the VoIP token lives. Of no meaning elsewhere. */
  readonly asAlert?: boolean;
}

/** Retries inside the deadline, marks dead tokens, counts. Resolves with the last delivery. Never rejects. */
export interface PushGateway {
  push(request: PushRequest): Promise<Delivery>;
  /** Stops retries of a call's pushes (answered, cancelled). */
  abandon(call: CallUuid): void;
  close(): Promise<void>;
}

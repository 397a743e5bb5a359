import type { Id } from "./id.ts";

/** UUID of an account, device, subscription or call, in lower-case text form. */
export type AccountId = Id<"account", string>;
export type DeviceId = Id<"device", string>;
export type SubscriptionId = Id<"subscription", string>;
export type CallUuid = Id<"call", string>;
/** One open tunnel of a device; never reused while the process lives. */
export type TunnelId = Id<"tunnel", number>;
/** Row of an account in the columns of its shard. */
export type RegistrationIndex = Id<"registration", number>;

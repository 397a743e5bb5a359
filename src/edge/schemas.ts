import { Type, type Static } from "@sinclair/typebox";

/** Unknown fields are refused: a misspelt field must not pass for a missing one. */
const strict = { additionalProperties: false } as const;
/** Long enough for every field; the finer rules say what exactly is wrong (text-rules.ts). */
const Text = Type.String({ maxLength: 4_096 });
const OptionalText = Type.Optional(Text);
function described(description: string) {
  return Type.Optional(Type.String({ maxLength: 4_096, description }));
}
/** `null` takes an optional field away. */
const Clearable = Type.Optional(Type.Union([Text, Type.Null()]));

function oneOf<const Values extends readonly string[]>(...values: Values) {
  return Type.Unsafe<Values[number]>(Type.Union(values.map((value) => Type.Literal(value))));
}

const Transport = oneOf("auto", "udp", "tcp", "tls");
const Mode = oneOf("auto", "alternate", "continuous", "singleDevice");
export const Presence = oneOf("background", "foreground");

/** A short binding floods the registrar, one of more than a week is no promise a registrar keeps. */
const ExpiresSec = Type.Integer({
  minimum: 10,
  maximum: 604_800,
  description: "What to ask of the registrar, 600 by default",
});

const Ha1List = Type.Array(
  Type.Object({ realm: Text, algorithm: oneOf("MD5", "SHA-256", "SHA-512-256"), hash: Text }, strict),
  { minItems: 1, maxItems: 16 },
);

export const AccountInput = Type.Object(
  {
    username: Text,
    domain: Text,
    password: described("This or ha1, not both"),
    ha1: Type.Optional(Ha1List),
    authUsername: described("The name in the digest, when it is not username"),
    displayName: described("As the phone sends it"),
    proxy: described("What the phone itself uses: host, host:port, or a SIP URI with transport"),
    alternateProxy: described("What Wakeline uses in its place"),
    transport: Type.Optional(Transport),
    expiresSec: Type.Optional(ExpiresSec),
    registrationMode: Type.Optional(Mode),
    natEmulation: Type.Optional(
      Type.Boolean({
        description: "For servers that misjudge a client with a public address: look like one behind NAT",
      }),
    ),
    instanceId: described("`+sip.instance` as the phone sends it: a URN or UUID"),
    userAgent: described("Shown to the SIP server in place of Wakeline's own"),
    onUnreachable: Type.Optional(
      Type.Object(
        { forwardTo: Text },
        { ...strict, description: "302 to this URI, not 480, when no device comes in time" },
      ),
    ),
  },
  strict,
);

export const AccountPatch = Type.Object(
  {
    username: OptionalText,
    domain: OptionalText,
    password: OptionalText,
    ha1: Type.Optional(Ha1List),
    authUsername: Clearable,
    displayName: Clearable,
    proxy: Clearable,
    alternateProxy: Clearable,
    transport: Type.Optional(Transport),
    expiresSec: Type.Optional(ExpiresSec),
    registrationMode: Type.Optional(Mode),
    natEmulation: Type.Optional(Type.Boolean()),
    instanceId: Clearable,
    userAgent: Clearable,
    onUnreachable: Type.Optional(Type.Union([Type.Object({ forwardTo: Text }, strict), Type.Null()])),
  },
  strict,
);

export const NotifyInput = Type.Object(
  {
    message: Type.Optional(Type.Boolean({ description: "Push SIP MESSAGEs" })),
    voicemail: Type.Optional(Type.Boolean({ description: "Push when voicemail waits (RFC 3842)" })),
    missed: Type.Optional(Type.Boolean({ description: "Push missed calls" })),
    preview: Type.Optional(Type.Boolean({ description: "Put a message's text into its push" })),
  },
  strict,
);

export const PushInput = Type.Object(
  {
    provider: oneOf("apns", "fcm", "webpush", "webhook"),
    token: Type.String({
      maxLength: 4_096,
      description:
        "APNs VoIP token, FCM token or Firebase installation id, Web Push subscription as JSON text, or any string for a webhook",
    }),
    alertToken: described("APNs alert token: for all pushes but those of calls"),
    environment: Type.Optional(oneOf("production", "development")),
  },
  strict,
);

const pushExample = { provider: "apns", token: "6f1a…", alertToken: "9c2b…", environment: "production" };

export const EnrolBody = Type.Object(
  { app: Text, push: PushInput, name: OptionalText },
  { ...strict, examples: [{ app: "com.example.phone", push: pushExample, name: "Anna's phone" }] },
);
export const DevicePatchBody = Type.Object(
  { push: Type.Optional(PushInput), name: OptionalText },
  { ...strict, examples: [{ push: pushExample }] },
);
export const SubscribeBody = Type.Object(
  { account: AccountInput, presence: Type.Optional(Presence), notify: Type.Optional(NotifyInput) },
  {
    ...strict,
    examples: [
      {
        account: { username: "alice", domain: "sip.example.net", password: "…", transport: "auto" },
        presence: "foreground",
        notify: { missed: true },
      },
    ],
  },
);
export const SubscriptionPatchBody = Type.Object(
  { account: Type.Optional(AccountPatch), notify: Type.Optional(NotifyInput) },
  { ...strict, examples: [{ account: { password: "…", displayName: null }, notify: { preview: true } }] },
);
export const PresenceBody = Type.Object(
  { presence: Presence, waitSec: Type.Optional(Type.Integer({ minimum: 0, maximum: 15 })) },
  { ...strict, examples: [{ presence: "background", waitSec: 5 }] },
);
export const ReceiptBody = Type.Object(
  {
    receivedAt: Type.Union([Type.String({ maxLength: 40 }), Type.Number()]),
    priority: Type.Optional(
      Type.String({ maxLength: 32, description: "That the push came with, as Android tells: high or normal" }),
    ),
  },
  { ...strict, examples: [{ receivedAt: "2026-11-24T12:00:00.640Z", priority: "high" }] },
);
export const CallsQuery = Type.Object({
  since: Type.Optional(
    Type.String({ maxLength: 40, description: "RFC 3339, or Unix ms", examples: ["2026-11-24T00:00:00Z"] }),
  ),
});

export type AccountInput = Static<typeof AccountInput>;
export type AccountPatch = Static<typeof AccountPatch>;
export type NotifyInput = Static<typeof NotifyInput>;
export type PushInput = Static<typeof PushInput>;
export type SubscribeBody = Static<typeof SubscribeBody>;
export type SubscriptionPatchBody = Static<typeof SubscriptionPatchBody>;

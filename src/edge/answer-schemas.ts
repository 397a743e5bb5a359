import { Type } from "@sinclair/typebox";
import { AccountInput, NotifyInput, Presence } from "./schemas.ts";

/** What the interface answers with, for the OpenAPI document. Made by views.ts; a test holds the two together. */

const Time = Type.String({ format: "date-time" });
const Caller = Type.Object({ uri: Type.String(), name: Type.Optional(Type.String()) });
const CallState = Type.Union(
  ["ringing", "answered", "answeredElsewhere", "cancelled", "missed", "ended"].map((state) => Type.Literal(state)),
);

const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  detail: Type.Optional(Type.String()),
  errors: Type.Optional(
    Type.Array(Type.Object({ field: Type.String(), pointer: Type.String(), detail: Type.String() })),
  ),
});

const Enrolled = Type.Object({ deviceId: Type.String(), token: Type.String() });

const Device = Type.Object({
  deviceId: Type.String(),
  app: Type.String(),
  name: Type.Optional(Type.String()),
  push: Type.Object({
    provider: Type.String(),
    environment: Type.Optional(Type.String()),
    state: Type.String(),
    alertState: Type.Optional(Type.String()),
  }),
  wake: Type.Object({
    receipts: Type.Integer(),
    medianMs: Type.Optional(Type.Number()),
    unanswered: Type.Integer(),
  }),
  createdAt: Time,
  lastSeenAt: Time,
  leaseUntil: Time,
});

const Registration = Type.Object({
  mode: Type.String(),
  state: Type.Union(
    ["idle", "registering", "registered", "retrying", "refused", "unregistering"].map((state) => Type.Literal(state)),
  ),
  expiresAt: Type.Optional(Time),
  lastStatus: Type.Optional(Type.Integer()),
  lastReason: Type.Optional(Type.String()),
  nextAttemptAt: Type.Optional(Time),
  registrar: Type.Optional(Type.String()),
  transport: Type.Optional(Type.String()),
});

const Subscription = Type.Object({
  id: Type.String(),
  account: Type.Omit(AccountInput, ["password", "ha1"]),
  presence: Presence,
  notify: Type.Required(NotifyInput),
  registration: Registration,
  createdAt: Time,
  lastSeenAt: Time,
});

const SubscriptionList = Type.Array(Subscription);

const TestPush = Type.Object({
  id: Type.String(),
  outcome: Type.Union(["accepted", "tokenDead", "retry", "refused"].map((outcome) => Type.Literal(outcome))),
  reason: Type.Optional(Type.String()),
});

const Call = Type.Object({ state: CallState, from: Caller, at: Time, deadline: Type.Optional(Time) });

const CallList = Type.Array(
  Type.Object({
    call: Type.String(),
    callId: Type.String(),
    subscription: Type.Optional(Type.String()),
    direction: Type.Union([Type.Literal("inbound"), Type.Literal("outbound")]),
    state: CallState,
    from: Caller,
    at: Time,
    answeredAt: Type.Optional(Time),
    endedAt: Type.Optional(Time),
  }),
);

export const answerSchemas = { Problem, Enrolled, Device, Subscription, SubscriptionList, TestPush, Call, CallList };
export type AnswerName = keyof typeof answerSchemas;

import { Type } from "@sinclair/typebox";
import { registrationStates } from "../base/records.ts";
import { problemBody } from "./problem.ts";
import { AccountInput, NotifyInput, Presence } from "./schemas.ts";

/** What the interface answers with, for the OpenAPI document. Made by views.ts; a test holds the two together. */

const Time = Type.String({ format: "date-time" });
const Caller = Type.Object({ uri: Type.String(), name: Type.Optional(Type.String()) });
const CallState = Type.Union(
  ["ringing", "answered", "answeredElsewhere", "cancelled", "missed", "ended"].map((state) => Type.Literal(state)),
);

const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String(),
    detail: Type.Optional(Type.String()),
    errors: Type.Optional(
      Type.Array(Type.Object({ field: Type.String(), pointer: Type.String(), detail: Type.String() })),
    ),
  },
  {
    examples: [
      problemBody({
        status: 422,
        code: "invalid",
        detail: "some fields cannot be taken",
        faults: [{ field: "account.domain", detail: "must not be empty" }],
      }),
    ],
  },
);

const deviceId = "0192d1c8-aaaa-7000-8000-000000000001";
const subscriptionId = "0192d1c8-bbbb-7000-8000-000000000001";
const call = "0b9a3d5e-6a51-8f8e-9d0e-3d2c1b0a9f8e";
const from = { uri: "sip:bob@sip.example.net", name: "Bob" };

const Enrolled = Type.Object(
  { deviceId: Type.String(), token: Type.String({ description: "A JWT (EdDSA): the bearer of all that follows" }) },
  { examples: [{ deviceId, token: "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.…" }] },
);

const Device = Type.Object(
  {
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
  },
  {
    examples: [
      {
        deviceId,
        app: "com.example.phone",
        name: "Anna's phone",
        push: { provider: "apns", environment: "production", state: "alive", alertState: "alive" },
        wake: { receipts: 12, medianMs: 640, unanswered: 0 },
        createdAt: "2026-11-24T12:00:00.000Z",
        lastSeenAt: "2026-11-24T12:30:00.000Z",
        leaseUntil: "2026-12-08T12:30:00.000Z",
      },
    ],
  },
);

const Registration = Type.Object({
  mode: Type.String(),
  state: Type.Union(registrationStates.map((state) => Type.Literal(state))),
  expiresAt: Type.Optional(Time),
  lastStatus: Type.Optional(Type.Integer()),
  lastReason: Type.Optional(Type.String()),
  nextAttemptAt: Type.Optional(Time),
  registrar: Type.Optional(Type.String()),
  transport: Type.Optional(Type.String()),
});

const subscriptionExample = {
  id: subscriptionId,
  account: {
    username: "alice",
    domain: "sip.example.net",
    transport: "auto",
    expiresSec: 600,
    registrationMode: "auto",
    natEmulation: false,
  },
  presence: "background",
  notify: { message: true, voicemail: true, missed: true, preview: false },
  registration: {
    mode: "alternate",
    state: "registered",
    expiresAt: "2026-11-24T12:40:00.000Z",
    lastStatus: 200,
    lastReason: "OK",
    registrar: "203.0.113.20:5060",
    transport: "udp",
  },
  createdAt: "2026-11-24T12:00:00.000Z",
  lastSeenAt: "2026-11-24T12:30:00.000Z",
};
const Subscription = Type.Object(
  {
    id: Type.String(),
    account: Type.Omit(AccountInput, ["password", "ha1"]),
    presence: Presence,
    notify: Type.Required(NotifyInput),
    registration: Registration,
    createdAt: Time,
    lastSeenAt: Time,
  },
  { examples: [subscriptionExample] },
);

const SubscriptionList = Type.Array(Subscription, { examples: [[subscriptionExample]] });

const TestPush = Type.Object(
  {
    id: Type.String(),
    outcome: Type.Union(["accepted", "tokenDead", "retry", "refused"].map((outcome) => Type.Literal(outcome))),
    reason: Type.Optional(Type.String()),
  },
  { examples: [{ id: "0192d1c8-cccc-7000-8000-000000000001", outcome: "accepted" }] },
);

const Call = Type.Object(
  { state: CallState, from: Caller, at: Time, deadline: Type.Optional(Time) },
  { examples: [{ state: "ringing", from, at: "2026-11-24T12:00:00.000Z", deadline: "2026-11-24T12:00:40.000Z" }] },
);

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
  {
    examples: [
      [
        {
          call,
          callId: "a84b4c76e66710@pc33.example.com",
          subscription: subscriptionId,
          direction: "inbound",
          state: "missed",
          from,
          at: "2026-11-24T12:00:00.000Z",
          endedAt: "2026-11-24T12:00:40.000Z",
        },
      ],
    ],
  },
);

export const answerSchemas = { Problem, Enrolled, Device, Subscription, SubscriptionList, TestPush, Call, CallList };
export type AnswerName = keyof typeof answerSchemas;

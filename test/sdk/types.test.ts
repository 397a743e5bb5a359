import { expect, test } from "bun:test";
import type { TObject } from "@sinclair/typebox";
import type {
  Account,
  AccountChange,
  CallRecord,
  CallStatus,
  Device,
  FieldFault,
  Notify,
  PushAddress,
  Registration,
  Subscription,
  TestPush,
} from "../../sdk/src/index.ts";
import { answerSchemas } from "../../src/edge/answer-schemas.ts";
import { AccountInput, AccountPatch, NotifyInput, PushInput } from "../../src/edge/schemas.ts";

type Fields<T> = { readonly [Name in keyof Required<T>]: undefined extends T[Name] ? "optional" : "needed" };

/** Every field of a type of the client package: the compiler holds the list to the type, the test holds it to the server's schema. */
function fields<T>(all: Fields<T>): Readonly<Record<string, string>> {
  return all;
}

const { Device: device, Subscription: subscription } = answerSchemas;
const { items: faults } = answerSchemas.Problem.properties.errors as unknown as { readonly items: TObject };

const pairs: readonly (readonly [name: string, ours: Readonly<Record<string, string>>, theirs: TObject])[] = [
  [
    "Account",
    fields<Account>({
      username: "needed",
      domain: "needed",
      password: "optional",
      ha1: "optional",
      authUsername: "optional",
      displayName: "optional",
      proxy: "optional",
      alternateProxy: "optional",
      transport: "optional",
      expiresSec: "optional",
      registrationMode: "optional",
      natEmulation: "optional",
      instanceId: "optional",
      userAgent: "optional",
      onUnreachable: "optional",
    }),
    AccountInput,
  ],
  [
    "AccountChange",
    fields<AccountChange>({
      username: "optional",
      domain: "optional",
      password: "optional",
      ha1: "optional",
      authUsername: "optional",
      displayName: "optional",
      proxy: "optional",
      alternateProxy: "optional",
      transport: "optional",
      expiresSec: "optional",
      registrationMode: "optional",
      natEmulation: "optional",
      instanceId: "optional",
      userAgent: "optional",
      onUnreachable: "optional",
    }),
    AccountPatch,
  ],
  [
    "Notify",
    fields<Notify>({ message: "optional", voicemail: "optional", missed: "optional", preview: "optional" }),
    NotifyInput,
  ],
  [
    "PushAddress",
    fields<PushAddress>({ provider: "needed", token: "needed", alertToken: "optional", environment: "optional" }),
    PushInput,
  ],
  [
    "Device",
    fields<Device>({
      deviceId: "needed",
      app: "needed",
      name: "optional",
      push: "needed",
      wake: "needed",
      createdAt: "needed",
      lastSeenAt: "needed",
      leaseUntil: "needed",
    }),
    device,
  ],
  [
    'Device["push"]',
    fields<Device["push"]>({ provider: "needed", environment: "optional", state: "needed", alertState: "optional" }),
    device.properties.push,
  ],
  [
    'Device["wake"]',
    fields<Device["wake"]>({ receipts: "needed", medianMs: "optional", unanswered: "needed" }),
    device.properties.wake,
  ],
  [
    "Subscription",
    fields<Subscription>({
      id: "needed",
      account: "needed",
      presence: "needed",
      notify: "needed",
      registration: "needed",
      createdAt: "needed",
      lastSeenAt: "needed",
    }),
    subscription,
  ],
  [
    "Registration",
    fields<Registration>({
      mode: "needed",
      state: "needed",
      expiresAt: "optional",
      lastStatus: "optional",
      lastReason: "optional",
      nextAttemptAt: "optional",
      registrar: "optional",
      transport: "optional",
    }),
    subscription.properties.registration,
  ],
  ["TestPush", fields<TestPush>({ id: "needed", outcome: "needed", reason: "optional" }), answerSchemas.TestPush],
  [
    "CallStatus",
    fields<CallStatus>({ state: "needed", from: "needed", at: "needed", deadline: "optional" }),
    answerSchemas.Call,
  ],
  [
    "CallRecord",
    fields<CallRecord>({
      call: "needed",
      callId: "needed",
      subscription: "optional",
      direction: "needed",
      state: "needed",
      from: "needed",
      at: "needed",
      answeredAt: "optional",
      endedAt: "optional",
    }),
    answerSchemas.CallList.items,
  ],
  ["FieldFault", fields<FieldFault>({ field: "needed", detail: "needed", pointer: "needed" }), faults],
];

test.each(pairs)("%s of the client package has the fields of the server", (_name, ours, theirs) => {
  const needed = new Set(theirs.required);
  const expected = Object.keys(theirs.properties).map((name) => [name, needed.has(name) ? "needed" : "optional"]);
  expect(ours).toEqual(Object.fromEntries(expected));
});

import { Elysia } from "elysia";
import type { CallUuid } from "../base/ids.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { DeviceRecord, Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import { furtherFaults } from "./account-input.ts";
import { bearerOf, type Callers } from "./callers.ts";
import type { Devices } from "./devices.ts";
import { answers, bodyAnswers, changeAnswers, openApi } from "./docs.ts";
import { jsonBody, problemOf, routes } from "./elysia-base.ts";
import type { LiveCalls } from "./live-calls.ts";
import { invalid, notFound, problem, respond } from "./problem.ts";
import type { Receipts } from "./receipts.ts";
import {
  CallsQuery,
  DevicePatchBody,
  EnrolBody,
  PresenceBody,
  ReceiptBody,
  SubscribeBody,
  SubscriptionPatchBody,
} from "./schemas.ts";
import type { Subscriptions } from "./subscriptions.ts";
import { callerOf, callView, deviceView, journalView, json, subscriptionView } from "./views.ts";

const presenceWaitSec = 10;
/** Calls of one answer; a phone asks again with the last one's time. */
const callsMax = 500;
/** A phone's clock may be off by a time zone; what is further off is no time. */
const skewMsMax = 86_400_000;

export interface PhoneParts {
  readonly store: Store;
  readonly callers: Callers;
  readonly devices: Devices;
  readonly subscriptions: Subscriptions;
  readonly calls: LiveCalls;
  readonly receipts: Receipts;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
}

/** Names the device of a request before its body is looked at. Build with a new one for each plugin that uses it. */
function deviceGuard({ callers }: PhoneParts) {
  return new Elysia().derive({ as: "scoped" }, async ({ request, status }) => {
    const found = await callers.device(request);
    return found.ok ? { device: found.value } : status(found.refusal.status, problem(found.refusal));
  });
}

const noContent = (): Response => new Response(null, { status: 204 });

/** Enrolment alone is asked for with another bearer: the app's key. */
function enrolRoute({ callers, devices }: PhoneParts) {
  return routes()
    .derive(({ request, status }) => {
      const may = callers.mayGuess("appKey", request);
      if (!may.ok) return status(may.refusal.status, problem(may.refusal));
      const bearer = bearerOf(request);
      return bearer === undefined ? status(401, problem({ status: 401, code: "unauthorized" })) : { bearer };
    })
    .post(
      "/v1/devices",
      async ({ request, bearer, body }) => {
        const enrolled = await devices.enrol(bearer, body);
        if (!enrolled.ok && enrolled.refusal.status === 401) callers.guessedWrong("appKey", request);
        return respond(enrolled, (value) => json(value, 201));
      },
      {
        parse: jsonBody,
        body: EnrolBody,
        detail: {
          tags: ["Devices"],
          summary: "Enrol an installation of the app; the token in the answer is for all other calls",
          security: [{ appKey: [] }],
          responses: bodyAnswers({ 201: "Enrolled", 503: "Problem" }, { 503: "issuerUnavailable" }),
        },
      },
    );
}

function deviceRoutes(parts: PhoneParts) {
  const { store, callers, devices, receipts } = parts;
  const view = (device: DeviceRecord): Response => {
    const now = store.device(device.deviceId) ?? device;
    return json(deviceView(now, devices.leaseUntilMs(now), receipts.of(now.deviceId)));
  };
  return routes()
    .use(deviceGuard(parts))
    .get("/v1/devices/me", ({ device }) => view(device), {
      detail: {
        tags: ["Devices"],
        summary: "This device: its push token's state, its lease, how fast it wakes",
        responses: answers({ 200: "Device" }),
      },
    })
    .patch(
      "/v1/devices/me",
      async ({ device, body }) => respond(await devices.patch(device, body), () => view(device)),
      {
        parse: jsonBody,
        body: DevicePatchBody,
        detail: {
          tags: ["Devices"],
          summary: "Change push token or name; a token that was dead is tried again once it is given again",
          responses: bodyAnswers({ 200: "Device" }),
        },
      },
    )
    .delete(
      "/v1/devices/me",
      async ({ device }) => {
        await devices.remove(device);
        return noContent();
      },
      {
        detail: {
          tags: ["Devices"],
          summary: "Erase the device, its subscriptions, and every account without another device",
          responses: changeAnswers({ 204: undefined }),
        },
      },
    )
    .post(
      "/v1/devices/me/test-push",
      async ({ device, request }) => {
        const may = callers.mayTestPush(request);
        if (!may.ok) return problem(may.refusal);
        const { id, delivery } = await devices.testPush(device);
        const reason = delivery.kind === "accepted" ? undefined : delivery.reason;
        return json({ id, outcome: delivery.kind, reason }, 202);
      },
      {
        detail: {
          tags: ["Devices"],
          summary: "Send a harmless push; the answer tells what the provider said",
          responses: answers({ 202: "TestPush", 503: "Problem" }, { 503: "overloaded" }),
        },
      },
    );
}

function subscriptionRoutes(parts: PhoneParts) {
  const { subscriptions } = parts;
  const tags = ["Subscriptions"];
  return routes()
    .use(deviceGuard(parts))
    .post(
      "/v1/subscriptions",
      async ({ device, body }) =>
        respond(await subscriptions.create(device, body), ({ subscription, status }) =>
          json(subscriptionView(subscription, status), 201),
        ),
      {
        parse: jsonBody,
        body: SubscribeBody,
        detail: {
          tags,
          summary: "Keep an account reachable",
          description:
            "The account of another device of the same app is joined once the registrar has accepted the credentials given here; 409 `otherServer` when that device keeps it at another server.",
          responses: bodyAnswers({ 201: "Subscription", 403: "Problem", 409: "Problem", 503: "Problem" }),
        },
      },
    )
    .get(
      "/v1/subscriptions",
      async ({ device }) =>
        json(
          (await subscriptions.list(device)).map(({ subscription, status }) => subscriptionView(subscription, status)),
        ),
      {
        detail: { tags, summary: "All subscriptions of this device", responses: answers({ 200: "SubscriptionList" }) },
      },
    )
    .get(
      "/v1/subscriptions/:id",
      async ({ device, params }) =>
        respond(await subscriptions.get(device, params.id), ({ subscription, status }) =>
          json(subscriptionView(subscription, status)),
        ),
      { detail: { tags, summary: "One subscription", responses: answers({ 200: "Subscription", 404: "Problem" }) } },
    )
    .patch(
      "/v1/subscriptions/:id",
      async ({ device, params, body }) =>
        respond(await subscriptions.patch(device, params.id, body), ({ subscription, status }) =>
          json(subscriptionView(subscription, status)),
        ),
      {
        parse: jsonBody,
        body: SubscriptionPatchBody,
        detail: {
          tags,
          summary:
            "Change account or notifications; null takes an optional field away, new credentials have to prove themselves",
          responses: bodyAnswers({
            200: "Subscription",
            403: "Problem",
            404: "Problem",
            409: "Problem",
            503: "Problem",
          }),
        },
      },
    )
    .put(
      "/v1/subscriptions/:id/presence",
      async ({ device, params, body }) => {
        const waitMs = (body.waitSec ?? presenceWaitSec) * 1_000;
        const set = await subscriptions.setPresence(device, params.id, body.presence, waitMs);
        return respond(set, ({ subscription, status, pending }) =>
          json(subscriptionView(subscription, status), pending ? 202 : 200),
        );
      },
      {
        parse: jsonBody,
        body: PresenceBody,
        detail: {
          tags,
          summary: "The app goes to the background or comes to the foreground",
          description:
            "200 once the registrar has answered, `registration.state` says how (`refused` too); 202 when waitSec (10 by default) ran out first.",
          responses: bodyAnswers({ 200: "Subscription", 202: "Subscription", 404: "Problem" }),
        },
      },
    )
    .delete(
      "/v1/subscriptions/:id",
      async ({ device, params }) => ((await subscriptions.remove(device, params.id)) ? noContent() : problem(notFound)),
      {
        detail: {
          tags,
          summary: "Turn the switch off: the secret is erased when this answers",
          responses: changeAnswers({ 204: undefined, 404: "Problem" }),
        },
      },
    );
}

function callRoutes(parts: PhoneParts) {
  const { store, calls, receipts, clock } = parts;
  return routes()
    .use(deviceGuard(parts))
    .get(
      "/v1/calls/:call",
      ({ device, params }) => {
        const call = params.call as CallUuid;
        const live = calls.of(call, device.deviceId);
        if (live !== undefined) return json(callView(live));
        const entry = store.journalCall(call, device.deviceId);
        return entry === undefined ? problem(notFound) : json(callView({ ...entry, from: callerOf(entry) }));
      },
      {
        detail: {
          tags: ["Calls"],
          summary: "What became of a call: for a phone that got a late push, before it rings",
          responses: answers({ 200: "Call", 404: "Problem" }),
        },
      },
    )
    .get(
      "/v1/calls",
      ({ device, query }) => {
        const sinceMs = query.since === undefined ? 0 : timeOf(query.since);
        if (sinceMs === undefined)
          return respond(invalid([{ field: "since", detail: "must be a time (RFC 3339)" }]), noContent);
        const entries = store.journalOfDevice(device.deviceId, sinceMs, callsMax);
        return json(entries.filter(({ state }) => state !== "ringing").map(journalView));
      },
      {
        query: CallsQuery,
        detail: {
          tags: ["Calls"],
          summary: "The device's calls since a time, newest first, kept 30 days",
          responses: answers({ 200: "CallList", 422: "Problem" }),
        },
      },
    )
    .post(
      "/v1/pushes/:id/receipt",
      ({ device, params, body }) => {
        const receivedAtMs = timeOf(body.receivedAt);
        if (receivedAtMs === undefined || receivedAtMs > clock.wallMs() + skewMsMax) {
          return respond(invalid([{ field: "receivedAt", detail: "must be a time (RFC 3339)" }]), noContent);
        }
        const isKnown = receipts.received(params.id, device.deviceId, receivedAtMs, body.priority);
        return isKnown ? noContent() : problem(notFound);
      },
      {
        parse: jsonBody,
        body: ReceiptBody,
        detail: {
          tags: ["Calls"],
          summary: "The phone got a push: tell when",
          responses: bodyAnswers({ 204: undefined, 404: "Problem" }),
        },
      },
    );
}

/** Unix ms of an RFC 3339 text or a number of Unix ms; undefined when it is neither. */
function timeOf(value: string | number): number | undefined {
  const text = String(value);
  const atMs = /^\d{1,15}$/.test(text)
    ? Number(text)
    : /^\d{4}-\d\d-\d\d[Tt ]/.test(text)
      ? Date.parse(text)
      : Number.NaN;
  return Number.isFinite(atMs) ? atMs : undefined;
}

/** The HTTP interface for phones, as an Elysia app without a listener. */
export function phoneApp(parts: PhoneParts) {
  const { metrics, log } = parts;
  return routes()
    .onError(({ error }) => problemOf(error, "http", metrics, log, furtherFaults))
    .use(openApi(parts.version))
    .use(enrolRoute(parts))
    .use(deviceRoutes(parts))
    .use(subscriptionRoutes(parts))
    .use(callRoutes(parts));
}

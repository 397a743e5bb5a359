import { createHash, timingSafeEqual } from "node:crypto";
import { isAbsolute } from "node:path";
import { Type } from "@sinclair/typebox";
import type { AccountId, CallUuid } from "../base/ids.ts";
import { ladderText } from "../base/ladder.ts";
import type { AccountRecord, SubscriptionRecord } from "../base/records.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { JournalEntry, Store } from "../store/types.ts";
import type { Clock } from "../time/clock.ts";
import type { CallSummary, LadderEntry } from "../workers/protocol.ts";
import { bearerOf } from "./callers.ts";
import type { DeviceTokens } from "./device-tokens.ts";
import { jsonBody, problemOf, routes } from "./elysia-base.ts";
import type { FigureHistory } from "./figure-history.ts";
import type { OperatorFeed } from "./operator-feed.ts";
import { invalid, notFound, problem, respond } from "./problem.ts";
import { RateLimiter } from "./rate-limiter.ts";
import type { RegistrarNews } from "./registrar-news.ts";
import type { Shards } from "./shards.ts";
import type { Subscriptions } from "./subscriptions.ts";
import type { Tunnels } from "./tunnels.ts";
import {
  accountView,
  journalView,
  json,
  ladderView,
  operatorDeviceView,
  registrationView,
  rfc3339,
  summaryView,
} from "./views.ts";

const pageSizeMax = 200;
const pageSize = 50;
/** Of an account, newest first. */
const accountCallsMax = 20;
const troubledStates: ReadonlySet<string> = new Set(["refused", "retrying"]);
const traceMinutes = 5;
const traceMinutesMax = 120;
/** Wrong operator tokens, from wherever: then one every two seconds. */
const guesses = { burst: 20, perSec: 0.5, keysMax: 1 };

const strict = { additionalProperties: false } as const;
const TraceBody = Type.Object(
  {
    account: Type.String({ maxLength: 64 }),
    minutes: Type.Optional(Type.Integer({ minimum: 1, maximum: traceMinutesMax })),
  },
  strict,
);
const BackupBody = Type.Object({ file: Type.String({ minLength: 1, maxLength: 4_096 }) }, strict);
const AccountsQuery = Type.Object({
  after: Type.Optional(Type.String({ maxLength: 64 })),
  limit: Type.Optional(Type.String({ pattern: "^[0-9]{1,3}$" })),
  q: Type.Optional(Type.String({ maxLength: 255 })),
});

/** `text`: drawn for a terminal; `long`: with the messages, masked, under their arrows. */
const LadderQuery = Type.Object({ format: Type.Optional(Type.Union([Type.Literal("text"), Type.Literal("long")])) });
const CallsQuery = Type.Object({
  account: Type.Optional(Type.String({ maxLength: 64 })),
  limit: Type.Optional(Type.String({ pattern: "^[0-9]{1,5}$" })),
});
const TroublesQuery = Type.Object({
  limit: Type.Optional(Type.String({ pattern: "^[0-9]{1,3}$" })),
  /** `next` of the page before. */
  from: Type.Optional(Type.String({ pattern: "^[0-9]{1,4}\\.[0-9]{1,9}$" })),
});
const RegistrarsQuery = Type.Object({ limit: Type.Optional(Type.String({ pattern: "^[0-9]{1,5}$" })) });
const EventsQuery = Type.Object({
  account: Type.Optional(Type.String({ maxLength: 64 })),
  topics: Type.Optional(Type.String({ maxLength: 255 })),
});

export interface OperatorParts {
  readonly store: Store;
  readonly shards: Shards;
  readonly subscriptions: Subscriptions;
  readonly tokens: DeviceTokens;
  readonly tunnels: Tunnels;
  readonly feed: OperatorFeed;
  readonly news: RegistrarNews;
  readonly history: FigureHistory;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  readonly startedAtMs: number;
  /** Undefined: the listener is on loopback only. */
  readonly token: string | undefined;
  readonly isDraining: () => boolean;
  readonly onDrain: () => void;
}

/** Ready to serve phones: every shard is, the store can write, and nobody has asked to drain. */
function readiness({ shards, store, isDraining }: Pick<OperatorParts, "shards" | "store" | "isDraining">): {
  readonly ok: boolean;
  readonly reasons: readonly string[];
} {
  const trouble = store.trouble();
  const all = [
    ...shards.ready().reasons,
    ...(trouble === undefined ? [] : [`the store cannot write: ${trouble}`]),
    ...(isDraining() ? ["draining"] : []),
  ];
  return { ok: all.length === 0, reasons: all };
}

export function summaryOf(parts: OperatorParts) {
  const { store, shards, metrics, clock, tunnels } = parts;
  const perShard = metrics.perShard();
  return {
    version: parts.version,
    startedAt: rfc3339(parts.startedAtMs),
    uptimeSec: Math.round((clock.wallMs() - parts.startedAtMs) / 1_000),
    ready: readiness(parts),
    strain: metrics.strain(),
    ...store.counts(),
    tunnels: tunnels.size,
    registrations: metrics.registrations(),
    register: {
      sent: metrics.sum("registerSent"),
      retransmitted: metrics.sum("registerRetransmitted"),
      refreshed: metrics.sum("registerRefreshed"),
      lapsed: metrics.sum("registerLapsed"),
    },
    calls: { running: metrics.sum("callsRunning"), outbound: metrics.sum("callsOutbound"), ...metrics.calls() },
    wake: metrics.wakeFigures(),
    wakeCounts: metrics.wakeCounts(),
    wakesByProvider: metrics.wakesByProvider(),
    shards: shards.load().map((load) => ({ ...load, ...perShard[load.shard] })),
    memoryBytes: process.memoryUsage.rss(),
  };
}

/** Of each, running and ended, the newest `most`: running calls first. */
function runningFirst(calls: readonly CallSummary[], most: number): readonly CallSummary[] {
  const isRunning = ({ state, endedAtMs }: CallSummary) =>
    endedAtMs === undefined && (state === "ringing" || state === "answered");
  const running = calls.filter(isRunning).slice(0, most);
  return [...running, ...calls.filter((call) => !isRunning(call)).slice(0, most)];
}

/** The newest calls of an account, from the journals of its devices. */
function callsOfAccount(
  store: Store,
  accountId: AccountId,
  subscriptions: readonly SubscriptionRecord[],
): readonly JournalEntry[] {
  const byCall = new Map<CallUuid, JournalEntry>();
  for (const { deviceId } of subscriptions) {
    for (const entry of store.journalOfDevice(deviceId, 0, accountCallsMax)) {
      if (entry.accountId === accountId) byCall.set(entry.call, entry);
    }
  }
  return [...byCall.values()].sort((a, b) => b.startedAtMs - a.startedAtMs).slice(0, accountCallsMax);
}

/** The bearer is compared in constant time; guesses are slowed down whoever makes them. */
function tokenGuard({ token, clock }: OperatorParts) {
  const expected = token === undefined ? undefined : createHash("sha256").update(token).digest();
  const limiter = new RateLimiter({ clock, ...guesses });
  return routes().derive({ as: "scoped" }, ({ request, status }) => {
    if (expected === undefined) return {};
    const given = createHash("sha256")
      .update(bearerOf(request) ?? "")
      .digest();
    if (timingSafeEqual(expected, given)) return {};
    const waitSec = limiter.take("operator");
    return waitSec > 0
      ? status(429, problem({ status: 429, code: "tooManyRequests", retryAfterSec: waitSec }))
      : status(401, problem({ status: 401, code: "unauthorized" }));
  });
}

function accountRoutes(parts: OperatorParts) {
  const { store, shards, subscriptions, feed, news } = parts;
  const listed = async (account: AccountRecord) => ({
    id: account.accountId,
    app: account.app,
    ...accountView(account),
    registration: registrationView(account, await shards.status(account.accountId)),
    devices: store.subscriptionsOfAccount(account.accountId).length,
  });
  return routes()
    .use(tokenGuard(parts))
    .get(
      "/operator/v1/accounts",
      async ({ query }) => {
        const most = Math.min(pageSizeMax, Math.max(1, Number(query.limit ?? pageSize)));
        const accounts = store.accounts(query.after as AccountId | undefined, most, query.q);
        return json(await Promise.all(accounts.map(listed)));
      },
      { query: AccountsQuery },
    )
    .get(
      "/operator/v1/troubles",
      async ({ query }) => {
        const most = Math.min(pageSizeMax, Math.max(1, Number(query.limit ?? pageSize)));
        const [shard = 0, row = 0] = (query.from ?? "0.0").split(".").map(Number);
        const { accounts, next } = await shards.troubles({ shard, row }, most);
        // What nobody pages through is told newest first, as far as news of it came since the start.
        const newest = query.from === undefined ? feed.troubled(most) : [];
        const ids = [...new Set([...newest, ...accounts])].slice(0, most);
        const lines = await Promise.all(ids.flatMap((accountId) => store.account(accountId) ?? []).map(listed));
        return json({
          // The news of one that has recovered may be late.
          accounts: lines.filter(({ registration }) => troubledStates.has(String(registration.state))),
          next: next === undefined ? undefined : `${next.shard}.${next.row}`,
        });
      },
      { query: TroublesQuery },
    )
    .get("/operator/v1/accounts/:id", async ({ params }) => {
      const account = store.account(params.id as AccountId);
      if (account === undefined) return problem(notFound);
      const subscriptions = store.subscriptionsOfAccount(account.accountId);
      return json({
        ...(await listed(account)),
        subscriptions,
        deviceList: subscriptions.flatMap((subscription) => {
          const device = store.device(subscription.deviceId);
          return device === undefined ? [] : [operatorDeviceView(device, subscription)];
        }),
        calls: callsOfAccount(store, account.accountId, subscriptions).map(journalView),
        registrarNews: news.of(account),
        story: feed.storyOf(account.accountId).map(({ atMs, topic, data }) => ({ at: rfc3339(atMs), topic, ...data })),
      });
    })
    .delete("/operator/v1/accounts/:id", async ({ params }) => {
      const isGone = await subscriptions.removeAccount(params.id as AccountId);
      return isGone ? new Response(null, { status: 204 }) : problem(notFound);
    })
    .post("/operator/v1/accounts/:id/retry", ({ params }) => {
      const account = store.account(params.id as AccountId);
      if (account === undefined) return problem(notFound);
      shards.retryNow(account.accountId);
      return json({ account: account.accountId }, 202);
    });
}

function watchRoutes(parts: OperatorParts) {
  const { store, shards, feed, clock, metrics } = parts;
  return routes()
    .use(tokenGuard(parts))
    .get(
      "/metrics",
      async () => new Response(await metrics.text(), { headers: { "content-type": metrics.contentType } }),
    )
    .get("/operator/v1/summary", () => json(summaryOf(parts)))
    .get("/operator/v1/history", () => json(parts.history.view()))
    .get(
      "/operator/v1/registrars",
      async ({ query }) => {
        const registrars = await shards.registrars();
        if (query.limit === undefined) return json(registrars);
        return json(registrars.toSorted((a, b) => b.accounts - a.accounts).slice(0, Number(query.limit)));
      },
      { query: RegistrarsQuery },
    )
    .get(
      "/operator/v1/calls",
      async ({ query }) => {
        const calls = await shards.calls();
        const wanted = query.account === undefined ? calls : calls.filter((one) => one.accountId === query.account);
        return json((query.limit === undefined ? wanted : runningFirst(wanted, Number(query.limit))).map(summaryView));
      },
      { query: CallsQuery },
    )
    .get(
      "/operator/v1/calls/:id",
      async ({ params, query: { format } }) => {
        const found = await shards.call(params.id as CallUuid);
        if (found === undefined) return problem(notFound);
        if (format !== undefined) return drawn(found.ladder, format);
        return json({ ...summaryView(found.summary), ladder: found.ladder.map(ladderView) });
      },
      { query: LadderQuery },
    )
    .get(
      "/operator/v1/events",
      ({ query }) => {
        const topics = query.topics === undefined ? undefined : new Set(query.topics.split(","));
        const events = feed.watch({ topics, account: query.account });
        return events === undefined
          ? problem({ status: 503, code: "tooManyWatchers", retryAfterSec: 5 })
          : new Response(events, { headers: { "content-type": "text/event-stream" } });
      },
      { query: EventsQuery },
    )
    .post(
      "/operator/v1/trace",
      ({ body }) => {
        const account = store.account(body.account as AccountId);
        if (account === undefined) return problem(notFound);
        const untilMs = clock.wallMs() + (body.minutes ?? traceMinutes) * 60_000;
        shards.trace(account.accountId, untilMs);
        return json({ account: account.accountId, until: rfc3339(untilMs) }, 202);
      },
      { parse: jsonBody, body: TraceBody },
    )
    .get(
      "/operator/v1/trace/:account",
      ({ params, query: { format } }) => {
        const rungs = feed.ladderOf(params.account as AccountId);
        return format === undefined ? json(rungs.map(ladderView)) : drawn(rungs, format);
      },
      { query: LadderQuery },
    );
}

function drawn(rungs: readonly LadderEntry[], format: "text" | "long"): Response {
  return new Response(`${ladderText(rungs, { isLong: format === "long" })}\n`, {
    headers: { "content-type": "text/plain; charset=utf-8" },
  });
}

function choreRoutes(parts: OperatorParts) {
  const { store, tokens, log } = parts;
  return routes()
    .use(tokenGuard(parts))
    .post(
      "/operator/v1/backup",
      async ({ body }) => {
        if (!isAbsolute(body.file)) {
          return respond(invalid([{ field: "file", detail: "must be an absolute path" }]), json);
        }
        try {
          await store.backup(body.file);
        } catch (cause) {
          log.error("backup.failed", { file: body.file, cause });
          return problem({
            status: 409,
            code: "backupFailed",
            detail: cause instanceof Error ? cause.message : String(cause),
          });
        }
        return json({ file: body.file }, 201);
      },
      { parse: jsonBody, body: BackupBody },
    )
    .post("/operator/v1/keys/rotate", async () => {
      const secrets = await store.rotateKeys();
      await tokens.rotate();
      log.info("keys.rotated", { secrets });
      return json({ secrets });
    })
    .post("/operator/v1/drain", () => {
      parts.onDrain();
      return json({ draining: true }, 202);
    });
}

/** The operator's interface, as an Elysia app without a listener. Health is open to probes; all else needs the token, if there is one. */
export function operatorApp(parts: OperatorParts) {
  const { metrics, log } = parts;
  return routes()
    .onError(({ error }) => problemOf(error, "operator", metrics, log))
    .get("/health/live", () => json({ ok: true }))
    .get("/health/ready", () => {
      const ready = readiness(parts);
      return json(ready, ready.ok ? 200 : 503);
    })
    .use(watchRoutes(parts))
    .use(accountRoutes(parts))
    .use(choreRoutes(parts));
}

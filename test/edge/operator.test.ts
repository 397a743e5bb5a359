import { describe, expect, test } from "bun:test";
import type { AccountId, CallUuid, DeviceId } from "../../src/base/ids.ts";
import { at, EdgeBench, faultFields, RawSocket } from "./edge-bench.ts";

const token = "operator-token-of-the-test";
const guarded = { operator: { listen: { host: "127.0.0.1", port: 0 }, token } };

async function withAccount(): Promise<{ readonly bench: EdgeBench; readonly accountId: AccountId }> {
  const bench = await EdgeBench.open();
  await bench.subscribe(await bench.phone(), { displayName: "Anna" });
  const [accountId] = bench.store.accountRecords.keys();
  bench.shards.told.length = 0;
  return { bench, accountId: accountId as AccountId };
}

describe("health", () => {
  test("lives always; is ready when every shard is, else 503 with reasons", async () => {
    await using bench = await EdgeBench.open();
    expect((await bench.operator("GET", "/health/live")).status).toBe(200);
    const ready = await bench.operator("GET", "/health/ready");
    expect([ready.status, ready.body]).toEqual([200, { ok: true, reasons: [] }]);
    bench.shards.reasons = ["shard 1 is not ready"];
    const not = await bench.operator("GET", "/health/ready");
    expect([not.status, not.body]).toEqual([503, { ok: false, reasons: ["shard 1 is not ready"] }]);
    expect((await bench.operator("GET", "/health/live")).status).toBe(200);
  });

  test("is not ready while the store cannot write", async () => {
    await using bench = await EdgeBench.open();
    bench.store.troubled = "database or disk is full";
    const not = await bench.operator("GET", "/health/ready");
    expect([not.status, not.body]).toEqual([
      503,
      { ok: false, reasons: ["the store cannot write: database or disk is full"] },
    ]);
    expect((await bench.operator("GET", "/health/live")).status).toBe(200);
  });

  test("is not ready while it drains, which the operator can ask for", async () => {
    await using bench = await EdgeBench.open();
    expect((await bench.operator("POST", "/operator/v1/drain")).status).toBe(202);
    expect(bench.drains).toBe(1);
    expect(at(await bench.operator("GET", "/health/ready"), "reasons")).toBe('["draining"]');
  });

  test("is open to probes where all else needs the token", async () => {
    await using bench = await EdgeBench.open(guarded);
    for (const path of ["/health/live", "/health/ready"]) expect((await bench.operator("GET", path)).status).toBe(200);
  });
});

describe("the operator's token", () => {
  const asked = [
    ["GET", "/metrics"],
    ["GET", "/operator/v1/summary"],
    ["GET", "/operator/v1/registrars"],
    ["GET", "/operator/v1/accounts"],
    ["GET", "/operator/v1/accounts/x"],
    ["DELETE", "/operator/v1/accounts/x"],
    ["POST", "/operator/v1/accounts/x/retry"],
    ["GET", "/operator/v1/calls"],
    ["GET", "/operator/v1/calls/x"],
    ["GET", "/operator/v1/events"],
    ["GET", "/operator/v1/trace/x"],
    ["POST", "/operator/v1/trace"],
    ["POST", "/operator/v1/backup"],
    ["POST", "/operator/v1/keys/rotate"],
    ["POST", "/operator/v1/drain"],
  ] as const;
  test.each(asked)("%s %s needs it", async (method, path) => {
    await using bench = await EdgeBench.open(guarded);
    const body = method === "POST" && /trace|backup/.test(path) ? { nonsense: 1 } : undefined;
    expect((await bench.operator(method, path, undefined, body)).status).toBe(401);
    expect((await bench.operator(method, path, "wrong", body)).status).toBe(401);
    expect((await bench.operator(method, path, `${token}x`, body)).status).toBe(401);
    expect([bench.drains, bench.store.rotations]).toEqual([0, 0]);
    if (!path.endsWith("events")) expect((await bench.operator(method, path, token, body)).status).not.toBe(401);
  });

  test("guessing is slowed down; who has it is not", async () => {
    await using bench = await EdgeBench.open(guarded);
    const statuses: number[] = [];
    for (let n = 0; n < 22; n++) statuses.push((await bench.operator("GET", "/metrics", `guess ${n}`)).status);
    expect([statuses[0], statuses.at(-1)]).toEqual([401, 429]);
    expect((await bench.operator("GET", "/metrics", token)).status).toBe(200);
  });

  test("a device token opens nothing here", async () => {
    await using bench = await EdgeBench.open(guarded);
    const phone = await bench.phone();
    expect((await bench.operator("GET", "/metrics", phone.token)).status).toBe(401);
  });
});

describe("pages of other sites", () => {
  test("a name that another site made lead here (DNS rebinding) is refused", async () => {
    await using bench = await EdgeBench.open();
    const port = bench.edge.operatorPort;
    const statusFor = async (host: string) => {
      const raw = await RawSocket.open(port);
      raw.write(`GET /operator/v1/summary HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      const line = (await raw.head()).split(" ")[1];
      raw.destroy();
      return line;
    };
    expect(await statusFor(`rebound.evil.example:${port}`)).toBe("421");
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`])
      expect(await statusFor(host)).toBe("200");
  });

  test("what another site's page sends is refused, what one's own sends is not", async () => {
    await using bench = await EdgeBench.open();
    const drain = (headers: Record<string, string>) =>
      bench.operator("POST", "/operator/v1/drain", undefined, undefined, headers);
    expect((await drain({ origin: "https://evil.example" })).status).toBe(403);
    expect((await drain({ origin: "null" })).status).toBe(403);
    expect((await drain({ "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect(bench.drains).toBe(0);
    expect((await drain({ origin: `http://127.0.0.1:${bench.edge.operatorPort}` })).status).toBe(202);
  });

  test("answers cannot be framed, sniffed or kept", async () => {
    await using bench = await EdgeBench.open();
    const page = await bench.operator("GET", "/");
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(page.headers.get("x-frame-options")).toBe("DENY");
    expect(page.headers.get("x-content-type-options")).toBe("nosniff");
    expect(page.headers.get("cache-control")).toBe("no-store");
    expect(page.headers.get("access-control-allow-origin")).toBeNull();
    expect(page.text).toContain("0.0.0-test");
  });

  test("a page given serves its own paths, and the interface stays", async () => {
    await using bench = await EdgeBench.open(
      {},
      {
        page: (request) => (new URL(request.url).pathname === "/app.js" ? new Response("js") : undefined),
      },
    );
    expect((await bench.operator("GET", "/app.js")).text).toBe("js");
    expect((await bench.operator("GET", "/other.js")).status).toBe(404);
    expect((await bench.operator("GET", "/health/live")).status).toBe(200);
  });
});

describe("what the operator sees", () => {
  test("metrics in Prometheus text", async () => {
    await using bench = await EdgeBench.open();
    bench.count("registrationsRegistered", 5);
    bench.shards.loads = [{ shard: 0, ready: true, restarts: 3 }];
    const answer = await bench.operator("GET", "/metrics");
    expect(answer.headers.get("content-type")).toStartWith("text/plain");
    expect(answer.text).toContain('wakeline_registrations{state="registered"} 5');
    expect(answer.text).toContain("wakeline_shard_restarts_total 3");
  });

  test("a summary", async () => {
    const { bench } = await withAccount();
    await using _ = bench;
    bench.count("callsMissed", 2);
    bench.clock.advance(90_000);
    const answer = await bench.operator("GET", "/operator/v1/summary");
    expect(answer.body).toMatchObject({
      version: "0.0.0-test",
      startedAt: "2026-11-24T12:00:00.000Z",
      uptimeSec: 90,
      ready: { ok: true },
      devices: 1,
      accounts: 1,
      subscriptions: 1,
      tunnels: 0,
      registrations: { registered: 0 },
      calls: { running: 0, missed: 2 },
      shards: [{ shard: 0, ready: true, restarts: 0, registered: 0 }],
    });
  });

  test("accounts, in pages and by part of their name, never with a secret", async () => {
    await using bench = await EdgeBench.open();
    const phone = await bench.phone();
    for (const username of ["anna", "bert", "carl"]) await bench.subscribe(phone, { username });
    const names = async (query: string) => {
      const answer = await bench.operator("GET", `/operator/v1/accounts${query}`);
      expect(answer.text).not.toContain("secret-of-alice");
      return (answer.body as { id: string; username: string }[]).map(({ id, username }) => ({ id, username }));
    };
    const first = await names("?limit=2");
    expect(first.length).toBe(2);
    const rest = await names(`?limit=2&after=${first[1]?.id}`);
    expect([...first, ...rest].map(({ username }) => username).sort()).toEqual(["anna", "bert", "carl"]);
    expect((await names("?q=ber")).map(({ username }) => username)).toEqual(["bert"]);
    expect((await bench.operator("GET", "/operator/v1/accounts?limit=x")).status).toBe(422);
  });

  test("one account with its registration and devices", async () => {
    const { bench, accountId } = await withAccount();
    await using _ = bench;
    bench.shards.statuses.set(accountId, { mode: "alternate", state: "refused", lastStatus: 403 });
    const answer = await bench.operator("GET", `/operator/v1/accounts/${accountId}`);
    expect(answer.body).toMatchObject({
      id: accountId,
      username: "alice",
      displayName: "Anna",
      registration: { state: "refused", lastStatus: 403 },
      devices: 1,
      subscriptions: [{ accountId, presence: "background" }],
    });
    expect(answer.text).not.toContain("secret-of-alice");
    expect((await bench.operator("GET", "/operator/v1/accounts/unknown")).status).toBe(404);
  });

  test("calls, and one with its ladder", async () => {
    const { bench, accountId } = await withAccount();
    await using _ = bench;
    const call = "0192d1c8-1111-7000-8000-000000000001" as CallUuid;
    const startedAtMs = bench.clock.wallMs();
    bench.shards.callList = [
      {
        call,
        callId: "c1",
        accountId,
        direction: "inbound",
        from: { uri: "sip:bob@x" },
        state: "ringing",
        startedAtMs,
        devices: ["d" as DeviceId],
      },
    ];
    bench.shards.ladder = [{ atMs: startedAtMs, from: "server", to: "wakeline", label: "INVITE" }];
    const line = {
      call,
      callId: "c1",
      account: accountId,
      direction: "inbound",
      from: { uri: "sip:bob@x" },
      state: "ringing",
      startedAt: "2026-11-24T12:00:00.000Z",
      devices: ["d"],
    };
    expect((await bench.operator("GET", "/operator/v1/calls")).body).toEqual([line]);
    expect((await bench.operator("GET", `/operator/v1/calls/${call}`)).body).toEqual({
      ...line,
      ladder: [{ at: "2026-11-24T12:00:00.000Z", from: "server", to: "wakeline", label: "INVITE" }],
    });
    expect((await bench.operator("GET", "/operator/v1/calls/unknown")).status).toBe(404);
  });

  test("events as they happen", async () => {
    const { bench, accountId } = await withAccount();
    await using _ = bench;
    const response = await fetch(`http://127.0.0.1:${bench.edge.operatorPort}/operator/v1/events`);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
    const decoder = new TextDecoder();
    let text = "";
    const until = async (part: string) => {
      while (!text.includes(part)) text += decoder.decode((await reader.read()).value);
    };
    await until("retry:");
    bench.edge.dispatcher.onEvent({
      kind: "registrationChanged",
      accountId,
      status: { mode: "auto", state: "registered" },
    });
    await until("\n\n");
    await until(`event: registration\ndata: {"account":"${accountId}","mode":"auto","state":"registered"}\n\n`);
    await reader.cancel();
  });

  test("no more watchers than there is room for", async () => {
    await using bench = await EdgeBench.open();
    const open = () => fetch(`http://127.0.0.1:${bench.edge.operatorPort}/operator/v1/events`);
    const watching = await Promise.all(Array.from({ length: 32 }, open));
    expect((await open()).status).toBe(503);
    for (const response of watching) await response.body?.cancel();
  });
});

describe("what the operator does", () => {
  test("traces an account for some minutes", async () => {
    const { bench, accountId } = await withAccount();
    await using _ = bench;
    const answer = await bench.operator("POST", "/operator/v1/trace", undefined, { account: accountId, minutes: 10 });
    expect([answer.status, at(answer, "until")]).toEqual([202, "2026-11-24T12:10:00.000Z"]);
    expect(bench.shards.told).toEqual([`trace ${accountId} ${bench.clock.wallMs() + 600_000}`]);
    bench.edge.dispatcher.onEvent({
      kind: "ladder",
      accountId,
      entry: { atMs: bench.clock.wallMs(), from: "wakeline", to: "server", label: "REGISTER", text: "REGISTER sip:x" },
    });
    expect((await bench.operator("GET", `/operator/v1/trace/${accountId}`)).body).toEqual([
      { at: "2026-11-24T12:00:00.000Z", from: "wakeline", to: "server", label: "REGISTER", text: "REGISTER sip:x" },
    ]);
    const drawn = await bench.operator("GET", `/operator/v1/trace/${accountId}?format=text`);
    expect(drawn.text.split("\n")).toEqual([
      "              Server                    Wakeline",
      "      0.0 ms  │◀─────── REGISTER ───────│",
      "",
    ]);
    const long = await bench.operator("GET", `/operator/v1/trace/${accountId}?format=long`);
    expect(long.text).toEndWith("│\n                REGISTER sip:x\n");
    expect((await bench.operator("GET", `/operator/v1/trace/${accountId}?format=xml`)).status).toBe(422);
    expect((await bench.operator("POST", "/operator/v1/trace", undefined, { account: "unknown" })).status).toBe(404);
    const bad = await bench.operator("POST", "/operator/v1/trace", undefined, { account: accountId, minutes: 0, x: 1 });
    expect([bad.status, faultFields(bad)]).toEqual([422, ["minutes", "x"]]);
  });

  test("retries an account now", async () => {
    const { bench, accountId } = await withAccount();
    await using _ = bench;
    expect((await bench.operator("POST", `/operator/v1/accounts/${accountId}/retry`)).status).toBe(202);
    expect(bench.shards.told).toEqual([`retryNow ${accountId}`]);
    expect((await bench.operator("POST", "/operator/v1/accounts/unknown/retry")).status).toBe(404);
  });

  test("removes an account as its phones would", async () => {
    const { bench, accountId } = await withAccount();
    await using _ = bench;
    expect((await bench.operator("DELETE", `/operator/v1/accounts/${accountId}`)).status).toBe(204);
    expect(bench.shards.told.at(-1)).toBe(`remove ${accountId}`);
    expect(bench.store.secrets.size).toBe(0);
    expect((await bench.operator("DELETE", `/operator/v1/accounts/${accountId}`)).status).toBe(404);
  });

  test("backs the store up into a file named in full", async () => {
    await using bench = await EdgeBench.open();
    const backup = (file: string) => bench.operator("POST", "/operator/v1/backup", undefined, { file });
    expect([(await backup("/tmp/b.db")).status, bench.store.backups]).toEqual([201, ["/tmp/b.db"]]);
    expect((await backup("b.db")).status).toBe(422);
    bench.store.failNext = new Error("the file exists");
    const failed = await backup("/tmp/b.db");
    expect([failed.status, at(failed, "detail")]).toEqual([409, "the file exists"]);
  });

  test("rotates the keys of secrets and tokens", async () => {
    const { bench } = await withAccount();
    await using _ = bench;
    const answer = await bench.operator("POST", "/operator/v1/keys/rotate");
    expect([answer.status, answer.body]).toEqual([200, { secrets: 1 }]);
    expect(bench.store.rotations).toBe(1);
  });
});
